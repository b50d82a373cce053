"""A figure of a report, read from its JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.report.svg import clean

_NEUTRAL = ("guessing", "knows nothing", "equal", "chance")


@dataclass(frozen=True)
class Curve:
    """A series with gaps as nan."""

    name: str
    mark: str
    """Its class: its colour."""
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Plot:
    """A figure read from JSON, its texts cleaned."""

    kind: str
    name: str
    title: str
    x_label: str
    y_label: str
    categories: list[str]
    curves: list[Curve]
    y_min: float | None = None
    y_max: float | None = None

    @classmethod
    def of(cls, figure: Mapping[str, Any]) -> Plot:
        """Of the JSON of a `Figure`."""
        found = figure.get("series", ())
        names = [clean(one.get("name", "")) for one in found]
        curves = [
            Curve(name, mark, **{key: floats(one.get(key, ())) for key in ("x", "y", "low", "high")})
            for name, mark, one in zip(names, _marks(names), found, strict=True)
        ]
        return cls(
            kind=figure.get("kind", "").removeprefix("FIGURE_KIND_").lower(),
            name=clean(figure.get("name", "")),
            title=clean(figure.get("title", "") or figure.get("name", "")),
            x_label=clean(figure.get("x_label", "")),
            y_label=clean(figure.get("y_label", "")),
            categories=[clean(name) for name in figure.get("categories", ())],
            curves=curves,
            y_min=_float(figure.get("y_min")),
            y_max=_float(figure.get("y_max")),
        )

    @property
    def description(self) -> str:
        """For those who cannot see it."""
        what = {"lines": "Lines", "bars": "Bars", "heatmap": "A heat map"}.get(self.kind, "A picture")
        axes = ", ".join(
            said
            for said in (
                f"of {self.y_label} over {self.x_label or 'categories'}" if self.y_label else "",
                f"{len(self.categories)} categories" if self.categories else "",
                f"{len(self.curves)} series: {', '.join(c.name for c in self.curves[:8])}"
                if self.curves
                else "",
            )
            if said
        )
        return f"{what} {axes}."


def floats(values: Iterable[object]) -> list[float]:
    """Numbers of JSON, where "NaN" and infinities are texts; infinities become gaps."""
    return [v if math.isfinite(v) else math.nan for v in (float(str(value)) for value in values)]


def _float(value: object) -> float | None:
    found = None if value is None else float(str(value))
    return found if found is not None and math.isfinite(found) else None


def _marks(names: Sequence[str]) -> list[str]:
    """Colours: synthetic rows have the same one in every picture, and guessing has none."""
    free = [number for number in range(8) if number != 1]
    found, next_free = [], 0
    for name in names:
        plain = name.casefold()
        if plain in _NEUTRAL:
            found.append("ref")
        elif "synthetic" in plain and "s1" not in found:
            found.append("s1")
        else:
            found.append(f"s{free[next_free % len(free)]}")
            next_free += 1
    return found
