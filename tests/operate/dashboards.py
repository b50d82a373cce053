"""The panels of deploy/grafana, read as Grafana would: the expressions with the variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
_VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    expression: str
    legend: str
    """How a series is called; `{{label}}` stands for a label's value."""
    instant: bool
    """Whether only the present counts, not the time that the dashboard shows."""


@dataclass(frozen=True)
class Panel:
    """One panel of a dashboard."""

    dashboard: str
    title: str
    unit: str
    kind: str
    needs_gpu: bool
    targets: tuple[Target, ...]


def panels(window: str, files: list[Path] = FILES) -> list[Panel]:
    """All of them, rates and ranges over `window` (such as "5m"), every variable at its "All"."""
    return [panel for file in files for panel in _read(json.loads(file.read_text()), window)]


def _read(dashboard: Any, window: str) -> Iterator[Panel]:
    values = {"__rate_interval": window, "__range": window, "__interval": "5s"}
    for variable in dashboard["templating"]["list"]:
        values[variable["name"]] = variable.get("allValue") or ".*"
    rows = [dashboard, *(panel for panel in dashboard["panels"] if panel["type"] == "row")]
    for row in rows:
        for panel in row["panels"]:
            if panel["type"] in ("row", "text"):
                continue
            yield Panel(
                dashboard["uid"],
                panel["title"],
                panel["fieldConfig"]["defaults"].get("unit", ""),
                panel["type"],
                panel.get("description", "").startswith("Needs a GPU:"),
                tuple(
                    Target(_filled(target["expr"], values), target["legendFormat"], target["instant"])
                    for target in panel["targets"]
                ),
            )


def _filled(expression: str, values: dict[str, str]) -> str:
    """Raises KeyError for a variable that the dashboard does not declare."""
    return _VARIABLE.sub(lambda found: values[found[1]], expression)


def called(legend: str, labels: dict[str, str]) -> str:
    """What the legend calls a series."""
    if legend in ("", "__auto"):
        return ", ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k != "__name__")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)
