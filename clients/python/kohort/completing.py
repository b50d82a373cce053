"""Completion of partial rows: what is given of them, what is kept, what must be filled.

Cells that are handed in come back exactly. One that the model never learned is
kept, too: a number is given as the nearest that the model knows, any other
value not at all, nor a date told relative to another one that is open. An open
cell of a column that is handed in is filled with a value: numbers natively,
classes by drawing the row again, up to `FILLING` times; where the model still
gives null then, null it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from kohort.columns import Array, Mask
from kohort.conditions import PartialRows
from kohort.constraints import holds
from kohort.features import Doubles, Feature, Opaque, Relative
from kohort.problem import Problem
from kohort.rules import Constraint, columns_of, rule_name
from kohort.schema import Handling, Storage, TableSchema

FILLING = 32
"""Attempts in which a row with an open class left null counts as failed."""

Units = npt.NDArray[np.int64]


class Completion:
    """The rows of one request, ready to be given.

    Attributes:
        columns: those that are handed in.
        native: whether anything is given to the model.
        unlearned: per row the cells that the model never learned, [rows].

    Raises:
        Problem: INVALID_REQUEST, UNKNOWN_COLUMN, CONDITION_UNSUPPORTED, naming the column.
    """

    def __init__(
        self,
        partial: PartialRows,
        table: TableSchema,
        features: Mapping[str, tuple[slice, Feature]],
        strings: Mapping[str, tuple[str, ...]],
        width: int,
        max_attempts: int,
    ) -> None:
        if partial.table not in ("", table.name):
            raise Problem.at("UNKNOWN_TABLE", "partial_rows", "the model has no such table")
        if not partial.arrays or not partial.row_count:
            raise Problem.at("INVALID_REQUEST", "partial_rows", "need at least one row and one column")
        self.first, self.rows, self.columns = partial.first_unit, partial.row_count, frozenset(partial.arrays)
        self._arrays = partial.arrays
        self._kept: dict[str, Array] = {}
        self._open: dict[str, Mask] = {}
        self._last = min(FILLING, max_attempts) - 1
        self.unlearned = np.zeros(self.rows, dtype=np.int64)
        self._features = np.zeros((self.rows, width))
        self._mask = np.zeros((self.rows, width), dtype=np.bool_)
        for name, array in partial.arrays.items():
            column = table.column(name)
            where = f"{table.name}.{name}"
            if column.handling is Handling.DROP:
                raise Problem.at("UNKNOWN_COLUMN", where, "the model emits no such column")
            if array.storage is not column.storage or len(array) != self.rows:
                raise Problem.at("INVALID_REQUEST", where, "is of another storage or length")
            if array.storage is Storage.DOUBLE and not np.isfinite(array.values).all():
                raise Problem.at("INVALID_REQUEST", where, "holds something that is no number")
            self._kept[name] = _coded(array, strings.get(name))
            if name in features:
                self._give(name, array, where, *features[name])
        self.native = bool(self._mask.any())

    def _give(self, name: str, array: Array, where: str, part: slice, feature: Feature) -> None:
        valid = array.is_valid()
        if isinstance(feature, Opaque):
            if valid.any():
                raise Problem.at("CONDITION_UNSUPPORTED", where, "the model cannot be given this column")
            return
        if isinstance(feature, Relative):
            inputs = feature.inputs(array, self._arrays.get(feature.anchor))
        else:
            inputs = feature.inputs(array)
        self.unlearned += valid & ~inputs.learned
        self._features[:, part] = np.where(valid[:, None], inputs.features, 0.0)
        self._mask[:, part] = inputs.mask & valid[:, None]
        if valid.all():
            return
        said = feature.present()
        if said is not None:
            self._features[~valid, part], self._mask[~valid, part] = said
        else:
            self._open[name] = ~valid

    def check(self, column: str, where: str, holds: Callable[[Array], Mask]) -> None:
        """Refuses rows that contradict a condition. Raises Problem INVALID_REQUEST."""
        array = self._arrays.get(column)
        if array is not None and (array.is_valid() & ~holds(array)).any():
            raise Problem.at("INVALID_REQUEST", where, "a row handed in contradicts the condition")

    def keep(self, constraints: Iterable[Constraint], table: TableSchema) -> None:
        """Refuses rows that break a constraint by what was handed in. Raises Problem INVALID_REQUEST."""
        for constraint in constraints:
            names = columns_of(constraint)
            if self.columns.issuperset(names) and not holds([constraint], table, self._arrays).all():
                said = f"a row handed in breaks a constraint of the model ({rule_name(constraint)})"
                raise Problem.at("INVALID_REQUEST", f"{table.name}.{names[0]}", said)

    def wanted(self, units: Units) -> Mask:
        """Which units have a row, [n]."""
        return (units >= self.first) & (units < self.first + self.rows)

    def give(self, units: Units, features: Doubles, mask: Mask) -> None:
        """Writes the rows of units [n] over what all rows are given, [n, F]."""
        rows, has = np.clip(units - self.first, 0, self.rows - 1), self.wanted(units)[:, None]
        known = self._mask[rows] & has
        features[known] = self._features[rows][known]
        mask |= known

    def overlay(self, cells: Mapping[str, Array], units: Units) -> dict[str, Array]:
        """The cells of units [n] with those that were handed in, of the columns that are there."""
        rows, has = np.clip(units - self.first, 0, self.rows - 1), self.wanted(units)
        return {
            name: _over(array, self._kept[name].take(rows), has) if name in self._kept else array
            for name, array in cells.items()
        }

    def filled(self, cells: Mapping[str, Array], units: Units, attempts: Units) -> Mask:
        """Which rows hold a value wherever one was asked for, or have been drawn often enough, [n]."""
        rows, has = np.clip(units - self.first, 0, self.rows - 1), self.wanted(units)
        passed = np.ones(units.size, dtype=np.bool_)
        for name, left_open in self._open.items():
            passed &= cells[name].is_valid() | ~(left_open[rows] & has)
        return passed | (attempts >= self._last)


def _coded(array: Array, dictionary: tuple[str, ...] | None) -> Array:
    """A column of strings in the model's dictionary where that holds all of them, else as plain strings."""
    if array.storage is not Storage.STRING:
        return array
    texts = array.strings()
    if dictionary is not None:
        place = {text: i for i, text in enumerate(dictionary)}
        codes = [0 if text is None else place.get(text, -1) for text in texts]
        if min(codes) >= 0:
            return Array.make(Storage.STRING, np.array(codes), array.is_valid(), dictionary)
    plain = np.where(array.is_valid(), texts, "").astype(object)
    return Array(Storage.STRING, plain, array.valid)


def _over(under: Array, over: Array, has: Mask) -> Array:
    """`over` where a row has a cell, else `under`, [n]."""
    if over.dictionary != under.dictionary:  # one of them is plain
        under, over = _plain(under), _plain(over)
    takes = over.is_valid() & has
    values = np.where(takes, over.values, under.values)
    valid = takes | under.is_valid()
    return Array(under.storage, values, None if valid.all() else valid, under.dictionary)


def _plain(array: Array) -> Array:
    if array.dictionary is None:
        return array
    values = np.where(array.is_valid(), array.strings(), "").astype(object)
    return Array(array.storage, values, array.valid)
