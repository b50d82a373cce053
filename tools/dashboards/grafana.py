"""Grafana's dashboards as typed values, and the JSON that Grafana provisions from files (schema 39, Grafana 11).

The JSON is the same on every run: no time, no random id; a panel's id comes from its row and title, so that links to it
survive a panel that is put before it.

Source: Grafana, "Dashboard JSON model" (classic schema), and kinds/dashboard of its repository.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, ClassVar, Literal

from tools.dashboards.limits import Json
from tools.dashboards.looks import Look

SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
TAG = "kohort"


@dataclass(frozen=True)
class Query:
    """One expression of a panel.

    Args:
        expr: PromQL.
        legend: how a series is called; `{{label}}` stands for a label's value.
        instant: whether only the present counts.
        shape: `heatmap` for buckets by `le`, `table` for rows.
    """

    expr: str
    legend: str = "__auto"
    instant: bool = False
    shape: Literal["time_series", "heatmap", "table"] = "time_series"

    def to_json(self, letter: str) -> Json:
        """The target with that refId."""
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "exemplar": False,
            "expr": self.expr,
            "format": self.shape,
            "instant": self.instant,
            "legendFormat": self.legend,
            "range": not self.instant,
            "refId": letter,
        }


@dataclass(frozen=True)
class Panel:
    """One picture.

    Args:
        title: unique in its row.
        description: what it shows, and what to do when it looks bad.
        queries: what it shows.
        unit: Grafana's id of a unit, such as `s` or `bytes`.
        look: how.
        width: of 24 columns.
        height: in Grafana's rows of 30 pixels.
        runbooks: alerts that watch the same, whose pages in docs/runbooks say more.
        needs: what a machine must have for this to show anything, such as "a GPU".
        to: another dashboard that says more of it, by uid and title.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    look: Look
    width: int = 8
    height: int = 8
    runbooks: Sequence[str] = ()
    needs: str = ""
    to: tuple[str, str] | None = None

    def text(self) -> str:
        """The description, as a reader sees it."""
        parts = [f"Needs {self.needs}: " if self.needs else "", self.description]
        if self.runbooks:
            parts.append(
                " Runbooks: " + ", ".join(f"docs/runbooks/{name}.md" for name in self.runbooks) + "."
            )
        return "".join(parts)

    def to_json(self, number: int, x: int, y: int) -> Json:
        """The panel at a place."""
        defaults, overrides = self.look.fields(self.unit)
        made: dict[str, Any] = {
            "datasource": DATASOURCE,
            "description": self.text(),
            "fieldConfig": {"defaults": defaults, "overrides": overrides},
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": number,
            "options": self.look.options(self.unit),
            "targets": [
                query.to_json(letter) for letter, query in zip(ascii_uppercase, self.queries, strict=False)
            ],
            "title": self.title,
            "type": self.look.kind,
        }
        if self.look.transformations():
            made["transformations"] = self.look.transformations()
        if self.to:
            uid, title = self.to
            url = f"/d/{uid}?${{__url_time_range}}&${{datasource:queryparam}}&${{instance:queryparam}}"
            made["links"] = [{"targetBlank": False, "title": title, "url": url}]
        return made


@dataclass(frozen=True)
class Row:
    """Panels under one heading, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """Values of a label that the reader chooses from; all at first."""

    name: str
    label: str
    metric: str
    """A metric that carries the label `name`."""

    def to_json(self) -> Json:
        """The variable."""
        query = f'label_values({self.metric}{{job="kohort"}}, {self.name})'
        return {
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "datasource": DATASOURCE,
            "definition": query,
            "hide": 0,
            "includeAll": True,
            "label": self.label,
            "multi": True,
            "name": self.name,
            "options": [],
            "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "refresh": 2,
            "regex": "",
            "skipUrlSync": False,
            "sort": 1,
            "type": "query",
        }


@dataclass(frozen=True)
class Annotation:
    """Moments to be marked in every panel."""

    name: str
    expr: str
    title: str
    color: str

    def to_json(self) -> Json:
        """The annotation."""
        return {
            "datasource": DATASOURCE,
            "enable": True,
            "expr": self.expr,
            "hide": False,
            "iconColor": self.color,
            "name": self.name,
            "step": "60s",
            "tagKeys": "instance",
            "textFormat": "",
            "titleFormat": self.title,
            "useValueForTime": False,
        }


@dataclass(frozen=True)
class Dashboard:
    """A page of panels. Its file is named by `uid`."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    annotations: Sequence[Annotation] = ()
    span: str = "now-6h"

    BUILT_IN: ClassVar[Mapping[str, Any]] = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }

    def to_json(self) -> Json:
        """The file. Raises ValueError where two panels of a row share a title."""
        return {
            "annotations": {"list": [dict(self.BUILT_IN), *(a.to_json() for a in self.annotations)]},
            "description": self.description,
            "editable": False,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,  # one cross-hair through all panels
            "links": [_link_to_all()],
            "panels": list(_Layout(self.uid).place(self.rows)),
            "refresh": "30s",
            "schemaVersion": SCHEMA_VERSION,
            "tags": [TAG],
            "templating": {"list": [_data_source(), *(v.to_json() for v in self.variables)]},
            "time": {"from": self.span, "to": "now"},
            "timepicker": {},
            "timezone": "",
            "title": self.title,
            "uid": self.uid,
            "version": 1,
            "weekStart": "",
        }


@dataclass
class _Layout:
    """Puts rows below one another, and panels beside one another until the columns are used up."""

    uid: str
    y: int = 0
    used: dict[int, str] = field(default_factory=dict)

    def place(self, rows: Sequence[Row]) -> Iterator[Json]:
        for row in rows:
            yield {
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": self.y},
                "id": self._number(row.title, ""),
                "panels": [],
                "title": row.title,
                "type": "row",
            }
            self.y += 1
            x = line = 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    self.y, x, line = self.y + line, 0, 0
                yield panel.to_json(self._number(row.title, panel.title), x, self.y)
                x, line = x + panel.width, max(line, panel.height)
            self.y += line

    def _number(self, row: str, title: str) -> int:
        place = f"{self.uid}/{row}/{title}"
        number = zlib.crc32(place.encode()) % 1_000_000 + 1
        if number in self.used:
            raise ValueError(f"rename {place!r}: its id is that of {self.used[number]!r}")
        self.used[number] = place
        return number


def _link_to_all() -> Json:
    return {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "Kohort",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }


def _data_source() -> Json:
    return {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }
