"""What decides the content of a sample, and the count of what it took."""

from __future__ import annotations

from dataclasses import dataclass

from kohort.conditions import Condition, PartialRows, Rebalancing
from kohort.problem import Problem

MAX_ATTEMPTS = 1000
"""How often a unit is drawn at most, where a spec does not say."""
MOST_ATTEMPTS = 100_000
TEMPERATURES = (0.1, 5.0)


@dataclass(frozen=True)
class SampleSpec:
    """What decides the content of a unit, besides the bundle."""

    seed: int
    """Any int64."""
    conditions: tuple[Condition, ...] = ()
    """What every row satisfies, all of them together."""
    rebalancing: Rebalancing | None = None
    """Draws one column in these shares."""
    partial: PartialRows | None = None
    """Rows to complete."""
    temperature: float = 1.0
    """Divides the logits of what the model draws, in [0.1, 5]."""
    top_p: float = 1.0
    """Draws come from the fewest classes that together have this probability, in (0, 1]."""
    max_attempts: int = MAX_ATTEMPTS
    """How often a unit is drawn at most until it meets conditions and constraints, in [1, 100000]."""

    @property
    def plain(self) -> bool:
        """Whether the model's own rows are asked for, as they come."""
        return not (self.conditions or self.rebalancing or self.partial or self.tempered)

    @property
    def tempered(self) -> bool:
        """Whether temperature or top-p change what the model draws."""
        return self.temperature != 1.0 or self.top_p != 1.0

    def check(self) -> None:
        """Raises Problem INVALID_REQUEST for numbers out of bounds; knows no model."""
        low, high = TEMPERATURES
        if not low <= self.temperature <= high:
            raise Problem.at("INVALID_REQUEST", "temperature", f"must be from {low:g} to {high:g}")
        if not 0 < self.top_p <= 1:
            raise Problem.at("INVALID_REQUEST", "top_p", "must be above 0 and at most 1")
        if not 1 <= self.max_attempts <= MOST_ATTEMPTS:
            raise Problem.at("INVALID_REQUEST", "max_attempts", f"must be from 1 to {MOST_ATTEMPTS}")


@dataclass
class Draws:
    """Counts what `Program.units` took, and can stop it; one for each call."""

    drawn: int = 0
    """Draws behind the units emitted, those that were rejected included."""
    unlearned: int = 0
    """Cells of partial rows that were kept although the model never learned them."""
    stopped: bool = False
    """Set by whoever no longer wants the rest: `units` ends before the next attempt, unfinished."""
