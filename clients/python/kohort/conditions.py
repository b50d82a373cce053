"""What the rows of a sample have to satisfy, as plain values, and how cells are tested.

`Condition`, `Rebalancing` and `PartialRows` say what was asked for, in the text
form of the contract; `bind` reads conditions against a schema into `Test`s,
which look at cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array, Mask
from kohort.problem import Problem
from kohort.schema import Column, Handling, Schema, Storage, TableSchema
from kohort.values import read_value

MAX_CONDITIONS = 256
MAX_VALUES = 10_000
"""Values of one set, or of one rebalancing, at most."""

_NO_RANGE = (Storage.STRING, Storage.BOOL)


@dataclass(frozen=True)
class Condition:
    """What one column must satisfy in every row (`Condition`); exactly one of the tests is set.

    Values are in the column's text form (see `kohort.values`).
    """

    column: str
    one_of: tuple[str, ...] | None = None
    """The cell is one of these; one alone is equality."""
    minimum: str | None = None
    """The cell is not null and at least this."""
    maximum: str | None = None
    """The cell is not null and at most this."""
    is_null: bool | None = None
    """The cell is null (True) or is not (False)."""
    table: str = ""


@dataclass(frozen=True)
class Rebalancing:
    """Asked-for shares of the values of one column (`Rebalancing`); weights by value in text form."""

    column: str
    shares: tuple[tuple[str, float], ...]
    table: str = ""


@dataclass(frozen=True, eq=False)
class PartialRows:
    """Rows to complete (`PartialRows`): unit `first_unit` + i keeps the non-null cells of row i."""

    arrays: Mapping[str, Array]
    """Equally long, at least one, by column."""
    first_unit: int = 0
    table: str = ""

    @property
    def row_count(self) -> int:
        """How many rows."""
        return len(next(iter(self.arrays.values())))


@dataclass(frozen=True, eq=False)
class Test:
    """A condition read against its column."""

    column: Column
    where: str
    """The column, for messages."""
    values: tuple[Any, ...] | None = None
    """Cells of a set, distinct, in the order asked for."""
    low: Any = None
    high: Any = None
    """Bounds of a range, inclusive; None: none."""
    null: bool | None = None

    @property
    def equality(self) -> bool:
        """Whether only one cell meets it: one value, or null."""
        return bool(self.null) or (self.values is not None and len(self.values) == 1)

    def holds(self, array: Array) -> Mask:
        """Per cell whether it meets the condition, [n]."""
        valid = array.is_valid()
        if self.null is not None:
            return ~valid if self.null else valid
        if self.values is not None:
            return positions(array, self.values) >= 0
        inside = valid.copy()
        if self.low is not None:
            inside &= array.values >= self.low
        if self.high is not None:
            inside &= array.values <= self.high
        return inside


def bind(conditions: Sequence[Condition], schema: Schema) -> tuple[Test, ...]:
    """Reads conditions against the tables that a model emits.

    Raises:
        Problem: UNKNOWN_TABLE, UNKNOWN_COLUMN, INVALID_REQUEST (naming the column,
            never the value), CONDITION_UNSUPPORTED for a column that is not modelled.
    """
    if len(conditions) > MAX_CONDITIONS:
        raise Problem.at("INVALID_REQUEST", "conditions", f"at most {MAX_CONDITIONS} conditions")
    return tuple(_bound(condition, schema) for condition in conditions)


def met(tests: Iterable[Test], arrays: Mapping[str, Array]) -> Mask:
    """Per row of one table whether it meets all of the tests, [n]."""
    rows = len(next(iter(arrays.values())))
    passed = np.ones(rows, dtype=np.bool_)
    for test in tests:
        passed &= test.holds(arrays[test.column.name])
    return passed


def bind_shares(rebalancing: Rebalancing, schema: Schema) -> tuple[Column, tuple[Any, ...], npt.NDArray[Any]]:
    """The column, the cells that are drawn, and their shares, float64 [m], adding up to 1.

    Raises:
        Problem: as `bind`.
    """
    table, column = find(rebalancing.table, rebalancing.column, schema)
    where = f"{table.name}.{column.name}"
    if not 0 < len(rebalancing.shares) <= MAX_VALUES:
        raise Problem.at("INVALID_REQUEST", where, f"needs 1 to {MAX_VALUES} shares")
    if not all(math.isfinite(share) and share >= 0 for _, share in rebalancing.shares):
        raise Problem.at("INVALID_REQUEST", where, "a share is no number of at least 0")
    drawn = {read_value(text, column, where): share for text, share in rebalancing.shares if share > 0}
    if len(drawn) < sum(share > 0 for _, share in rebalancing.shares):
        raise Problem.at("INVALID_REQUEST", where, "two shares name the same value")
    total = math.fsum(drawn.values())
    if not drawn or not math.isfinite(total):
        raise Problem.at("INVALID_REQUEST", where, "at least one share must be above 0")
    return column, tuple(drawn), np.array(list(drawn.values())) / total


def find(table: str, column: str, schema: Schema) -> tuple[TableSchema, Column]:
    """The modelled column of that name; an empty table is the only one.

    Raises:
        Problem: UNKNOWN_TABLE, UNKNOWN_COLUMN, CONDITION_UNSUPPORTED, INVALID_REQUEST.
    """
    if not table and len(schema.tables) != 1:
        raise Problem.at("INVALID_REQUEST", column, "must name its table, since there are several")
    found = schema.table(table) if table else schema.tables[0]
    known = found.column(column)
    if known.handling is Handling.REGENERATE:
        raise Problem.at(
            "CONDITION_UNSUPPORTED", f"{found.name}.{column}", "its values are made fresh, not modelled"
        )
    return found, known


def positions(array: Array, cells: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Per cell its place in `cells`, which are distinct; -1 where it is none of them or null, [n]."""
    if array.storage is Storage.STRING:
        place = {cell: i for i, cell in enumerate(cells)}
        if array.dictionary is None:
            found = np.fromiter((place.get(text, -1) for text in array.values), np.int64, len(array))
        else:
            # One more entry keeps an empty dictionary (all cells null) valid.
            lookup = np.array([*(place.get(text, -1) for text in array.dictionary), -1], dtype=np.int64)
            found = lookup[array.values]
    else:
        wanted = np.array(cells, dtype=array.storage.dtype)
        order = np.argsort(wanted, kind="stable")
        ranked = wanted[order]
        at = np.minimum(np.searchsorted(ranked, array.values), ranked.size - 1)
        found = np.where(ranked[at] == array.values, order[at], -1)
    return found if array.valid is None else np.where(array.valid, found, -1)


def _bound(condition: Condition, schema: Schema) -> Test:
    table, column = find(condition.table, condition.column, schema)
    where = f"{table.name}.{column.name}"
    ranged = condition.minimum is not None or condition.maximum is not None
    if (condition.one_of is not None) + ranged + (condition.is_null is not None) != 1:
        raise Problem.at("INVALID_REQUEST", where, "needs exactly one of a set, a range and is_null")
    if condition.is_null is not None:
        return Test(column, where, null=condition.is_null)
    if condition.one_of is not None:
        if not 0 < len(condition.one_of) <= MAX_VALUES:
            raise Problem.at("INVALID_REQUEST", where, f"needs 1 to {MAX_VALUES} values")
        cells = dict.fromkeys(read_value(text, column, where) for text in condition.one_of)
        return Test(column, where, values=tuple(cells))
    if column.storage in _NO_RANGE:
        raise Problem.at("INVALID_REQUEST", where, f"a column of {column.storage.value} has no range")
    low = None if condition.minimum is None else read_value(condition.minimum, column, where, "minimum")
    high = None if condition.maximum is None else read_value(condition.maximum, column, where, "maximum")
    if low is not None and high is not None and low > high:
        raise Problem.at("INVALID_REQUEST", where, "the range is empty")
    return Test(column, where, low=low, high=high)
