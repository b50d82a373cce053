"""The rules of deploy/prometheus, read as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
FILES = sorted(FOLDER.glob("rules/*.yml"))
TESTS = sorted(FOLDER.glob("tests/*.yml"))


@dataclass(frozen=True)
class Rule:
    """An alert, or something that is computed for alerts and dashboards."""

    name: str
    expression: str
    alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]


def rules() -> list[Rule]:
    """All of them."""
    return list(_read())


def alerts() -> list[Rule]:
    return [rule for rule in rules() if rule.alert]


def records() -> list[Rule]:
    return [rule for rule in rules() if not rule.alert]


def _read() -> Iterator[Rule]:
    for file in FILES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                yield Rule(
                    name, rule["expr"], "alert" in rule, rule.get("labels", {}), rule.get("annotations", {})
                )


def configuration(name: str) -> Any:
    """A file of deploy/prometheus."""
    return yaml.safe_load((FOLDER / name).read_text())
