"""Columns of Python objects → typed columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kohort.columns import Array
from kohort.frames.cells import Cells, Read, floats, not_sent, texts, validity
from kohort.problem import Problem
from kohort.schema import Kind, Storage

_INT64_MIN, _INT64_MAX = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_MAX_DIGITS = 18
_MAX_SCALE = 12


def read_objects(series: pd.Series[Any], where: str) -> Read:
    """A column of Python objects, all of one type besides nulls."""
    found = pd.api.types.infer_dtype(series, skipna=True)
    if found in ("string", "empty"):
        return Read(texts(series, where), "object")
    reader = _OBJECTS.get(found)
    if reader is not None:
        return reader(series, where)
    if found == "mixed" and all(isinstance(cell, (list, tuple)) for cell in series.dropna()):
        return _lists(series, where)
    if found in ("bytes", "time", "period", "interval", "complex", "categorical"):
        raise not_sent(where, found)
    raise Problem.at("MIXED_TYPES", where, "the column holds objects of different types; make it one type")


def _object_booleans(series: pd.Series[Any], where: str) -> Read:
    valid = validity(series)
    cells = series.to_numpy() if valid is None else np.where(valid, series.to_numpy(), False)
    return Read(Array(Storage.BOOL, cells.astype(np.bool_), valid), "object[bool]")


def _object_integers(series: pd.Series[Any], where: str) -> Read:
    valid = validity(series)
    cells = [0 if pd.isna(cell) else int(cell) for cell in series]
    if min(cells) < _INT64_MIN or max(cells) > _INT64_MAX:
        raise Problem.at(
            "VALUE_OUT_OF_BOUNDS", where, "a number does not fit 64 bits; send the column as strings"
        )
    return Read(Array(Storage.INT64, np.array(cells, dtype="<i8"), valid), "object[int]")


def _object_floats(series: pd.Series[Any], where: str) -> Read:
    return Read(
        floats(pd.to_numeric(series.where(series.notna(), np.nan)).astype(np.float64)), "object[float]"
    )


def _object_datetimes(series: pd.Series[Any], where: str) -> Read:
    cells = list(series.dropna())
    aware = [cell.tzinfo is not None for cell in cells]
    if any(aware) and not all(aware):
        raise Problem.at("MIXED_TYPES", where, "some times have a zone and some have none")
    if aware and aware[0]:
        cells = [cell.astimezone(UTC).replace(tzinfo=None) for cell in cells]
    ticks = np.array(cells, dtype="datetime64[us]").view(np.int64)
    given = {"kind": Kind.DATETIME, "time_zone": "UTC" if aware and aware[0] else ""}
    return Read(_spread(series, ticks, Storage.DATETIME), "object[datetime]", given)


def _object_dates(series: pd.Series[Any], where: str) -> Read:
    cells = list(series.dropna())
    if any(isinstance(cell, datetime) for cell in cells):
        raise Problem.at("MIXED_TYPES", where, "dates and date-times stand in one column")
    epoch = date(1970, 1, 1).toordinal()
    days = np.array([cell.toordinal() - epoch for cell in cells], dtype="<i4")
    return Read(_spread(series, days, Storage.DATE), "object[date]", {"kind": Kind.DATE})


def _object_timedeltas(series: pd.Series[Any], where: str) -> Read:
    ticks = np.array(list(series.dropna()), dtype="timedelta64[us]").view(np.int64)
    return Read(_spread(series, ticks, Storage.DURATION), "object[timedelta]")


def _object_decimals(series: pd.Series[Any], where: str) -> Read:
    finite = [isinstance(cell, Decimal) and cell.is_finite() for cell in series]
    cells = [cell for cell, ok in zip(series, finite, strict=True) if ok]
    scale = max((max(0, -int(cell.as_tuple().exponent)) for cell in cells), default=0)
    if scale <= _MAX_SCALE and all(cell.adjusted() + scale < _MAX_DIGITS for cell in cells):
        unscaled = np.array([int(cell.scaleb(scale)) for cell in cells], dtype="<i8")
        array = _spread_where(np.array(finite, dtype=np.bool_), unscaled, Storage.DECIMAL)
        return Read(array, "object[decimal]", {"kind": Kind.DECIMAL, "scale": scale})
    spelled = pd.Series([str(c) if ok else None for c, ok in zip(series, finite, strict=True)], dtype=object)
    return Read(texts(spelled, where), "object[decimal]")


def _lists(series: pd.Series[Any], where: str) -> Read:
    valid = series.notna().to_numpy(dtype=np.bool_)
    cells = [cell if ok else () for cell, ok in zip(series, valid, strict=True)]
    flat = [item for cell in cells for item in cell]
    if not all(isinstance(item, str) for item in flat):
        raise Problem.at("MIXED_TYPES", where, "lists must hold strings only")
    entries = texts(pd.Series(flat, dtype=object), where)
    offsets = np.concatenate([[0], np.cumsum([len(cell) for cell in cells])])
    array = Array.make(Storage.STRING_LIST, entries.values, valid, entries.dictionary, offsets)
    return Read(array, "object[list]", {"kind": Kind.CODE_LIST})


def _spread(series: pd.Series[Any], present: Cells, storage: Storage) -> Array:
    return _spread_where(series.notna().to_numpy(dtype=np.bool_), present, storage)


def _spread_where(valid: npt.NDArray[np.bool_], present: Cells, storage: Storage) -> Array:
    values = np.zeros(len(valid), dtype=storage.dtype)
    values[valid] = present
    return Array(storage, values, None if valid.all() else valid)


_OBJECTS: Mapping[str, Callable[[pd.Series[Any], str], Read]] = {
    "boolean": _object_booleans,
    "integer": _object_integers,
    "floating": _object_floats,
    "mixed-integer-float": _object_floats,
    "datetime": _object_datetimes,
    "datetime64": _object_datetimes,
    "date": _object_dates,
    "timedelta": _object_timedeltas,
    "timedelta64": _object_timedeltas,
    "decimal": _object_decimals,
}
