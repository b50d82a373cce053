"""Metrics of a report as rows of tables: sensibly rounded, and in words how they compare."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.headlines import HEADLINES
from evaluators.report.svg import clean

MISSING = "not measured"
_MOST_ROWS = 40
_KEYS = {"fpr": "false-positive rate"}


@dataclass(frozen=True)
class Row:
    """A metric's row: texts, and what it says in a word with its class."""

    title: str
    name: str
    where: str = ""
    value: str = MISSING
    interval: str = ""
    level: str = ""
    """Of the interval, where it is not 95 %."""
    null: str = ""
    baseline: str = ""
    size: str = ""
    reading: str = ""
    mark: str = ""
    """How it is coloured, "bad", "fine" or not; never the only sign."""


@dataclass(frozen=True)
class Group:
    """All rows of one metric."""

    title: str
    name: str
    rows: list[Row]
    more: int = 0


@dataclass(frozen=True)
class Matrix:
    """Values of single columns: metrics side by side."""

    heads: list[tuple[str, str]]
    rows: list[tuple[str, list[Row]]] = field(default_factory=list)


def number(value: object) -> str:
    """A value for people, of three decimals or as many digits as say something."""
    found = number_of(value)
    if found is None:
        return MISSING
    size = abs(found)
    if size >= 1e7 or 0 < size < 5e-5:
        text = f"{found:.1e}"
    elif size >= 1000:
        text = f"{found:,.0f}".replace(",", " ")
    elif size >= 10:
        text = f"{found:.1f}"
    else:
        text = f"{found:.4f}" if 0 < size < 0.01 else f"{found:.3f}"
    return text.replace("-", "−")


def number_of(value: object) -> float | None:
    """A finite number of JSON, or None."""
    found = math.nan if value is None else float(str(value))
    return found if math.isfinite(found) else None


def whole(value: object) -> str:
    """A count; texts, as proto3 writes long integers, are counts too."""
    return f"{int(str(value or 0)):,}".replace(",", " ")


def family(thing: Mapping[str, Any]) -> str:
    """Without its prefix."""
    return str(thing.get("family", "")).removeprefix("METRIC_FAMILY_")


def title(name: str, definitions: Mapping[str, Mapping[str, Any]]) -> str:
    """For people."""
    return clean(definitions.get(name, {}).get("title") or name.replace("_", " ").capitalize())


def place(metric: Mapping[str, Any]) -> str:
    """What tells a metric from others of its name; our own words without underscores."""
    said = [clean(column) for column in metric.get("columns", ())]
    for key, value in sorted(metric.get("detail", {}).items()):
        ours = key in ("attack", "model")
        said.append(clean(f"{_KEYS.get(key, key)} {value.replace('_', ' ') if ours else value}"))
    return ", ".join(map(_isolated, said))


def _isolated(text: str) -> str:
    """Names written from right to left must not turn what stands beside them."""
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in text):
        return f"\u2068{text}\u2069"
    return text


def row(metric: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> Row:
    """Of a `Metric` in JSON."""
    name = clean(metric.get("name", ""))
    reading, mark = _reading(metric, definitions.get(metric.get("name", ""), {}))
    return Row(
        title=title(metric.get("name", ""), definitions),
        name=name,
        where=place(metric),
        value=number(metric.get("value")),
        interval=_interval(metric.get("interval")),
        level=_level(metric.get("interval")),
        null=_or_dash(metric.get("null_value")),
        baseline=_or_dash(metric.get("baseline")),
        size=whole(metric["size"]) if int(str(metric.get("size") or 0)) else "–",
        reading=reading,
        mark=mark,
    )


def headlines(
    of: str,
    metrics: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, Any],
    elsewhere: Sequence[str] = (),
) -> tuple[list[Row], list[str]]:
    """The family's headline values in their usual order, then others; the titles of what was not measured.

    Those of the names `elsewhere` are not in the first.
    """
    known = HEADLINES[of]
    mine = [m for m in metrics if m.get("headline") and _of(m, definitions, of)]
    order = {name: at for at, name in enumerate(known)}
    mine.sort(key=lambda m: order.get(m.get("name", ""), len(order)))
    there = {m.get("name") for m in mine}
    rows = [row(m, definitions) for m in mine if m.get("name") not in elsewhere]
    return rows, [title(name, definitions) for name in known if name not in there]


def _of(metric: Mapping[str, Any], definitions: Mapping[str, Any], of: str) -> bool:
    name = metric.get("name", "")
    return family(definitions[name]) == of if name in definitions else name in HEADLINES[of]


def matrices(
    of: str, metrics: Sequence[Mapping[str, Any]], definitions: Mapping[str, Any], wide: int = 7
) -> list[Matrix]:
    """What is said of single columns and nothing else, up to `wide` metrics side by side."""
    cells: dict[str, dict[str, Row]] = {}
    columns: dict[str, None] = {}
    for metric in metrics:
        if _single(metric) and _of(metric, definitions, of):
            column = metric["columns"][0]
            cells.setdefault(metric["name"], {})[column] = row(metric, definitions)
            columns[column] = None
    names = list(cells)
    found = []
    for at in range(0, len(names), wide):
        part = names[at : at + wide]
        matrix = Matrix([(title(name, definitions), name) for name in part])
        for column in columns:
            if any(column in cells[name] for name in part):
                blank = Row("", "", value="–")
                matrix.rows.append((clean(column), [cells[name].get(column, blank) for name in part]))
        found.append(matrix)
    return found


def groups(
    of: str,
    metrics: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, Any],
    also: Sequence[str] = (),
) -> list[Group]:
    """Every other value, by metric, and headline ones of the names `also`; of many, the worst first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for metric in metrics:
        short = metric.get("headline") and metric.get("name") not in also
        if not short and not _single(metric) and _of(metric, definitions, of):
            found.setdefault(metric.get("name", ""), []).append(metric)
    made = []
    for name, values in found.items():
        direction = definitions.get(name, {}).get("direction", "")
        shown = values if len(values) <= _MOST_ROWS else sorted(values, key=lambda m: _badness(m, direction))
        rows = [row(m, definitions) for m in shown[:_MOST_ROWS]]
        made.append(Group(title(name, definitions), clean(name), rows, max(0, len(values) - _MOST_ROWS)))
    return made


def _single(metric: Mapping[str, Any]) -> bool:
    return len(metric.get("columns", ())) == 1 and not metric.get("detail") and not metric.get("headline")


def _badness(metric: Mapping[str, Any], direction: str) -> float:
    value = number_of(metric.get("value"))
    if value is None:
        return math.inf
    return value if direction.endswith("HIGHER") else -abs(value)


def _reading(metric: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[str, str]:
    """How a value compares with chance (attacks), else with real rows: by its interval where it has one."""
    value = number_of(metric.get("value"))
    if value is None:
        return "", ""
    interval = metric.get("interval") or {}
    low, high = number_of(interval.get("low")), number_of(interval.get("high"))
    null, base = number_of(metric.get("null_value")), number_of(metric.get("baseline"))
    direction = str(info.get("direction", ""))
    if family(info) == "PRIVACY" and null is not None:
        if low is None:
            return "", ""
        return ("▲ above chance", "bad") if low > null else ("✓ within chance", "fine")
    if base is None:
        return "", ""
    low, high = (value if low is None else low), (value if high is None else high)
    if direction.endswith("HIGHER"):
        worse, better = high < base, low >= base
    elif direction.endswith("LOWER"):
        worse, better = low > base, high <= base
    elif direction.endswith("TARGET"):
        target = number_of(info.get("target")) or 0.0
        worse, better = not low <= base <= high and abs(value - target) > abs(base - target), False
    else:
        return "", ""
    if worse:
        return "▼ worse than real rows", "bad"
    return ("✓ no worse than real rows" if better else "✓ like real rows"), "fine"


def _interval(interval: Mapping[str, Any] | None) -> str:
    if not interval:
        return "–"
    return f"{number(interval.get('low'))} – {number(interval.get('high'))}"


def _level(interval: Mapping[str, Any] | None) -> str:
    level = number_of((interval or {}).get("level")) or 0.95
    return f"{level * 100:.3g} %" if abs(level - 0.95) > 1e-6 else ""


def _or_dash(value: object) -> str:
    return "–" if number_of(value) is None else number(value)
