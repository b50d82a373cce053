"""DataFrame → typed columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kohort.columns import Array
from kohort.frames.cells import Read, coded, filled, floats, not_sent, texts, validity
from kohort.frames.objects import read_objects
from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage, TableSchema

_INT64_MAX = np.iinfo(np.int64).max


def from_frame(frame: pd.DataFrame, name: str) -> tuple[TableSchema, dict[str, Array]]:
    """The columns of a frame under a schema that declares what its types say.

    Kinds are declared only where the type leaves no doubt (an ordered category,
    a date); the server infers the others.

    Args:
        frame: rows; the index is not read.
        name: the table's name.

    Raises:
        Problem: DUPLICATE_COLUMN, EMPTY_COLUMN_NAME, INVALID_SCHEMA, EMPTY_TABLE,
            MIXED_TYPES, VALUE_OUT_OF_BOUNDS, VALUE_NOT_OF_KIND or BAD_ENCODING,
            naming the column, never a cell.
    """
    names = _names(frame, name)
    columns, arrays = [], {}
    for position, column in enumerate(names):
        read = _read(frame.iloc[:, position], f"{name}.{column}")
        arrays[column] = read.array
        given = {"nullable": read.array.valid is not None, **read.column}
        columns.append(Column(column, storage=read.array.storage, source_dtype=read.source, **given))
    return TableSchema(name, tuple(columns)), arrays


def _names(frame: pd.DataFrame, table: str) -> list[str]:
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        raise Problem.at("EMPTY_TABLE", table, "the frame has no rows or no columns")
    seen: set[str] = set()
    for position, column in enumerate(frame.columns):
        if not isinstance(column, str):
            raise Problem.at("INVALID_SCHEMA", f"{table}[{position}]", "column names must be strings")
        if not column.strip():
            raise Problem.at("EMPTY_COLUMN_NAME", f"{table}[{position}]", "the column has no name")
        if column in seen:
            raise Problem.at("DUPLICATE_COLUMN", f"{table}.{column}", "two columns have this name")
        seen.add(column)
    return list(frame.columns)


def _read(series: pd.Series[Any], where: str) -> Read:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(series, where)
    if isinstance(dtype, pd.SparseDtype):
        return _read(pd.Series(np.asarray(series), name=series.name), where)
    if isinstance(dtype, pd.ArrowDtype):
        return _arrow_backed(series, where)
    if isinstance(dtype, pd.StringDtype):
        # The text type of pandas 3 has NaN as its null and "str" as its name.
        source = str(dtype) if str(dtype) == "str" else f"string[{dtype.storage}]"
        return Read(texts(series, where), source)
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise not_sent(where, str(dtype))
    match dtype.kind:
        case "i" | "u":
            return Read(_integers(series, where), str(dtype))
        case "f":
            return Read(floats(series), str(dtype))
        case "b":
            return Read(_booleans(series), str(dtype))
        case "M":
            return _datetimes(series, where)
        case "m":
            return Read(_micros(series, Storage.DURATION, where), str(dtype))
        case "O":
            return read_objects(series, where)
        case _:
            raise not_sent(where, str(dtype))


def _integers(series: pd.Series[Any], where: str) -> Array:
    valid = validity(series)
    unsigned = series.dtype.kind == "u"
    values = filled(series, 0, np.uint64 if unsigned else np.int64)
    if unsigned and bool((values > _INT64_MAX).any()):
        raise Problem.at(
            "VALUE_OUT_OF_BOUNDS", where, "a number is beyond 2^63 - 1; send the column as strings"
        )
    return Array(Storage.INT64, values.astype("<i8"), valid)


def _booleans(series: pd.Series[Any]) -> Array:
    valid = validity(series)
    return Array(Storage.BOOL, filled(series, False, np.bool_), valid)


def _micros(series: pd.Series[Any], storage: Storage, where: str) -> Array:
    """Any resolution → int64 microseconds; finer ones are floored."""
    raw = series.to_numpy()
    valid = validity(series)
    ticks = np.where(np.isnat(raw), np.zeros((), raw.dtype), raw)
    unit = np.datetime_data(raw.dtype)[0]
    numbers = ticks.view(np.int64)
    match unit:
        case "us":
            micros = numbers
        case "ns":
            micros = numbers // 1000
        case _:
            factor = 1000 if unit == "ms" else 1_000_000
            if bool((np.abs(numbers.astype(np.float64)) > _INT64_MAX // factor).any()):
                raise Problem.at("VALUE_OUT_OF_BOUNDS", where, "a time does not fit 64-bit microseconds")
            micros = numbers * factor
    return Array(storage, micros.astype("<i8"), valid)


def _datetimes(series: pd.Series[Any], where: str) -> Read:
    source, zone = str(series.dtype), ""
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        zone = _zone_name(series.dtype.tz)
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    return Read(_micros(series, Storage.DATETIME, where), source, {"kind": Kind.DATETIME, "time_zone": zone})


def _zone_name(zone: Any) -> str:
    """The IANA name; a fixed offset has none, so its instants are declared in UTC."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None) or str(zone)
    known = "/" in name or name in ("UTC", "GMT")
    return name if known and not name.startswith("tz") else "UTC"


def _arrow_backed(series: pd.Series[Any], where: str) -> Read:
    import pyarrow as pa

    from kohort.arrow import read_column

    chunks = pa.chunked_array(pa.array(series.array))
    column, array = read_column(chunks, where)
    given = {"kind": column.kind, "scale": column.scale, "time_zone": column.time_zone}
    return Read(array, f"arrow:{chunks.type}", given)


# Categories


def _category(series: pd.Series[Any], where: str) -> Read:
    dtype = series.dtype
    assert isinstance(dtype, pd.CategoricalDtype)
    categories = pd.Series(dtype.categories)
    codes = series.cat.codes.to_numpy()
    inner = _plain_type(categories)
    source = f"category{'[ordered]' if dtype.ordered else ''}:{inner}"
    texts = [str(c) for c in categories]
    given: dict[str, Any] = {"kind": Kind.CATEGORY}
    if dtype.ordered:
        given = {"kind": Kind.ORDINAL, "levels": tuple(texts)}
    if inner == "bool" or (inner.lower().startswith(("int", "uint"))):
        cells = _booleans(categories) if inner == "bool" else _integers(categories, where)
        valid = codes >= 0
        values = cells.values[np.where(valid, codes, 0)] if len(categories) else np.zeros(len(codes), "<i8")
        return Read(Array.make(cells.storage, values, valid), source, given)
    if inner == "object" and pd.api.types.infer_dtype(categories).startswith("mixed"):
        raise Problem.at("MIXED_TYPES", where, "the categories are of different types")
    if len(set(texts)) != len(texts):
        raise Problem.at("MIXED_TYPES", where, "two categories have the same text")
    return Read(coded(codes, texts, where), source, given)


def _plain_type(categories: pd.Series[Any]) -> str:
    """The type of the categories, as far as it can be restored from integers, booleans or text."""
    kind = categories.dtype.kind
    if isinstance(categories.dtype, pd.StringDtype):
        return str(categories.dtype)
    if kind in "iufbM" and not isinstance(categories.dtype, pd.ArrowDtype):
        return str(categories.dtype)
    return "object" if kind == "O" else "text"
