"""Arrow columns, as Parquet files hold them, become typed arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Storage
from tables.patterns import Mask
from tables.text import string_array

_MICROSECOND = {"s": 1_000_000, "ms": 1_000, "us": 1}
_MAX_SCALE = 12


def from_arrow(field: str, column: Column, chunks: pa.ChunkedArray) -> tuple[Array, Column]:
    """The cells of an Arrow column and the column with what its type told (scale, time zone).

    NaN counts as null. Digits below the microsecond are cut.

    Raises:
        Problem: FORMAT_UNSUPPORTED for nested and binary types,
            VALUE_OUT_OF_BOUNDS for what 64 bits cannot hold, VALUE_NOT_OF_KIND
            for infinite numbers and null list elements; all name `field`.
    """
    type_ = chunks.type
    if isinstance(type_, pa.BaseExtensionType):
        chunks, type_ = (
            pa.chunked_array([c.storage for c in chunks.chunks], type_.storage_type),
            type_.storage_type,
        )
    if pa.types.is_dictionary(type_) and not _is_text(type_.value_type):
        chunks, type_ = pc.cast(chunks, type_.value_type), type_.value_type
    valid = np.asarray(chunks.is_valid())
    if pa.types.is_null(type_):
        return string_array([], np.zeros(len(chunks), np.int64), valid), column
    if _is_text(type_) or pa.types.is_dictionary(type_):
        return _strings(chunks, valid), column
    if pa.types.is_boolean(type_):
        return Array.make(Storage.BOOL, _numpy(chunks, False), valid), column
    if pa.types.is_integer(type_):
        return Array.make(Storage.INT64, _signed(field, chunks), valid), column
    if pa.types.is_floating(type_):
        return _doubles(field, chunks, valid), column
    if pa.types.is_decimal(type_):
        return _decimals(field, column, chunks, valid)
    if pa.types.is_date(type_):
        days = pc.cast(pc.cast(chunks, pa.date32()), pa.int32())
        return Array.make(Storage.DATE, _numpy(days, 0), valid), column
    if pa.types.is_timestamp(type_):
        zone = _zone(type_.tz) if type_.tz else ""
        return Array.make(Storage.DATETIME, _micros(field, chunks, type_.unit), valid), replace(
            column, time_zone=column.time_zone or zone
        )
    if pa.types.is_time(type_) or pa.types.is_duration(type_):
        if pa.types.is_time32(type_):
            chunks = pc.cast(chunks, pa.int32())
        return Array.make(Storage.DURATION, _micros(field, chunks, type_.unit), valid), column
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _lists(field, chunks, valid), column
    raise Problem.at(
        "FORMAT_UNSUPPORTED", field, "binary and nested columns cannot be read; leave the column out"
    )


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
    )


def _numpy(chunks: Any, zero: Any) -> npt.NDArray[Any]:
    """Nulls hold `zero`."""
    filled = pc.fill_null(chunks, pa.scalar(zero, chunks.type))
    cells: npt.NDArray[Any] = filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else np.asarray(filled)
    return cells


def _strings(chunks: pa.ChunkedArray, valid: Mask) -> Array:
    if not pa.types.is_dictionary(chunks.type):
        chunks = pc.cast(chunks, pa.large_string()).dictionary_encode()
    if not len(chunks):
        return string_array([], np.zeros(0, np.int64), valid)
    coded = chunks.unify_dictionaries()
    indices = np.concatenate([_numpy(c.indices, 0) for c in coded.chunks]).astype(np.int64)
    texts = pc.cast(coded.chunk(0).dictionary, pa.large_string())  # of string views Arrow sorts none
    if texts.null_count:  # a dictionary may hold null itself
        missing = np.append(np.asarray(texts.is_null()), False)
        valid = valid & ~missing[np.where(valid, indices, len(texts))]
    return string_array(texts, indices, valid)


def _signed(field: str, chunks: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    try:
        return _numpy(pc.cast(chunks, pa.int64()), 0)
    except pa.ArrowInvalid:
        raise Problem.at("VALUE_OUT_OF_BOUNDS", field, "a number exceeds signed 64-bit integers") from None


def _doubles(field: str, chunks: pa.ChunkedArray, valid: Mask) -> Array:
    cells = _numpy(pc.cast(chunks, pa.float64()), 0.0)
    return doubles(field, cells, valid)


def doubles(field: str, cells: npt.NDArray[np.float64], valid: Mask) -> Array:
    """A DOUBLE array in which NaN is null. Raises Problem VALUE_NOT_OF_KIND on an infinite number."""
    infinite = np.isinf(cells) & valid
    if infinite.any():
        row = int(np.argmax(infinite)) + 1
        raise Problem.at("VALUE_NOT_OF_KIND", field, f"row {row} holds an infinite number")
    present = valid & ~np.isnan(cells)
    return Array.make(Storage.DOUBLE, np.where(present, cells, 0.0), present)


def _decimals(field: str, column: Column, chunks: pa.ChunkedArray, valid: Mask) -> tuple[Array, Column]:
    scale = chunks.type.scale
    if not 0 <= scale <= _MAX_SCALE:
        return _doubles(field, chunks, valid), column
    wide = pc.cast(chunks, pa.decimal128(38, scale)).combine_chunks()
    if isinstance(wide, pa.ChunkedArray):
        wide = wide.chunk(0) if wide.num_chunks else pa.array([], pa.decimal128(38, scale))
    words = np.frombuffer(wide.buffers()[1] or b"", dtype="<i8")[
        2 * wide.offset : 2 * (wide.offset + len(wide))
    ]
    low, high = words[0::2], words[1::2]
    if (valid & (high != low >> 63)).any():
        raise Problem.at("VALUE_OUT_OF_BOUNDS", field, "a decimal has more digits than 64 bits hold")
    return Array.make(Storage.DECIMAL, np.where(valid, low, 0), valid), replace(column, scale=scale)


def _micros(field: str, chunks: pa.ChunkedArray, unit: str) -> npt.NDArray[np.int64]:
    counts = _numpy(pc.cast(chunks, pa.int64()), 0)
    if unit == "ns":
        return counts // 1_000
    factor = _MICROSECOND[unit]
    if (np.abs(counts.astype(np.float64)) > 2.0**63 / factor - 1).any():
        raise Problem.at("VALUE_OUT_OF_BOUNDS", field, "a time exceeds what microseconds in 64 bits hold")
    return counts * factor


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError):
        # A fixed offset: the instants are kept, and shown in UTC.
        return "UTC"


def _lists(field: str, chunks: pa.ChunkedArray, valid: Mask) -> Array:
    inner = chunks.type.value_type
    if not (_is_text(inner) or pa.types.is_integer(inner) or pa.types.is_dictionary(inner)):
        raise Problem.at(
            "FORMAT_UNSUPPORTED",
            field,
            "lists of other things than codes cannot be read; leave the column out",
        )
    lengths = _numpy(pc.cast(pc.list_value_length(chunks), pa.int64()), 0)
    flat = pc.cast(pc.list_flatten(chunks), pa.large_string())
    if flat.null_count:
        raise Problem.at("VALUE_NOT_OF_KIND", field, "a list holds a null")
    if lengths.sum() >= 2**32:
        raise Problem.at("LIMIT_EXCEEDED", field, "more than 2^32 codes in lists")
    codes = _strings(
        flat if isinstance(flat, pa.ChunkedArray) else pa.chunked_array([flat]), np.ones(len(flat), bool)
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Array.make(Storage.STRING_LIST, codes.values, valid, dictionary=codes.dictionary, offsets=offsets)
