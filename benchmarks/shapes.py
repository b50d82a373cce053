"""How costs grow with columns, rows and categories: uploading, encoding, training, exporting, sampling.

The tables are made of real columns, the same on every machine:

- *columns*: encounters_20k.parquet has 20. Column j of a wider table is column j
  modulo 20, its rows moved on by 997 for every copy that came before, so that
  copies are neither equal nor in step; five columns are the first of `FEW`.
- *rows*: the first rows of that table, 20 columns.
- *categories*: the first 60,000 rows of cdc_diabetes_62k.parquet, its first five
  columns, and one with k codes: that of row i is (7,919 i) mod k, so that each of
  10,000 codes still has the six patients that a value needs to be learned.

Every table is learned by a cheap trainer and by `ctgan` for one epoch, exported,
imported by a real server and sampled over gRPC.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

import kohort
from benchmarks.fitting import learn, request
from benchmarks.graphs import graph_alone
from benchmarks.measure import ROOT, Timing, compared, cpu_seconds, interleave
from benchmarks.serving import BenchServer, sampled
from benchmarks.stand import Options
from kohort.errors import KohortError
from kohort.problem import Problem
from trainers.base import Hooks
from trainers.registry import installed

DATA = ROOT / "benchmarks" / "data"
FEW = ("num_lab_procedures", "num_medications", "age", "gender", "readmitted")
SHIFT, STRIDE = 997, 7_919
COLUMNS, ROWS, CATEGORIES = (5, 20, 100, 500), (1_250, 5_000, 20_000), (20, 200, 2_000, 10_000)
COLUMN_ROWS, CATEGORY_ROWS = 2_000, 60_000
TRAINERS: dict[str, dict[str, Any]] = {"copula": {}, "ctgan": {"epochs": 1}}


def wide(base: pd.DataFrame, columns: int) -> pd.DataFrame:
    """A table of so many columns and the rows of `base`, as the module says."""
    if columns < len(base.columns):
        return base[list(FEW[:columns])]
    found = {}
    for j in range(columns):
        copy, name = divmod(j, len(base.columns))
        cells = base.iloc[:, name]
        moved = np.roll(np.arange(len(base)), copy * SHIFT)
        found[f"{cells.name}_{copy}"] = cells.take(moved).reset_index(drop=True)
    return pd.DataFrame(found)


def coded(base: pd.DataFrame, categories: int) -> pd.DataFrame:
    """Five columns of `base` and a column `site` of so many codes."""
    codes = np.arange(len(base)) * STRIDE % categories
    return base.iloc[:, :5].assign(site=[f"S{code:05}" for code in codes])


def tables(options: Options) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """(what grows, its size, the table), the smallest first."""
    encounters = pd.read_parquet(DATA / "encounters_20k.parquet")
    survey = pd.read_parquet(DATA / "cdc_diabetes_62k.parquet")
    quick = options.quick
    for columns in COLUMNS[:2] if quick else COLUMNS:
        yield "columns", columns, wide(encounters.head(400 if quick else COLUMN_ROWS), columns)
    for rows in (400, 800) if quick else ROWS:
        yield "rows", rows, encounters.head(rows)
    for categories in CATEGORIES[:2] if quick else CATEGORIES:
        yield "categories", categories, coded(survey.head(1_200 if quick else CATEGORY_ROWS), categories)


@dataclass
class Watch:
    """CPU seconds of this process while a trainer fits: when phases begin, when steps are asked for."""

    phases: list[tuple[str, float]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def hooks(self) -> Hooks:
        """What a trainer tells it."""

        def asked() -> bool:
            self.steps.append(time.process_time())
            return False

        return Hooks(
            phase=lambda name: self.phases.append((name, time.process_time())),
            progress=lambda _: None,
            should_stop=asked,
        )

    def told(self, began: float, ended: float) -> dict[str, float]:
        """Seconds to encode (all before training begins), of all, and milliseconds of a step."""
        training = next((at for name, at in self.phases if name in ("training", "correlating")), ended)
        steps = np.diff([at for at in self.steps if at >= training])
        found = {"encode_s": training - began, "fit_s": ended - began}
        if steps.size and any(name == "training" for name, _ in self.phases):
            found["step_ms"] = float(np.median(steps)) * 1e3
        return found


def measure(options: Options) -> dict[str, Any]:
    """One entry per table and trainer, and the slopes between sizes."""
    entries: list[dict[str, Any]] = []
    # All models stay ready while their samples take turns.
    flags = ("--evaluation-profile", "none", "--import-unverified", "--cached-models", "100")
    with tempfile.TemporaryDirectory(prefix="kohort-bench-") as name:
        folder = Path(name)
        with BenchServer(folder, *flags) as server, server.client() as client:
            _warm(folder)
            candidates: dict[str, Callable[[], int]] = {}
            for what, size, table in tables(options):
                source = folder / f"{what}_{size}.parquet"
                table.to_parquet(source, index=False)
                uploaded = _uploaded(client, table, server.process)
                for trainer, parameters in TRAINERS.items():
                    if installed(trainer) is None:
                        continue
                    entry = {"what": what, "size": size, "trainer": trainer, **uploaded}
                    entry |= {"table_rows": len(table), "table_columns": len(table.columns)}
                    entries.append(entry)
                    path = folder / f"{what}_{size}_{trainer}.kohort"
                    began = time.perf_counter()
                    try:
                        entry |= _fitted(source, trainer, parameters, path)
                        model = client.import_model(path)
                        entry |= {"cold_ms": _first(client, model), "cached_ms": _first(client, model)}
                    except (Problem, KohortError) as error:
                        entry["failed"] = f"{getattr(error, 'reason', '')} ({type(error).__name__})"
                        continue
                    finally:
                        took = time.perf_counter() - began
                        print(f"{what} {size} {trainer}: {took:.0f} s", file=sys.stderr, flush=True)
                    key = f"{what} {size} {trainer}"
                    # Fewer rows of wide tables, yet so many that a stream's fixed cost is a small part.
                    rows = max(options.rows // 6, options.rows * 20 // max(20, len(table.columns)))
                    candidates[key] = partial(sampled, client, model, rows)
                    candidates[f"graph {key}"] = graph_alone(_bundle(path), rows)[0]
            found = interleave(candidates, max(1, options.repeats - 2), server.process)
    for entry in entries:
        key = f"{entry['what']} {entry['size']} {entry['trainer']}"
        if key in found:
            entry |= _costs(found[key], found[f"graph {key}"])
    return {"entries": entries, "slopes": slopes(entries)}


FIGURES = ("upload_s", "encode_s", "fit_s", "step_ms", "export_s", "cold_ms", "sample_us")


def slopes(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The exponent of each figure: the least-squares slope of its logarithm over that of the size."""
    found = []
    for what, trainer in dict.fromkeys((e["what"], e["trainer"]) for e in entries):
        own = [e for e in entries if (e["what"], e["trainer"]) == (what, trainer)]
        row: dict[str, Any] = {"what": what, "trainer": trainer}
        for figure in FIGURES:
            points = [(e["size"], e[figure]) for e in own if e.get(figure, 0) > 0]
            if len(points) >= 2:
                x, y = np.log(np.array(points, dtype=float)).T
                row[figure] = float(np.polyfit(x, y, 1)[0])
        found.append(row)
    return found


def _warm(folder: Path) -> None:
    """Fits every trainer once on little: libraries are imported before the clock starts."""
    source = folder / "warm.parquet"
    pd.read_parquet(DATA / "encounters_20k.parquet").head(200).to_parquet(source, index=False)
    for trainer, parameters in TRAINERS.items():
        if installed(trainer) is not None:
            _fitted(source, trainer, parameters, folder / "warm.kohort")


def _uploaded(client: kohort.Client, table: pd.DataFrame, server: psutil.Process) -> dict[str, float]:
    def used() -> float:
        times = server.cpu_times()
        # What reads an upload is a process of the server's, over by the time the dataset is there.
        return cpu_seconds(server) + float(times.children_user + times.children_system)

    before = used()
    client.upload(table, table="patients")
    return {"upload_s": used() - before}


def _fitted(source: Path, trainer: str, parameters: Mapping[str, Any], path: Path) -> dict[str, float]:
    began, watch = time.process_time(), Watch()
    asked, schema = request(source, trainer, 1, parameters=parameters)
    prepared = time.process_time()
    learned = learn(asked, schema, trainer, watch.hooks())
    ended = time.process_time()
    learned.export(path)
    told = {"infer_s": prepared - began, "export_s": time.process_time() - ended}
    return told | watch.told(prepared, ended) | {"bundle_bytes": float(path.stat().st_size)}


def _bundle(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kohort.load(path)


def _first(client: kohort.Client, model: kohort.Model) -> float:
    began = time.perf_counter()
    next(iter(client.sample_batches(model, 100, seed=1)))
    return 1e3 * (time.perf_counter() - began)


def _costs(sampled: Timing, graph: Timing) -> dict[str, Any]:
    return {
        "sample_us": float(np.median(sampled.costs)),
        "sample_us_low": min(sampled.costs),
        "sample_us_high": max(sampled.costs),
        "graph_us": float(np.median(graph.costs)),
        "over_graph": compared(sampled, graph)["cpu"]["median"],
    }
