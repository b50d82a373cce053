"""Heat maps: a cell's shade is its value, in words on request."""

from __future__ import annotations

import math

from evaluators.report.plot import Plot
from evaluators.report.svg import FONT, Svg, cut, number, width

_SHADES = 20
_LABEL = 104.0
"""The most room that names beside and below the cells take."""
_WORDS = 14
"""Up to so many columns the cells show their values."""


def heatmap(plot: Plot, ident: str, wide: float) -> str:
    """The picture, as wide as it may be."""
    svg = Svg(ident, plot.title, plot.description)
    columns, rows = plot.categories, [curve.name for curve in plot.curves]
    left = min(_LABEL, wide * 0.3, max(width(name) for name in rows) + 8)
    foot = min(_LABEL, max(width(name) for name in columns) + 8)
    size = min(44.0, (wide - left - 6) / len(columns))
    tall = size if len(rows) > 1 else max(size, 18.0)
    top = 6.0
    low, high = _ends(plot)
    reach = max(abs(low), abs(high)) or 1.0
    shaded: dict[tuple[str, int], list[str]] = {}
    for i, curve in enumerate(plot.curves):
        for j in range(len(columns)):
            value = curve.y[j] if j < len(curve.y) else math.nan
            kind, shade = _shade(value, low, high, reach)
            shaded.setdefault((kind, shade), []).append(
                f"M{left + j * size:.1f} {top + i * tall:.1f}h{size:.1f}v{tall:.1f}h-{size:.1f}z"
            )
    for (kind, shade), cells in sorted(shaded.items()):
        opacity = None if kind == "gap" else shade / _SHADES
        svg.add("path", d="".join(cells), class_=f"cell {kind}", fill_opacity=opacity)
    if len(columns) <= _WORDS and size >= 24:
        _words(svg, plot, left, top, size, tall, reach)
    bottom = top + tall * len(rows)
    svg.add("rect", x=left, y=top, width=size * len(columns), height=bottom - top, class_="frame")
    _names(svg, plot, left, top, bottom, size, tall, foot)
    return svg.done(wide, _scale(svg, plot, low, high, reach, left, bottom + foot, wide))


def _ends(plot: Plot) -> tuple[float, float]:
    values = [y for curve in plot.curves for y in curve.y if math.isfinite(y)]
    low = min(0.0, *values) if plot.y_min is None else plot.y_min
    high = max(0.0, *values) if plot.y_max is None else plot.y_max
    return (low, high) if high > low else (low, low + 1)


def _shade(value: float, low: float, high: float, reach: float) -> tuple[str, int]:
    """The class and how full: from 0 on, so that nothing is blank; above and below it differ in colour."""
    if not math.isfinite(value):
        return "gap", 0
    within = min(max(value, low), high)
    return ("less" if within < 0 else "more"), round(abs(within) / reach * _SHADES)


def _words(svg: Svg, plot: Plot, left: float, top: float, size: float, tall: float, reach: float) -> None:
    for i, curve in enumerate(plot.curves):
        for j, value in enumerate(curve.y[: len(plot.categories)]):
            dark = math.isfinite(value) and abs(value) / reach > 0.6
            text = _two(value)
            svg.add(
                "text",
                text,
                x=left + (j + 0.5) * size,
                y=top + (i + 0.5) * tall + 3,
                text_anchor="middle",
                font_size=9 if size >= 28 else 8,
                class_="in dark" if dark else "in",
            )


def _two(value: float) -> str:
    """A correlation without its leading zero: cells are narrow."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 10:
        return number(value)
    text = f"{value:.2f}".replace("-", "−")
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _names(
    svg: Svg, plot: Plot, left: float, top: float, bottom: float, size: float, tall: float, foot: float
) -> None:
    every = max(1, math.ceil((FONT + 1) / tall))
    for i, curve in enumerate(plot.curves):
        if i % every == 0:
            svg.label(curve.name, left - 5, top + (i + 0.5) * tall + 4, left - 6, text_anchor="end")
    every = max(1, math.ceil((FONT + 1) / size))
    for j, name in enumerate(plot.categories):
        if j % every == 0:
            x, y = left + (j + 0.5) * size + 4, bottom + 6
            svg.add(
                "text",
                cut(name, foot - 6),
                transform=f"translate({x:.1f} {y:.1f}) rotate(-90)",
                text_anchor="end",
            )


def _scale(
    svg: Svg, plot: Plot, low: float, high: float, reach: float, left: float, top: float, wide: float
) -> float:
    """What shades mean; how high the picture is."""
    steps, y = 10, top + 8
    long = min(160.0, wide - left - 60)
    for at in range(steps):
        value = low + (high - low) * (at + 0.5) / steps
        kind, shade = _shade(value, low, high, reach)
        svg.add(
            "rect",
            x=left + at * long / steps,
            y=y,
            width=long / steps,
            height=9,
            class_=f"cell {kind}",
            fill_opacity=shade / _SHADES,
        )
    svg.add("rect", x=left, y=y, width=long, height=9, class_="frame")
    svg.add("text", number(low), x=left, y=y + 22, text_anchor="middle")
    svg.add("text", number(high), x=left + long, y=y + 22, text_anchor="middle")
    if low < 0 < high:
        svg.add("text", "0", x=left - low / (high - low) * long, y=y + 22, text_anchor="middle")
    if any(not math.isfinite(y) for curve in plot.curves for y in curve.y):
        svg.add("rect", x=left + long + 16, y=y, width=11, height=9, class_="cell gap")
        svg.add("text", "no value", x=left + long + 31, y=y + 9)
    return y + 28
