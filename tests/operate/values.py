"""The values of panels as people read them, in Grafana's units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from tests.operate.dashboards import Panel, Target, called

SHOWN = 3
_STEPS: dict[str, tuple[float, tuple[str, ...]]] = {
    "bytes": (1024, ("B", "KiB", "MiB", "GiB", "TiB")),
    "Bps": (1000, ("B/s", "kB/s", "MB/s", "GB/s")),
    "binBps": (1024, ("B/s", "KiB/s", "MiB/s", "GiB/s")),
    "short": (1000, ("", " k", " M", " G")),
    "rowsps": (1000, ("rows/s", "k rows/s", "M rows/s")),
    "reqps": (1000, ("req/s", "k req/s")),
    "ops": (1000, ("ops/s", "k ops/s")),
}


def reading(panel: Panel, ask: Callable[[Target], list[Any]]) -> str:
    """What a panel shows at the end: of each target the greatest series by name, and how many more."""
    parts = []
    for target in panel.targets:
        if panel.kind == "heatmap":
            seen = max(value for _, value in _latest(target, ask(target)))
            parts.append(f"{seen:.4g} in buckets")
            continue
        latest = sorted(_latest(target, ask(target)), key=lambda pair: -pair[1])
        told = [f"{name} {humane(value, panel.unit)}".strip() for name, value in latest[:SHOWN]]
        if len(latest) > SHOWN:
            told.append(f"and {len(latest) - SHOWN} more")
        parts.append(", ".join(told) or "nothing")
    return "; ".join(parts)


def _latest(target: Target, answer: list[Any]) -> Iterable[tuple[str, float]]:
    """The last finite value of each series that has one."""
    for series in answer:
        values = [float(value) for _, value in series.get("values") or [series["value"]]]
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            yield called(target.legend, series["metric"]), finite[-1]


def humane(value: float, unit: str) -> str:
    """A value with its unit, such as "1.5 MiB" or "12 ms"."""
    if unit in ("s", "dtdurations"):
        return _seconds(value)
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit in _STEPS:
        base, names = _STEPS[unit]
        step = 0
        while abs(value) >= base and step < len(names) - 1:
            value, step = value / base, step + 1
        return f"{value:.3g} {names[step].strip()}".strip() if names[step] else f"{value:.3g}"
    return f"{value:.4g} {'' if unit in ('none', '') else unit}".strip()


def _seconds(value: float) -> str:
    for least, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if abs(value) >= least:
            return f"{value / least:.3g} {name}"
    return f"{value * 1e6:.3g} µs" if value else "0 s"
