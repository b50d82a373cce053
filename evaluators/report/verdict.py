"""The verdict of a report in words: privacy and quality apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.report.svg import clean
from evaluators.report.values import family, number, place, title

_STATES = {
    "OPEN": ("✓", "Open", "fine", "Rows may leave."),
    "OPEN_WITH_WARNING": (
        "!",
        "Open, with a warning",
        "warn",
        "Rows may leave; a rule that warns is broken.",
    ),
    "INCONCLUSIVE": ("?", "Inconclusive", "warn", "Rows may leave, but their risk is not known."),
    "LOCKED": ("✕", "Locked", "bad", "Rows may not leave."),
}
_UNKNOWN = ("?", "No verdict", "warn", "Nothing was decided.")


@dataclass(frozen=True)
class Side:
    """What was made of privacy, or of quality."""

    title: str
    sign: str
    words: str
    mark: str
    broken: list[str]


@dataclass(frozen=True)
class Badge:
    """The verdict."""

    sign: str
    words: str
    mark: str
    meaning: str
    sides: list[Side]
    why: str


def badge(report: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> Badge:
    """Of a report in JSON."""
    verdict = report.get("verdict", {})
    sign, words, mark, meaning = _STATES.get(
        str(verdict.get("state", "")).removeprefix("RELEASE_STATE_"), _UNKNOWN
    )
    why = _why(clean(verdict.get("inconclusive", "")), definitions)
    heads = [m for m in report.get("metrics", ()) if m.get("headline") and m.get("value") is not None]
    known = {family(definitions.get(m.get("name", ""), {})) for m in heads}
    sides = [
        _side("Privacy", verdict.get("privacy", ()), report, definitions, "PRIVACY" in known and not why),
        _side(
            "Quality", verdict.get("quality", ()), report, definitions, bool(known & {"FIDELITY", "UTILITY"})
        ),
    ]
    return Badge(sign, words, mark, meaning, sides, why)


def _why(said: str, definitions: Mapping[str, Mapping[str, Any]]) -> str:
    """Metrics by their titles."""
    start, colon, names = said.partition(": ")
    if not colon or start != "not measured":
        return said
    return f"{start}: {', '.join(title(name, definitions) for name in names.split(', '))}"


def _side(
    name: str,
    broken: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any],
    definitions: Mapping[str, Mapping[str, Any]],
    known: bool,
) -> Side:
    said = [_broken(one, report.get("metrics", ()), definitions) for one in broken]
    if not broken:
        return Side(
            name, *(("✓", "no rule is broken", "fine") if known else ("?", "not known", "warn")), said
        )
    locks = any(str(one.get("rule", {}).get("effect", "")).endswith("LOCK") for one in broken)
    # One rule may be broken by several attacks or targets.
    rules = len({tuple(sorted((k, str(v)) for k, v in one.get("rule", {}).items())) for one in broken})
    count = "1 rule is broken" if rules == 1 else f"{rules} rules are broken"
    return Side(name, "✕" if locks else "!", count, "bad" if locks else "warn", said)


def _broken(
    broken: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, Mapping[str, Any]],
) -> str:
    """A broken rule, the metric by its title, with the value that broke it."""
    rule, where = broken.get("rule", {}), str(broken.get("where", ""))
    name = rule.get("metric", "")
    statistic = {"LOWER": "the lower end of its interval", "UPPER": "the upper end of its interval"}.get(
        str(rule.get("statistic", "")).removeprefix("RULE_STATISTIC_"), "its value"
    )
    against = {"DIFFERENCE": " minus that of real rows", "RATIO": " divided by that of real rows"}.get(
        str(rule.get("reference", "")).removeprefix("RULE_REFERENCE_"), ""
    )
    side = "below" if rule.get("below") else "above"
    metric = _measured(name, where, metrics)
    at = place(metric) if metric else clean(where)
    head = f"{title(name, definitions)} ({at})" if at else title(name, definitions)
    value = f"; the value is {number(metric.get('value'))}{_interval(metric)}" if metric else ""
    if metric and metric.get("baseline") is not None:
        value += f", that of real rows {number(metric['baseline'])}"
    limit = f"{float(str(rule.get('threshold', 0))):g}"
    return f"{head}: {statistic}{against} is {side} {limit}{value}."


def _interval(metric: Mapping[str, Any]) -> str:
    """Its ends: what most rules are about."""
    ends = metric.get("interval") or {}
    return f" ({number(ends['low'])} to {number(ends['high'])})" if {"low", "high"} <= set(ends) else ""


def _measured(name: str, where: str, metrics: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The value that a broken rule is about, by what tells it from others (`Metric.where`)."""
    for metric in metrics:
        detail = metric.get("detail", {})
        said = ", ".join([*metric.get("columns", ()), *(f"{k} {detail[k]}" for k in sorted(detail))])
        if metric.get("headline") and metric.get("name") == name and said == where:
            return metric
    return None
