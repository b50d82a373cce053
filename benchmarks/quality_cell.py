"""One cell of the quality benchmark, in a process of its own: fits a model, samples, writes both.

    python -m benchmarks.quality_cell MODEL SEED TRAIN OUT

Writes OUT.parquet (the sample, as many rows as the training part) and OUT.json
(seconds, versions, settings). Peers run under the interpreter of their own
environment, which has no Kohort; whatever needs it is imported where used.
"""

from __future__ import annotations

import argparse
import json
import os

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_pool] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality_tables import PATIENT, Columns

PEER_ROWS = 5_000
"""ctgan's models learn from at most so many rows: their default of 300 epochs would take hours of more."""

PEERS = {
    "ctgan.CTGAN": ("ctgan", "torch"),
    "ctgan.TVAE": ("ctgan", "torch"),
    "mostlyai-engine": ("mostlyai-engine", "torch"),
}
"""By name, the packages whose versions belong to the cell."""

Sampler = Callable[[int], pd.DataFrame]
Fitted = tuple[Sampler, dict[str, Any]]


def cpu_seconds() -> float:
    """Of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def mostly(train: pd.DataFrame, seed: int) -> Fitted:
    """mostlyai-engine as it comes: dates as datetimes, everything else by its own inference."""
    from mostlyai.engine import TabularARGN

    frame = train.copy()
    for name in Columns.of(train).dates:
        frame[name] = pd.to_datetime(frame[name])
    model = TabularARGN(device="cpu", random_state=seed, verbose=0)
    model.fit(frame)
    return lambda rows: model.sample(n_samples=rows, device="cpu"), {}


def ctgan_models(name: str) -> Callable[[pd.DataFrame, int], Fitted]:
    """`ctgan.CTGAN` or `ctgan.TVAE` with their defaults.

    Dates are whole days. They refuse numbers that are null: those become the
    column's mean, with a discrete column that says where, put back afterwards.
    """

    def fit(train: pd.DataFrame, seed: int) -> Fitted:
        import ctgan
        import torch

        torch.manual_seed(seed)
        np.random.seed(seed)
        kinds = Columns.of(train)
        frame, whole, flags = {}, [], {}
        for column in train.columns:
            cells = train[column]
            if column in kinds.dates:
                cells = (pd.to_datetime(cells) - pd.Timestamp(0)).dt.days.astype("float64")
                whole.append(column)
            if column in kinds.categories:
                frame[column] = cells.astype("object").where(cells.notna(), None)
                continue
            if cells.isna().any():
                flags[column] = f"{column} is null"
                frame[flags[column]] = cells.isna().map({True: "yes", False: "no"})
                cells = cells.fillna(cells.mean())
            frame[column] = cells.round() if column in whole else cells
        few = min(len(train), PEER_ROWS)
        data = pd.DataFrame(frame).iloc[:few]
        model = getattr(ctgan, name)(enable_gpu=False)
        model.fit(data, discrete_columns=[*kinds.categories, *flags.values()])

        def sample(rows: int) -> pd.DataFrame:
            found = model.sample(rows)
            for column, flag in flags.items():
                found[column] = found[column].where(found[flag] != "yes", np.nan)
            for column in whole:
                found[column] = pd.Timestamp(0) + pd.to_timedelta(found[column].round(), unit="D")
            return found[list(train.columns)]

        return sample, {"rows": few, "epochs": 300}

    return fit


def kohort_model(name: str, path: Path) -> Callable[[pd.DataFrame, int], Fitted]:
    """One of Kohort's trainers with its defaults; the sample comes from the exported bundle."""

    def fit(_: pd.DataFrame, seed: int) -> Fitted:
        import kohort
        from benchmarks.fitting import learn, request
        from trainers.base import Hooks, Progress

        asked, schema = request(path, name, seed, subject=PATIENT)
        last: list[Progress] = []
        learned = learn(asked, schema, name, Hooks(progress=last.append))
        before, began = cpu_seconds(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "model.kohort"
            learned.export(bundle)
            size = bundle.stat().st_size
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = kohort.load(bundle)
        told = {"export_cpu": cpu_seconds() - before, "export_wall": time.perf_counter() - began}
        told |= {"bundle_bytes": size}
        if last and last[-1].total_steps > 1:
            told |= {"epochs": last[-1].step}
        return lambda rows: loaded.sample(rows, seed=seed), told

    return fit


def main() -> None:
    """Fits, samples and writes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model")
    options.add_argument("seed", type=int)
    options.add_argument("train", type=Path)
    options.add_argument("out", type=Path)
    chosen = options.parse_args()
    name = chosen.model
    train = pd.read_parquet(chosen.train)
    scored = train.drop(columns=PATIENT, errors="ignore")
    # Importing is not training: it happens before the clock starts.
    if name == "mostlyai-engine":
        import_module("mostlyai.engine")
        fit, packages = mostly, PEERS[name]
    elif name in PEERS:
        import_module("ctgan")
        fit, packages = ctgan_models(name.removeprefix("ctgan.")), PEERS[name]
    else:
        import_module("exporters.publish")
        import_module("trainers.registry").trainers()
        fit, packages = kohort_model(name, chosen.train), ("torch", "scikit-learn")
    wall, cpu = time.perf_counter(), cpu_seconds()
    sample, told = fit(scored, chosen.seed)
    result = {
        "fit_wall": time.perf_counter() - wall - told.get("export_wall", 0.0),
        "fit_cpu": cpu_seconds() - cpu - told.get("export_cpu", 0.0),
    }
    wall, cpu = time.perf_counter(), cpu_seconds()
    synthetic = sample(len(train))
    result |= {"sample_cpu": cpu_seconds() - cpu, "sample_wall": time.perf_counter() - wall}
    result |= {
        "train_rows": len(train),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    result |= {"rows": len(train), "versions": {p: version(p) for p in packages}} | told
    synthetic.drop(columns=PATIENT, errors="ignore").to_parquet(
        chosen.out.with_suffix(".parquet"), index=False
    )
    chosen.out.with_suffix(".json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
