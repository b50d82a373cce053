"""The way in: uploads by format over one real server, and the encoding that a training begins with.

The table is real (encounters_20k.parquet, its rows again and again) beside what makes
uploads dear: a patient's key as text, a moment and a number of many digits. Formats
take turns; a repeat is a whole upload, from rows in memory or a file to the stored dataset.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

import kohort
from benchmarks.measure import ROOT
from benchmarks.serving import BenchServer
from kohort.frames import from_frame
from tables.infer import infer, physicalise_all
from tables.statistics import StatisticsSource
from tables.tableset import Table, TableSet
from trainers.encoding import Encoding

SOURCE = ROOT / "benchmarks" / "data" / "encounters_20k.parquet"
COLUMNS = 11
"""Columns of the source beside the three that are made."""
K = 5


@dataclass(frozen=True)
class Options:
    """How much is measured; the defaults take about a minute on two cores."""

    rows: int = 200_000
    """Of an upload."""
    encoded_rows: int = 50_000
    """Of an encoding."""
    repeats: int = 5


QUICK = Options(rows=5_000, encoded_rows=5_000, repeats=1)
"""Enough to see that every part runs; its figures mean nothing."""


def table(rows: int) -> pd.DataFrame:
    """A table of so many rows and 14 columns, three rows to a patient."""
    source = pd.read_parquet(SOURCE).iloc[:, :COLUMNS]
    frame = source.take(np.arange(rows) % len(source)).reset_index(drop=True)
    draw = np.random.Generator(np.random.Philox(1))
    frame["patient_id"] = [f"P{number:08}" for number in draw.integers(0, rows // 3 + 1, rows)]
    frame["admitted"] = pd.Timestamp(2020, 1, 1) + pd.to_timedelta(draw.integers(0, 10**8, rows), unit="s")
    frame["weight"] = draw.normal(75, 15, rows)
    return frame


def measure(options: Options) -> dict[str, Any]:
    """Per format rows/s and CPU µs per cell (of the client, the server and its parser), and of an encoding.

    Medians of interleaved repeats; `rows_per_second` is by the wall.
    """
    return {"uploads": _uploads(options), "encoding": encoding(options)}


def _uploads(options: Options) -> dict[str, Any]:
    import pyarrow as pa

    frame = table(options.rows)
    found: dict[str, list[dict[str, float]]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="kohort-bench-") as directory,
        BenchServer(Path(directory)) as server,
        server.client() as client,
    ):
        csv, parquet = Path(directory) / "rows.csv", Path(directory) / "rows.parquet"
        frame.to_csv(csv, index=False)
        frame.to_parquet(parquet, index=False)
        sources: dict[str, Any] = {
            "DataFrame": frame,
            "Arrow": pa.Table.from_pandas(frame),
            "CSV": csv,
            "Parquet": parquet,
        }
        for repeat in range(options.repeats + 1):
            for name, source in sources.items():
                taken = _upload(client, source, frame.size, server.process)
                if repeat:  # The first warms up.
                    found.setdefault(name, []).append(taken)
    return {name: _medians(runs) | {"rows": len(frame)} for name, runs in found.items()}


def _upload(client: kohort.Client, source: Any, cells: int, server: psutil.Process) -> dict[str, float]:
    own, before = psutil.Process().cpu_times(), server.cpu_times()
    start = time.perf_counter()
    dataset = client.upload(source, subject_key="patient_id")
    seconds = time.perf_counter() - start
    mine, after = psutil.Process().cpu_times(), server.cpu_times()
    dataset.delete()
    per_cell = {
        "client": mine.user + mine.system - own.user - own.system,
        "server": after.user + after.system - before.user - before.system,
        # A process of its own, over by now.
        "parser": after.children_user + after.children_system - before.children_user - before.children_system,
    }
    micros = {f"{name}_us_per_cell": used * 1e6 / cells for name, used in per_cell.items()}
    return {"rows_per_second": cells / (COLUMNS + 3) / seconds, **micros}


def encoding(options: Options) -> dict[str, float]:
    """CPU µs per cell to fit the encoding of a table and to encode it, medians."""
    frame = table(options.encoded_rows).drop(columns="patient_id")
    schema, arrays = from_frame(frame, "table")
    raw = TableSet({"table": Table(schema, arrays)})
    rows = physicalise_all(raw, infer(raw).schema).single()
    runs = []
    for repeat in range(options.repeats + 1):
        fitted, fit = _timed(lambda: Encoding.fit(rows, StatisticsSource(), K))
        _, transform = _timed(lambda: fitted.encode(rows, np.random.Generator(np.random.Philox(1))))  # noqa: B023
        if repeat:
            cells = frame.size
            runs.append(
                {"fit_us_per_cell": fit * 1e6 / cells, "transform_us_per_cell": transform * 1e6 / cells}
            )
    return _medians(runs) | {"rows": len(frame), "columns": frame.shape[1]}


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return run(), time.process_time() - start


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    """Measures and prints."""
    chosen = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    chosen.add_argument("--quick", action="store_true", help="small figures, to see that it runs")
    chosen.add_argument("--rows", type=int, default=Options.rows, help="rows of each upload")
    asked = chosen.parse_args()
    print(json.dumps(measure(QUICK if asked.quick else Options(rows=asked.rows)), indent=1))


if __name__ == "__main__":
    main()
