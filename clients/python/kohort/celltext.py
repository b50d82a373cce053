"""Single cells written as text, as CSV writes them: what constraints and conditions name values by.

Everything is exact: a number becomes a `Fraction` of the column's own steps
(units of the last digit of a decimal, days, microseconds), never a float.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from kohort.schema import Column, Storage

NUMERIC = frozenset(
    {
        Storage.INT64,
        Storage.DOUBLE,
        Storage.DECIMAL,
        Storage.DATE,
        Storage.DATETIME,
        Storage.DURATION,
    }
)
"""Storages whose cells have an order."""

_DAY = re.compile(r"\d{4,}-\d{2}-\d{2}")
_MOMENT = re.compile(
    r"(\d{4,}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))?(Z|[+-]\d{2}:\d{2})?"
)
_SPAN = re.compile(
    r"(-)?P(?:(-?\d{1,7})D)?(?:T(?:(-?\d{1,9})H)?(?:(-?\d{1,10})M)?(?:(-?\d{1,13}(?:\.\d{1,6})?)S)?)?"
)
_LONGEST = 400


def number_of(text: str, column: Column) -> Fraction:
    """The value in units of the cells of a column of `NUMERIC` storage; it need not be a cell itself.

    Raises:
        ValueError: the text is no value of that storage; its message holds no value.
    """
    if len(text) > _LONGEST:
        raise ValueError("is too long")
    text = text.strip()
    match column.storage:
        case Storage.DATE:
            if not _DAY.fullmatch(text):
                raise ValueError("is no date (YYYY-MM-DD)")
            return Fraction(int(_days(text)))
        case Storage.DATETIME:
            return Fraction(_micros(text, zoned=bool(column.time_zone)))
        case Storage.DURATION:
            return _span(text)
        case Storage.DECIMAL:
            return _number(text) * Fraction(10**column.scale)
        case _:
            return _number(text)


def cell_of(text: str, column: Column) -> str | int | float | bool:
    """The cell that a text stands for, as the arrays of a column hold it (strings as they are).

    Raises:
        ValueError: no cell of the column is written so; its message holds no value.
    """
    if column.storage is Storage.STRING:
        return text
    if column.storage is Storage.BOOL:
        known = {"true": True, "1": True, "false": False, "0": False}
        if text.strip().lower() not in known:
            raise ValueError("is neither true nor false")
        return known[text.strip().lower()]
    if column.storage not in NUMERIC:
        raise ValueError("stands for no single cell")
    value = number_of(text, column)
    if column.storage is Storage.DOUBLE:
        return float(text)
    if value.denominator != 1:
        raise ValueError("has more digits than the column")
    if not -(2**63) <= value < 2**63:
        raise ValueError("is beyond 64-bit integers")
    return int(value)


def _number(text: str) -> Fraction:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("is no number") from None
    if not number.is_finite() or abs(number.adjusted()) > _LONGEST:
        raise ValueError("is no finite number")
    return Fraction(number)


def _days(text: str) -> int:
    try:
        return int(np.datetime64(text, "D").astype(np.int64))
    except (ValueError, OverflowError):
        raise ValueError("is no date (YYYY-MM-DD)") from None


def _micros(text: str, *, zoned: bool) -> int:
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError("is no date-time (YYYY-MM-DDThh:mm:ss)")
    day, clock, zone = found.groups()
    if zone and not zoned:
        raise ValueError("has a time zone, but the column has none")
    micros = _days(day) * 86_400_000_000
    try:
        time = datetime.fromisoformat(f"2000-01-01T{clock or '00:00'}{zone or ''}")
    except ValueError:
        raise ValueError("is no date-time (YYYY-MM-DDThh:mm:ss)") from None
    within = time.replace(tzinfo=None) - datetime(2000, 1, 1) - (time.utcoffset() or timedelta())
    return micros + within // timedelta(microseconds=1)


def _span(text: str) -> Fraction:
    found = _SPAN.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        raise ValueError("is no duration (such as PT90M)")
    sign, *parts = found.groups()
    seconds = sum(
        Fraction(part) * size for part, size in zip(parts, (86_400, 3_600, 60, 1), strict=True) if part
    )
    return Fraction(seconds) * 1_000_000 * (-1 if sign else 1)
