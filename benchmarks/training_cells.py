"""The measurements of the training benchmark, each called in a process of its own.

Both sides learn from the same rows, with the same columns discrete and the
settings of the same names equal. Of `ctgan` only public classes are called;
where one of its parts would be measured alone, what surrounds it is prepared
before the clock starts.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

import kohort
from benchmarks.fitting import Learned
from benchmarks.measure import ROOT
from benchmarks.quality_metrics import marginal_error, pairwise_error
from benchmarks.quality_tables import Columns, canonical
from kohort.schema import Schema
from tables.infer import infer, physicalise_all
from tables.readers import read_file
from tables.tableset import TableSet
from trainers import adversarial
from trainers.adversarial import Game
from trainers.base import FitRequest, Generator, Hooks
from trainers.checkpoint import Checkpoint
from trainers.conditions import Conditions, RowSampler
from trainers.ctgan import _layout
from trainers.registry import trainer as trainer_of
from trainers.rows import encode_rows

DISCRETE = ("category", "ordinal", "code", "boolean")
SAMPLED = 10_000
"""Rows of every sample that is scored."""


def rows_of(table: str, rows: int | None = None) -> pd.DataFrame:
    """A table of the benchmark: its first rows, or as many drawn with repetition where it has fewer."""
    if table == "heart":
        return pd.read_csv(ROOT / "tests" / "data" / "heart.csv")
    frame = pd.read_parquet(ROOT / "benchmarks" / "data" / "encounters_20k.parquet")
    if rows is not None and rows > len(frame):
        return frame.sample(rows, replace=True, random_state=0, ignore_index=True)
    return frame.head(rows) if rows else frame


def request_of(frame: pd.DataFrame, seed: int, **parameters: Any) -> tuple[FitRequest, Schema]:
    """What our trainer is asked: the whole table is learned from, none of it validates."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        frame.to_parquet(path, index=False)
        tables = TableSet({"t": read_file(path, "parquet", "t")})
    schema = infer(tables).schema
    train = physicalise_all(tables, schema)
    resolved = trainer_of("ctgan").info.resolve(parameters)
    empty = TableSet({"t": train.single().take(np.zeros(0, np.intp))})
    return FitRequest(train, empty, resolved, seed), schema


def discrete_of(schema: Schema) -> list[str]:
    """The columns that both sides take as categories."""
    return [column.name for column in schema.tables[0].columns if column.kind in DISCRETE]


def rival_rows(frame: pd.DataFrame, discrete: list[str]) -> pd.DataFrame:
    """The same rows as `ctgan` reads them: categories as objects, null as None."""
    return frame.assign(
        **{name: frame[name].astype(object).where(frame[name].notna(), None) for name in discrete}
    )


class _Caught(Exception):
    """Carries a prepared game out of a fit."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        self.game = game


def prepared_game(request: FitRequest) -> Game:
    """The game as the trainer sets it up, not played yet."""

    def caught(game: Game, *_: Any) -> None:
        raise _Caught(game)

    with mock.patch.object(Game, "play", caught):
        try:
            trainer_of("ctgan").fit(request, Hooks())
        except _Caught as found:
            return found.game
    raise RuntimeError("the trainer played no game")


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """(CPU, wall) seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def steps(repeats: int = 7) -> dict[str, Any]:
    """Steps per second of both games at equal settings, one epoch of each in turn.

    What surrounds the steps of `ctgan`'s fit, its encoding, is replaced by one done before.
    """
    import ctgan.synthesizers.ctgan as theirs
    from ctgan import CTGAN

    frame = rows_of("encounters")
    request, schema = request_of(frame, 0, epochs=1)
    game = prepared_game(request)
    discrete = discrete_of(schema)
    data = rival_rows(frame, discrete)
    transformer = theirs.DataTransformer()
    few = data.head(4_000)  # The modes of the rival's numbers are about as many on fewer rows.
    for name in discrete:
        few = pd.concat([few, data.drop_duplicates(name)])
    transformer.fit(few, discrete)
    array = transformer.transform(data)
    sampler = theirs.DataSampler(array, transformer.output_info_list, True)
    ready = mock.Mock(
        spec=theirs.DataTransformer,
        output_info_list=transformer.output_info_list,
        output_dimensions=transformer.output_dimensions,
    )
    ready.transform.return_value = array
    count = {"ctgan": len(frame) // 500, "kohort": -(-len(frame) // 500)}

    def rival() -> None:
        with (
            mock.patch.object(theirs, "DataTransformer", return_value=ready),
            mock.patch.object(theirs, "DataSampler", return_value=sampler),
        ):
            CTGAN(epochs=1, enable_gpu=False).fit(data, discrete)

    def ours() -> None:
        hooks = Hooks()
        game.play(0, hooks, Checkpoint(hooks, "bench", []))

    found: dict[str, Any] = {f"{who}_{clock}": [] for who in count for clock in ("cpu", "wall")}
    for repeat in range(repeats + 1):
        for who, run in (("ctgan", rival), ("kohort", ours)):
            cpu, wall = timed(run)
            if repeat:  # The first of each is warm-up.
                found[f"{who}_cpu"].append(count[who] / cpu)
                found[f"{who}_wall"].append(count[who] / wall)
    for clock in ("cpu", "wall"):
        pairs = zip(found[f"kohort_{clock}"], found[f"ctgan_{clock}"], strict=True)
        found[f"ratios_{clock}"] = [ours / theirs for ours, theirs in pairs]
        found[clock] = statistics.median(found[f"ratios_{clock}"])
    widths = {"ctgan": [array.shape[1], sampler.dim_cond_vec()]}
    widths["kohort"] = [game.generator.seq[-1].out_features, game._sampler.conditions.width]
    return found | {"widths": widths}


def encoding(repeats: int = 5) -> dict[str, Any]:
    """Seconds until 50,000 rows are what the networks read: `DataTransformer` once, ours several times.

    The rival's columns are transformed one after another in this process, which
    spares it the start of processes; it takes minutes, so it runs once.
    """
    import joblib
    from ctgan.data_transformer import DataTransformer

    frame = rows_of("encounters", 50_000)
    request, schema = request_of(frame, 0)
    discrete = discrete_of(schema)

    def ours() -> None:
        rng = np.random.default_rng(0)
        rows = encode_rows(request, Hooks(), rng)
        layout = _layout(rows, request, 512, Hooks())
        _, ones = layout.encode(rows.features, rng)
        RowSampler.of(Conditions.of(layout, ones, log_frequency=True), layout, ones)

    transformer, data = DataTransformer(), rival_rows(frame, discrete)
    with joblib.parallel_config(backend="sequential"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = timed(lambda: transformer.fit(data, discrete))
        transform = timed(lambda: transformer.transform(data))
    ours()
    own = [timed(ours) for _ in range(repeats)]
    cpu, wall = (statistics.median(seconds) for seconds in zip(*own, strict=True))
    return {
        "rows": len(frame),
        "columns": [len(discrete), len(frame.columns) - len(discrete)],
        "ctgan_fit": fit,
        "ctgan_transform": transform,
        "kohort": own,
        "cpu": (fit[0] + transform[0]) / cpu,
        "wall": (fit[1] + transform[1]) / wall,
    }


def fidelity(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """How like the training rows a sample is.

    Column similarity is 1 − total variation of categories and 1 − the
    Kolmogorov–Smirnov distance of numbers, a mean over columns; correlation is
    the mean absolute difference of Spearman's over pairs of numbers, nan where
    there are none; the two errors are those of the quality benchmark.
    """
    columns = Columns.of(real)
    a, b = canonical(real, columns), canonical(synthetic, columns)
    alike = []
    for name in a:
        if name in columns.categories:
            shares = [f[name].fillna("\0").value_counts(normalize=True) for f in (a, b)]
            alike.append(1.0 - shares[0].subtract(shares[1], fill_value=0.0).abs().sum() / 2)
        else:
            x, y = (np.sort(f[name].dropna().to_numpy()) for f in (a, b))
            at = np.concatenate([x, y])
            cdfs = [np.searchsorted(v, at, side="right") / max(v.size, 1) for v in (x, y)]
            alike.append(1.0 - float(np.abs(cdfs[0] - cdfs[1]).max()))
    numbers = [*columns.numbers, *columns.dates]
    off = ~np.eye(len(numbers), dtype=bool)
    gaps = np.abs(a[numbers].corr("spearman").to_numpy() - b[numbers].corr("spearman").to_numpy())[off]
    return {
        "similarity": float(np.mean(alike)),
        "correlation_error": float(np.nanmean(gaps)) if gaps.size else float("nan"),
        "marginal_error": marginal_error(a, a, b),
        "pairwise_error": pairwise_error(a, a, b),
    }


def quality(table: str, seed: int, rows: int | None, epochs: int) -> dict[str, Any]:
    """Fidelity after equally many epochs of both, with the seconds each fit took.

    "uncalibrated" is our model with the last biases as the game left them.
    """
    from ctgan import CTGAN

    frame = rows_of(table, rows)
    request, schema = request_of(frame, seed, epochs=epochs)
    discrete = discrete_of(schema)
    found: dict[str, Any] = {"rows": len(frame), "epochs": epochs}

    raw: list[torch.Tensor] = []

    def calibrate(network: torch.nn.Module, *rest: Any) -> None:
        raw.append(network.seq[-1].bias.clone())  # type: ignore[index, union-attr]
        calibration(network, *rest)

    calibration, fitted = adversarial.calibrate, []
    with mock.patch.object(adversarial, "calibrate", calibrate):
        found["kohort_fit"] = timed(lambda: fitted.append(trainer_of("ctgan").fit(request, Hooks())))
    found["kohort"] = fidelity(frame, sampled(fitted[0], schema, seed))
    with torch.no_grad():
        fitted[0].network.seq[-1].bias.copy_(raw[-1])
    found["uncalibrated"] = fidelity(frame, sampled(fitted[0], schema, seed))

    torch.manual_seed(seed)
    np.random.seed(seed)
    model, data = CTGAN(epochs=epochs, enable_gpu=False), rival_rows(frame, discrete)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found["ctgan_fit"] = timed(lambda: model.fit(data, discrete))
        found["ctgan"] = fidelity(frame, model.sample(SAMPLED))
    return found


def sampled(generator: Generator, schema: Schema, seed: int) -> pd.DataFrame:
    """Rows of the exported bundle, as a user would draw them."""
    info = trainer_of("ctgan").info
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.kohort"
        Learned(generator, schema, info, info.resolve({}), seed).export(path)
        return pd.DataFrame(kohort.load(path).sample(SAMPLED, seed=seed))
