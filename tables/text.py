"""Text cells become typed arrays: what CSV holds always and Excel sometimes.

Undeclared columns take the narrowest type that holds every cell. A column that
is clearly numbers (or dates) but for a few cells is refused rather than turned
into text: a person should know. Marks of missing values (NA, null, ?, and the
like) are null in columns of numbers and dates, and text elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage
from tables.patterns import Mask, Patterns

CLEARLY = 0.95
"""Share of cells from which a type is what the column means to be."""

_HEAD = 64
_ANY = (Kind.CATEGORY, Kind.ORDINAL, Kind.ID)
_TEXTUAL = (Kind.CODE, Kind.TEXT)


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of text cells: distinct texts, and per row an index or null."""

    table: str
    texts: pa.StringArray
    """The texts, [d], nearly distinct; none is null."""
    indices: npt.NDArray[np.int64]
    """[n]; null cells point anywhere."""
    valid: Mask
    """[n]."""
    locate: Callable[[int], str]
    """Where row i is, for people: "line 17"."""


def parse(texts: Texts, column: Column) -> tuple[Array, Column]:
    """The typed cells of a column and the column with what its texts told (the time zone).

    Raises:
        Problem: MIXED_TYPES, VALUE_NOT_OF_KIND or VALUE_OUT_OF_BOUNDS naming
            the column and the first place at fault; FORMAT_UNSUPPORTED for lists.
    """
    return _Parser(texts, column).run()


class _Parser:
    def __init__(self, texts: Texts, column: Column) -> None:
        self.source = texts
        self.column = column
        self.field = f"{texts.table}.{column.name}"
        self.patterns = Patterns(texts.texts)
        self.head = Patterns(texts.texts[:_HEAD])
        self.counts = np.bincount(texts.indices[texts.valid], minlength=len(texts.texts))

    def run(self) -> tuple[Array, Column]:
        kind, storage = self.column.kind, self.column.storage
        if kind is Kind.CODE_LIST or storage is Storage.STRING_LIST:
            raise Problem.at(
                "FORMAT_UNSUPPORTED", self.field, "lists of codes are read from Parquet or columns only"
            )
        if storage is Storage.STRING or (kind in _TEXTUAL and storage is Storage.UNSPECIFIED):
            return self._strings(), self.column
        if kind is Kind.INTEGER or storage is Storage.INT64:
            return self._integers(), self.column
        if kind is Kind.DECIMAL or storage in (Storage.DOUBLE, Storage.DECIMAL):
            return self._numbers("a text that is no number"), self.column
        if kind is Kind.BOOLEAN or storage is Storage.BOOL:
            return self._booleans(), self.column
        if kind is Kind.DATE or storage is Storage.DATE:
            ok = self._fits(self.patterns.date, "a text that is no date (YYYY-MM-DD)")
            return self._array(Storage.DATE, self.patterns.days(self.patterns.date), ok), self.column
        if kind is Kind.DATETIME or storage is Storage.DATETIME:
            return self._instants()
        if kind is Kind.DURATION or storage is Storage.DURATION:
            ok = self._fits(self.patterns.span, "a text that is no duration (such as PT90M)")
            return self._array(Storage.DURATION, self.patterns.spans(self.patterns.span), ok), self.column
        return self._undeclared()

    def _undeclared(self) -> tuple[Array, Column]:
        p = self.patterns
        told = ~p.missing & (self.counts > 0)
        if not told.any() or (p.padded & told).any():
            return self._strings(), self.column
        if self._all_are(told, lambda p: p.number):
            return self._whole_or_binary(), self.column
        if self.column.kind in _ANY:
            return self._strings(), self.column
        if self._all_are(told, lambda p: p.date):
            return self._array(Storage.DATE, p.days(p.date), p.date), self.column
        if self._all_are(told, lambda p: p.local | p.date) or self._all_are(told, lambda p: p.zoned):
            return self._instants()
        if self._all_are(told, lambda p: p.truth):
            return self._array(Storage.BOOL, p.yes, p.truth), self.column
        if self._all_are(told, lambda p: p.span):
            return self._array(Storage.DURATION, p.spans(p.span), p.span), self.column
        self._refuse_mixtures(told)
        return self._strings(), self.column

    def _all_are(self, told: Mask, shape: Callable[[Patterns], Mask]) -> bool:
        """Whether texts at a mask have a shape; nearly always the first ones tell that they have not."""
        return not any((told[: len(p)] & ~shape(p)).any() for p in (self.head, self.patterns))

    def _refuse_mixtures(self, told: Mask) -> None:
        p = self.patterns
        total = self.counts[told].sum()
        shapes = (("numbers", p.number), ("dates", p.date), ("times", p.local | p.date))
        for name, shape in shapes:
            odd = told & ~shape
            if self.counts[odd].sum() <= (1 - CLEARLY) * total and not (odd & p.code).sum() == odd.sum():
                raise Problem.at(
                    "MIXED_TYPES",
                    self.field,
                    f"{self._first(odd)} holds other text than the {name} of the column; "
                    "correct it, or declare the column a category",
                )

    def _whole_or_binary(self) -> Array:
        p = self.patterns
        if self._all_are(p.number & (self.counts > 0), lambda p: p.integer):
            values, large = p.integers(p.integer)
            # Longer than any count or code of numbers: kept as text, whole.
            return self._strings() if large.any() else self._array(Storage.INT64, values, p.integer)
        numbers = p.numbers(p.number)
        if self.column.kind in _ANY and (numbers != np.trunc(numbers)).any():
            return self._strings()
        return self._array(Storage.DOUBLE, numbers, p.number)

    def _integers(self) -> Array:
        p = self.patterns
        ok = self._fits(p.number, "a text that is no number")
        numbers = p.numbers(ok)
        broken = ok & (numbers != np.trunc(numbers))
        if broken.any():
            raise Problem.at(
                "VALUE_NOT_OF_KIND", self.field, f"{self._first(broken)} holds a number that is not whole"
            )
        plain = ok & (p.integer | p.padded)
        values, large = p.integers(plain)
        large |= ok & ~plain & (np.abs(numbers) >= 2.0**63)
        if large.any():
            raise Problem.at(
                "VALUE_OUT_OF_BOUNDS", self.field, f"{self._first(large)} exceeds 64-bit integers"
            )
        written = ok & ~plain
        values[written] = numbers[written].astype(np.int64)
        return self._array(Storage.INT64, values, ok)

    def _numbers(self, otherwise: str) -> Array:
        ok = self._fits(self.patterns.number, otherwise)
        return self._array(Storage.DOUBLE, self.patterns.numbers(ok), ok)

    def _booleans(self) -> Array:
        p = self.patterns
        ok = p.yes | p.no
        odd = ~ok & ~p.missing & (self.counts > 0)
        if odd.any():
            raise Problem.at(
                "VALUE_NOT_OF_KIND", self.field, f"{self._first(odd)} holds neither true nor false"
            )
        return self._array(Storage.BOOL, p.yes, ok)

    def _instants(self) -> tuple[Array, Column]:
        p = self.patterns
        shape = p.date | p.local | p.zoned
        ok = self._fits(shape, "a text that is no date-time (YYYY-MM-DDThh:mm:ss)")
        used = self.counts > 0
        plain = ok & ~p.zoned & used
        zoned = (ok & p.zoned & used).any()
        if zoned and plain.any():
            raise Problem.at(
                "MIXED_TYPES", self.field, f"{self._first(plain)} has no time zone, other cells have"
            )
        column = self.column
        if zoned and not column.time_zone:
            column = replace(column, time_zone="UTC")
        return self._array(Storage.DATETIME, p.instants(ok), ok), column

    def _fits(self, shape: Mask, otherwise: str) -> Mask:
        """`shape`, once every cell has it or is missing."""
        told = ~self.patterns.missing & (self.counts > 0)
        odd = told & ~shape
        if odd.any():
            mostly = self.counts[odd].sum() * 2 <= self.counts[told].sum()
            reason = "MIXED_TYPES" if mostly else "VALUE_NOT_OF_KIND"
            raise Problem.at(reason, self.field, f"{self._first(odd)} holds {otherwise}")
        return shape

    def _first(self, texts: Mask) -> str:
        return self.source.locate(int(np.argmax(texts[self.source.indices] & self.source.valid)))

    def _array(self, storage: Storage, values: npt.NDArray[Any], ok: Mask) -> Array:
        # One more entry serves columns whose cells are all null.
        indices = np.where(self.source.valid, self.source.indices, len(values))
        cells, fits = np.append(values, values.dtype.type(0)), np.append(ok, False)
        return Array.make(storage, cells[indices], fits[indices])

    def _strings(self) -> Array:
        return string_array(self.source.texts, self.source.indices, self.source.valid)


def string_array(
    texts: Sequence[str] | pa.Array, indices: npt.NDArray[np.integer[Any]], valid: Mask
) -> Array:
    """A STRING array whose dictionary holds the used texts, each once, sorted; null cells point anywhere.

    Sorting hides the order of rows and makes equal columns equal bytes.
    """
    given = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    whole = bool(valid.all())
    used = np.zeros(len(given), dtype=np.bool_)
    used[indices if whole else indices[valid]] = True
    places = np.flatnonzero(used)
    # Arrow compares UTF-8, whose order is that of code points, as Python's.
    order = pc.array_sort_indices(given.take(pa.array(places)))
    places = places[order.to_numpy()]
    kept = given.take(pa.array(places))
    fresh = np.ones(places.size, dtype=np.bool_)
    fresh[1:] = pc.not_equal(kept[1:], kept[:-1]).to_numpy(zero_copy_only=False)
    lookup = np.zeros(len(given) + 1, dtype=Storage.STRING.dtype)
    lookup[places] = np.cumsum(fresh) - 1
    cells = lookup[indices if whole else np.where(valid, indices, len(given))]
    distinct = kept if fresh.all() else kept.filter(pa.array(fresh))
    return Array(Storage.STRING, cells, None if whole else valid, tuple(distinct.to_pylist()))
