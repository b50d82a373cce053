"""The figures of a report, drawn: lines, bars and heat maps of `Figure` in JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from evaluators.report.heatmap import heatmap
from evaluators.report.plot import Curve, Plot
from evaluators.report.svg import FONT, Scale, Svg, cut, legend, number, spanned, width

MOST_BARS = 60
"""Categories of one picture; the table below it has all."""
_LINE = FONT + 4
_ROC_LEAST = 1e-3
"""The lowest false-positive rate of a logarithmic axis."""
_RISING = re.compile(r"(?:below |[<≤] ?|\[|\()?([-−]?\d+(?:\.\d+)?)(?:(?: to |, ?| ?[–-] ?| and ).*)?")
_ASIDE = ("other", "others", "missing", "null")
_SCATTERED = ("dimension_wise_probability",)
"""Lines whose points belong to things without an order."""


def draw(
    figure: Mapping[str, Any], ident: str, wide: float = 640, high: float = 300, *, log_x: bool = False
) -> str:
    """The picture as an SVG element; empty where there is nothing to draw.

    Args:
        figure: the JSON of a `Figure`.
        ident: for the ids within; unique on a page.
        wide: pixels of the picture.
        high: of the picture; horizontal bars and heat maps take what they need.
        log_x: draws x logarithmically, from `_ROC_LEAST` on.
    """
    plot = Plot.of(figure)
    if not any(math.isfinite(y) for curve in plot.curves for y in curve.y):
        return ""
    if plot.kind == "lines":
        return _lines(plot, ident, wide, high, log_x)
    if plot.kind == "bars" and plot.categories:
        return _bars(plot, ident, wide, high)
    if plot.kind == "heatmap" and plot.categories:
        return heatmap(plot, ident, wide)
    return ""


def _range(plot: Plot, *, zero: bool) -> tuple[float, float]:
    ends = [v for c in plot.curves for v in (*c.y, *c.low, *c.high) if math.isfinite(v)]
    low, high = min(ends), max(ends)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    fixed_low, fixed_high = plot.y_min, plot.y_max
    low, high = (low if fixed_low is None else fixed_low), (high if fixed_high is None else fixed_high)
    wide_low, wide_high = spanned(low, high)
    low = wide_low if fixed_low is None else fixed_low
    high = wide_high if fixed_high is None else fixed_high
    return (low, high) if high > low else (low, low + 1)


def _lines(plot: Plot, ident: str, wide: float, high: float, log_x: bool) -> str:
    svg = Svg(ident, plot.title, plot.description)
    scattered = plot.name.partition(":")[0] in _SCATTERED
    top = _legend(svg, plot, wide, "point" if scattered else "line")
    y_low, y_high = _range(plot, zero=False)
    xs = [x for curve in plot.curves for x in curve.x if math.isfinite(x)]
    x_low, x_high = (min(xs), max(xs)) if xs else (0.0, 1.0)
    x_high = x_high if x_high > x_low else x_low + 1
    if log_x:
        drawn = [c for c in plot.curves if c.mark != "ref"]
        first = min((x for curve in drawn for x in curve.x if x > 0), default=_ROC_LEAST)
        least = min(max(_ROC_LEAST, 10.0 ** math.floor(math.log10(first) + 1e-9)), 0.1)
        x_low, x_high = least, max(x_high, least * 10)
    elif 0 < x_low < x_high / 3:
        x_low = 0.0
    bottom = high - _LINE - (_LINE if plot.x_label else 0) - 4
    y = Scale(y_low, y_high, bottom, top)
    left = _y_axis(svg, plot, y, wide, top, bottom)
    x = Scale(x_low, x_high, left, wide - 14, log=log_x)
    steps = x.ticks(max(3, int((wide - left) / 75)))
    for at in steps:
        svg.add("line", x1=x(at), x2=x(at), y1=bottom, y2=bottom + 4, class_="axis")
        svg.add("text", number(at), x=x(at), y=bottom + _LINE + 1, text_anchor="middle")
    _x_label(svg, plot.x_label + (" (logarithmic)" if log_x and plot.x_label else ""), left, wide, high)
    for curve in plot.curves:
        points = list(zip(curve.x, curve.y, strict=False))
        if len(curve.low) == len(curve.high) == len(points) > 1:
            _band(svg, curve, x, y)
        for run in _runs(points, x_low if log_x else None):
            if len(run) == 1 or (scattered and curve.mark != "ref"):
                for a, b in run:
                    svg.add("circle", cx=x(a), cy=y(b), r=3, class_=f"point {curve.mark}")
            else:
                shown = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in run)
                svg.add("polyline", points=shown, class_=f"line {curve.mark}")
    return svg.done(wide, high)


def _runs(points: Sequence[tuple[float, float]], least_x: float | None) -> list[list[tuple[float, float]]]:
    """Stretches without gaps; on a logarithmic axis from `least_x` on, where straight lines bend."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            runs.append([])
        elif least_x is None or not runs[-1]:
            runs[-1].append((x, y))
        else:
            runs[-1] += _bent(runs[-1][-1], (x, y), least_x)
    if least_x is not None:
        runs = [[point for point in run if point[0] >= least_x] for run in runs]
    return [run for run in runs if run]


def _bent(start: tuple[float, float], end: tuple[float, float], least_x: float) -> list[tuple[float, float]]:
    """Points of a straight line after its start, near enough to each other on a logarithmic axis."""
    (a, b), (c, d) = start, end
    first = max(a, least_x)
    if c <= first:
        return [end]
    parts = max(1, math.ceil(20 * math.log10(c / first)))
    xs = [first * (c / first) ** (part / parts) for part in range(0 if first > a else 1, parts)]
    return [*((x, b + (d - b) * (x - a) / (c - a)) for x in xs), end]


def _band(svg: Svg, curve: Curve, x: Scale, y: Scale) -> None:
    edge = [
        point
        for point in zip(curve.x, curve.low, curve.high, strict=True)
        if all(map(math.isfinite, point)) and point[0] >= x.low
    ]
    upper = [f"{x(a):.1f},{y(c):.1f}" for a, _, c in edge]
    lower = [f"{x(a):.1f},{y(b):.1f}" for a, b, _ in reversed(edge)]
    svg.add("polygon", points=" ".join(upper + lower), class_=f"band {curve.mark}")


def _bars(plot: Plot, ident: str, wide: float, high: float) -> str:
    shown = plot.categories[:MOST_BARS]
    slot = (wide - 60) / len(shown)
    longest = max(width(name) for name in shown)
    upright = longest <= slot - 4 or (_ordered(shown) and len(shown) > 3)
    svg = Svg(ident, plot.title, plot.description)
    return (_upright if upright else _lying)(svg, plot, shown, wide, high)


def _ordered(names: Sequence[str]) -> bool:
    """Whether they are rising intervals or evenly rising numbers, of which every nth can stand for all.

    Codes, which may rise too, are unevenly spaced; each has to be named.
    """
    found = [_RISING.fullmatch(name) for name in names if name.casefold() not in _ASIDE]
    starts = [float(match.group(1).replace("−", "-")) for match in found if match]
    if len(starts) < len(found) or any(a > b for a, b in pairwise(starts)):
        return False
    even = len({round(b - a, 9) for a, b in pairwise(starts)}) <= 1
    return even or all(match.group(0) != match.group(1) for match in found if match)


def _upright(svg: Svg, plot: Plot, shown: Sequence[str], wide: float, high: float) -> str:
    top = _legend(svg, plot, wide, "bar")
    bottom = high - _LINE - (_LINE if plot.x_label else 0) - 4
    y = Scale(*_range(plot, zero=True), bottom, top)
    left = _y_axis(svg, plot, y, wide, top, bottom)
    slot = (wide - 8 - left) / len(shown)
    room = max(width(name) for name in shown) + 8
    every = max(1, math.ceil(room / slot))
    for at, name in enumerate(shown):
        start = left + at * slot
        if at % every == 0:
            half = min(start + slot / 2, wide - width(name) / 2)
            svg.label(name, half, bottom + _LINE + 1, every * slot, text_anchor="middle")
        thick = slot * (0.8 if slot > 8 else 0.92) / len(plot.curves)
        for order, curve in enumerate(plot.curves):
            value = curve.y[at] if at < len(curve.y) else math.nan
            if not math.isfinite(value):
                continue
            x = start + slot * 0.1 + order * thick
            a, b = sorted((y(max(0.0, y.low)), y(value)))
            svg.add(
                "rect", x=x, y=a, width=max(0.5, thick), height=max(0.3, b - a), class_=f"bar {curve.mark}"
            )
            if ends := _ends(curve, at):
                middle = x + thick / 2
                svg.add("path", d=f"M{middle:.1f} {y(ends[0]):.1f}V{y(ends[1]):.1f}", class_="whisker")
    svg.add("line", x1=left, x2=wide - 8, y1=y(max(0.0, y.low)), y2=y(max(0.0, y.low)), class_="axis")
    _x_label(svg, plot.x_label, left, wide, high)
    return svg.done(wide, high)


def _lying(svg: Svg, plot: Plot, shown: Sequence[str], wide: float, _high: float) -> str:
    """Categories down the side: their names may be long."""
    top = _legend(svg, plot, wide, "bar") + 2
    thick = 9.0 if len(plot.curves) > 1 else 12.0
    slot = max(_LINE, thick * len(plot.curves)) + 7
    bottom = top + slot * len(shown)
    left = min(wide * 0.42, max(width(name) for name in shown) + 12)
    x = Scale(*_range(plot, zero=True), left, wide - 16)
    for step in x.ticks(max(3, int((wide - left) / 60))):
        svg.add("line", x1=x(step), x2=x(step), y1=top, y2=bottom, class_="grid")
        svg.add("text", number(step), x=x(step), y=bottom + _LINE, text_anchor="middle")
    zero = x(max(0.0, x.low))
    for at, name in enumerate(shown):
        start = top + at * slot + 3.5
        svg.label(name, left - 7, start + (slot - 7) / 2 + 4, left - 8, text_anchor="end")
        pad = (slot - 7 - thick * len(plot.curves)) / 2
        for order, curve in enumerate(plot.curves):
            value = curve.y[at] if at < len(curve.y) else math.nan
            if not math.isfinite(value):
                continue
            y = start + pad + order * thick
            a, b = sorted((zero, x(value)))
            svg.add("rect", x=a, y=y, width=max(0.5, b - a), height=thick - 1, class_=f"bar {curve.mark}")
            if ends := _ends(curve, at):
                svg.add(
                    "path",
                    d=f"M{x(ends[0]):.1f} {y + thick / 2 - 0.5:.1f}H{x(ends[1]):.1f}",
                    class_="whisker",
                )
    svg.add("line", x1=zero, x2=zero, y1=top, y2=bottom, class_="axis")
    high = bottom + _LINE + 5 + (_LINE if plot.y_label else 0)
    _x_label(svg, plot.y_label, left, wide, high)
    return svg.done(wide, high)


def _ends(curve: Curve, at: int) -> tuple[float, float] | None:
    if at >= len(curve.low) or at >= len(curve.high):
        return None
    low, high = curve.low[at], curve.high[at]
    return (low, high) if math.isfinite(low) and math.isfinite(high) and high > low else None


def _legend(svg: Svg, plot: Plot, wide: float, kind: str) -> float:
    if len(plot.curves) == 1 and not plot.curves[0].name:
        return 10
    return legend(svg, [c.name for c in plot.curves], [c.mark for c in plot.curves], 4, wide - 8, kind) + 4


def _y_axis(svg: Svg, plot: Plot, y: Scale, wide: float, top: float, bottom: float) -> float:
    """Draws it with its grid; where the plot begins."""
    steps = y.ticks(max(3, int((bottom - top) / 32)))
    left = 8 + max(width(number(step)) for step in steps) + (_LINE if plot.y_label else 0)
    for step in steps:
        svg.add("line", x1=left, x2=wide - 8, y1=y(step), y2=y(step), class_="grid")
        svg.add("text", number(step), x=left - 5, y=y(step) + 4, text_anchor="end")
    if plot.y_label:
        middle = (top + bottom) / 2
        svg.add(
            "text",
            cut(plot.y_label, bottom - top),
            transform=f"translate({FONT} {middle:.1f}) rotate(-90)",
            text_anchor="middle",
            class_="name",
        )
    return left


def _x_label(svg: Svg, text: str, left: float, wide: float, high: float) -> None:
    if text:
        svg.label(text, (left + wide) / 2, high - 5, wide - left, text_anchor="middle", class_="name")
