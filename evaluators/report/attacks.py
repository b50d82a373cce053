"""Attacks on membership as one table: an attack a row, its area and its true-positive rates side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluators.report.values import Row, number_of, place, row

_AREA, _RATE, _EXCESS = (
    "membership_inference_auc",
    "membership_inference_tpr",
    "membership_inference_tpr_excess",
)
NAMES = (_AREA, _RATE, _EXCESS)
"""The metrics that are in it."""


@dataclass(frozen=True)
class Attack:
    """A row: the attack, how many records it was tried on, and a value, or None, for each column."""

    title: str
    size: str
    cells: list[Row | None]


@dataclass(frozen=True)
class Attacks:
    """The table."""

    heads: list[str]
    rows: list[Attack]


def attacks(metrics: Sequence[Mapping[str, Any]], definitions: Mapping[str, Any]) -> Attacks | None:
    """Of the headline values; None without any.

    Whether a true-positive rate is above chance is read from its excess, whose
    interval is widened for the number of attacks, where there is one.
    """
    known = [m for m in metrics if m.get("headline") and m.get("name") in NAMES]
    if not known:
        return None
    rates = sorted({_rate(m) for m in known} - {""}, key=lambda rate: number_of(rate) or 0.0)
    found: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for metric in known:
        found.setdefault(_attack(metric), {})[(metric["name"], _rate(metric))] = metric
    rows = []
    for title, values in found.items():
        area = values.get((_AREA, ""))
        cells = [None if area is None else row(area, definitions)]
        cells += [_cell(values, rate, definitions) for rate in rates]
        size = next((cell.size for cell in cells if cell is not None), "–")
        rows.append(Attack(title, size, cells))
    heads = ["AUC (0.5 by chance)"]
    heads += [f"TPR at {100 * (number_of(rate) or 0):g} % FPR" for rate in rates]
    return Attacks(heads, rows)


def _rate(metric: Mapping[str, Any]) -> str:
    return str(metric.get("detail", {}).get("fpr", ""))


def _attack(metric: Mapping[str, Any]) -> str:
    detail = {key: value for key, value in metric.get("detail", {}).items() if key != "fpr"}
    said = place({"detail": detail, "columns": metric.get("columns", ())})
    return said.removeprefix("attack ") or "–"


def _cell(
    values: Mapping[tuple[str, str], Mapping[str, Any]], rate: str, definitions: Mapping[str, Any]
) -> Row | None:
    metric, excess = values.get((_RATE, rate)), values.get((_EXCESS, rate))
    if metric is None:
        return None if excess is None else row(excess, definitions)
    shown = row(metric, definitions)
    if excess is None:
        return shown
    beyond = row(excess, definitions)
    return replace(shown, reading=beyond.reading, mark=beyond.mark)
