"""Training beside what users would pick instead (`make bench-train`).

    python -m benchmarks.training run [--only steps] [--seeds 5] [--again]
    python -m benchmarks.training show

A cell is a measurement, a table, a seed and threads. `run` fills those that are
missing for the present trainers' source, each in a process of its own;
stopped at any time, it goes on with what is left. Results are kept in
benchmarks/training_results.json, each with its machine and commit. The time of
the default generator beside mostlyai-engine's comes from the quality benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from benchmarks.measure import ROOT, machine, rounded

KEPT = ROOT / "benchmarks" / "training_results.json"

QUALITY = {"heart": (None, 300), "encounters": (5_000, 60)}
"""Per table, rows and epochs of the comparison at equal epochs."""

LOWER = ("correlation_error", "marginal_error", "pairwise_error")
"""Measures of which less is better; similarity is the only other."""


@dataclass(frozen=True)
class Cell:
    """What is measured, and on how many threads."""

    what: Literal["steps", "encoding", "quality"]
    table: str
    seed: int
    threads: int


@dataclass(frozen=True)
class Row:
    """A line of the results: ratios per CPU second and wall, what is promised, what was reached."""

    what: str
    cpu: float
    wall: float
    floor: str
    aim: str
    reached: str
    source: str
    """Machine and commit."""


def wanted(seeds: int) -> Iterator[Cell]:
    """Every cell, the quick ones first."""
    for threads in (1, 2):
        yield Cell("steps", "encounters", 0, threads)
    yield Cell("encoding", "encounters", 0, 1)
    for seed in range(seeds):
        for table in QUALITY:
            yield Cell("quality", table, seed, 1)


def stored() -> list[dict[str, Any]]:
    """All results, in no particular order."""
    found: list[dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else []
    return found


@cache
def version() -> str:
    """A digest of the source that the trainer is made of: cells of other code are other cells."""
    from benchmarks.quality import code_of

    return code_of("ctgan")


def run(chosen: argparse.Namespace) -> None:
    """Measures what is missing; a cell takes the place of the same cell of older code."""
    for cell in wanted(chosen.seeds):
        name = f"{cell.what} {cell.table} {cell.seed} threads={cell.threads}"
        same = [r for r in stored() if all(r[k] == v for k, v in asdict(cell).items())]
        done = any(r["version"] == version() for r in same)
        if (chosen.only and chosen.only not in name) or (done and not chosen.again):
            continue
        print(name, flush=True)
        threads = str(cell.threads)
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.training", "cell", json.dumps(asdict(cell))],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ended.returncode:
            print(f"  failed with {ended.returncode}", flush=True)
            continue
        measured = json.loads(ended.stdout.splitlines()[-1])
        result = {**asdict(cell), "version": version(), "machine": machine(), **measured}
        keep([r for r in stored() if r not in same] + [result])


def keep(results: list[dict[str, Any]]) -> None:
    """Writes all results in one step."""
    results.sort(key=lambda r: (r["what"], r["table"], r["seed"], r["threads"]))
    partial = KEPT.with_suffix(".partial")
    partial.write_text(json.dumps(rounded(results), indent=1) + "\n")
    partial.replace(KEPT)


def measure(cell: Cell) -> dict[str, Any]:
    """One cell, in this process."""
    import torch

    from benchmarks import training_cells

    torch.set_num_threads(cell.threads)
    if cell.what == "steps":
        return training_cells.steps()
    if cell.what == "encoding":
        return training_cells.encoding()
    return training_cells.quality(cell.table, cell.seed, *QUALITY[cell.table])


def summary() -> list[Row]:
    """The training rows of the design's table, from what was measured; rows without results are left out."""
    rows, cells = [], stored()
    for cell in cells:
        if cell["what"] == "steps":
            spread = f"{min(cell['ratios_cpu']):.2f}–{max(cell['ratios_cpu']):.2f}"
            what = f"CTGAN training steps/s ÷ `ctgan`'s, {cell['threads']} thread(s) ({spread})"
            rows.append(_row(what, cell, 2, 3))
        if cell["what"] == "encoding":
            rows.append(_row("encoding 50,000 rows, `ctgan`'s seconds ÷ ours", cell, None, 20))
    for table in QUALITY:
        same = [c for c in cells if c["what"] == "quality" and c["table"] == table]
        if same:
            rows.append(_quality_row(table, same))
    return [*rows, *_argn_rows()]


def provenance() -> str:
    """Of which commits the stored cells are, and of how many the trainer's source has changed since."""
    cells = stored()
    commits = sorted({cell["machine"].rpartition("commit ")[2] for cell in cells})
    other = sum(cell["version"] != version() for cell in cells)
    return (
        f"{KEPT.name}: {len(cells)} cells of {', '.join(commits) or 'no commit'}, {other} of them "
        "of another state of the trainer's source"
    )


def paired(cells: list[dict[str, Any]], measure: str, of: str = "kohort") -> list[float]:
    """Ours minus `ctgan`'s, one difference per seed; above 0 is better whatever the measure."""
    sign = -1.0 if measure in LOWER else 1.0
    return [sign * (cell[of][measure] - cell["ctgan"][measure]) for cell in cells]


def _row(what: str, cell: dict[str, Any], floor: float | None, aim: float) -> Row:
    met = "aim" if cell["cpu"] >= aim else "floor" if floor and cell["cpu"] >= floor else "below"
    return Row(what, cell["cpu"], cell["wall"], str(floor or ""), str(aim), met, cell["machine"])


def _quality_row(table: str, cells: list[dict[str, Any]]) -> Row:
    """Seconds of equally many epochs as a ratio, and on how many seeds each measure is no worse."""
    told, worse = [], False
    for measure in ("similarity", *LOWER):
        gaps = paired(cells, measure)
        told.append(
            f"{measure.replace('_', ' ')} better on {sum(g > 0 for g in gaps)} by {statistics.median(gaps):+.3f}"
        )
        worse |= statistics.median(gaps) < 0
    what = f"time of equally many epochs, {table}, `ctgan`'s ÷ ours; of {len(cells)} seeds {', '.join(told)}"
    cpu, wall = (
        statistics.median(c["ctgan_fit"][clock] / c["kohort_fit"][clock] for c in cells) for clock in (0, 1)
    )
    few = "fewer than 5 seeds" if len(cells) < 5 else "quality no worse"
    return Row(what, cpu, wall, "no worse", "", "worse" if worse else few, cells[-1]["machine"])


def _argn_rows() -> Iterator[Row]:
    """Training time of the default generator ÷ mostlyai-engine's, from the quality benchmark's cells."""
    kept = json.loads((ROOT / "benchmarks" / "quality_results.json").read_text())
    fits = {(c["table"], c["model"], c["seed"]): c for c in kept if c["status"] == "ok"}
    for table in dict.fromkeys(key[0] for key in fits):
        seeds = [key[2] for key in fits if key[:2] == (table, "argn")]
        pairs = [(fits[table, "argn", s], fits.get((table, "mostlyai-engine", s))) for s in seeds]
        both = [(ours, theirs) for ours, theirs in pairs if theirs]
        if both:
            cpu, wall = (
                statistics.median(ours[k] / theirs[k] for ours, theirs in both)
                for k in ("fit_cpu", "fit_wall")
            )
            met = "aim" if cpu <= 0.33 else "floor" if cpu <= 0.5 else "below"
            what = f"`argn` training time ÷ mostlyai-engine's, {table}, {len(both)} seeds"
            yield Row(what, cpu, wall, "≤ 0.5", "≤ 0.33", met, "benchmarks/quality_results.json")


def main() -> None:
    """Runs, shows, or measures one cell."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    commands = options.add_subparsers(dest="command")
    fill = commands.add_parser("run")
    fill.add_argument("--only", help="part of the names of the cells to run")
    fill.add_argument("--seeds", type=int, default=5)
    fill.add_argument("--again", action="store_true", help="measure anew what there is")
    commands.add_parser("show")
    commands.add_parser("cell").add_argument("cell", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.command == "cell":
        print(json.dumps(measure(Cell(**json.loads(chosen.cell)))))
        return
    if chosen.command == "run":
        run(chosen)
    for row in summary():
        print(f"| {row.what} | {row.cpu:.2f} | {row.wall:.2f} | {row.floor} | {row.aim} | {row.reached} |")


if __name__ == "__main__":
    main()
