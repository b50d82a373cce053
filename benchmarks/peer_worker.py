"""Peers in their own environment, which has no Kohort: a process that fits them, then samples on demand.

    python -m benchmarks.peer_worker TABLE.parquet ROWS DISCRETE.json

One line of JSON per model says what became of it, `{"ready": ...}` ends that;
then each line `{"model": ..., "rows": ..., "threads": ...}` on stdin is answered
by `{"rows": ..., "cpu": ..., "wall": ...}`. SDV is used for comparison only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

Sampler = Callable[[int], Any]
"""Rows as a frame, or as frames by table."""


def mostly(table: pd.DataFrame, discrete: list[str]) -> Sampler:
    """The network of mostlyai-engine's defaults; an epoch, since the speed of sampling does not depend on it."""
    from mostlyai.engine import TabularARGN

    model = TabularARGN(device="cpu", random_state=0, verbose=0, max_epochs=1)
    model.fit(table)
    return lambda rows: model.sample(n_samples=rows, device="cpu")


def sdv(name: str) -> Callable[[pd.DataFrame, list[str]], Sampler]:
    """One of SDV's synthesizers, networks as they come."""

    def fit(table: pd.DataFrame, discrete: list[str]) -> Sampler:
        from sdv import single_table
        from sdv.metadata import Metadata

        metadata = Metadata.detect_from_dataframes({"table": table}, infer_keys=None)
        for column in table.columns:
            kind = "categorical" if column in discrete else "numerical"
            metadata.update_column(column, table_name="table", sdtype=kind)
        model = getattr(single_table, name)(metadata, epochs=1, enable_gpu=False)
        model.fit({"table": table})
        return lambda rows: model.sample(num_rows=rows)

    return fit


MODELS: dict[str, Callable[[pd.DataFrame, list[str]], Sampler]] = {
    "mostlyai-engine": mostly,
    "SDV CTGANSynthesizer": sdv("CTGANSynthesizer"),
    "SDV TVAESynthesizer": sdv("TVAESynthesizer"),
}


def cpu_seconds() -> float:
    """Of this process and its children, those under way included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def main() -> None:
    """Fits what can be fitted, then serves."""
    # Libraries print as they like: the answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    import torch

    table = pd.read_parquet(sys.argv[1]).head(int(sys.argv[2]))
    discrete: list[str] = json.loads(Path(sys.argv[3]).read_text())
    table = table.astype(dict.fromkeys(discrete, object))
    fitted: dict[str, Sampler] = {}

    def say(**told: Any) -> None:
        answers.write(json.dumps(told) + "\n")

    for name, fit in MODELS.items():
        torch.manual_seed(0)
        np.random.seed(0)
        began = time.perf_counter()
        try:
            model = fit(table, discrete)
            model(100)  # One that cannot sample is better told now than in the middle of all.
        except Exception as error:  # one that fails leaves the others
            print(repr(error), file=sys.stderr)
            say(model=name, failed=type(error).__name__)
        else:
            fitted[name] = model
            say(model=name, seconds=time.perf_counter() - began)
    say(ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        wall, cpu = time.perf_counter(), cpu_seconds()
        made = fitted[asked["model"]](asked["rows"])
        said = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
        say(rows=len(made["table"] if isinstance(made, dict) else made), **said)


if __name__ == "__main__":
    main()
