"""Arrays take exactly the storage of a schema, and every cell is checked against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage, TableSchema
from tables.arrow import doubles
from tables.facts import on_grid
from tables.headers import check_keys
from tables.patterns import Mask
from tables.tableset import Table, TableSet
from tables.text import Texts, parse, string_array

_DAY = 86_400_000_000
# What `canonical` gave: every part of an upload's journey asks for it, and sorting is dear.
_CANONICAL: WeakSet[Array] = WeakSet()
_WHOLE = (Storage.INT64, Storage.DECIMAL, Storage.DATE, Storage.DATETIME, Storage.DURATION)


def physicalise(table: Table, schema: TableSchema) -> Table:
    """The table with its columns in the schema's order and storage.

    String columns come back with a sorted dictionary of the texts they use.

    Raises:
        Problem: MISSING_COLUMN, UNKNOWN_COLUMN, VALUE_NOT_OF_KIND (a cell, or
            a whole column, that is nothing of the kind), MIXED_TYPES or
            VALUE_OUT_OF_BOUNDS, naming column and row and never a cell.
    """
    names = [column.name for column in schema.columns]
    check_keys(schema, names)
    for name in table.arrays:
        if name not in names:
            raise Problem.at("UNKNOWN_COLUMN", f"{schema.name}.{name}", "the schema has no such column")
    arrays = {}
    for column in schema.columns:
        field = f"{schema.name}.{column.name}"
        if column.name not in table.arrays:
            raise Problem.at("MISSING_COLUMN", field, "the table lacks this column")
        array = _normal(field, table.arrays[column.name])
        array = _convert(schema.name, array, table.schema.column(column.name), column)
        _check_bounds(field, array, column)
        arrays[column.name] = array
    return Table(schema, arrays)


def normalised(table: Table) -> Table:
    """The table with NaN as null and strings as `canonical` gives them.

    Raises:
        Problem: VALUE_NOT_OF_KIND on an infinite number.
    """
    arrays = {name: _normal(f"{table.schema.name}.{name}", array) for name, array in table.arrays.items()}
    return Table(table.schema, arrays)


def _normal(field: str, array: Array) -> Array:
    if array.storage is not Storage.DOUBLE:
        return canonical(array)
    # Null cells hold 0.
    return array if np.isfinite(array.values).all() else doubles(field, array.values, array.is_valid())


def canonical_tables(tableset: TableSet) -> TableSet:
    """The tables with every array as `canonical` gives it."""
    return TableSet(
        {
            table.schema.name: Table(table.schema, {n: canonical(a) for n, a in table.arrays.items()})
            for table in tableset
        }
    )


def canonical(array: Array) -> Array:
    """Strings and lists with a sorted dictionary of the texts they use; other arrays as they are."""
    if array.storage not in (Storage.STRING, Storage.STRING_LIST) or array in _CANONICAL:
        return array
    done = _canonical(array)
    _CANONICAL.add(done)
    return done


def _canonical(array: Array) -> Array:
    if array.storage is Storage.STRING_LIST:
        assert array.offsets is not None
        every = np.ones(array.values.size, dtype=np.bool_)
        codes = string_array(array.dictionary or (), array.values, every)
        return Array(array.storage, codes.values, array.valid, codes.dictionary, array.offsets)
    if array.dictionary is not None:
        return string_array(array.dictionary, array.values, array.is_valid())
    coded = pa.array(array.values, pa.large_string()).dictionary_encode()
    return string_array(coded.dictionary, coded.indices.to_numpy(), array.is_valid())


def _convert(table: str, array: Array, source: Column, target: Column) -> Array:
    field = f"{table}.{target.name}"
    have, want = array.storage, target.storage
    if have is want:
        return _rescaled(field, array, source.scale, target.scale) if want is Storage.DECIMAL else array
    if have is Storage.STRING:
        if array.dictionary == ():
            return Array.make(want, np.zeros(len(array), want.dtype), array.is_valid())
        assert array.dictionary is not None
        texts = Texts(
            table,
            pa.array(array.dictionary, pa.string()),
            array.values.astype(np.int64),
            array.is_valid(),
            lambda row: f"row {row + 1}",
        )
        if want is Storage.DECIMAL:
            parsed, _ = parse(texts, replace(target, storage=Storage.DOUBLE, kind=Kind.DECIMAL))
            return _scaled(field, parsed, target.scale)
        return parse(texts, replace(target, kind=Kind.UNSPECIFIED))[0]
    if want is Storage.STRING:
        return _as_text(array, source)
    values, valid = array.values, array.is_valid()
    if have is Storage.DOUBLE and want is Storage.INT64:
        _require(
            field, valid & (values != np.trunc(values)), "VALUE_NOT_OF_KIND", "a number that is not whole"
        )
        _require(field, np.abs(values) >= 2.0**63, "VALUE_OUT_OF_BOUNDS", "a number beyond 64-bit integers")
        return Array.make(want, values.astype(np.int64), valid)
    if have is Storage.DOUBLE and want is Storage.DECIMAL:
        return _scaled(field, array, target.scale)
    if have is Storage.INT64 and want is Storage.DECIMAL:
        return _rescaled(field, Array(want, values, array.valid), 0, target.scale)
    if have is Storage.DECIMAL and want is Storage.INT64:
        return Array(want, _rescaled(field, array, source.scale, 0).values, array.valid)
    if have is Storage.DECIMAL and want is Storage.DOUBLE:
        return Array.make(want, values / 10.0**source.scale, valid)
    if have in (Storage.INT64, Storage.BOOL) and want in (Storage.DOUBLE, Storage.INT64):
        return Array.make(want, values.astype(want.dtype), valid)
    if have in (Storage.INT64, Storage.DOUBLE) and want is Storage.BOOL:
        _require(field, valid & (values != 0) & (values != 1), "VALUE_NOT_OF_KIND", "neither 0 nor 1")
        return Array.make(want, values != 0, valid)
    if have is Storage.DATE and want is Storage.DATETIME:
        return Array.make(want, values.astype(np.int64) * _DAY, valid)
    if have is Storage.DATETIME and want is Storage.DATE:
        _require(field, valid & (values % _DAY != 0), "VALUE_NOT_OF_KIND", "a time of day, so it is no date")
        return Array.make(want, values // _DAY, valid)
    raise Problem.at("VALUE_NOT_OF_KIND", field, f"a column of {have.value} cannot be stored as {want.value}")


def _require(field: str, wrong: Mask, reason: str, what: str) -> None:
    if wrong.any():
        raise Problem.at(reason, field, f"row {int(np.argmax(wrong)) + 1} holds {what}")


def _scaled(field: str, array: Array, scale: int) -> Array:
    valid = array.is_valid()
    off = np.zeros(len(array), dtype=np.bool_)
    off[valid] = ~on_grid(array.values[valid], scale)
    _require(field, off, "VALUE_NOT_OF_KIND", f"more than {scale} digits after the point")
    scaled = np.rint(array.values * 10.0**scale)
    _require(field, np.abs(scaled) >= 2.0**63, "VALUE_OUT_OF_BOUNDS", "more digits than 64 bits hold")
    return Array.make(Storage.DECIMAL, scaled.astype(np.int64), valid)


def _rescaled(field: str, array: Array, have: int, want: int) -> Array:
    if want >= have:
        factor = 10 ** (want - have)
        limit = (2**63 - 1) // factor
        _require(
            field,
            (array.values > limit) | (array.values < -limit),
            "VALUE_OUT_OF_BOUNDS",
            "more digits than 64 bits hold",
        )
        return Array(array.storage, array.values * factor, array.valid)
    divisor = 10 ** (have - want)
    _require(
        field, array.values % divisor != 0, "VALUE_NOT_OF_KIND", f"more than {want} digits after the point"
    )
    return Array(array.storage, array.values // divisor, array.valid)


def _as_text(array: Array, source: Column) -> Array:
    valid = array.is_valid()
    cells, indices = np.unique(array.values, return_inverse=True)
    return string_array(
        [written(cell, array.storage, source) for cell in cells], indices.astype(np.int64), valid
    )


def written(cell: Any, storage: Storage, source: Column) -> str:
    """A cell as text, as `Column.levels` names it."""
    if storage is Storage.BOOL:
        return "true" if cell else "false"
    if storage is Storage.DATE:
        return str(np.datetime64(int(cell), "D"))
    if storage is Storage.DATETIME:
        return str(np.datetime64(int(cell), "us"))
    if storage is Storage.DECIMAL and source.scale:
        digits = str(abs(int(cell))).rjust(source.scale + 1, "0")
        return f"{'-' if cell < 0 else ''}{digits[: -source.scale]}.{digits[-source.scale :]}"
    if storage is Storage.DOUBLE and float(cell).is_integer() and abs(float(cell)) < 2.0**53:
        return str(int(cell))
    return str(cell)


def _check_bounds(field: str, array: Array, column: Column) -> None:
    valid = array.is_valid()
    if column.storage in _WHOLE or column.storage is Storage.DOUBLE:
        unit = 10.0**column.scale if column.storage is Storage.DECIMAL else 1.0
        numbers: npt.NDArray[np.float64] = array.values / unit
        if column.minimum is not None:
            _require(
                field,
                valid & (numbers < column.minimum),
                "VALUE_OUT_OF_BOUNDS",
                "less than the declared minimum",
            )
        if column.maximum is not None:
            _require(
                field,
                valid & (numbers > column.maximum),
                "VALUE_OUT_OF_BOUNDS",
                "more than the declared maximum",
            )
    if column.kind is Kind.ORDINAL and column.levels and array.storage is not Storage.STRING_LIST:
        if array.storage is Storage.STRING:
            assert array.dictionary is not None
            known = np.array([*(text in column.levels for text in array.dictionary), True], dtype=np.bool_)
            inside = known[np.where(valid, array.values, len(array.dictionary))]
        else:
            cells, indices = np.unique(array.values, return_inverse=True)
            inside = np.array([written(cell, array.storage, column) in column.levels for cell in cells])[
                indices
            ]
        _require(field, valid & ~inside, "VALUE_OUT_OF_BOUNDS", "a value that is none of the declared levels")
