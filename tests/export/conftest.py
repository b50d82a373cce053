"""A table with a column of every kind, and a generator that is its own specification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.statistics import StatisticsSource
from tables.tableset import Table
from trainers.base import Noise
from trainers.encoding import CategoryEncoding, Encoding
from trainers.search import flatten

ROWS = 1200
_YEAR_1, _YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999


def _cells(rng):
    """Kind, storage, extras and cells of every column that can be modelled."""
    n = ROWS
    icd = tuple(map(str, range(90)))
    spiked = np.where(rng.random(n) < 0.4, 0.0, rng.lognormal(size=n))
    words = ("é\u4e2d", "b", "a", "")
    return {
        "bool": (Kind.BOOLEAN, Storage.BOOL, {}, rng.random(n) < 0.3),
        "int": (Kind.INTEGER, Storage.INT64, {}, rng.integers(-40, 90, n)),
        "tens": (Kind.INTEGER, Storage.INT64, {}, 10 * rng.integers(5, 300, n)),
        "wide": (Kind.INTEGER, Storage.INT64, {}, rng.integers(-(2**63), 2**63 - 1, n)),
        "large": (Kind.INTEGER, Storage.INT64, {}, 2**62 + rng.integers(0, 500, n)),
        "decimal": (Kind.DECIMAL, Storage.DECIMAL, {"scale": 2}, rng.integers(10**15, 10**15 + 999, n)),
        "double": (Kind.DECIMAL, Storage.DOUBLE, {}, spiked),
        "string": (Kind.CATEGORY, Storage.STRING, {}, (rng.integers(0, 4, n), words)),
        "coded": (Kind.CATEGORY, Storage.INT64, {}, rng.choice([-(2**62) - 1, 3, 7], n)),
        "flag": (Kind.CATEGORY, Storage.BOOL, {}, rng.random(n) < 0.5),
        "level": (Kind.ORDINAL, Storage.STRING, {"levels": ("low", "mid", "high")},
                  (rng.integers(0, 3, n), ("high", "low", "mid"))),
        "icd": (Kind.CODE, Storage.STRING, {"vocabulary": "ICD-10"}, (rng.integers(0, 90, n), icd)),
        "date": (Kind.DATE, Storage.DATE, {}, rng.integers(-719_162, 2_932_896, n)),
        "moment": (Kind.DATETIME, Storage.DATETIME, {}, rng.integers(_YEAR_1, _YEAR_9999, n)),
        "recent": (Kind.DATETIME, Storage.DATETIME, {"time_zone": "Europe/Berlin"},
                   1_700_000_000_000_000 + rng.integers(0, 10**9, n)),
        "midnight": (Kind.DATETIME, Storage.DATETIME, {}, 86_400_000_000 * rng.integers(19_000, 20_000, n)),
        "span": (Kind.DURATION, Storage.DURATION, {}, 60_000_000 * rng.integers(-50, 5000, n)),
        "constant": (Kind.INTEGER, Storage.INT64, {}, np.full(n, 7)),
    }  # fmt: skip


def _table(seed=0, order=None):
    """Every column twice: without nulls, and as `{name}?` with a tenth of them null."""
    rng = np.random.default_rng(seed)
    columns, arrays = {}, {}
    for name, (kind, storage, extras, cells) in _cells(rng).items():
        values, dictionary = cells if isinstance(cells, tuple) else (cells, None)
        for suffix, valid in (("", None), ("?", rng.random(ROWS) > 0.1)):
            columns[name + suffix] = Column(
                name + suffix, kind, storage, Handling.MODEL, nullable=valid is not None, **extras
            )
            arrays[name + suffix] = Array.make(storage, values, valid, dictionary)
    names = list(columns)
    if order is not None:
        names = [names[i] for i in np.random.default_rng(order).permutation(len(names))]
    schema = TableSchema("all", tuple(columns[name] for name in names))
    return Table(schema, {name: arrays[name] for name in names})


@dataclass(frozen=True, eq=False)
class ToyGenerator:
    """Independent columns: classes by a softmax's inverse CDF, numbers by the quantile function."""

    encoding: Encoding

    @property
    def noise(self):
        return Noise(len(self.encoding.features), 1)

    def _weights(self):
        for column in self.encoding.columns:
            if isinstance(column, CategoryEncoding):
                yield np.log(np.array(column.frequencies, dtype=np.float32))
            else:
                yield from ([np.log(np.array([0.1, 0.9], dtype=np.float32))] if column.nulls else [])
                yield column

    def graph(self, ops, uniform, normal):
        names = []
        ones = ops.node(
            "Add", ops.node("Mul", normal, ops.constant([0.0], np.float32)), ops.constant([1.0], np.float32)
        )
        for j, weights in enumerate(self._weights()):
            u = ops.slice(uniform, j, j + 1)
            if isinstance(weights, np.ndarray):
                names.append(ops.draw(ops.linear(ones, weights[:, None]), u))
            else:
                names.append(ops.interpolate(flatten(ops, u), weights.knots_u, weights.knots_x))
        return names

    def reference(self, uniform, normal):
        features = []
        for j, weights in enumerate(self._weights()):
            u = uniform[:, j].astype(np.float64)
            if isinstance(weights, np.ndarray):
                shares = np.exp(weights.astype(np.float64))
                edges = np.cumsum(shares / shares.sum())[:-1]
                features.append(np.searchsorted(edges, u, side="right").astype(np.int64))
            else:
                features.append(weights.quantile(u))
        return features


@pytest.fixture(scope="session")
def table():
    return _table()


@pytest.fixture(scope="session")
def make_table():
    """Tables of a seed, their columns shuffled by another."""
    return _table


@pytest.fixture(scope="session")
def toy():
    return ToyGenerator


@pytest.fixture(scope="session")
def generator(table):
    return ToyGenerator(Encoding.fit(table, StatisticsSource(), 5))
