"""Which metrics and labels a PromQL expression names, for what holds dashboards and rules to the registry.

Not a parser: Prometheus itself says whether an expression is right (`promtool check rules`, stack.py). This
reads tokens, enough to tell a metric from a function, a keyword and a label. Grafana's variables
(`$__rate_interval`, `${instance:regex}`) may stand where they do in dashboards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<variable>\$\w+|\$\{[^}]*\})
      | (?P<number>\d[\w.]*|\.\d[\w.]*)
      | (?P<range>\[[^\]]*\])
      | (?P<name>[A-Za-z_:][\w:]*)
      | (?P<sign>=~|!~|!=|==|<=|>=|.)""",
    re.VERBOSE | re.DOTALL,
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = {"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}
_AGGREGATIONS = {
    *("sum", "avg", "min", "max", "group", "count", "stddev", "stdvar"),
    *("count_values", "bottomk", "topk", "quantile"),
}
_MAKES_LABELS = {"label_replace", "label_join"}


@dataclass(frozen=True)
class Selector:
    """One place where an expression reads series."""

    metric: str
    labels: frozenset[str]
    """The labels that it matches on."""
    text: str
    """As it stands in the expression, without range and offset: an instant query of its own."""


def metrics(expression: str) -> set[str]:
    """Every metric (or recording rule) that it reads. Raises ValueError as `selectors` does."""
    return {selector.metric for selector in selectors(expression)}


def labels(expression: str) -> set[str]:
    """Every label that it matches on or groups by. Raises ValueError as `selectors` does."""
    return set().union(*(selector.labels for selector in selectors(expression)), grouping(expression))


def grouping(expression: str) -> set[str]:
    """The labels in its `by (…)`, `on (…)`, `group_left (…)` and the like."""
    found: set[str] = set()
    tokens = list(_tokens(expression))
    for at, (kind, text, _, _) in enumerate(tokens):
        if kind == "name" and text in _GROUPING and _follows(tokens, at, "("):
            for inner, word, _, _ in tokens[at + 2 :]:
                if word == ")":
                    break
                if inner == "name":
                    found.add(word)
    return found


def selectors(expression: str) -> list[Selector]:
    """Every selector in it, in order.

    Raises ValueError where it selects without naming a metric, and where it makes labels (`label_replace`),
    which nothing here could hold to the registry.
    """
    found: list[Selector] = []
    tokens = list(_tokens(expression))
    at = 0
    while at < len(tokens):
        kind, text, start, end = tokens[at]
        at += 1
        if kind == "name":
            if text in _GROUPING:
                at = _past(tokens, at, ")") if _follows(tokens, at - 1, "(") else at
            elif text in _MAKES_LABELS:
                raise ValueError(f"makes labels that no metric has: {expression}")
            elif (
                text not in _AGGREGATIONS and text.lower() not in _WORDS and not _follows(tokens, at - 1, "(")
            ):
                matched: frozenset[str] = frozenset()
                if _follows(tokens, at - 1, "{"):
                    close = _past(tokens, at, "}")
                    matched = frozenset(word for k, word, _, _ in tokens[at:close] if k == "name")
                    at, end = close, tokens[close - 1][3]
                found.append(Selector(text, matched, expression[start:end]))
        elif text == "@":
            at += 1  # start() and end() look like calls, a time like a number
        elif text == "{":
            raise ValueError(f"selects without naming a metric: {expression}")
    return found


_Token = tuple[str, str, int, int]


def _tokens(expression: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(expression):
        if match.lastgroup != "skip":
            yield match.lastgroup or "", match.group(), match.start(), match.end()


def _follows(tokens: list[_Token], at: int, sign: str) -> bool:
    return at + 1 < len(tokens) and tokens[at + 1][1] == sign


def _past(tokens: list[_Token], at: int, sign: str) -> int:
    """The place after the next such sign."""
    while at < len(tokens) and tokens[at][1] != sign:
        at += 1
    if at == len(tokens):
        raise ValueError(f"no '{sign}' where one is due")
    return at + 1
