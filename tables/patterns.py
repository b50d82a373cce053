"""Which texts are numbers, dates and so on: masks over an array of distinct strings, and their values.

All patterns are anchored and take surrounding blanks for nothing. A text has
the shape only if its value exists: 2023-02-29 is no date.
"""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask: TypeAlias = npt.NDArray[np.bool_]

# What tools write for a missing number: R, pandas, SQL, SAS, spreadsheets, UCI.
_MISSING = r"(?i)^(na|n/a|#n/a|<na>|nan|nat|null|none|nil|missing|\?|\.|-|)$"
_INTEGER = r"^[+-]?(0|[1-9][0-9]*)$"
_PADDED = r"^[+-]?0[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_DAY = (
    r"[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    r"|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))"
)
_CLOCK = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_DATE = f"^{_DAY}$"
_LOCAL = f"^{_DAY}{_CLOCK}$"
_ZONED = rf"^{_DAY}{_CLOCK} ?(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])$"
_TRUTH = r"(?i)^(true|false)$"
_YES, _NO = r"(?i)^(true|t|yes|y|1|1\.0)$", r"(?i)^(false|f|no|n|0|0\.0)$"
# ISO 8601, days and below; signs within, as java.time.Duration and our own CSV write them.
_ISO_SPAN = r"^-?P(-?[0-9]{1,6}D)?(T(-?[0-9]{1,8}H)?(-?[0-9]{1,8}M)?(-?[0-9]{1,10}(\.[0-9]{1,9})?S)?)?$"
_CLOCK_SPAN = (
    r"^-?[0-9]{1,6} days?( [+-]?[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?)?$"  # as pandas writes them
)
_CODE = r"^[A-Za-z]{1,3}[-. ]?[0-9]"


class Patterns:
    """Masks over distinct texts [d]; each is computed when asked for."""

    def __init__(self, texts: pa.StringArray) -> None:
        self.texts = pc.utf8_trim_whitespace(texts)

    def __len__(self) -> int:
        return len(self.texts)

    def match(self, pattern: str) -> Mask:
        """Which texts a regular expression (RE2) matches, [d]."""
        mask: Mask = pc.match_substring_regex(self.texts, pattern).to_numpy(zero_copy_only=False)
        return mask.astype(np.bool_)

    @cached_property
    def missing(self) -> Mask:
        """Marks of a missing number or date; in columns of text they are text."""
        return self.match(_MISSING)

    @cached_property
    def integer(self) -> Mask:
        """Whole numbers without leading zeros."""
        return self.match(_INTEGER)

    @cached_property
    def padded(self) -> Mask:
        """Digits behind a zero: codes such as postal codes, not numbers."""
        return self.match(_PADDED)

    @cached_property
    def number(self) -> Mask:
        """Numbers with a decimal point or none, finite in binary64."""
        mask = self.match(_NUMBER)
        long = mask & (pc.utf8_length(self.texts).to_numpy(zero_copy_only=False) > 300)
        exponent = mask & self.match(r"[eE][+-]?[0-9]{3}$")
        for i in np.flatnonzero(long | exponent):
            mask[i] = np.isfinite(float(self.texts[int(i)].as_py()))
        return mask

    @cached_property
    def date(self) -> Mask:
        """ISO 8601 days."""
        return self._existing(_DATE)

    @cached_property
    def local(self) -> Mask:
        """ISO 8601 days with a time of day and no zone."""
        return self._existing(_LOCAL)

    @cached_property
    def zoned(self) -> Mask:
        """ISO 8601 days with a time of day and an offset from UTC."""
        return self._existing(_ZONED)

    @cached_property
    def truth(self) -> Mask:
        """The words true and false."""
        return self.match(_TRUTH)

    @cached_property
    def yes(self) -> Mask:
        """Ways to say true where a boolean is declared."""
        return self.match(_YES)

    @cached_property
    def no(self) -> Mask:
        """Ways to say false where a boolean is declared."""
        return self.match(_NO)

    @cached_property
    def span(self) -> Mask:
        """Lengths of time, ISO 8601 ("PT90M") or as pandas writes them ("1 days 02:00:00")."""
        iso = self.match(_ISO_SPAN)
        if iso.any():
            iso &= self.match("[0-9]") & ~self.match("T$")
        return iso | self.match(_CLOCK_SPAN)

    @cached_property
    def code(self) -> Mask:
        """Letters and then digits, as ICD's V57 and E909 among numbers."""
        return self.match(_CODE)

    def integers(self, where: Mask) -> tuple[npt.NDArray[np.int64], Mask]:
        """Values of whole numbers at a mask, [d], and which of them int64 cannot hold."""
        values = np.zeros(len(self), dtype=np.int64)
        large = np.zeros(len(self), dtype=np.bool_)
        chosen = self.texts if where.all() else self.texts.filter(pa.array(where))
        if pc.any(pc.starts_with(chosen, "+")).as_py():
            chosen = pc.replace_substring_regex(chosen, r"^\+", "")
        try:
            values[where] = pc.cast(chosen, pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            for i, text in zip(np.flatnonzero(where), chosen.to_pylist(), strict=True):
                value = int(text) if len(text) < 30 else 2**63
                large[i] = not -(2**63) <= value < 2**63
                values[i] = 0 if large[i] else value
        return values, large

    def numbers(self, where: Mask) -> npt.NDArray[np.float64]:
        """Values of numbers at a mask, [d]."""
        values = np.zeros(len(self), dtype=np.float64)
        values[where] = pc.cast(self.texts.filter(pa.array(where)), pa.float64()).to_numpy(
            zero_copy_only=False
        )
        return values

    def days(self, where: Mask) -> npt.NDArray[np.int32]:
        """Days since 1970-01-01 of dates at a mask, [d]."""
        values = np.zeros(len(self), dtype=np.int32)
        chosen = pc.cast(self.texts.filter(pa.array(where)), pa.date32())
        values[where] = pc.cast(chosen, pa.int32()).to_numpy(zero_copy_only=False)
        return values

    def instants(self, where: Mask) -> npt.NDArray[np.int64]:
        """Microseconds since 1970-01-01 of dates and times at a mask, [d]; digits below are cut."""
        values = np.zeros(len(self), dtype=np.int64)
        texts = self.texts
        if pc.any(pc.match_substring(texts, ".")).as_py():
            texts = pc.replace_substring_regex(texts, r"(\.[0-9]{6})[0-9]+", r"\1")
        if self.zoned.any():
            texts = pc.replace_substring_regex(texts, r" ?(Z|[+-][0-9]{2}:?[0-9]{2})$", r"\1")
        for part, type_ in ((self.zoned, pa.timestamp("us", "UTC")), (~self.zoned, pa.timestamp("us"))):
            chosen = where & part
            cast = pc.cast(texts.filter(pa.array(chosen)), type_)
            values[chosen] = pc.cast(cast, pa.int64()).to_numpy(zero_copy_only=False)
        return values

    def spans(self, where: Mask) -> npt.NDArray[np.int64]:
        """Microseconds of lengths of time at a mask, [d]; digits below are cut."""
        values = np.zeros(len(self), dtype=np.int64)
        for i in np.flatnonzero(where):
            values[i] = _span(self.texts[int(i)].as_py())
        return values

    @cached_property
    def _dashed(self) -> bool:
        # Most columns hold no day at all, which a short pattern tells sooner than three long ones.
        return bool(self.match("^[0-9]{4}-").any())

    def _existing(self, pattern: str) -> Mask:
        """Which texts match the pattern of a day and name one that exists."""
        return self.match(pattern) & ~self._absent if self._dashed else np.zeros(len(self), dtype=np.bool_)

    @cached_property
    def _absent(self) -> Mask:
        """Days that never were: in the year 0, and 29 February of most years."""
        mask = self.match("^[0-9]{4}-02-29")
        for i in np.flatnonzero(mask):
            year = int(self.texts[int(i)].as_py()[:4])
            mask[i] = year % 4 != 0 or (year % 100 == 0 and year % 400 != 0)
        return mask | self.match("^0000")


def _span(text: str) -> int:
    if "day" in text:
        days, _, clock = text.replace("days", "day").partition(" day")
        total = int(days) * 86_400_000_000
        if clock.strip():
            sign = -1 if clock.strip().startswith("-") else 1
            hours, minutes, seconds = clock.strip().lstrip("+-").split(":")
            total += sign * ((int(hours) * 60 + int(minutes)) * 60_000_000 + _micros(seconds))
        return total
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    before, _, after = body[1:].partition("T")
    parts = {"D": 86_400, "H": 3_600, "M": 60}
    total, digits = 0, ""
    for character in before + after:
        if character.isdigit() or character in "-.":
            digits += character
        else:
            total += _micros(digits) if character == "S" else int(digits) * parts[character] * 1_000_000
            digits = ""
    return sign * total


def _micros(seconds: str) -> int:
    whole, _, fraction = seconds.lstrip("-").partition(".")
    micros = int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    return -micros if seconds.startswith("-") else micros
