"""The features of a manifest's program (`kohort.features`), read with distrust."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kohort.features import Category, Feature, Number, Opaque, Relative
from kohort.manifest import invalid
from kohort.schema import Column, Storage

MAX_INPUTS = 1 << 15
_MAX_KNOTS = 1 << 16


@dataclass(frozen=True)
class Features:
    """The inputs of a graph."""

    width: int
    """F, all of them."""
    by_column: Mapping[str, tuple[slice, Feature]]
    """Per modelled column the places of its inputs and what they are."""


def no_features(columns: Sequence[Column]) -> Features:
    """Of a graph that takes noise only."""
    return Features(0, {column.name: (slice(0, 0), Opaque(0)) for column in columns})


def read_features(
    program: Mapping[str, Any], columns: Sequence[Column], dictionaries: Mapping[str, tuple[str, ...]]
) -> Features:
    """The features of a manifest's program, read with distrust.

    Raises:
        Problem: BUNDLE_INVALID.
    """
    known = {column.name: column for column in columns}
    found: dict[str, tuple[slice, Feature]] = {}
    width = 0
    try:
        for entry in program["features"]:
            names = entry["columns"]
            feature = _feature(entry, [known[name] for name in names], dictionaries, known)
            found |= {name: (slice(width, width + feature.width), feature) for name in names}
            width += feature.width
        complete = sum(len(entry["columns"]) for entry in program["features"]) == len(found) == len(known)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise invalid("manifest.program.features", "is not of the documented shape") from None
    if not complete or width > MAX_INPUTS:
        raise invalid("manifest.program.features", "does not name every modelled column once")
    return Features(width, found)


def _feature(
    entry: Mapping[str, Any],
    columns: Sequence[Column],
    dictionaries: Mapping[str, tuple[str, ...]],
    known: Mapping[str, Column],
) -> Feature:
    """Raises ValueError, TypeError or KeyError for what is no entry of these columns."""
    if entry["encoding"] == "opaque":
        if type(entry["width"]) is not int or not 0 < entry["width"] <= MAX_INPUTS:
            raise ValueError
        return Opaque(entry["width"])
    (column,) = columns
    strings = dictionaries.get(column.name, ())
    match entry["encoding"]:
        case "category":
            return _category(entry, column, strings)
        case "number" if "anchor" in entry:
            anchor = known[entry["anchor"]]
            if anchor.storage in (Storage.STRING, Storage.BOOL) or anchor == column:
                raise ValueError
            return Relative(_number(entry, column), anchor.name, anchor.storage)
        case "number":
            return _number(entry, column)
        case _:
            raise ValueError


def _category(entry: Mapping[str, Any], column: Column, strings: tuple[str, ...]) -> Category:
    values: tuple[Any, ...] = strings
    if column.storage is not Storage.STRING:
        kinds = {Storage.BOOL: (bool,), Storage.DOUBLE: (int, float)}.get(column.storage, (int,))
        if any(type(value) not in kinds for value in entry["values"]):
            raise ValueError
        values = tuple(np.array(entry["values"], dtype=column.storage.dtype).tolist())
    frequencies = np.array(entry["frequencies"], dtype=np.float64)
    nulls = entry["nulls"]
    if type(nulls) is not bool or len(set(values)) != len(values) or not values:
        raise ValueError
    if frequencies.shape != (len(values) + nulls,) or not (frequencies >= 0).all():
        raise ValueError
    if not math.isclose(frequencies.sum(), 1.0, abs_tol=1e-6):
        raise ValueError
    return Category(values, nulls, frequencies)


def _number(entry: Mapping[str, Any], column: Column) -> Number:
    if column.storage in (Storage.STRING, Storage.BOOL):
        raise ValueError
    base, step, nulls = entry["base"], entry["step"], entry["nulls"]
    if type(base) is not int or type(step) is not int or type(nulls) is not bool:
        raise ValueError
    lo, hi = float(entry["lo"]), float(entry["hi"])
    u, x = (np.array(entry[name], dtype=np.float64) for name in ("knots_u", "knots_x"))
    if not (u.ndim == 1 and u.shape == x.shape and 2 <= u.size <= _MAX_KNOTS):
        raise ValueError
    if not np.isfinite([*u, *x, lo, hi]).all() or (np.diff(u) < 0).any() or (np.diff(x) < 0).any():
        raise ValueError
    if lo > hi or (u[0], u[-1]) != (0.0, 1.0) or (x[0], x[-1]) != (lo, hi):
        raise ValueError
    if (step == 0) != (column.storage is Storage.DOUBLE) or step < 0 or (step and (lo % 1 or hi % 1)):
        raise ValueError
    if step:
        # Differences are of 64 bits whatever their column is.
        limit = 1 << 63 if "anchor" in entry else 1 << 8 * column.storage.dtype.itemsize - 1
        cells = (base + step * int(lo), base + step * int(hi))
        if not all(-limit <= cell < limit for cell in cells) or not all(
            -(1 << 63) <= number < 1 << 63 for number in (base, step)
        ):
            raise ValueError
    return Number(column.storage, base, step, lo, hi, u, x, nulls)
