"""What an evaluation is given, and the shape of its parts.

A part is an `Evaluator`: a function from a `Case` to results, with what it
needs and the metrics it can give. `evaluators.registry` lists them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np

from evaluators.frame import Frame, Layout
from evaluators.results import Family, MetricInfo, Result
from kohort.schema import TableSchema
from tables.tableset import TableSet
from trainers.base import Stopped

PAIR_ROWS = 50_000
"""Rows that statistics of columns and of pairs look at, at most."""
MODEL_ROWS = 20_000
"""Rows that a classifier or regression is fitted on, at most, where nothing else is said."""
KERNEL_ROWS = 5_000
"""Rows of a kernel matrix, at most."""

MANY_PATIENTS = 30
"""Hold-outs of fewer patients say next to nothing; policies ask for more."""


OUT_OF_TIME = "the time budget was used up"
"""Why something was left out."""


class Profile(StrEnum):
    """How much is computed (`EvaluationProfile`)."""

    NONE = "none"
    STANDARD = "standard"
    FULL = "full"


class Need(StrEnum):
    """What a part cannot do without; where it lacks, the part is left out and says so."""

    HOLDOUT = "held-out patients"
    TARGET = "a column to predict"
    QUASI_IDENTIFIERS = "quasi-identifiers"
    PROTECTED = "protected columns"
    REFIT = "the trainer that made the rows"


Sampler = Callable[[int, int], TableSet]
"""Draws so many rows with a seed."""

Refit = Callable[[TableSet, int], Sampler]
"""Trains on tables with a seed, as the model under evaluation was trained."""

BUDGETS: Mapping[Profile, float] = {Profile.NONE: 0.0, Profile.STANDARD: 120.0, Profile.FULL: 1800.0}
"""Seconds an evaluation may take where nobody said."""


@dataclass(frozen=True)
class Options:
    """How to evaluate (`EvaluationOptions`); empty lists are chosen by `evaluators.roles`."""

    profile: Profile = Profile.STANDARD
    targets: tuple[str, ...] = ()
    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    seed: int = 0
    seconds: float | None = None
    """The time budget; None: that of the profile."""
    threads: int = 1
    min_patients: int = 5
    """k: nothing that fewer patients hold is in a figure or a group."""

    @property
    def budget(self) -> float:
        """Seconds it may take."""
        return BUDGETS[self.profile] if self.seconds is None else self.seconds


@dataclass(frozen=True, eq=False)
class Case:
    """One table under evaluation.

    `train`: the rows that were learned from. `synthetic`: as many synthetic
    rows, or what there is. `holdout`: rows of other patients, or None.
    Columns named by `targets` and the like are in the layout.
    """

    schema: TableSchema
    train: Frame
    synthetic: Frame
    holdout: Frame | None
    options: Options
    targets: tuple[str, ...] = ()
    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    tables: Mapping[str, TableSet] = field(default_factory=dict)
    """"train", "holdout", "synthetic": the same rows as tables, for constraints and refits."""
    refit: Refit | None = None
    deadline: float = float("inf")
    """By the monotonic clock."""
    should_stop: Callable[[], bool] = lambda: False

    @property
    def layout(self) -> Layout:
        """The columns."""
        return self.train.layout

    @property
    def reference(self) -> Frame:
        """What synthetic rows are compared with: the hold-out, else the training rows."""
        return self.train if self.holdout is None else self.holdout

    @property
    def baseline(self) -> Frame | None:
        """Real rows that are compared with the reference, too: training rows, where there is a hold-out."""
        return None if self.holdout is None else self.train

    def rng(self, part: str) -> np.random.Generator:
        """A random stream that depends on the seed and the part's name alone."""
        return np.random.default_rng([self.options.seed & (2**63 - 1), *part.encode()])

    @property
    def seconds_left(self) -> float:
        """Until the time budget is used up."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raises `trainers.base.Stopped` when a stop was asked for; call it every second or so."""
        if self.should_stop():
            raise Stopped

    @cached_property
    def needs(self) -> frozenset[Need]:
        """What this case can give."""
        have = {
            Need.HOLDOUT: self.holdout is not None,
            Need.TARGET: bool(self.targets),
            Need.QUASI_IDENTIFIERS: bool(self.quasi_identifiers),
            Need.PROTECTED: bool(self.protected),
            Need.REFIT: self.refit is not None,
        }
        return frozenset(need for need, there in have.items() if there)


@dataclass(frozen=True)
class Evaluator:
    """A part of an evaluation.

    `run` yields results as they come: what it yielded stays when time runs out
    in the middle. It calls `case.check()` and looks at `case.seconds_left`
    between steps of more than a second or so, and yields a `LeftOut` for what
    it does not do.
    """

    name: str
    family: Family
    metrics: tuple[MetricInfo, ...]
    run: Callable[[Case], Iterable[Result]]
    needs: frozenset[Need] = frozenset()
    profile: Profile = Profile.STANDARD
    """FULL: not part of the standard profile."""
