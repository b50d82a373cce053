"""What an evaluation says: values, pictures, and what was left out.

The JSON of each is that of the message of the same name in evaluation.proto
(proto3's JSON mapping, field names as in the protos); a number that is not
finite is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

FORMAT = 1
"""The version of what metrics and figures mean."""


class Family(StrEnum):
    """The subject of a metric (`MetricFamily`)."""

    FIDELITY = "fidelity"
    UTILITY = "utility"
    PRIVACY = "privacy"
    FAIRNESS = "fairness"


class Direction(StrEnum):
    """Which values are better (`MetricDirection`)."""

    UNSPECIFIED = "unspecified"
    HIGHER = "higher"
    LOWER = "lower"
    TARGET = "target"


class FigureKind(StrEnum):
    """How a figure is drawn (`FigureKind`)."""

    LINES = "lines"
    BARS = "bars"
    HEATMAP = "heatmap"


@dataclass(frozen=True)
class MetricInfo:
    """What a metric is (`MetricInfo`); one per name, beside the code that computes it."""

    name: str
    family: Family
    title: str
    description: str
    direction: Direction = Direction.HIGHER
    target: float | None = None
    reference: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return _said(
            {
                "name": self.name,
                "family": f"METRIC_FAMILY_{self.family.name}",
                "title": self.title,
                "description": self.description,
                "direction": f"METRIC_DIRECTION_{self.direction.name}",
                "target": self.target,
                "reference": self.reference,
            }
        )


@dataclass(frozen=True)
class Interval:
    """A confidence interval (`Interval`)."""

    low: float
    high: float
    method: str
    level: float = 0.95

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"low": self.low, "high": self.high, "level": self.level, "method": self.method}


@dataclass(frozen=True)
class Metric:
    """One value (`Metric`); `run` fills in the table."""

    name: str
    value: float
    columns: tuple[str, ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)
    """What else tells values of one name apart: keys such as "model", "target", "attack", "fpr", "group"."""
    interval: Interval | None = None
    baseline: float | None = None
    """The same with real rows in the place of the synthetic ones: the best that can be attained."""
    baseline_interval: Interval | None = None
    null_value: float | None = None
    """What an attack that knows nothing, or a model that is perfect, reaches."""
    size: int = 0
    """Rows, patients or attacks behind it."""
    headline: bool = False
    """Whether the summary, the policy and the metrics page know it."""
    table: str = ""

    @property
    def where(self) -> str:
        """What tells it from others of its name, for people; may be empty."""
        return ", ".join([*self.columns, *(f"{k} {v}" for k, v in sorted(self.detail.items()))])

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return _said(
            {
                "name": self.name,
                "table": self.table,
                "columns": list(self.columns),
                "detail": dict(self.detail),
                "value": self.value,
                "interval": _interval(self.interval),
                "baseline": self.baseline,
                "baseline_interval": _interval(self.baseline_interval),
                "null_value": self.null_value,
                "size": self.size,
                "headline": self.headline,
            }
        )


@dataclass(frozen=True)
class Series:
    """One line, one set of bars, or one row of a heat map (`Series`); nan is a gap."""

    name: str
    y: Sequence[float]
    x: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON value; gaps are "NaN", as proto3 writes them."""
        parts = {"x": self.x, "y": self.y, "low": self.low, "high": self.high}
        return {"name": self.name} | {k: [_number(v) for v in vs] for k, vs in parts.items() if len(vs)}


@dataclass(frozen=True)
class Figure:
    """The data of one picture (`Figure`). Only what at least k patients hold may be in it."""

    name: str
    """Unique within a report, such as "marginal:age"."""
    family: Family
    title: str
    kind: FigureKind
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()
    x_label: str = ""
    y_label: str = ""
    y_min: float | None = None
    y_max: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return _said(
            {
                "name": self.name,
                "family": f"METRIC_FAMILY_{self.family.name}",
                "title": self.title,
                "kind": f"FIGURE_KIND_{self.kind.name}",
                "x_label": self.x_label,
                "y_label": self.y_label,
                "categories": list(self.categories),
                "series": [series.to_json() for series in self.series],
                "y_min": self.y_min,
                "y_max": self.y_max,
            }
        )


@dataclass(frozen=True)
class LeftOut:
    """What was not computed, and why (`LeftOut`)."""

    part: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"part": self.part, "reason": self.reason}


Result = Metric | Figure | LeftOut
"""What an evaluator gives, in any order."""


def tidy(values: Iterable[float]) -> list[float]:
    """Shares of a picture, rounded: more digits than that would only make it larger."""
    return [round(float(value), 4) for value in values]


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return None
    return interval.to_json()


def _said(value: dict[str, Any]) -> dict[str, Any]:
    """Without what is unset, empty or not finite."""
    return {
        k: v
        for k, v in value.items()
        if v is not None
        and not (isinstance(v, str | list | dict) and not v)  # a scalar of numpy has no truth beside a list
        and not (isinstance(v, float) and not math.isfinite(v))
    }


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else "NaN"
