"""Tables as evaluation sees them: numbers as float64, everything else as codes of one vocabulary.

All parts of a case (training rows, hold-out, synthetic rows) share a `Layout`,
so a code means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.schema import Column, Handling, Kind, Storage
from tables.statistics import StatisticsSource, distinct_cells, patient_count
from tables.tableset import Table
from trainers.base import Doubles, Indices

Codes = npt.NDArray[np.int32]

_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.DATE, Kind.DATETIME, Kind.DURATION})
_CATEGORIES = frozenset({Kind.BOOLEAN, Kind.CATEGORY, Kind.ORDINAL, Kind.CODE})
_PER_DAY = 86_400e6
"""Microseconds."""


@dataclass(frozen=True)
class View:
    """How one column is looked at.

    Numbers are float64 with nan for null: dates and datetimes in days since
    1970, durations in seconds. Categories are int32 codes with -1 for null,
    indices into `levels`: an ordinal's in its order, others sorted.
    """

    column: Column
    number: bool
    levels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole ones."""
        return self.number and self.column.kind in (Kind.INTEGER, Kind.DATE)


@dataclass(frozen=True)
class Layout:
    """The columns that are compared, in the table's order."""

    views: tuple[View, ...]

    def __iter__(self) -> Any:
        return iter(self.views)

    def __len__(self) -> int:
        return len(self.views)

    def __contains__(self, name: str) -> bool:
        return any(view.name == name for view in self.views)

    def __getitem__(self, name: str) -> View:
        for view in self.views:
            if view.name == name:
                return view
        raise KeyError(name)

    @property
    def numbers(self) -> tuple[View, ...]:
        """The columns of numbers."""
        return tuple(view for view in self.views if view.number)

    @property
    def categories(self) -> tuple[View, ...]:
        """The other columns."""
        return tuple(view for view in self.views if not view.number)


@dataclass(frozen=True, eq=False)
class Frame:
    """Rows under a layout.

    `values`: per column float64 [n] or int32 [n], see `View`. `subjects`: per
    row the number of its patient, int64 [n] (equal for rows of one patient).
    """

    layout: Layout
    values: Mapping[str, npt.NDArray[Any]]
    subjects: Indices

    def __len__(self) -> int:
        return len(self.subjects)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.values[name]

    @cached_property
    def patients(self) -> int:
        """How many patients the rows are of."""
        return patient_count(self.subjects)

    def null(self, name: str) -> npt.NDArray[np.bool_]:
        """Which cells of a column are null, [n]."""
        values = self.values[name]
        return np.isnan(values) if values.dtype.kind == "f" else values < 0

    def take(self, rows: npt.NDArray[Any]) -> Frame:
        """Rows by position or mask, in that order."""
        return Frame(self.layout, {k: v[rows] for k, v in self.values.items()}, self.subjects[rows])

    def sample(self, rows: int, rng: np.random.Generator) -> Frame:
        """At most so many rows, drawn without replacement, in their order; all where there are no more."""
        if len(self) <= rows:
            return self
        return self.take(np.sort(rng.choice(len(self), rows, replace=False)))


def joined(one: Frame, other: Frame) -> Frame:
    """The rows of both, of one layout; patients are numbered apart."""
    values = {name: np.concatenate([cells, other[name]]) for name, cells in one.values.items()}
    after = int(one.subjects.max(initial=-1)) + 1
    return Frame(one.layout, values, np.concatenate([one.subjects, other.subjects + after]))


def frames(tables: Sequence[Table | None], columns: Sequence[str] | None = None) -> tuple[Frame | None, ...]:
    """One frame per table, all of one layout; None stays None.

    The first table decides: its columns that are modelled (or those named) and
    that can be compared, of every kind but free text, ids and lists of codes.

    Raises:
        Problem: UNKNOWN_COLUMN where another table lacks one.
    """
    first = next(table for table in tables if table is not None)
    views: list[View] = []
    values: list[dict[str, npt.NDArray[Any]]] = [{} for _ in tables]
    for column in first.schema.columns:
        chosen = column.handling is Handling.MODEL if columns is None else column.name in columns
        if not chosen or column.kind not in _NUMBERS | _CATEGORIES:
            continue
        arrays = [None if t is None else _array(t, column.name) for t in tables]
        if column.kind in _NUMBERS:
            views.append(View(column, True))
            cells: list[npt.NDArray[Any] | None] = [
                None if a is None else _numbers(a, column) for a in arrays
            ]
        else:
            cells, levels = _categories(arrays, column)
            views.append(View(column, False, levels))
        for found, part in zip(cells, values, strict=True):
            if found is not None:
                part[column.name] = found
    layout = Layout(tuple(views))
    return tuple(
        None if table is None else Frame(layout, part, table.subjects())
        for table, part in zip(tables, values, strict=True)
    )


def supported(values: Doubles, subjects: Indices, k: int) -> tuple[float, float]:
    """How far numbers [n] of patients [n] may lie: as far beyond what k patients reach as that is wide.

    What lies farther is a single patient's, and statistics in which it
    outweighs all others tell it. Without limits where fewer than k have any.
    """
    held = ~np.isnan(values)
    known, patients = values[held], subjects[held]
    if patient_count(patients) >= k:
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = StatisticsSource().bounds(known, patients, k)
            width = high - low
            if np.isfinite(width):
                return low - width, high + width
    return -np.inf, np.inf


def _array(table: Table, name: str) -> Array:
    table.schema.column(name)  # raises Problem
    return table.arrays[name]


def _numbers(array: Array, column: Column) -> Doubles:
    values = array.values.astype(np.float64)
    match array.storage:
        case Storage.DECIMAL:
            values /= 10.0**column.scale
        case Storage.DATETIME:
            values /= _PER_DAY
        case Storage.DURATION:
            values /= 1e6
    values[~array.is_valid()] = np.nan
    values[np.isinf(values)] = np.nan
    return values


def _categories(
    arrays: Sequence[Array | None], column: Column
) -> tuple[list[npt.NDArray[Any] | None], tuple[str, ...]]:
    found = [None if a is None else _distinct(a) for a in arrays]
    texts = {text for part in found if part is not None for text in part[0]}
    declared = [level for level in column.levels if level in texts]
    levels = (*declared, *sorted(texts - set(declared)))
    place = {text: i for i, text in enumerate(levels)}
    cells: list[npt.NDArray[Any] | None] = []
    for part in found:
        if part is None:
            cells.append(None)
            continue
        held, codes = part
        known = np.array([*(place[text] for text in held), -1], dtype=np.int32)
        cells.append(known[codes])  # -1, null, finds the last
    return cells, levels


def _distinct(array: Array) -> tuple[list[str], Indices]:
    """The distinct cells as text, and per row the position of its own, -1 for null."""
    values, codes = distinct_cells(array)
    used, codes = np.unique(np.where(array.is_valid(), codes, -1), return_inverse=True)
    nulls = int(used.size > 0 and used[0] < 0)
    return [_text(values[i]) for i in used[nulls:]], codes.astype(np.int64) - nulls


def _text(value: Any) -> str:
    return ("false", "true")[int(value)] if isinstance(value, (bool, np.bool_)) else str(value)
