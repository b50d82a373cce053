"""What is watched while a model is trained: its losses, and attacks on rows of the model as it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluators.frame import Frame, frames
from evaluators.intervals import auc
from evaluators.privacy.alike import classes
from evaluators.space import Space, nearest
from tables.tableset import Table, TableSet
from trainers.base import Generator, Indices, Progress
from trainers.drawing import draw

MEMBERSHIP = "membership_inference_attack_success"
COPIES = "identical_match_share"

PATIENTS = 2000
"""Training patients, and validation patients, that are attacked at most."""
FEWEST_PATIENTS = 50
"""Of fewer on either side an AUC is not told: chance alone moves it by a tenth."""
ROWS = 20_000
"""Synthetic rows that are drawn at most, where there are as many training rows."""
_LEAST_ROWS = 1000
_MATCHED = 50_000
"""Training rows that synthetic ones are compared with, at most."""
_FIRST = 1.0
"""What a look is thought to take before there was one, in seconds."""


@dataclass(frozen=True)
class WatchedAlert:
    """Something that is said, or ends training, when a metric passes a threshold."""

    metric: str
    """`MEMBERSHIP`, `COPIES`, "gradient_norm", "loss" or the name of any loss of the trainer."""
    threshold: float
    below: bool = False
    """Passed by values below, not above."""
    stop: bool = False

    def passed(self, value: float) -> bool:
        """Whether it is; never by nan."""
        return value < self.threshold if self.below else value > self.threshold


@dataclass(frozen=True)
class Raised:
    """An alert, and the value that passed its threshold."""

    alert: WatchedAlert
    value: float


class Watcher:
    """Holds alerts against a model that is being trained; each is raised once.

    Membership: how well the distance to the nearest of as many synthetic rows
    as training rows (20,000 at most) tells training patients from validation
    patients, as an AUC, a row of each and 2,000 patients on a side at most. It
    is compared as it is, without its interval; below 50 patients on a side it
    is not computed. Copies: the share of synthetic rows that equal one of the
    training rows (50,000 at most) in all compared columns.

    Args:
        train: the rows that are learned from.
        validation: rows of other patients; may be empty.
        alerts: what to raise.
        seed: of all draws; every look draws with the same noise.
        share: of the time of training that looks may take.
        clock: seconds.
    """

    def __init__(
        self,
        train: TableSet,
        validation: TableSet,
        alerts: Sequence[WatchedAlert],
        seed: int = 0,
        *,
        share: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._train, self._validation, self._seed = train, validation, seed
        self._open, self._share, self._clock = list(alerts), share, clock
        self._began, self._spent, self._last = clock(), 0.0, _FIRST
        self.values: dict[str, float] = {}
        """The latest value of every metric."""

    @property
    def asks_for_rows(self) -> bool:
        """Whether there is an alert on the rows of the model that was not raised yet."""
        return any(alert.metric in (MEMBERSHIP, COPIES) for alert in self._open)

    @property
    def due(self) -> bool:
        """Whether a look as long as the last would keep all looks within their share of the time."""
        learned = self._clock() - self._began - self._spent
        return self.asks_for_rows and self._spent + self._last <= self._share * learned

    def take(self, progress: Progress) -> tuple[Raised, ...]:
        """What the losses and the gradient norm of an epoch raise.

        "loss" is the training loss, also of trainers that call it "train". A
        gradient norm of 0 is one that was not told.
        """
        told = dict(progress.losses)
        if "train" in told:
            told.setdefault("loss", told["train"])
        if progress.gradient_norm:
            told["gradient_norm"] = progress.gradient_norm
        return self._raise(told)

    def watch(self, make: Callable[[], Generator]) -> tuple[Raised, ...]:
        """What a look at the model raises, where one is due; for `trainers.base.Hooks.watch`."""
        if not self.due:
            return ()
        began = self._clock()
        raised = self.look(make())
        self._last = self._clock() - began
        self._spent += self._last
        return raised

    def look(self, generator: Generator) -> tuple[Raised, ...]:
        """What rows of a generator raise, due or not; to be called once when training is done.

        Raises:
            Problem: MULTI_TABLE_UNSUPPORTED.
        """
        return self._raise(self._attacked(generator)) if self.asks_for_rows else ()

    @property
    def attackable(self) -> bool:
        """Whether there are patients enough on either side for the attack on membership."""
        return self._sides[2] is not None

    def why_unknown(self, metric: str) -> str:
        """Why a metric has no value after the last look, for people."""
        if metric == MEMBERSHIP:
            return f"it needs {FEWEST_PATIENTS} training and as many validation patients"
        if metric == COPIES:
            return "no column can be compared"
        told = ", ".join(sorted(set(self.values) - {MEMBERSHIP, COPIES}))
        return f"this trainer tells {told}" if told else "this trainer tells no losses"

    def _raise(self, told: Mapping[str, float]) -> tuple[Raised, ...]:
        self.values.update(told)
        raised = tuple(
            Raised(alert, told[alert.metric])
            for alert in self._open
            if alert.passed(told.get(alert.metric, math.nan))
        )
        self._open = [alert for alert in self._open if all(alert is not found.alert for found in raised)]
        return raised

    def _attacked(self, generator: Generator) -> dict[str, float]:
        table, members, others = self._sides
        whole = self._train.single()
        drawn = draw(generator, whole.schema, min(max(_LEAST_ROWS, whole.num_rows), ROWS), self._seed)
        train, validation, synthetic = frames([table, others, drawn])
        assert train is not None
        assert synthetic is not None
        found: dict[str, float] = {}
        if not len(train.layout):
            return found
        if any(alert.metric == COPIES for alert in self._open):
            found[COPIES] = _copies(train, synthetic)
        if validation is not None and any(alert.metric == MEMBERSHIP for alert in self._open):
            found[MEMBERSHIP] = _membership(train, train.take(members), validation, synthetic)
        return found

    @cached_property
    def _sides(self) -> tuple[Table, Indices, Table | None]:
        """Training rows, the positions of members among them, rows of others; None where too few patients."""
        rng = np.random.default_rng([self._seed & (2**63 - 1), 1])
        train, validation = self._train.single(), self._validation.single()
        rows = np.arange(train.num_rows)
        if train.num_rows > _MATCHED:
            rows = np.sort(rng.choice(train.num_rows, _MATCHED, replace=False))
        train = train.take(rows)
        members, others = (_one_each(table.subjects(), rng) for table in (train, validation))
        few = min(len(members), len(others)) < FEWEST_PATIENTS
        return train, members, None if few else validation.take(others)


def _one_each(subjects: Indices, rng: np.random.Generator) -> Indices:
    """A row of each patient, of so many patients at most; positions."""
    order = rng.permutation(len(subjects))
    _, first = np.unique(subjects[order], return_index=True)
    chosen: Indices = np.sort(order[first])
    return np.sort(rng.choice(chosen, min(PATIENTS, len(chosen)), replace=False))


def _copies(train: Frame, synthetic: Frame) -> float:
    (real, made), _ = classes([train, synthetic], [view.name for view in train.layout])
    return float(np.isin(made, real).mean())


def _membership(train: Frame, members: Frame, others: Frame, synthetic: Frame) -> float:
    space = Space.fit(train)
    made = space.points(synthetic)
    near = [-nearest(space.points(frame), made)[0][:, 0] for frame in (members, others)]
    return auc(near[0], near[1])
