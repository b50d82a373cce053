"""Tables and helpers shared by the trainers' tests."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.tableset import Table, TableSet
from trainers import registry
from trainers.base import FitRequest, Generator, Hooks

TESTS = Path(__file__).resolve().parent.parent

QUICK = {
    "epochs": 3,
    "batch_size": 60,
    "embedding_dim": 16,
    "generator_dim": [32],
    "discriminator_dim": [32],
    "generator_layers": [32],
    "discriminator_layers": [32],
    "compress_dims": [32],
    "decompress_dims": [32],
    "layers": [32, 32],
    "pretrain_epochs": 2,
    "autoencoder_layers": [32],
    "num_trees": 10,
}
"""Small values of parameters that cost time, for the trainers that have them."""

Cells = Mapping[str, tuple[Kind, Array]]


def table_of(cells: Cells, name: str = "patients") -> Table:
    """A table of columns that are all modelled."""
    columns = tuple(
        Column(key, kind, array.storage, Handling.MODEL, nullable=array.valid is not None)
        for key, (kind, array) in cells.items()
    )
    return Table(TableSchema(name, columns), {key: array for key, (_, array) in cells.items()})


def table_of_numbers(values: Mapping[str, np.ndarray], name: str, few: int) -> Table:
    """A table of numbers with NaN as null; integers of at most `few` distinct values become categories."""
    cells = {}
    for key, raw in values.items():
        x = np.asarray(raw, dtype=np.float64)
        valid = ~np.isnan(x)
        x = np.where(valid, x, 0.0)
        if (x != np.rint(x)).any():
            cells[key] = (Kind.DECIMAL, Array.make(Storage.DECIMAL, np.rint(x * 10).astype(np.int64), valid))
            continue
        kind = Kind.CATEGORY if np.unique(x[valid]).size <= few else Kind.INTEGER
        cells[key] = (kind, Array.make(Storage.INT64, x.astype(np.int64), valid))
    return table_of(cells, name)


def read_heart() -> Table:
    with (TESTS / "data" / "heart.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
    return table_of_numbers(values, "heart", few=10)


def noise_for(generator: Generator, units: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise for that many units, as the runtime would hand it over."""
    rng = np.random.default_rng(seed)
    uniform = (rng.integers(0, 2**23, (units, generator.noise.uniforms)) + 0.5) / 2**23
    normal = rng.standard_normal((units, generator.noise.normals))
    return uniform.astype(np.float32), normal.astype(np.float32)


def sample(generator: Generator, units: int, seed: int = 0) -> dict[str, Array]:
    """Cells of that many units, by the model itself."""
    return generator.encoding.inverse(generator.reference(*noise_for(generator, units, seed)))


def as_floats(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Numeric columns as float64, null as NaN."""
    return {key: np.where(a.is_valid(), a.values.astype(np.float64), np.nan) for key, a in arrays.items()}


class Fit:
    """Fits a trainer by name; of `quick` those parameters count that the trainer has."""

    def __call__(
        self,
        name: str,
        table: Table,
        hooks: Hooks | None = None,
        *,
        seed: int = 1,
        min_patients: int = 5,
        quick: Mapping[str, Any] = QUICK,
        **parameters: Any,
    ) -> Generator:
        trainer = registry.trainer(name)
        known = {p.name for p in trainer.info.parameters}
        given = {**{k: v for k, v in quick.items() if k in known}, **parameters}
        request = FitRequest(
            train=TableSet({table.schema.name: table}),
            validation=TableSet({table.schema.name: table.take(np.zeros(0, np.intp))}),
            parameters=trainer.info.resolve(given),
            seed=seed,
            min_patients=min_patients,
        )
        return trainer.fit(request, hooks or Hooks())


@pytest.fixture(autouse=True)
def _dropped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dummy trainer, as an operator would add one."""
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv(registry.ENVIRONMENT, "dummy=dummy_trainer:DummyTrainer")


@pytest.fixture(scope="session")
def fit() -> Fit:
    return Fit()


@pytest.fixture(scope="session")
def heart() -> Table:
    """UCI heart disease, Cleveland: 303 rows, 14 columns, 6 nulls."""
    return read_heart()


@pytest.fixture(scope="session")
def build() -> Callable[..., Table]:
    return table_of


@pytest.fixture(scope="session")
def draw() -> Callable[..., dict[str, Array]]:
    return sample


@pytest.fixture(scope="session")
def floats() -> Callable[..., dict[str, np.ndarray]]:
    return as_floats


@pytest.fixture(scope="session")
def noise() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return noise_for
