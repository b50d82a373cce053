"""Which values are good and bad, as colours and dashed lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """Colours by value: `base` below the first step.

    Args:
        base: the colour of the least values.
        steps: from which value on which colour, ascending.
    """

    base: str = "green"
    steps: Sequence[tuple[float, str]] = ()

    def to_json(self) -> Json:
        """Grafana's thresholds."""
        first = {"color": self.base, "value": None}
        return {
            "mode": "absolute",
            "steps": [first, *({"color": color, "value": at} for at, color in self.steps)],
        }


PLAIN = Limits("text")
"""Nothing is good or bad."""


def high(warn: float, bad: float) -> Limits:
    """The more the worse."""
    return Limits("green", ((warn, "orange"), (bad, "red")))


def low(bad: float, warn: float) -> Limits:
    """The less the worse."""
    return Limits("red", ((bad, "orange"), (warn, "green")))


NONE_IS_BAD = Limits("red", ((1, "green"),))
ANY_IS_BAD = Limits("green", ((1, "red"),))
NEGATIVE_IS_BAD = Limits("red", ((0, "green"),))


def limited(name: str, limits: Limits) -> Json:
    """An override: one series with limits of its own."""
    properties = [
        {"id": "thresholds", "value": limits.to_json()},
        {"id": "color", "value": {"mode": "thresholds"}},
    ]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def dashed(name: str) -> Json:
    """An override: series, by a pattern of their names, that are limits themselves."""
    properties = [
        {"id": "custom.lineStyle", "value": {"dash": [10, 10], "fill": "dash"}},
        {"id": "custom.fillOpacity", "value": 0},
        {"id": "custom.stacking", "value": {"group": "A", "mode": "none"}},
    ]
    return {"matcher": {"id": "byRegexp", "options": name}, "properties": properties}
