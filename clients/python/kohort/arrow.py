"""Arrow in, Arrow out (needs the extra ``kohort[arrow]``).

==============  =======================================================
storage         Arrow
==============  =======================================================
BOOL            bool
INT64           int64
DOUBLE          float64
DECIMAL         decimal128(19, scale)
STRING          dictionary<int32, utf8>; utf8 for kinds ID and TEXT
DATE            date32
DATETIME        timestamp[us], with the column's zone
DURATION        duration[us]
STRING_LIST     list<utf8>
==============  =======================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kohort.columns import Array, Batch
from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage, TableSchema

_MAX_SCALE = 12
_PLAIN_TEXT = (Kind.ID, Kind.TEXT)


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    match column.storage:
        case Storage.BOOL:
            return pa.bool_()
        case Storage.INT64:
            return pa.int64()
        case Storage.DOUBLE:
            return pa.float64()
        case Storage.DECIMAL:
            return pa.decimal128(19, column.scale)
        case Storage.DATE:
            return pa.date32()
        case Storage.DATETIME:
            return pa.timestamp("us", column.time_zone or None)
        case Storage.DURATION:
            return pa.duration("us")
        case Storage.STRING_LIST:
            return pa.list_(pa.utf8())
        case _:
            # Keys and free text hardly repeat: a dictionary would be as long as the column.
            return pa.utf8() if column.kind in _PLAIN_TEXT else pa.dictionary(pa.int32(), pa.utf8())


def arrow_schema(table: TableSchema, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """The Arrow schema of a table; `metadata` says, for example, that its rows are synthetic."""
    fields = [pa.field(c.name, arrow_type(c), nullable=c.nullable) for c in table.columns]
    return pa.schema(fields, metadata=dict(metadata) if metadata else None)


def to_arrow(table: TableSchema, batch: Batch, schema: pa.Schema | None = None) -> pa.RecordBatch:
    """A batch as a record batch of `schema`, by default the table's; plain cells are not copied."""
    schema = arrow_schema(table) if schema is None else schema
    cells = [column_to_arrow(c, batch.arrays[c.name]) for c in table.columns]
    return pa.RecordBatch.from_arrays(cells, schema=schema)


def column_to_arrow(column: Column, array: Array) -> pa.Array:
    """One column as an Arrow array of `arrow_type(column)`."""
    wanted = arrow_type(column)
    null = None if array.valid is None else ~array.valid
    match array.storage:
        case Storage.STRING:
            return _strings(array, null, wanted)
        case Storage.STRING_LIST:
            assert array.offsets is not None
            texts = pa.array(array.dictionary or (), pa.utf8()).take(pa.array(array.values))
            edges = pa.array(array.offsets.astype(np.int32))
            mask = None if null is None else pa.array(null)
            return pa.ListArray.from_arrays(edges, texts, mask=mask)
        case Storage.DECIMAL:
            halves = np.stack([array.values, array.values >> 63], axis=1)
            bits = None if null is None else pa.array(array.values, mask=null).buffers()[0]
            return pa.Array.from_buffers(
                wanted, len(array), [bits, pa.py_buffer(np.ascontiguousarray(halves))]
            )
        case Storage.DATE | Storage.DATETIME | Storage.DURATION:
            return pa.array(array.values, mask=null).view(wanted)
        case _:
            return pa.array(array.values, type=wanted, mask=null)


def _strings(array: Array, null: npt.NDArray[np.bool_] | None, wanted: pa.DataType) -> pa.Array:
    if array.dictionary is None:
        cells = pa.array(array.values, pa.utf8(), mask=null)
        return cells.dictionary_encode() if pa.types.is_dictionary(wanted) else cells
    indices = pa.array(array.values.astype(np.int32), mask=null)
    texts = pa.array(array.dictionary, pa.utf8())
    if pa.types.is_dictionary(wanted):
        return pa.DictionaryArray.from_arrays(indices, texts)
    return texts.take(indices)


def from_arrow(table: pa.Table, name: str) -> tuple[TableSchema, dict[str, Array]]:
    """The columns of an Arrow table under a schema that declares what its types say.

    NaN counts as null; times are floored to the microsecond.

    Raises:
        Problem: DUPLICATE_COLUMN, EMPTY_COLUMN_NAME, VALUE_OUT_OF_BOUNDS or
            VALUE_NOT_OF_KIND, naming the column, never a cell.
    """
    columns: list[Column] = []
    arrays: dict[str, Array] = {}
    for position, field in enumerate(table.schema):
        if not field.name.strip():
            raise Problem.at("EMPTY_COLUMN_NAME", f"{name}[{position}]", "the column has no name")
        if field.name in arrays:
            raise Problem.at("DUPLICATE_COLUMN", f"{name}.{field.name}", "two columns have this name")
        column, array = read_column(table.column(position), f"{name}.{field.name}", field.name)
        columns.append(column)
        arrays[field.name] = array
    return TableSchema(name, tuple(columns)), arrays


def read_column(chunks: pa.ChunkedArray, where: str, name: str = "") -> tuple[Column, Array]:
    """One Arrow column and what its type declares. Raises Problem naming `where`."""
    kind, types = chunks.type, pa.types
    given: dict[str, Any] = {}
    cells = chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks
    if isinstance(cells, pa.ChunkedArray):
        cells = pa.concat_arrays(cells.chunks)
    valid = _valid(cells)
    if types.is_boolean(kind):
        array = Array(Storage.BOOL, _filled(cells, False), valid)
    elif types.is_integer(kind):
        array = Array(Storage.INT64, _int64(cells, where), valid)
    elif types.is_floating(kind):
        array = _doubles(cells)
    elif types.is_dictionary(kind):
        return _dictionary(cells, where, name)
    elif types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        plain = cells.cast(pa.large_string()).dictionary_encode()
        array = _coded(plain)
    elif types.is_null(kind):
        array = Array(Storage.STRING, np.zeros(len(cells), "<u4"), np.zeros(len(cells), np.bool_), ())
    elif types.is_date(kind):
        array = Array(Storage.DATE, _filled(cells.cast(pa.date32()).view(pa.int32()), 0), valid)
        given = {"kind": Kind.DATE}
    elif types.is_timestamp(kind):
        array = Array(Storage.DATETIME, _micros(cells, kind.unit, where), valid)
        # A fixed offset is no IANA name; the instants stand in UTC anyway.
        zone = "" if not kind.tz else kind.tz if kind.tz[0] not in "+-" else "UTC"
        given = {"kind": Kind.DATETIME, "time_zone": zone}
    elif types.is_duration(kind):
        array = Array(Storage.DURATION, _micros(cells, kind.unit, where), valid)
        given = {"kind": Kind.DURATION}
    elif types.is_decimal(kind):
        array, scale = _decimals(cells, kind, where)
        given = {"kind": Kind.DECIMAL, "scale": scale}
    elif types.is_list(kind) or types.is_large_list(kind):
        array = _lists(cells, where)
        given = {"kind": Kind.CODE_LIST}
    else:
        raise Problem.at("VALUE_NOT_OF_KIND", where, f"cells of type {kind} cannot be sent")
    return Column(name, storage=array.storage, nullable=array.valid is not None, **given), array


def _valid(cells: pa.Array) -> npt.NDArray[np.bool_] | None:
    if not cells.null_count:
        return None
    return pc.is_valid(cells).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _filled(cells: pa.Array, fill: Any) -> npt.NDArray[Any]:
    return cells.fill_null(fill).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _int64(cells: pa.Array, where: str) -> npt.NDArray[np.int64]:
    try:
        return _filled(cells.cast(pa.int64()), 0)
    except pa.ArrowInvalid:
        raise Problem.at("VALUE_OUT_OF_BOUNDS", where, "a number is beyond 2^63 - 1") from None


def _doubles(cells: pa.Array) -> Array:
    values = _filled(cells.cast(pa.float64()), np.nan)
    null = np.isnan(values)
    return Array.make(Storage.DOUBLE, values, ~null if null.any() else None)


def _dictionary(cells: pa.DictionaryArray, where: str, name: str) -> tuple[Column, Array]:
    texts = cells.type.value_type
    if not (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
        return read_column(cells.dictionary_decode(), where, name)
    array = _coded(cells)
    return Column(name, kind=Kind.CATEGORY, storage=Storage.STRING, nullable=array.valid is not None), array


def _coded(cells: pa.DictionaryArray) -> Array:
    texts = cells.dictionary.to_pylist()
    if None in texts or len(set(texts)) != len(texts):
        cells = cells.dictionary_decode().dictionary_encode()
        texts = cells.dictionary.to_pylist()
    return Array.make(Storage.STRING, _filled(cells.indices.cast(pa.int64()), 0), _valid(cells), texts)


def _micros(cells: pa.Array, unit: str, where: str) -> npt.NDArray[np.int64]:
    ticks = _filled(cells.view(pa.int64()), 0)
    if unit == "us":
        return ticks
    if unit == "ns":
        return ticks // 1000
    factor = 1000 if unit == "ms" else 1_000_000
    if bool((np.abs(ticks.astype(np.float64)) > np.iinfo(np.int64).max // factor).any()):
        raise Problem.at("VALUE_OUT_OF_BOUNDS", where, "a time does not fit 64-bit microseconds")
    return ticks * factor


def _decimals(cells: pa.Array, kind: pa.DataType, where: str) -> tuple[Array, int]:
    """Scaled integers; where the type's scale is finer than the contract's, doubles."""
    scale = kind.scale
    if scale > _MAX_SCALE:
        # By way of text: Arrow's own cast rounds more than once.
        return _doubles(cells.cast(pa.utf8())), 0
    try:
        wide = cells.cast(pa.decimal256(38, max(scale, 0)))
        raw = np.frombuffer(wide.fill_null(0).buffers()[1], "<i8").reshape(-1, 4)
    except pa.ArrowInvalid:
        raise Problem.at(
            "VALUE_OUT_OF_BOUNDS", where, "a number does not fit 64 bits with its scale"
        ) from None
    raw = raw[wide.offset : wide.offset + len(wide)]
    low = raw[:, 0]
    if bool((raw[:, 1:] != (low >> 63)[:, None]).any()):
        raise Problem.at("VALUE_OUT_OF_BOUNDS", where, "a number does not fit 64 bits with its scale")
    return Array(Storage.DECIMAL, low.copy(), _valid(cells)), max(scale, 0)


def _lists(cells: pa.Array, where: str) -> Array:
    texts = cells.type.value_type
    if pa.types.is_dictionary(texts):
        texts = texts.value_type
    if not (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
        raise Problem.at("VALUE_NOT_OF_KIND", where, "only lists of strings can be sent")
    lengths = _filled(pc.list_value_length(cells), 0).astype(np.int64)
    flat = pc.list_flatten(cells).cast(pa.large_string())
    if flat.null_count:
        raise Problem.at("VALUE_NOT_OF_KIND", where, "a list holds a null")
    coded = _coded(flat.dictionary_encode())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Array.make(Storage.STRING_LIST, coded.values, _valid(cells), coded.dictionary, offsets)
