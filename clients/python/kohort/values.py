"""Single cells as text, exactly: what conditions, shares and the command line are written in.

The text of a cell is what `kohort.csvio` writes. A bound of a range may lie
between two cells (59.5 for whole numbers); it then means the next cell inside.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import Any, Literal

import numpy as np

from kohort.problem import Problem
from kohort.schema import Column, Storage

Use = Literal["cell", "minimum", "maximum"]

MAX_TEXT = 1 << 16
"""Characters of one value at most."""

# Exact for everything that 64 bits hold: nothing here may round.
_EXACT = Context(prec=100, Emax=10**6, Emin=-(10**6))
_NUMBER = re.compile(r"[+-]?(\d{1,60}(\.\d{0,60})?|\.\d{1,60})([eE][+-]?\d{1,3})?", re.ASCII)
# numpy, and so CSV, writes years before the common era with as many digits as they have.
_DAYS = r"((?:\+?\d{4,7}|-\d{1,7})-\d\d-\d\d)"
_DATE = re.compile(_DAYS, re.ASCII)
_TIME = re.compile(_DAYS + r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_SPAN = re.compile(
    r"([+-])?P(?:([+-]?\d+)W)?(?:([+-]?\d+)D)?"
    r"(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d*(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_SECOND, _DAY = 1_000_000, 86_400_000_000
_INSIDE = {"minimum": ROUND_CEILING, "maximum": ROUND_FLOOR}


def read_value(text: str, column: Column, where: str, use: Use = "cell") -> Any:
    """The cell that a text stands for: bool, int, float or str, as the column's storage has it.

    Args:
        text: as CSV writes it.
        column: with its storage, scale and time zone.
        where: the field to be named when the text is none of the column's.
        use: "minimum" and "maximum" give the next cell inside instead of refusing a
            number between two cells; a day as maximum of a time means its last microsecond.

    Raises:
        Problem: INVALID_REQUEST naming `where`, never the text; CONDITION_UNSUPPORTED for lists.
    """
    if len(text) > MAX_TEXT:
        raise Problem.at("INVALID_REQUEST", where, "is too long")
    match column.storage:
        case Storage.STRING:
            if use != "cell":
                raise Problem.at("INVALID_REQUEST", where, "a column of text has no range")
            return text
        case Storage.BOOL:
            if use != "cell" or text.lower() not in ("true", "false"):
                raise Problem.at("INVALID_REQUEST", where, "must be true or false")
            return text.lower() == "true"
        case Storage.DOUBLE:
            number = float(_decimal(text, where))
            if not math.isfinite(number):
                raise Problem.at("INVALID_REQUEST", where, "is beyond what a double holds")
            return number
        case Storage.INT64:
            return _whole(_decimal(text, where), where, use, 64)
        case Storage.DECIMAL:
            return _whole(_decimal(text, where).scaleb(column.scale, _EXACT), where, use, 64)
        case Storage.DATE:
            found = _DATE.fullmatch(text)
            if not found:
                raise Problem.at("INVALID_REQUEST", where, "must be a date, as 2026-01-31")
            return _bounded(_days(found[1], where), where, 32)
        case Storage.DATETIME:
            return _bounded(_instant(text, column, where, use), where, 64)
        case Storage.DURATION:
            return _whole(_span(text, where), where, use, 64)
        case _:
            raise Problem.at("CONDITION_UNSUPPORTED", where, "cells of this kind cannot be asked for")


def text_of(value: Any) -> str:
    """The text of a Python or numpy value, as `read_value` reads it.

    Raises:
        TypeError: a value of another type; None is no value.
    """
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = value.astype("M8[us]" if isinstance(value, np.datetime64) else "m8[us]").item()
    elif isinstance(value, np.generic):
        value = value.item()
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case Decimal() if value.is_finite():
            return format(value, "f")
        case datetime():
            if value.tzinfo is None:
                return value.isoformat(timespec="microseconds")
            utc = value.astimezone(UTC).replace(tzinfo=None)
            return utc.isoformat(timespec="microseconds") + "Z"
        case date():
            return value.isoformat()
        case timedelta():
            micros = value // timedelta(microseconds=1)
            return f"PT{Decimal(micros).scaleb(-6, _EXACT):f}S"
    raise TypeError(f"a {type(value).__name__} is no value of a cell")


def _decimal(text: str, where: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise Problem.at("INVALID_REQUEST", where, "must be a number")
    try:
        return _EXACT.create_decimal(text)
    except InvalidOperation:
        raise Problem.at("INVALID_REQUEST", where, "must be a number") from None


def _whole(number: Decimal, where: str, use: Use, bits: int) -> int:
    whole = number.to_integral_value(_INSIDE.get(use), _EXACT)
    if use == "cell" and whole != number:
        raise Problem.at("INVALID_REQUEST", where, "has more digits after the point than the column")
    limit = 1 << bits - 1
    # A bound on the far side of all cells is none.
    if use == "minimum":
        whole = max(whole, Decimal(-limit))
    elif use == "maximum":
        whole = min(whole, Decimal(limit - 1))
    return _bounded(int(whole), where, bits)


def _bounded(number: int, where: str, bits: int) -> int:
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise Problem.at("INVALID_REQUEST", where, "is beyond what the column can hold")
    return number


def _days(text: str, where: str) -> int:
    try:
        return int(np.datetime64(text.removeprefix("+"), "D").astype(np.int64))
    except ValueError:
        raise Problem.at("INVALID_REQUEST", where, "is no day of the calendar") from None


def _instant(text: str, column: Column, where: str, use: Use) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise Problem.at("INVALID_REQUEST", where, "must be a date and time, as 2026-01-31T08:30:00")
    day, hour, minute, second, part, zone = found.groups()
    if zone and not column.time_zone:
        raise Problem.at("INVALID_REQUEST", where, "has a time zone, which the column has not")
    micros = _days(day, where) * _DAY
    if hour is None:
        return micros + (_DAY - 1 if use == "maximum" else 0)
    clock = int(hour), int(minute), int(second or 0)
    if clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        raise Problem.at("INVALID_REQUEST", where, "is no time of the day")
    micros += ((clock[0] * 60 + clock[1]) * 60 + clock[2]) * _SECOND + int((part or ".0")[1:].ljust(6, "0"))
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 60 + int(zone[-2:])
        micros -= (-offset if zone[0] == "-" else offset) * 60 * _SECOND
    return micros


def _span(text: str, where: str) -> Decimal:
    """Microseconds."""
    found = _SPAN.fullmatch(text)
    if (
        not found
        or len(text) > 64
        or not any(part not in (None, "", "-", "+") for part in found.groups()[1:])
    ):
        raise Problem.at("INVALID_REQUEST", where, "must be a duration, as PT90M or PT1.5S")
    sign, *parts = found.groups()
    lengths = (7 * 86_400, 86_400, 3_600, 60, 1)
    try:
        seconds = sum(
            (
                _EXACT.multiply(Decimal(part), Decimal(n))
                for part, n in zip(parts, lengths, strict=True)
                if part
            ),
            Decimal(0),
        )
    except InvalidOperation:
        raise Problem.at("INVALID_REQUEST", where, "must be a duration, as PT90M or PT1.5S") from None
    return (-seconds if sign == "-" else seconds).scaleb(6, _EXACT)
