"""The kinds of panels: what each draws, and how Grafana is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tools.dashboards.limits import PLAIN, Json, Limits, dashed, limited


@dataclass(frozen=True)
class Look(ABC):
    """How a panel draws its values.

    Args:
        limits: which values are good and bad.
        least: where the scale begins; None leaves it to Grafana.
        most: where it ends.
        decimals: after the point; None leaves it to Grafana.
        names: text and colour of values that mean something, such as 0 for "not ready".
        dashed: names of series that are limits, drawn as dashed lines.
    """

    kind: ClassVar[str]
    limits: Limits = PLAIN
    least: float | None = None
    most: float | None = None
    decimals: int | None = None
    names: Mapping[float, tuple[str, str]] = field(default_factory=dict)
    dashed: Sequence[str] = ()

    @abstractmethod
    def options(self, unit: str) -> Json:
        """`options` of the panel."""

    def custom(self) -> Json:
        """`fieldConfig.defaults.custom` of the panel."""
        return {}

    def colour(self) -> str:
        """Where colours come from."""
        return "palette-classic" if self.limits is PLAIN else "thresholds"

    def fields(self, unit: str) -> tuple[Json, list[Json]]:
        """Defaults and overrides of `fieldConfig`."""
        defaults: Json = {
            "color": {"mode": self.colour()},
            "custom": self.custom(),
            "mappings": self._mappings(),
            "thresholds": self.limits.to_json(),
            "unit": unit,
        }
        for name, value in (("min", self.least), ("max", self.most), ("decimals", self.decimals)):
            if value is not None:
                defaults[name] = value
        return defaults, [dashed(name) for name in self.dashed]

    def transformations(self) -> list[Json]:
        """What is done to the answers first."""
        return []

    def _mappings(self) -> list[Json]:
        if not self.names:
            return []
        texts = {
            f"{value:g}": {"color": color, "index": index, "text": text}
            for index, (value, (text, color)) in enumerate(self.names.items())
        }
        return [{"options": texts, "type": "value"}]


@dataclass(frozen=True)
class Lines(Look):
    """Values over time.

    Args:
        stack: whether the series are parts of a whole.
        bars: bars instead of lines, for what happened in each interval.
        log: a logarithmic scale.
        legend: what the legend says of each series, beside its name.
    """

    kind = "timeseries"
    stack: bool = False
    bars: bool = False
    log: bool = False
    legend: Sequence[str] = ("mean", "max", "lastNotNull")

    def colour(self) -> str:
        """Series are told apart; what is bad is a line across."""
        return "palette-classic"

    def custom(self) -> Json:
        """Lines as Grafana draws them, gaps left open."""
        return {
            "axisBorderShow": False,
            "axisCenteredZero": False,
            "axisColorMode": "text",
            "axisLabel": "",
            "axisPlacement": "auto",
            "barAlignment": 0,
            "drawStyle": "bars" if self.bars else "line",
            "fillOpacity": 60 if self.bars else 25 if self.stack else 8,
            "gradientMode": "none",
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "insertNulls": False,
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "pointSize": 5,
            "scaleDistribution": {"log": 10, "type": "log"} if self.log else {"type": "linear"},
            "showPoints": "auto",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if self.stack else "none"},
            "thresholdsStyle": {"mode": "off" if self.limits is PLAIN else "dashed"},
        }

    def options(self, unit: str) -> Json:
        """A legend with figures."""
        return {
            "legend": {
                "calcs": list(self.legend),
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }


@dataclass(frozen=True)
class Number(Look):
    """One figure, or one for each series.

    Args:
        graph: whether its course is drawn behind it.
        says: `name` shows the series' name instead of the figure.
    """

    kind = "stat"
    graph: bool = True
    says: Literal["auto", "name", "value_and_name"] = "auto"

    def colour(self) -> str:
        """By value."""
        return "thresholds"

    def options(self, unit: str) -> Json:
        """The latest value."""
        return {
            "colorMode": "value",
            "graphMode": "area" if self.graph else "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": _latest(),
            "showPercentChange": False,
            "textMode": self.says,
            "wideLayout": True,
        }


@dataclass(frozen=True)
class Dial(Look):
    """How much of a limit is used."""

    kind = "gauge"

    def options(self, unit: str) -> Json:
        """The latest value."""
        return {
            "minVizHeight": 75,
            "minVizWidth": 75,
            "orientation": "auto",
            "reduceOptions": _latest(),
            "showThresholdLabels": False,
            "showThresholdMarkers": True,
            "sizing": "auto",
        }


@dataclass(frozen=True)
class Bars(Look):
    """The latest value of each series as a bar.

    Args:
        own: limits of single series, by their names.
    """

    kind = "bargauge"
    own: Mapping[str, Limits] = field(default_factory=dict)

    def fields(self, unit: str) -> tuple[Json, list[Json]]:
        """Series with limits of their own have their colours."""
        defaults, overrides = super().fields(unit)
        return defaults, [*overrides, *(limited(name, limits) for name, limits in self.own.items())]

    def options(self, unit: str) -> Json:
        """Bars from left to right."""
        return {
            "displayMode": "basic",
            "maxVizHeight": 300,
            "minVizHeight": 14,
            "minVizWidth": 8,
            "namePlacement": "left",
            "orientation": "horizontal",
            "reduceOptions": _latest(),
            "showUnfilled": True,
            "sizing": "auto",
            "valueMode": "color",
        }


@dataclass(frozen=True)
class Heat(Look):
    """How often which value, over time; of a histogram's buckets."""

    kind = "heatmap"

    def custom(self) -> Json:
        """Nothing is hidden."""
        return {
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "scaleDistribution": {"type": "linear"},
        }

    def options(self, unit: str) -> Json:
        """Buckets as Prometheus has them."""
        return {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        }


@dataclass(frozen=True)
class Timeline(Look):
    """States over time, one line each."""

    kind = "state-timeline"

    def custom(self) -> Json:
        """Full blocks."""
        return {
            "fillOpacity": 70,
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "lineWidth": 0,
        }

    def options(self, unit: str) -> Json:
        """Equal neighbours become one block."""
        return {
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "mergeValues": True,
            "rowHeight": 0.9,
            "showValue": "never",
            "tooltip": {"mode": "single", "sort": "none"},
        }


@dataclass(frozen=True)
class Grid(Look):
    """A table: one row for each value of a label, one column for each query.

    Args:
        label: the label of the rows, and the heading of their column.
        columns: heading and unit of each query's column.
    """

    kind = "table"
    label: tuple[str, str] = ("", "")
    columns: Sequence[tuple[str, str]] = ()

    def custom(self) -> Json:
        """Cells as they are."""
        return {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False, "inspect": False}

    def options(self, unit: str) -> Json:
        """The busiest first."""
        return {
            "cellHeight": "sm",
            "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False},
            "showHeader": True,
            "sortBy": [{"desc": True, "displayName": self.columns[0][0]}],
        }

    def fields(self, unit: str) -> tuple[Json, list[Json]]:
        """Every column has its own unit."""
        defaults, overrides = super().fields(unit)
        units = [
            {
                "matcher": {"id": "byName", "options": heading},
                "properties": [{"id": "unit", "value": own}],
            }
            for heading, own in self.columns
        ]
        return defaults, [*overrides, *units]

    def transformations(self) -> list[Json]:
        """The answers side by side, with headings."""
        label, heading = self.label
        headings = {f"Value #{chr(65 + i)}": name for i, (name, _) in enumerate(self.columns)}
        order = {name: i for i, name in enumerate([label, *headings])}
        return [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "includeByName": {},
                    "indexByName": order,
                    "renameByName": {label: heading, **headings},
                },
            },
        ]


def _latest() -> Json:
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}
