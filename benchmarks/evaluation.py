"""What an evaluation costs: seconds per part and in total, and memory, on 50,000 rows of 20 columns.

Training rows (40,000) and hold-out (10,000) are of the CDC diabetes indicators;
in the place of a sample stand 40,000 rows that are drawn, with replacement,
from the other real ones ("real") or the training rows ("bootstrap"), or of the
training rows column by column ("independent"). Rows that repeat can be told from
others by that alone: of "real" ones the classifier two-sample test is above 0.5.

Threads wait asleep: on a busy machine threads of OpenMP that spin cost ten times
the processor time of the work itself.

    python -m benchmarks.evaluation [--synthetic real] [--profile standard] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluators.run import Subject

DATA = Path(__file__).resolve().parent / "data" / "cdc_diabetes_62k.parquet"
TRAIN, HOLDOUT, COLUMNS = 40_000, 10_000, 20
TARGET, QUASI_IDENTIFIERS, PROTECTED = "Diabetes_binary", ("Age", "Sex", "Education", "Income"), ("Sex",)
BUDGET = 60.0
"""Seconds that the standard profile may take."""


@dataclass
class Clock:
    """When parts began, and what they took."""

    parts: list[tuple[str, float, float, float]] = field(default_factory=list)
    """Name, wall seconds, CPU seconds, peak memory so far in GiB."""
    _name: str = ""
    _wall: float = 0.0
    _cpu: float = 0.0

    def begin(self, name: str, done: int = 0, total: int = 0) -> None:
        """Ends the part before; told by `evaluate`."""
        if self._name:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            took = (time.perf_counter() - self._wall, time.process_time() - self._cpu)
            self.parts.append((self._name, *took, peak))
        self._name, self._wall, self._cpu = name, time.perf_counter(), time.process_time()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="What an evaluation costs.")
    parser.add_argument("--synthetic", choices=("real", "bootstrap", "independent"), default="real")
    parser.add_argument("--profile", choices=("standard", "full"), default="standard")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="*", help="of these names alone")
    given = parser.parse_args()
    # Read when the libraries load: no library may take more threads than were given.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from evaluators.case import Options, Profile
    from evaluators.gate import Policy
    from evaluators.registry import evaluators
    from evaluators.run import Watch, evaluate

    clock = Clock()
    clock.begin("import and tables")
    subject = _subject(given.synthetic)
    options = Options(
        profile=Profile(given.profile),
        targets=(TARGET,),
        quasi_identifiers=QUASI_IDENTIFIERS,
        protected=PROTECTED,
        threads=given.threads,
        seconds=3600,
    )
    chosen = [part for part in evaluators() if not given.parts or part.name in given.parts]
    clock.begin("roles and frames")
    found = evaluate(subject, options, Policy(), Watch(part=clock.begin), chosen)
    clock.begin("")
    print(f"{'part':<24}{'wall s':>8}{'CPU s':>8}{'peak GiB':>10}")
    for name, wall, cpu, peak in clock.parts:
        print(f"{name:<24}{wall:>8.1f}{cpu:>8.1f}{peak:>10.2f}")
    total = sum(cpu for _, _, cpu, _ in clock.parts[1:])
    print(
        f"{'evaluate()':<24}{found.seconds:>8.1f}{total:>8.1f}   (standard profile: at most {BUDGET:.0f} s)"
    )
    print(f"{len(found.metrics)} metrics, {len(found.figures)} figures; verdict {found.verdict.state.value}")
    for left in found.left_out:
        print(f"left out: {left.part}: {left.reason}")
    for metric in found.metrics:
        if metric.headline:
            ends = f"[{metric.interval.low:.4f}, {metric.interval.high:.4f}]" if metric.interval else ""
            base = "" if metric.baseline is None else f"{metric.baseline:.4f}"
            print(f"{metric.name:<32}{metric.where:<44}{metric.value:>10.4f} {ends:<20}{base:>8}")


def _subject(kind: str) -> Subject:
    """Training rows, hold-out, and what stands in the place of a sample."""
    import numpy as np

    from evaluators.run import Subject
    from kohort.columns import Array
    from kohort.schema import Schema
    from tables.infer import infer, physicalise_all
    from tables.readers import read_file
    from tables.tableset import Table, TableSet

    whole = read_file(DATA, "parquet", "table")
    names = [*[name for name in whole.arrays if name != TARGET][1 - COLUMNS :], TARGET]
    columns = tuple(whole.schema.column(name) for name in names)
    schema = Schema((type(whole.schema)(whole.schema.name, columns),))
    table = Table(schema.tables[0], {name: whole.arrays[name] for name in names})
    tables = TableSet({"table": table})
    table = physicalise_all(tables, infer(tables).schema).single()

    rng = np.random.default_rng(0)
    order = rng.permutation(table.num_rows)
    train, holdout, rest = np.split(order, [TRAIN, TRAIN + HOLDOUT])
    drawn = rng.choice(rest if kind == "real" else train, TRAIN)

    def take(array: Array) -> Array:
        return array.take(rng.choice(train, TRAIN) if kind == "independent" else drawn)

    synthetic = Table(table.schema, {name: take(array) for name, array in table.arrays.items()})
    return Subject(
        TableSet({"table": table.take(train)}),
        TableSet({"table": synthetic}),
        TableSet({"table": table.take(holdout)}),
    )


if __name__ == "__main__":
    main()
