"""What an evaluation found, as plain values.

Field names are those of the contract (evaluation.proto), which documents them;
absent values are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from kohort.release import EvaluationOptions, Verdict

if TYPE_CHECKING:
    import pandas as pd


class MetricFamily(StrEnum):
    """The subject of a metric (`MetricFamily`)."""

    UNSPECIFIED = "unspecified"
    FIDELITY = "fidelity"
    UTILITY = "utility"
    PRIVACY = "privacy"
    FAIRNESS = "fairness"


class MetricDirection(StrEnum):
    """Which values of a metric are better (`MetricDirection`)."""

    UNSPECIFIED = "unspecified"
    HIGHER = "higher"
    LOWER = "lower"
    TARGET = "target"


class FigureKind(StrEnum):
    """How a figure is drawn (`FigureKind`)."""

    UNSPECIFIED = "unspecified"
    LINES = "lines"
    BARS = "bars"
    HEATMAP = "heatmap"


@dataclass(frozen=True)
class Interval:
    """A confidence interval (`Interval`)."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class MetricInfo:
    """What a metric is (`MetricInfo`)."""

    name: str
    family: MetricFamily
    title: str
    description: str
    direction: MetricDirection
    target: float | None
    reference: str


@dataclass(frozen=True)
class Metric:
    """One value (`Metric`)."""

    name: str
    table: str
    columns: tuple[str, ...]
    detail: Mapping[str, str]
    value: float | None
    """None where it is not defined."""
    interval: Interval | None
    baseline: float | None
    """The same with real rows in the place of the synthetic ones: what can be attained at best."""
    baseline_interval: Interval | None
    null_value: float | None
    """What an attack that knows nothing, or a model that is perfect, reaches."""
    size: int
    """The rows, patients or attacks behind it; 0 where that says nothing."""
    headline: bool

    @property
    def where(self) -> str:
        """What tells it from others of its name, for people; may be empty."""
        return ", ".join([*self.columns, *(f"{k} {v}" for k, v in sorted(self.detail.items()))])


@dataclass(frozen=True)
class Series:
    """One line, one set of bars, or one row of a heat map (`Series`); nan is a gap."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """The data of one picture (`Figure`)."""

    name: str
    family: MetricFamily
    title: str
    kind: FigureKind
    x_label: str
    y_label: str
    categories: tuple[str, ...]
    series: tuple[Series, ...]
    y_min: float | None
    y_max: float | None


@dataclass(frozen=True)
class LeftOut:
    """What was not computed, and why (`LeftOut`)."""

    part: str
    reason: str


@dataclass(frozen=True)
class EvaluationCounts:
    """How many rows and patients were compared (`EvaluationCounts`)."""

    training_rows: int
    training_patients: int
    holdout_rows: int
    holdout_patients: int
    synthetic_rows: int


@dataclass(frozen=True)
class ReportInfo:
    """One evaluation (`Report` of the contract): statistics of real patients, private throughout."""

    format: int
    name: str
    model: str
    synthetic_dataset: str
    dataset: str
    holdout_dataset: str
    job: str
    display_name: str
    labels: Mapping[str, str]
    create_time: datetime | None
    options: EvaluationOptions
    counts: EvaluationCounts
    summary: tuple[str, ...]
    """Three sentences for everybody."""
    verdict: Verdict
    """What the policy made of it when it was written."""
    limits: tuple[str, ...]
    """What was not tested, and what tests of this kind cannot show."""
    definitions: tuple[MetricInfo, ...]
    metrics: tuple[Metric, ...]
    figures: tuple[Figure, ...]
    left_out: tuple[LeftOut, ...]
    duration: float | None
    content_digest: str
    versions: Mapping[str, str]

    @property
    def headline(self) -> tuple[Metric, ...]:
        """The metrics that the summary and the policy know."""
        return tuple(m for m in self.metrics if m.headline)

    def metric(self, name: str, *columns: str, **detail: str) -> Metric:
        """The one value of that name, such as ``metric("utility_ratio", target="outcome")``.

        Args:
            name: see `definitions`.
            columns: those that it concerns; where none are named, any will do.
            detail: what else tells it from others of its name; what is not named may be anything.

        Raises:
            KeyError: there is none, or there are several, which the message tells apart.
        """
        of_name = [m for m in self.metrics if m.name == name]
        found = [
            m for m in of_name if (not columns or m.columns == columns) and detail.items() <= m.detail.items()
        ]
        if len(found) > 1 and not columns and len(whole := [m for m in found if not m.columns]) == 1:
            return whole[0]  # of all columns together, beside that of each
        if len(found) == 1:
            return found[0]
        if not of_name:
            raise KeyError(f"the report has no {name}")
        several = "; ".join(m.where or "all columns" for m in (found or of_name)[:20])
        raise KeyError(f"{name} is {'several' if found else 'not of that'}: {several}")

    def metrics_frame(self) -> pd.DataFrame:
        """The metrics as a frame, one row each, with the family and direction of their definitions."""
        import pandas as pd

        known = {d.name: d for d in self.definitions}
        rows = []
        for m in self.metrics:
            of = known.get(m.name)
            low, high = (m.interval.low, m.interval.high) if m.interval else (None, None)
            rows.append(
                {
                    "family": str(of.family) if of else "",
                    "name": m.name,
                    "table": m.table,
                    "columns": ", ".join(m.columns),
                    "detail": ", ".join(f"{k}={v}" for k, v in sorted(m.detail.items())),
                    "value": m.value,
                    "low": low,
                    "high": high,
                    "baseline": m.baseline,
                    "null_value": m.null_value,
                    "size": m.size,
                    "direction": str(of.direction) if of else "",
                    "headline": m.headline,
                }
            )
        numbers = dict.fromkeys(("value", "low", "high", "baseline", "null_value"), "float64")
        columns = ["family", "name", "table", "columns", "detail", *numbers, "size", "direction", "headline"]
        types = numbers | {"size": "int64", "headline": "bool"}
        return pd.DataFrame(rows, columns=columns).astype(types)
