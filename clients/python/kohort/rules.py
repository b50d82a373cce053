"""Constraints as plain values: what `Constraint` of the contract says, without protobuf.

`kohort.constraints` says what they mean for cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Range:
    """A column of numbers, dates or times lies between two values, both inclusive (`RangeConstraint`)."""

    column: str
    minimum: str | None = None
    """As CSV writes it; None: no bound."""
    maximum: str | None = None


@dataclass(frozen=True)
class Order:
    """`low` is never above `high`, such as an admission and its discharge (`OrderConstraint`)."""

    low: str
    high: str
    strict: bool = False
    """Whether equality is forbidden, too."""


@dataclass(frozen=True)
class Combination:
    """Columns of categories occur together only as k patients have them (`CombinationConstraint`)."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class Unique:
    """No two rows of a sample are equal in these columns (`UniqueConstraint`)."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class OneHot:
    """Exactly one of these columns is true, or 1 (`OneHotConstraint`)."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class Allowed:
    """A column holds only these values, as CSV writes them (`AllowedConstraint`)."""

    column: str
    values: tuple[str, ...]


Constraint: TypeAlias = Range | Order | Combination | Unique | OneHot | Allowed

RULES: Mapping[str, type[Constraint]] = {
    "range": Range,
    "order": Order,
    "combination": Combination,
    "unique": Unique,
    "one_hot": OneHot,
    "allowed": Allowed,
}
"""By the name of the field in `Constraint`."""

_NAMES = {rule: name for name, rule in RULES.items()}


def rule_name(constraint: Constraint) -> str:
    """Its name among `RULES`."""
    return _NAMES[type(constraint)]


def columns_of(constraint: Constraint) -> tuple[str, ...]:
    """The columns that it speaks of, in order."""
    match constraint:
        case Range(column=column) | Allowed(column=column):
            return (column,)
        case Order(low=low, high=high):
            return (low, high)
        case _:
            return constraint.columns


def constraint_to_json(constraint: Constraint) -> dict[str, Any]:
    """A JSON value, such as ``{"order": {"low": "start", "high": "end"}}``; unset fields are left out."""
    unset = {field.name: field.default for field in fields(constraint)}
    said = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(constraint).items()
        if value != unset[name]
    }
    return {rule_name(constraint): said}


def constraint_from_json(value: Mapping[str, Any]) -> Constraint:
    """The inverse of `constraint_to_json`. Raises TypeError, ValueError or KeyError on anything else."""
    ((name, said),) = value.items()
    rule: type[Any] = RULES[name]
    for key, part in said.items():
        text = isinstance(part, list) and all(isinstance(entry, str) for entry in part)
        wanted = {"columns": text, "values": text, "strict": isinstance(part, bool)}
        if not wanted.get(key, isinstance(part, str)):
            raise TypeError("a constraint is not of the documented shape")
    made: Constraint = rule(
        **{k: tuple(part) if isinstance(part, list) else part for k, part in said.items()}
    )
    return made
