"""What the sampling benchmarks measure: a server with models, their bundles, and the rivals beside them."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import kohort
from benchmarks.measure import ROOT, Told
from benchmarks.peers import Peers
from benchmarks.serving import BenchServer
from kohort.bundle import Bundle
from kohort.errors import KohortError
from trainers.registry import default_trainer, installed

TABLE = ROOT / "benchmarks" / "data" / "encounters_20k.parquet"
DISCRETE = ("category", "ordinal", "code", "boolean")
DEFAULT = default_trainer()


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    repeats: int = 7
    """Interleaved runs of everything that is compared."""
    rows: int = 102_400
    """Rows of a timed run, of ours and of rivals alike."""
    fit_rows: int = 5_000
    """Rows that models are fitted on, for one epoch: the speed of sampling does not depend on it."""
    quick: bool = False
    """Little of everything, to see that it runs; the figures mean nothing."""


QUICK = Options(repeats=1, rows=2_048, fit_rows=600, quick=True)


@dataclass
class Stand:
    """All that is measured, ready."""

    server: BenchServer
    client: kohort.Client
    models: dict[str, kohort.Model]
    """Kohort's, by trainer; "ctgan int8" is the same network with int8 graphs."""
    bundles: dict[str, Bundle]
    paths: dict[str, Path]
    """Their files."""
    rivals: dict[str, Callable[[int, int], Callable[[], int | Told]]]
    """Name → (rows, threads) → a candidate."""
    missing: dict[str, str]
    """What cannot be measured here, and why."""
    columns: int = 0
    discrete: int = 0


def peers_environment() -> Path:
    """Where the peers live."""
    return Path(os.environ.get("PEERS", ROOT / ".venv-peers"))


def wanted_models() -> dict[str, tuple[str, dict[str, Any]]]:
    """Kohort's models by name: trainer and parameters."""
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "ctgan": ("ctgan", {"epochs": 1}),
        "ctgan int8": ("ctgan", {"epochs": 1, "precision": "int8"}),
        "tvae": ("tvae", {"epochs": 1}),
        DEFAULT: (DEFAULT, {"epochs": 1}),
        "copula": ("copula", {}),
    }
    return {name: asked for name, asked in found.items() if installed(asked[0]) is not None}


@contextmanager
def stand(options: Options) -> Iterator[Stand]:
    """Trains, fits and serves; all of it ends with the block."""
    table = pd.read_parquet(TABLE).head(options.fit_rows)
    with tempfile.TemporaryDirectory(prefix="kohort-bench-") as name:
        folder = Path(name)
        with BenchServer(folder, "--evaluation-profile", "none") as server, server.client() as client:
            dataset = client.upload(table, table="encounters")
            models, bundles, paths, missing = {}, {}, {}, {}
            key = client.capabilities().signing_key
            for model, (trainer, parameters) in wanted_models().items():
                try:
                    job = client.train(dataset, trainer=trainer, parameters=parameters, seed=1)
                    models[model] = job.result()
                except KohortError as error:
                    missing[model] = f"not measured: training failed ({type(error).__name__})"
                    continue
                path = models[model].download(folder / f"{model}.kohort")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    bundle = kohort.load(path, trusted_keys=[key])
                if (
                    parameters.get("precision", "") != "int8"
                    or bundle.manifest.program.get("variant") == "int8"
                ):
                    bundles[model], paths[model] = bundle, path
                else:
                    del models[model]
                    missing[model] = (
                        "not measured: float32 was kept, since distributions would not be the same"
                    )
            schema = next(iter(models.values())).info.schema.tables[0]
            discrete = [c.name for c in schema.columns if c.kind in DISCRETE]
            with Peers(peers_environment(), TABLE, options.fit_rows, discrete, folder) as peers:
                peers.wait()
                rivals, unfitted = own_rivals(table.astype(dict.fromkeys(discrete, object)), discrete)
                for peer in peers.models:
                    rivals[peer] = lambda rows, threads, peer=peer: peers.candidate(peer, rows, threads)
                missing |= unfitted
                missing |= {peer: peers.why(peer) for peer in PEERS if peer not in rivals}
                yield Stand(
                    server,
                    client,
                    models,
                    bundles,
                    paths,
                    rivals,
                    missing,
                    len(schema.columns),
                    len(discrete),
                )


PEERS = ("SDV CTGANSynthesizer", "SDV TVAESynthesizer", "mostlyai-engine")
"""Rivals in an environment of their own."""


def own_rivals(table: pd.DataFrame, discrete: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """`ctgan.CTGAN` and `ctgan.TVAE` of this environment, fitted; and why one is not there."""
    try:
        import ctgan
    except ImportError:
        return {}, dict.fromkeys(("ctgan.CTGAN", "ctgan.TVAE"), "not measured: ctgan is not installed")
    import torch

    found: dict[str, Any] = {}
    for name in ("CTGAN", "TVAE"):
        torch.manual_seed(0)
        np.random.seed(0)
        model = getattr(ctgan, name)(epochs=1, enable_gpu=False)
        model.fit(table, discrete_columns=discrete)

        def candidate(rows: int, threads: int, model: Any = model) -> Callable[[], int]:
            def run() -> int:
                torch.set_num_threads(threads)
                try:
                    return len(model.sample(rows))
                finally:
                    torch.set_num_threads(1)

            return run

        found[f"ctgan.{name}"] = candidate
    return found, {}
