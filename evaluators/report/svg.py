"""What pictures are made of: safe text, estimated widths, ticks, and an SVG element by element.

Colours are classes of report.css, so that dark mode and print can change them;
there is no style attribute, which a content security policy would refuse.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from html import escape

FONT = 11.0
"""The size of all text, in pixels of the picture."""
_WIDTH = 0.62
"""Of a common character, in ems of a wide sans-serif face; wide ones are one em."""
# Control characters but tab and newline; overrides of the writing direction, which would turn what follows;
# halves of surrogate pairs and non-characters, which no file may hold.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def clean(text: object) -> str:
    """Text that any page may hold (not escaped): on one line, without what cannot be shown."""
    return " ".join(_UNSAFE.sub("\ufffd", str(text)).split())


def width(text: str, size: float = FONT) -> float:
    """How wide text is, in pixels, roughly and rather too much than too little."""
    ems = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else _char(c) for c in text)
    return ems * size


def _char(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if character in "MW@%mw—…":
        return 0.9
    return (
        0.68
        if character.isupper() or character == "_"
        else 0.36
        if character in "iljt.,:;|'!()[] "
        else _WIDTH
    )


def cut(text: str, room: float, size: float = FONT) -> str:
    """Text cut to `room` pixels, with an ellipsis where something is lacking."""
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def number(value: float) -> str:
    """A number for a tick or a cell, of about three digits."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e−").replace("-", "−").replace("e+", "e")
    digits = max(0, 2 - math.floor(math.log10(size)))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−").replace(",", " ")


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that span [low, high]; at most about `most`."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low if math.isfinite(low) else 0.0]
    raw = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(at * step, 12) for at in range(first, last + 1)]


def spanned(low: float, high: float, most: int = 6) -> tuple[float, float]:
    """The range, widened to round numbers."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        return low - pad, high + pad
    steps = ticks(low, high, most)
    if len(steps) < 2:
        return low, high
    step = steps[1] - steps[0]
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


class Scale:
    """From values to pixels, linear or logarithmic."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool = False) -> None:
        self.low, self.high, self.log = low, high, log
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        """Where it is; values beyond the ends are drawn there."""
        within = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(within / self.low) / math.log(self.high / self.low)
        else:
            share = (within - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers on it."""
        if not self.log:
            return ticks(self.low, self.high, most)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        return [10.0**power for power in range(first, last + 1)]


class Svg:
    """A picture that grows by elements; sizes in pixels."""

    def __init__(self, ident: str, title: str, description: str) -> None:
        self._parts: list[str] = []
        self._ident, self._title, self._description = ident, title, description

    def add(self, tag: str, text: str | None = None, **attributes: object) -> None:
        """An element; `class_` is class, other underscores are hyphens; numbers are rounded."""
        said = "".join(
            f' {_key(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None
        )
        self._parts.append(f"<{tag}{said}/>" if text is None else f"<{tag}{said}>{escape(text)}</{tag}>")

    def label(self, text: str, x: float, y: float, room: float, **attributes: object) -> None:
        """Text cut to `room`; the whole of it is told where it was cut."""
        short = cut(text, room)
        if short == text:
            self.add("text", text, x=x, y=y, **attributes)
            return
        said = "".join(
            f' {_key(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None
        )
        self._parts.append(
            f'<text x="{_value(x)}" y="{_value(y)}"{said}><title>{escape(text)}</title>{escape(short)}</text>'
        )

    def done(self, wide: float, high: float) -> str:
        """The whole element, with title and description for those who cannot see it."""
        at, title, description = self._ident, escape(self._title), escape(self._description)
        w, h = _value(wide), _value(high)
        return (
            f'<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
            f'role="img" aria-labelledby="t{at} d{at}"><title id="t{at}">{title}</title>'
            f'<desc id="d{at}">{description}</desc>{"".join(self._parts)}</svg>'
        )


def legend(
    svg: Svg, names: Sequence[str], marks: Sequence[str], left: float, wide: float, kind: str
) -> float:
    """Marks and names in rows from the top, within `wide`; how high that is."""
    x, y = left, 12.0
    for name, mark in zip(names, marks, strict=True):
        room = min(width(name), wide - 24)
        if x > left and x + 20 + room > left + wide:
            x, y = left, y + 17
        if kind == "line" or mark == "ref":
            svg.add("line", x1=x, x2=x + 16, y1=y - 4, y2=y - 4, class_=f"line {mark}")
        elif kind == "point":
            svg.add("circle", cx=x + 5, cy=y - 4, r=4, class_=f"point {mark}")
        else:
            svg.add("rect", x=x, y=y - 9, width=11, height=10, class_=f"bar {mark}")
        shift = 21 if kind == "line" or mark == "ref" else 16
        svg.label(name, x + shift, y, room + 1)
        x += shift + room + 14
    return y + 8


def _key(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key


def _value(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else escape(str(value))
