"""Draws a selection of the panels with matplotlib, from the same queries. It is not Grafana."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tests.operate.dashboards import Panel, Target, called
from tests.operate.values import humane

SHOWN = {
    "kohort-service": (
        "Calls by RPC",
        "Calls that did not end well, by code",
        "Duration of short calls",
        "Durations of short calls",
        "Duration of short calls, p95 by RPC",
        "Readiness",
    ),
    "kohort-jobs": (
        "Jobs that are not over",
        "Wait for a worker",
        "Trainings that ended",
        "Mean duration of phases",
        "Time by phase",
        "Failures by reason",
    ),
    "kohort-training": (
        "Loss by name",
        "Gradient norm",
        "Rows per second by trainer",
        "Privacy now",
        "Models by release state",
        "Time until fitted",
    ),
    "kohort-sampling": (
        "Rows per second by format",
        "Time to first rows",
        "Mean time of stages",
        "Units drawn and sent",
        "Models looked up",
        "Refused samples",
    ),
    "kohort-devices": ("Cores in use", "Memory in use"),
    "kohort-store": (
        "Calls",
        "Duration of calls",
        "Durations of calls",
        "Blobs by kind",
        "Reading an upload",
        "Free share by machine",
    ),
}
"""Panels by dashboard; its figures of the first row are always there."""
LINES = 5
"""The greatest series of a panel that are drawn."""
POINTS = 120
_COLUMNS = 3
Ask = Callable[[Target], list[Any]]


def draw(panels: list[Panel], ask: Ask, folder: Path) -> None:
    """Writes `dashboards-NAME.svg` for each dashboard."""
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "kohort", "font.size": 8, "font.family": "sans-serif"}
    ):
        for uid, titles in SHOWN.items():
            own = [panel for panel in panels if panel.dashboard == uid]
            figure = _page(own, titles, ask)
            figure.savefig(folder / f"dashboards-{uid.removeprefix('kohort-')}.svg", metadata={"Date": None})


def _page(panels: list[Panel], titles: tuple[str, ...], ask: Ask) -> Figure:
    figures = [panel for panel in panels if panel.kind in ("stat", "gauge") and not panel.needs_gpu][:6]
    chosen = [next(p for p in panels if p.title == title and p not in figures) for title in titles]
    rows = math.ceil(len(chosen) / _COLUMNS)
    page = Figure(figsize=(12, 0.9 + 2.3 * rows), layout="constrained")
    top, below = page.subfigures(2, 1, height_ratios=[0.9, 2.3 * rows])
    for axes, panel in zip(np.atleast_1d(top.subplots(1, len(figures))), figures, strict=True):
        _figure(axes, panel, ask)
    places = np.atleast_1d(below.subplots(rows, min(_COLUMNS, len(chosen)))).ravel()
    for axes, panel in zip(places, chosen, strict=False):
        _KINDS[panel.kind](axes, panel, ask)
        axes.set_title(panel.title, loc="left", fontsize=9, fontweight="bold")
        axes.tick_params(labelsize=7, length=2)
    for axes in places[len(chosen) :]:
        axes.set_axis_off()
    return page


def _figure(axes: Axes, panel: Panel, ask: Ask) -> None:
    """One number, large."""
    axes.set_axis_off()
    found = [_finite(series) for target in panel.targets for series in ask(target)]
    latest = [course[1][-1] for course in found if course[1].size]
    text = humane(max(latest), panel.unit) if latest else "none"
    axes.text(0.5, 0.35, text, ha="center", va="center", fontsize=17, color="#1f5f9f")
    axes.text(0.5, 0.95, panel.title, ha="center", va="center", fontsize=8, color="#555555")


def _lines(axes: Axes, panel: Panel, ask: Ask) -> None:
    for place, target in enumerate(panel.targets):
        courses = [(called(target.legend, series["metric"]), *_finite(series)) for series in ask(target)]
        kept = sorted(
            (c for c in courses if c[2].size and not c[0].startswith("limit")),
            key=lambda c: -float(np.max(c[2])),
        )[:LINES]
        for name, seconds, values in kept:
            seconds, values = _broken(seconds, values)
            axes.plot(seconds, values, label=name or panel.title, linewidth=1.2, alpha=1 - 0.15 * place)
    axes.margins(x=0)
    _scale(axes, panel)
    if axes.lines:
        axes.legend(fontsize=6.5, loc="best", frameon=True, framealpha=0.75, edgecolor="none")


def _broken(seconds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, with a hole wherever there was none to draw."""
    steps = np.diff(seconds)
    gaps = np.flatnonzero(steps > 3 * np.median(steps)) + 1 if steps.size else np.zeros(0, np.int64)
    return np.insert(seconds, gaps, math.nan), np.insert(values, gaps, math.nan)


def _bars(axes: Axes, panel: Panel, ask: Ask) -> None:
    latest = {}
    for target in panel.targets:
        for series in ask(target):
            _, values = _finite(series)
            if values.size:
                latest[called(target.legend, series["metric"])] = float(values[-1])
    kept = sorted(latest.items(), key=lambda pair: pair[1])[-8:]
    axes.barh([name for name, _ in kept], [value for _, value in kept], color="#4c8cbf", height=0.65)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: humane(value, panel.unit)))
    axes.spines[["top", "right"]].set_visible(False)


def _heat(axes: Axes, panel: Panel, ask: Ask) -> None:
    """Buckets over time; each as many as it has more than the one below."""
    found = {float(series["metric"]["le"]): _finite(series) for series in ask(panel.targets[0])}
    bounds = sorted(found)
    seconds = found[bounds[-1]][0]
    below = np.zeros(seconds.size)
    rows = []
    for bound in bounds:
        counts = np.interp(seconds, *found[bound]) if found[bound][0].size else below
        rows.append(np.maximum(counts - below, 0))
        below = np.maximum(counts, below)
    shown = axes.imshow(
        np.sqrt(rows), aspect="auto", origin="lower", cmap="Oranges", interpolation="nearest",
        extent=(0, float(seconds[-1]), -0.5, len(bounds) - 0.5),
    )  # fmt: skip
    shown.set_rasterized(True)
    axes.set_yticks(range(0, len(bounds), 2), [_bound(bound) for bound in bounds[::2]])
    axes.set_xlabel("seconds", fontsize=7)


def _bound(bound: float) -> str:
    return "more" if math.isinf(bound) else f"≤ {humane(bound, 's')}"


def _blocks(axes: Axes, panel: Panel, ask: Ask) -> None:
    names = []
    for place, series in enumerate(ask(panel.targets[0])):
        seconds, values = _finite(series)
        names.append(called(panel.targets[0].legend, series["metric"]).rpartition(".")[2])
        changes = [0, *(np.flatnonzero(np.diff(values)) + 1), values.size - 1]
        for first, last in pairwise(changes):
            colour = "#7fbf7f" if values[first] == 1 else "#d9534f"
            axes.broken_barh(
                [(seconds[first], seconds[last] - seconds[first])], (place - 0.4, 0.8), color=colour
            )
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("seconds", fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: Axes, panel: Panel) -> None:
    low, _ = axes.get_ylim()
    axes.set_ylim(bottom=min(low, 0) if low < 0 else 0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: humane(value, panel.unit)))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("seconds", fontsize=7)


def _finite(series: Any) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since the beginning and the values there, thinned; those that are not finite left out."""
    pairs = np.array([(float(t), float(v)) for t, v in series.get("values") or [series["value"]]])
    pairs = pairs[:: max(1, len(pairs) // POINTS)]
    pairs = pairs[np.isfinite(pairs[:, 1])]
    return pairs[:, 0], pairs[:, 1]


_KINDS = {"timeseries": _lines, "bargauge": _bars, "heatmap": _heat, "state-timeline": _blocks}
