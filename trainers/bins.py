"""Every column as one class: what models that count combinations see of a table.

A category is its own class; of very many, the rarest share one. A number is cut
into bins: a value that many rows share is a bin of its own, the rest are
intervals of about as many rows each; null is a class beside them. A cell of a
bin is drawn by rank from the column's quantile function, so what comes back is
what at least k patients support, spikes as spikes and gaps as gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Floats, Indices, Ops
from trainers.encoding import CategoryEncoding, NumberEncoding
from trainers.heads import Classes
from trainers.rows import EncodedRows
from trainers.search import (
    DOUBLE,
    INT64,
    cast,
    gather_all,
    locate,
    split,
    write_interpolate_all,
)

Columns: TypeAlias = Sequence[npt.NDArray[Any]] | Mapping[int, npt.NDArray[Any]]
"""Features [n] by number."""

_TOGETHER = 64
"""Columns that a graph reads together: their cells fit a core's cache."""


@dataclass(frozen=True, eq=False)
class ClassBins:
    """A discrete feature."""

    feature: int
    content: Classes

    @property
    def size(self) -> int:
        """How many classes."""
        return self.content.size

    @property
    def details(self) -> int:
        """Uniforms that turn a class into a cell."""
        return self.content.uniforms - 1

    @property
    def table(self) -> Indices:
        """Class of every category."""
        return self.content.encode(np.arange(self.content.named.size + self.content.rest.size))

    def encode(self, features: Columns) -> Indices:
        """Class of every row [n]."""
        return self.content.encode(np.asarray(features[self.feature], dtype=np.int64))


@dataclass(frozen=True, eq=False)
class NumberBins:
    """A number, with "present" as the feature before it where there are nulls."""

    feature: int
    """Of the coordinate."""
    encoding: NumberEncoding
    bounds: Doubles
    """Coordinates at which the second and every later bin begins, [bins - 1]; increasing."""
    ranks: Doubles
    """Where the bins begin and end in the quantile function, [bins + 1], from 0 to 1."""

    @classmethod
    def of(cls, feature: int, encoding: NumberEncoding, wished: int) -> NumberBins:
        """About `wished` bins of equal weight, and one for every value of half that weight or more."""
        bounds = _bounds(encoding, wished)
        inner = _reached(encoding, bounds)
        return cls(feature, encoding, bounds, np.concatenate([[0.0], inner, [1.0]]))

    @property
    def bins(self) -> int:
        """How many intervals."""
        return self.bounds.size + 1

    @property
    def size(self) -> int:
        """How many classes; null is the last."""
        return self.bins + self.encoding.nulls

    @property
    def details(self) -> int:
        """Uniforms that turn a class into a cell."""
        return 1

    @property
    def begins(self) -> Doubles:
        """Rank at which each class begins, [size]; a null's coordinate may be any."""
        return np.append(self.ranks[:-1], 0.0) if self.encoding.nulls else self.ranks[:-1]

    @property
    def spans(self) -> Doubles:
        """Ranks that each class covers, [size]."""
        spans = np.diff(self.ranks)
        return np.append(spans, 1.0) if self.encoding.nulls else spans

    def encode(self, features: Columns) -> Indices:
        """Class of every row [n]."""
        index = locate(features[self.feature], self.bounds)
        if self.encoding.nulls:
            index = np.where(np.asarray(features[self.feature - 1]) == 1, index, self.bins)
        return index


@dataclass(frozen=True, eq=False)
class Bins:
    """All columns of an encoding."""

    columns: tuple[ClassBins | NumberBins, ...]

    @classmethod
    def of(cls, rows: EncodedRows, wished: int, limit: int) -> Bins:
        """Numbers in about `wished` bins, categories in at most `limit` classes."""
        columns: list[ClassBins | NumberBins] = []
        feature = 0
        for column in rows.encoding.columns:
            if isinstance(column, CategoryEncoding):
                counts = np.bincount(rows.features[feature], minlength=column.size)
                columns.append(ClassBins(feature, Classes.of(counts, limit)))
            else:
                columns.append(NumberBins.of(feature + column.nulls, column, wished))
            feature += len(column.features)
        return cls(tuple(columns))

    @property
    def sizes(self) -> Indices:
        """Classes of every column."""
        return np.array([column.size for column in self.columns], dtype=np.int64)

    @property
    def details(self) -> int:
        """Uniforms that turn a row of classes into cells."""
        return sum(column.details for column in self.columns)

    def encode(self, features: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.int32]:
        """Classes of rows, [n, columns]."""
        return np.stack([column.encode(features) for column in self.columns], axis=1).astype(np.int32)

    def groups(self) -> Iterator[list[int]]:
        """Columns of one sort and of about as many classes, which a graph handles together."""

        def sort(place: int) -> tuple[bool, int]:
            column = self.columns[place]
            return isinstance(column, NumberBins), int(column.size - 1).bit_length()

        for _, same in groupby(sorted(range(len(self.columns)), key=sort), key=sort):
            places = list(same)
            yield from (places[i : i + _TOGETHER] for i in range(0, len(places), _TOGETHER))

    def decode(self, classes: Indices, uniform: Floats, first: int) -> list[Indices | Doubles]:
        """Features of classes [n, columns]; details are drawn with `uniform` from column `first` on."""
        features: dict[int, Indices | Doubles] = {}
        for place, column in enumerate(self.columns):
            index = classes[:, place].astype(np.int64)
            u = uniform[:, first : first + column.details]
            first += column.details
            if isinstance(column, ClassBins):
                # `Classes.decode` draws the class with the first column, which is done here.
                features[column.feature] = column.content.decode(
                    index, np.concatenate([u[:, :0], u, u], axis=1)
                )
                continue
            rank = column.begins[index] + column.spans[index] * u[:, 0].astype(np.float64)
            features[column.feature] = column.encoding.quantile(rank)
            if column.encoding.nulls:
                features[column.feature - 1] = (index < column.bins).astype(np.int64)
        return [features[place] for place in range(len(features))]

    def write(self, ops: Ops, group: Sequence[int], classes: str, uniform: str, first: int) -> dict[int, str]:
        """`decode` of one of the `groups` as a graph: classes int64 [n, g] → features by number."""
        starts = first + np.cumsum([0, *(column.details for column in self.columns)])
        numbers = [
            column for column in (self.columns[place] for place in group) if isinstance(column, NumberBins)
        ]
        if not numbers:
            return self._write_classes(ops, group, classes, uniform, starts)
        u = cast(
            ops, ops.node("Gather", uniform, ops.constant(starts[list(group)], np.int64), axis=1), DOUBLE
        )
        span = gather_all(ops, [column.spans for column in numbers], classes)
        rank = ops.node(
            "Add", gather_all(ops, [column.begins for column in numbers], classes), ops.node("Mul", u, span)
        )
        knots = [(column.encoding.knots_u, column.encoding.knots_x) for column in numbers]
        x = write_interpolate_all(ops, rank, knots)
        bins = ops.constant(np.array([[column.bins for column in numbers]]), np.int64)
        present = cast(ops, ops.node("Less", classes, bins), INT64)
        features = {}
        for column, value, there in zip(
            numbers, split(ops, x, len(group)), split(ops, present, len(group)), strict=True
        ):
            features[column.feature] = value
            if column.encoding.nulls:
                features[column.feature - 1] = there
        return features

    def _write_classes(
        self, ops: Ops, group: Sequence[int], classes: str, uniform: str, starts: Indices
    ) -> dict[int, str]:
        features = {}
        for place, index in zip(group, split(ops, classes, len(group)), strict=True):
            column = self.columns[place]
            assert isinstance(column, ClassBins)
            # `Classes.write` reads the second of its uniforms; the first has drawn the class.
            start = int(starts[place])
            u = ops.slice(uniform, start - 1, start + 1) if column.details else uniform
            features[column.feature] = column.content.write(ops, index, u)
        return features


def _bounds(encoding: NumberEncoding, wished: int) -> Doubles:
    """Coordinates that cut a number: on both sides of heavy values, and between them at even ranks."""
    least = 0.25 / wished
    u, x = encoding.knots_u, encoding.knots_x
    flat = np.flatnonzero((np.diff(x) == 0) & (np.diff(u) > 0))
    values, owner = np.unique(x[flat], return_inverse=True)
    masses = np.bincount(owner, np.diff(u)[flat], minlength=values.size)
    heavy = np.sort(values[np.argsort(-masses, kind="stable")[:wished]])
    heavy = heavy[np.isin(heavy, values[masses >= 2 * least])]
    even = encoding.quantile(np.arange(1, wished) / wished)
    if encoding.step:
        # Between two cells, so that no cell lies in two bins.
        around = np.concatenate([heavy - 0.5, heavy + 0.5])
        even = np.rint(even - 0.5) + 0.5
    else:
        around = np.concatenate([heavy, np.nextafter(heavy, np.inf)])
    kept = {0.0: -np.inf, 1.0: np.inf}
    for bounds, apart in ((np.unique(around), 0.0), (np.unique(even), least)):
        for bound, rank in zip(bounds, _reached(encoding, bounds), strict=True):
            ranks = np.array([*kept])
            if encoding.lo < bound <= encoding.hi and np.abs(ranks - rank).min() > apart:
                kept[float(rank)] = float(bound)
    return np.array([kept[rank] for rank in sorted(kept)][1:-1])


def _reached(encoding: NumberEncoding, x: Doubles) -> Doubles:
    """The lowest rank at which the quantile function is x or more, of x [n] within its range."""
    right = np.clip(np.searchsorted(encoding.knots_x, x, side="left"), 1, encoding.knots_x.size - 1)
    x0, x1 = encoding.knots_x[right - 1], encoding.knots_x[right]
    u0, u1 = encoding.knots_u[right - 1], encoding.knots_u[right]
    result: Doubles = u0 + (u1 - u0) * ((x - x0) / np.where(x1 > x0, x1 - x0, 1.0))
    return result
