"""What constraints mean: whether a schema can keep them, and which rows do.

`Combination` and `Unique` say something about many rows, so no single row can
be tested for them: the one holds by how the columns are encoded, the other
because its column is regenerated as a key.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from kohort.columns import Array, Mask
from kohort.problem import Problem, Violation
from kohort.rules import Allowed, Combination, Constraint, OneHot, Order, Range, Unique, columns_of
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from kohort.values import read_value

__all__ = ["check_constraints", "holds", "range_of"]

_LABELS = frozenset({Kind.BOOLEAN, Kind.CATEGORY, Kind.ORDINAL, Kind.CODE})
_NUMERIC = frozenset(
    {Storage.INT64, Storage.DOUBLE, Storage.DECIMAL, Storage.DATE, Storage.DATETIME, Storage.DURATION}
)


def holds(constraints: Iterable[Constraint], table_schema: TableSchema, arrays: Mapping[str, Array]) -> Mask:
    """Which rows break no constraint, [n]; null cells break none.

    Whole numbers are compared in int64, decimals of different scales exactly.
    `Combination` and `Unique` are met elsewhere and count as kept.

    Args:
        constraints: that `check_constraints` accepts for the schema.
        table_schema: of the arrays.
        arrays: per column the cells, n each; those that constraints name suffice.
    """
    rows = len(next(iter(arrays.values()))) if arrays else 0
    kept = np.ones(rows, dtype=np.bool_)
    columns = {column.name: column for column in table_schema.columns}
    for constraint in constraints:
        match constraint:
            case Range(column=name):
                low, high = range_of([constraint], columns[name])
                array = arrays[name]
                kept &= ~array.is_valid() | ((array.values >= low) & (array.values <= high))
            case Order(low=below, high=above):
                kept &= _in_order(constraint, columns[below], columns[above], arrays[below], arrays[above])
            case Allowed(column=name):
                kept &= ~arrays[name].is_valid() | _allowed(constraint, columns[name], arrays[name])
            case OneHot(columns=names):
                kept &= _one_hot([arrays[name] for name in names])
    return kept


def range_of(constraints: Iterable[Constraint], column: Column) -> tuple[Any, Any]:
    """The lowest and the highest cell of a column of numbers that its `Range` constraints leave.

    Ints of 64 bits; for doubles floats, which may be infinite.
    """
    double = column.storage is Storage.DOUBLE
    low, high = (-math.inf, math.inf) if double else (-(2**63), 2**63 - 1)
    for constraint in constraints:
        if isinstance(constraint, Range) and constraint.column == column.name:
            if constraint.minimum is not None:
                low = max(low, read_value(constraint.minimum, column, column.name, "minimum"))
            if constraint.maximum is not None:
                high = min(high, read_value(constraint.maximum, column, column.name, "maximum"))
    return low, high


def _in_order(rule: Order, low: Column, high: Column, below: Array, above: Array) -> Mask:
    a, b, strict = below.values, above.values, rule.strict
    if low.scale > high.scale:
        # a ≤ 10^d b exactly when ceil(a / 10^d) ≤ b, a < 10^d b when floor(a / 10^d) < b: no overflow.
        factor = 10 ** (low.scale - high.scale)
        a = a // factor if strict else -(-a // factor)
    elif high.scale > low.scale:
        factor = 10 ** (high.scale - low.scale)
        b = -(-b // factor) if strict else b // factor
    kept: Mask = ~(below.is_valid() & above.is_valid()) | (a < b if strict else a <= b)
    return kept


def _allowed(rule: Allowed, column: Column, array: Array) -> Mask:
    cells = _cells(rule, column)
    if array.storage is not Storage.STRING:
        found: Mask = np.isin(array.values, np.array(sorted(cells), dtype=array.values.dtype))
        return found
    if array.dictionary is None:
        return np.fromiter((cell in cells for cell in array.values), np.bool_, len(array))
    # One more entry serves arrays whose cells are all null.
    known = np.array([*(text in cells for text in array.dictionary), True], dtype=np.bool_)
    return known[np.where(array.is_valid(), array.values, len(array.dictionary))]


@lru_cache(maxsize=256)
def _cells(rule: Allowed, column: Column) -> frozenset[Any]:
    return frozenset(read_value(text, column, column.name) for text in rule.values)


def _one_hot(arrays: Sequence[Array]) -> Mask:
    ones = sum((array.values == 1).astype(np.int64) for array in arrays)
    sound = np.logical_and.reduce([(array.values == 1) | (array.values == 0) for array in arrays])
    nulls = np.logical_or.reduce([~array.is_valid() for array in arrays])
    kept: Mask = nulls | (sound & (ones == 1))
    return kept


def check_constraints(table: TableSchema) -> None:
    """Checks the constraints of a complete schema.

    Raises:
        Problem: INVALID_SCHEMA naming ``table.column`` for every constraint that
            speaks of a column the table does not emit or that is of another
            storage, holds no column or value, or contradicts another.
    """
    wrong: list[Violation] = []
    columns = {column.name: column for column in table.columns}
    for constraint in table.constraints:
        names = columns_of(constraint)
        if not names:
            wrong.append(Violation(table.name, "a constraint names no column"))
            continue
        said = [(name, _unusable(columns.get(name), constraint)) for name in names]
        if len(set(names)) < len(names):
            said.append((names[0], "is named twice by one constraint"))
        elif not any(what for _, what in said):
            said.append((names[0], _contradiction(constraint, [columns[name] for name in names], table)))
        wrong += [Violation(f"{table.name}.{name}", what) for name, what in said if what]
    if wrong:
        first = wrong[0]
        raise Problem("INVALID_SCHEMA", f"{first.field}: {first.description}", violations=wrong)


def _unusable(column: Column | None, constraint: Constraint) -> str:
    """Why this constraint cannot be kept for a column, or ""."""
    if column is None:
        return "a constraint names it, but the table has no such column"
    if column.handling is Handling.DROP:
        return "a constraint names it, but it is dropped"
    if isinstance(constraint, Unique):
        return ""
    if column.handling is Handling.REGENERATE:
        return "a constraint names it, but it is regenerated"
    labelled = column.kind in _LABELS or column.storage is Storage.STRING
    match constraint:
        case Range() | Order() if column.storage not in _NUMERIC:
            return "is neither of numbers nor of dates or times"
        case Combination() if not labelled:
            return "combinations are of columns of categories"
        case OneHot() if column.storage not in (Storage.BOOL, Storage.INT64):
            return "is neither of booleans nor of 0 and 1"
        case Allowed() if column.storage is Storage.STRING_LIST:
            return "lists have no set of allowed values"
    return ""


def _contradiction(constraint: Constraint, columns: Sequence[Column], table: TableSchema) -> str:
    """What is wrong with a constraint whose columns are usable, or ""."""
    first = columns[0]
    match constraint:
        case Range(minimum=None, maximum=None):
            return "a range has neither minimum nor maximum"
        case Range():
            try:
                low, high = range_of(table.constraints, first)
            except Problem as problem:
                return f"a bound of its range {problem.violations[0].description}"
            return "no value lies in its range" if low > high else ""
        case Order(low=low, high=high):
            second = columns[1]
            if first.storage is not second.storage or bool(first.time_zone) != bool(second.time_zone):
                return "the two columns of an order are not of the same storage"
            reverse = any(r.low == high and r.high == low for r in table.constraints if isinstance(r, Order))
            return "two orders contradict each other" if reverse else ""
        case Combination() | OneHot() if len(columns) < 2:
            return "takes at least two columns"
        case Allowed(values=()):
            return "no value is allowed"
        case Allowed(values=values):
            try:
                for text in values:
                    read_value(text, first, first.name)
            except Problem as problem:
                return f"an allowed value {problem.violations[0].description}"
        case Unique():
            keys = [c for c in columns if c.handling is Handling.REGENERATE and not c.fake]
            return "" if keys else "only keys that are regenerated are unique; make one of the columns an id"
    return ""
