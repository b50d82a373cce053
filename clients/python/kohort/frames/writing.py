"""Typed columns → DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from kohort.columns import Array
from kohort.schema import Column, Storage, TableSchema

Cells = npt.NDArray[Any]
# A pandas column that is about to enter a frame: pandas' own arrays or numpy's.
Values = Any

_NS_MIN, _NS_MAX = np.iinfo(np.int64).min // 1000, np.iinfo(np.int64).max // 1000


def to_frame(table: TableSchema, arrays: Mapping[str, Array]) -> pd.DataFrame:
    """The columns as a frame in schema order, each in the type it once had (`Column.source_dtype`).

    A type that cannot hold the cells (nulls in an int64, a year beyond 2262 in
    nanoseconds) gives way to the nearest that can.
    """
    data = {c.name: _restore(arrays[c.name], c) for c in table.columns if c.name in arrays}
    return pd.DataFrame(data, copy=False)


def _restore(array: Array, column: Column) -> Values:
    source = column.source_dtype
    if source.startswith("arrow:"):
        return _arrow_backed(array, column)
    if source.startswith("category"):
        return _category(array, column)
    if source.startswith("object"):
        return _objects(array, column, source)
    try:
        dtype = pd.api.types.pandas_dtype(source) if source not in ("", "str") else None
    except (TypeError, ValueError, ImportError, NotImplementedError):
        # A type of another pandas, or of another client: as without one.
        dtype = None
    if source == "str" or isinstance(dtype, pd.StringDtype):
        return _text_type(_texts(array, column), source)
    if dtype is None:
        return _natural(array, column)
    kind = dtype.kind
    if kind in "iu" and array.storage in (Storage.INT64, Storage.BOOL, Storage.DOUBLE):
        return _integers(array, dtype)
    if kind == "f" and array.storage in (Storage.INT64, Storage.BOOL, Storage.DOUBLE, Storage.DECIMAL):
        return _floats(array, column, dtype)
    if kind == "b" and array.storage is Storage.BOOL:
        return _booleans(array, dtype)
    if kind == "M" and array.storage in (Storage.DATETIME, Storage.DATE):
        return _datetimes(array, dtype)
    if kind == "m" and array.storage is Storage.DURATION:
        return _timedeltas(array, dtype)
    return _natural(array, column)


def _natural(array: Array, column: Column) -> Values:
    """The type for a column that came without one."""
    match array.storage:
        case Storage.INT64:
            return _integers(array, np.dtype(np.int64))
        case Storage.BOOL:
            return _booleans(array, np.dtype(np.bool_))
        case Storage.DOUBLE | Storage.DECIMAL:
            return _floats(array, column, np.dtype(np.float64))
        case Storage.DATE:
            return _datetimes(array, np.dtype("datetime64[s]"))
        case Storage.DATETIME:
            if column.time_zone:
                return _datetimes(array, pd.DatetimeTZDtype("us", _zone(column.time_zone)))
            return _datetimes(array, np.dtype("datetime64[us]"))
        case Storage.DURATION:
            return _timedeltas(array, np.dtype("timedelta64[us]"))
        case Storage.STRING:
            return pd.Series(array.strings())
        case _:
            return _boxed(array.to_python())


def _extension(values: Cells, array: Array, name: str) -> Values:
    null = ~array.is_valid()
    if name == "boolean":
        return pd.arrays.BooleanArray(values, null)
    return (pd.arrays.FloatingArray if values.dtype.kind == "f" else pd.arrays.IntegerArray)(values, null)


def _integers(array: Array, dtype: Any) -> Values:
    plain = np.dtype(dtype.numpy_dtype if pd.api.types.is_extension_array_dtype(dtype) else dtype)
    if array.storage is Storage.DOUBLE and bool((array.values != np.rint(array.values)).any()):
        return _extension_or_nan(array)
    values = array.values.astype(np.int64)
    limits = np.iinfo(plain)
    fits = not values.size or (limits.min <= int(values.min()) and int(values.max()) <= limits.max)
    values = values.astype(plain if fits else np.int64)
    if array.valid is not None or pd.api.types.is_extension_array_dtype(dtype):
        return _extension(values, array, "")
    return values


def _extension_or_nan(array: Array) -> Cells:
    return np.where(array.is_valid(), array.values, np.nan)


def _numbers(array: Array, column: Column) -> npt.NDArray[np.float64]:
    values = array.values.astype(np.float64)
    # Dividing rounds once; multiplying by 10^-scale would round twice.
    return values / 10**column.scale if array.storage is Storage.DECIMAL and column.scale else values


def _floats(array: Array, column: Column, dtype: Any) -> Values:
    values = _numbers(array, column)
    if pd.api.types.is_extension_array_dtype(dtype):
        return _extension(values.astype(dtype.numpy_dtype), array, "")
    if array.valid is not None:
        values[~array.valid] = np.nan
    return values.astype(dtype)


def _booleans(array: Array, dtype: Any) -> Values:
    values = array.values.astype(np.bool_)
    if array.valid is not None or pd.api.types.is_extension_array_dtype(dtype):
        return _extension(values, array, "boolean")
    return values


def _micros(array: Array) -> npt.NDArray[np.int64]:
    return array.values.astype(np.int64) * (86_400_000_000 if array.storage is Storage.DATE else 1)


def _ticks(array: Array, unit: str, kind: str) -> Cells:
    """datetime64 or timedelta64 of the wished unit; [us] where nanoseconds would overflow."""
    micros = _micros(array)
    if unit == "ns" and micros.size and not (int(micros.min()) > _NS_MIN and int(micros.max()) < _NS_MAX):
        unit = "us"
    ticks = micros.view(f"{kind}[us]").astype(f"{kind}[{unit}]")
    if array.valid is not None:
        ticks[~array.valid] = np.array("NaT", ticks.dtype)
    return ticks


def _datetimes(array: Array, dtype: Any) -> Values:
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants: Any = pd.DatetimeIndex(_ticks(array, dtype.unit, "datetime64"))
        return instants.tz_localize("UTC").tz_convert(dtype.tz)
    return _ticks(array, np.datetime_data(dtype)[0], "datetime64")


def _zone(name: str) -> tzinfo:
    """The zone; UTC, in which the instants stand anyway, where this machine does not know the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _timedeltas(array: Array, dtype: Any) -> Cells:
    return _ticks(array, np.datetime_data(dtype)[0], "timedelta64")


def _boxed(cells: list[Any]) -> pd.Series[Any]:
    boxed = np.empty(len(cells), dtype=object)
    boxed[:] = cells
    return pd.Series(boxed, dtype=object)


def _texts(array: Array, column: Column) -> npt.NDArray[np.object_]:
    """Every cell as text, null as None."""
    if array.storage is Storage.STRING:
        return array.strings()
    cells = np.empty(len(array), dtype=object)
    cells[:] = [None if cell is None else _text(cell) for cell in _python(array, column)]
    return cells


def _text(cell: Any) -> str:
    return cell.isoformat() if isinstance(cell, date) else str(cell)


def _text_type(cells: npt.NDArray[np.object_], source: str) -> Values:
    try:
        return pd.Series(cells, dtype=source) if source != "str" else pd.Series(cells)
    except ImportError:
        # string[pyarrow] where there is no pyarrow.
        return pd.Series(cells, dtype="string")


def _python(array: Array, column: Column) -> list[Any]:
    """Cells as the Python objects people use: date, datetime, timedelta, Decimal; null as None."""
    cells = array.to_python()
    match array.storage:
        case Storage.DATE:
            ordinal = date(1970, 1, 1).toordinal()
            make: Callable[[Any], Any] = lambda days: date.fromordinal(ordinal + days)  # noqa: E731
        case Storage.DATETIME:
            start = datetime(1970, 1, 1, tzinfo=UTC if column.time_zone else None)
            zone = _zone(column.time_zone)
            make = lambda us: (start + timedelta(microseconds=us)).astimezone(zone)  # noqa: E731
            if not column.time_zone:
                make = lambda us: start + timedelta(microseconds=us)  # noqa: E731
        case Storage.DURATION:
            make = lambda us: timedelta(microseconds=us)  # noqa: E731
        case Storage.DECIMAL:
            make = lambda unscaled: Decimal(unscaled).scaleb(-column.scale)  # noqa: E731
        case _:
            return cells
    return [None if cell is None else make(cell) for cell in cells]


def _objects(array: Array, column: Column, source: str) -> Values:
    wanted = source.removeprefix("object").strip("[]")
    if not wanted:
        return pd.Series(_texts(array, column), dtype=object)
    if wanted == "decimal" and array.storage in (Storage.STRING, Storage.INT64, Storage.DOUBLE):
        return _boxed([None if cell is None else Decimal(str(cell)) for cell in array.to_python()])
    if wanted == "float":
        return _boxed([None if np.isnan(x) else x for x in _floats(array, column, np.dtype("f8")).tolist()])
    if wanted == "date" and array.storage is Storage.DATETIME:
        return _boxed([None if cell is None else cell.date() for cell in _python(array, column)])
    return _boxed(_python(array, column))


def _category(array: Array, column: Column) -> pd.Categorical:
    head, _, inner = column.source_dtype.partition(":")
    ordered = head.endswith("[ordered]")
    if array.storage is Storage.STRING and array.dictionary is not None:
        present, values = array.values[array.is_valid()], list(array.dictionary)
    else:
        plain = array.storage in (Storage.INT64, Storage.BOOL)
        cells = (array.values if plain else _texts(array, column))[array.is_valid()]
        uniques, present = np.unique(cells, return_inverse=True)
        values = uniques.tolist()
    codes = np.full(len(array), -1, dtype=np.int64)
    codes[array.is_valid()] = present
    categories = _category_index(values, inner)
    if ordered and column.levels:
        codes, categories = _in_order(codes, categories, column.levels)
    return pd.Categorical.from_codes(codes, categories=categories, ordered=ordered)


def _category_index(values: list[Any], inner: str) -> Any:
    if inner in ("", "text", "object"):
        return pd.Index([str(v) for v in values], dtype=object if inner == "object" else None)
    try:
        if inner.startswith("datetime64"):
            return pd.DatetimeIndex(pd.to_datetime(values, format="ISO8601")).astype(inner)
        return pd.Index(values).astype(inner)
    except (TypeError, ValueError, OverflowError):
        return pd.Index(values)


def _in_order(
    codes: Cells, categories: pd.Index[Any], levels: tuple[str, ...]
) -> tuple[Cells, pd.Index[Any]]:
    """Codes and categories re-ordered as the levels say; levels that never occur stay categories."""
    texts = [str(c) for c in categories]
    place = {level: i for i, level in enumerate(levels)}
    if not set(texts) <= set(place):
        return codes, categories
    moved = np.array([*(place[t] for t in texts), -1], dtype=np.int64)[codes]
    known = {"True": True, "False": False} if categories.dtype == bool else {}
    known.update(zip(texts, categories, strict=True))
    ordered = pd.Index([known.get(level, level) for level in levels])
    try:
        return moved, ordered.astype(categories.dtype)
    except (TypeError, ValueError):
        return moved, ordered


def _arrow_backed(array: Array, column: Column) -> Values:
    try:
        import pyarrow as pa

        from kohort.arrow import column_to_arrow
    except ImportError:
        return _natural(array, column)
    cells = column_to_arrow(column, array)
    # A type with parameters, such as decimal128(5, 2), has no alias; the storage's own says as much.
    with suppress(ValueError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        cells = cells.cast(pa.type_for_alias(column.source_dtype.removeprefix("arrow:")))
    return pd.arrays.ArrowExtensionArray(cells)
