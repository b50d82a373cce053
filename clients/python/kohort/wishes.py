"""How a caller says what a sample is to be like: Python values in, a `SampleSpec` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypedDict

from kohort.conditions import Condition, PartialRows, Rebalancing
from kohort.spec import MAX_ATTEMPTS, SampleSpec
from kohort.values import text_of

ColumnName: TypeAlias = str | tuple[str, str]
"""A column, or (table, column) of a model of several tables."""

MAX_UNITS = 1 << 53


class Limits(TypedDict, total=False):
    """What the rows of a sample are to be like.

    conditions: by column what every row satisfies: a value; None for null; a list
        or set of values; a tuple (lowest, highest), inclusive, where None is no
        bound. Or `Condition` objects, such as ``Condition("bmi", is_null=False)``.
    rebalance: shares by value for one column: ``{"outcome": {1: 0.5, 0: 0.5}}``.
    temperature: above 1 flattens what the model draws from, below 1 sharpens it.
    top_p: draws from the fewest values that together have this probability.
    max_attempts: how often a row is drawn at most until it satisfies everything.
    """

    conditions: Mapping[ColumnName, Any] | Iterable[Condition] | None
    rebalance: Mapping[ColumnName, Mapping[Any, float]] | None
    temperature: float
    top_p: float
    max_attempts: int


class Wishes(Limits, total=False):
    """`Limits`, and how many rows.

    augmentation_factor: instead of n, so many units per training row.
    """

    augmentation_factor: float | None


@dataclass(frozen=True)
class Asked:
    """One sample as it was asked for."""

    spec: SampleSpec
    """Its seed counts only where `seed` is set."""
    units: int | None
    """None: `factor` says it."""
    seed: int | None = None
    """None: the server draws one."""
    start: int = 0
    factor: float | None = None
    max_batch_rows: int = 0


def asked(
    n: int | None,
    seed: int | None,
    start: int,
    max_batch_rows: int = 0,
    *,
    augmentation_factor: float | None = None,
    **limits: Any,
) -> Asked:
    """A sample of n units, or of `augmentation_factor` per training row, within `Limits`.

    Raises:
        ValueError: neither or both of the two, or a range that cannot be.
        TypeError: an unknown limit, or a value that no cell can have.
    """
    if (n is None) == (augmentation_factor is None):
        raise ValueError("say how many: either n or augmentation_factor")
    units = 1 if n is None else n
    if not 0 < units <= MAX_UNITS - start or start < 0:
        raise ValueError("n must be at least 1, start at least 0, and both together at most 2^53")
    return Asked(spec_of(seed or 0, **limits), n, seed, start, augmentation_factor, max_batch_rows)


def spec_of(
    seed: int,
    *,
    conditions: Mapping[ColumnName, Any] | Iterable[Condition] | None = None,
    rebalance: Mapping[ColumnName, Mapping[Any, float]] | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_attempts: int = MAX_ATTEMPTS,
    partial: PartialRows | None = None,
) -> SampleSpec:
    """The spec of `Limits`.

    Raises:
        ValueError, TypeError: as `asked`.
    """
    return SampleSpec(
        seed,
        conditions=_conditions(conditions),
        rebalancing=_rebalancing(rebalance),
        partial=partial,
        temperature=_number("temperature", temperature),
        top_p=_number("top_p", top_p),
        max_attempts=max_attempts,
    )


def _conditions(given: Mapping[ColumnName, Any] | Iterable[Condition] | None) -> tuple[Condition, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        found = tuple(given) if isinstance(given, Iterable) else (given,)
        if not all(isinstance(condition, Condition) for condition in found):
            raise TypeError("conditions: a mapping by column, or Condition objects")
        return found
    return tuple(_condition(column, wanted) for column, wanted in given.items())


def _condition(named: ColumnName, wanted: Any) -> Condition:
    table, column = ("", named) if isinstance(named, str) else named
    match wanted:
        case Condition():
            return replace(wanted, column=column, table=table)
        case None:
            return Condition(column, is_null=True, table=table)
        case tuple():
            if len(wanted) != 2 or wanted == (None, None):
                raise ValueError(f"{column}: a range is (lowest, highest), where one may be None")
            low, high = (None if bound is None else _text(column, bound) for bound in wanted)
            return Condition(column, minimum=low, maximum=high, table=table)
        case list() | set() | frozenset():
            texts = [_text(column, value) for value in wanted]
            if not texts:
                raise ValueError(f"{column}: a set of values is empty")
            # Sets have no order, and equal requests are to be equal.
            return Condition(
                column, one_of=tuple(texts if isinstance(wanted, list) else sorted(texts)), table=table
            )
        case _:
            return Condition(column, one_of=(_text(column, wanted),), table=table)


def _rebalancing(given: Mapping[ColumnName, Mapping[Any, float]] | None) -> Rebalancing | None:
    if not given:
        return None
    if not isinstance(given, Mapping) or not all(isinstance(shares, Mapping) for shares in given.values()):
        raise TypeError("rebalance: a mapping of shares by value, for a column")
    if len(given) != 1:
        raise ValueError("one column can be rebalanced at a time")
    ((named, shares),) = given.items()
    table, column = ("", named) if isinstance(named, str) else named
    texts = {_text(column, value): _number(column, share) for value, share in shares.items()}
    return Rebalancing(column, tuple(sorted(texts.items())), table)


def _text(column: str, value: Any) -> str:
    try:
        return text_of(value)
    except TypeError:
        raise TypeError(f"{column}: no cell can have this value ({type(value).__name__})") from None


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: must be a number") from None
