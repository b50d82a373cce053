"""Models of one outcome, fitted on real rows and on synthetic ones, tested on held-out patients.

What transfer, fairness and other parts share: they are fitted once per case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from evaluators.case import MODEL_ROWS, Case
from evaluators.frame import Frame
from evaluators.intervals import REPEATS
from evaluators.models import Inputs, ModelKind, Predictor, fit
from evaluators.results import LeftOut
from evaluators.roles import Target
from trainers.base import Doubles, Indices

TEST_ROWS = 10_000
"""Held-out rows, and synthetic rows for TRTS, that models are tested on, at most."""
FOREST_ROWS = 10_000
"""Rows that a random forest is fitted on, at most."""


@dataclass(frozen=True, eq=False)
class Known:
    """Rows whose outcome is known."""

    frame: Frame
    outcome: npt.NDArray[np.generic]
    """Classes int64 [n], or numbers [n]."""

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(cls, target: Target, frame: Frame) -> Known:
        """Those of a frame."""
        rows, outcome = target.outcome(frame)
        return cls(frame.take(rows), outcome)

    def sample(self, rows: int, rng: np.random.Generator) -> Known:
        """At most so many, drawn without replacement."""
        if len(self) <= rows:
            return self
        return self.take(np.sort(rng.choice(len(self), rows, replace=False)))

    def take(self, rows: Indices) -> Known:
        """Some, by position."""
        return Known(self.frame.take(rows), self.outcome[rows])


@dataclass(frozen=True, eq=False)
class Arms:
    """Everything about one target.

    `train`, `synthetic`: all rows whose outcome is known. `test`: held-out ones,
    at most TEST_ROWS. `fit_on`: of `train` and `synthetic` the rows that models
    are fitted on, equally many unless there are fewer synthetic ones.
    """

    target: Target
    inputs: Inputs
    train: Known
    synthetic: Known
    test: Known
    fit_on: tuple[Known, Known]
    positive: int
    """Of two classes, the rarer one in the training rows."""
    seed: int
    threads: int
    _models: dict[tuple[ModelKind, bool], Predictor] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The column's."""
        return self.target.view.name

    @property
    def classes(self) -> int:
        """How many; 0 means a number."""
        return self.target.classes

    @property
    def prevalence(self) -> Doubles:
        """The share of each class in the training rows, [classes]."""
        return np.bincount(self.train.outcome.astype(np.int64), minlength=self.classes) / len(self.train)

    @property
    def repeats(self) -> int:
        """Bootstrap samples: of many classes fewer, as each costs as much as a target of two."""
        return max(50, min(REPEATS, 800 // max(1, self.classes)))

    def fitted(self, rows: Known, kind: ModelKind = ModelKind.BOOSTED_TREES) -> Predictor:
        """A model of those rows; without rows one that knows the training rows' mean or no class at all."""
        if not len(rows) and not self.classes:
            return fit(kind, Inputs(()), self.train.frame, self.train.outcome, 0, 0)
        return fit(kind, self.inputs, rows.frame, rows.outcome, self.classes, self.seed, self.threads)

    def model(self, *, real: bool, kind: ModelKind = ModelKind.BOOSTED_TREES) -> Predictor:
        """The real-trained or the synthetic-trained model; fitted when first asked for."""
        key = (kind, real)
        if key not in self._models:
            rows = self.fit_on[0 if real else 1]
            if kind is ModelKind.FOREST:
                rows = rows.sample(FOREST_ROWS, np.random.default_rng(self.seed & (2**63 - 1)))
            self._models[key] = self.fitted(rows, kind)
        return self._models[key]


_MADE: WeakKeyDictionary[Case, dict[str, Arms | LeftOut]] = WeakKeyDictionary()


def arms(case: Case, name: str, part: str) -> Arms | LeftOut:
    """The models of the target `name`, or why `part` has none.

    Needs a hold-out. What is left out: an outcome that held-out rows do not
    have, or have one value of, or that no other column could tell.
    """
    made = _MADE.setdefault(case, {})
    if name not in made:
        made[name] = _arms(case, name)
    found = made[name]
    return LeftOut(f"{part} of {name}", found.reason) if isinstance(found, LeftOut) else found


def _arms(case: Case, name: str) -> Arms | LeftOut:
    assert case.holdout is not None
    target = Target.of(case.layout[name], case.train, case.options.min_patients)
    inputs = Inputs.of(case.layout, (name,))
    if not inputs.views:
        return LeftOut(name, "there is no other column to predict it from")
    rng = case.rng(f"arms:{name}")
    train, synthetic, held = (Known.of(target, f) for f in (case.train, case.synthetic, case.holdout))
    if len(np.unique(train.outcome)) < 2:
        return LeftOut(name, "the training rows know fewer than two values of it")
    if len(np.unique(held.outcome)) < 2:
        return LeftOut(name, "the held-out rows know fewer than two values of it")
    real = train.sample(MODEL_ROWS, rng)
    counts = np.bincount(train.outcome.astype(np.int64)) if target.classes else np.zeros(0)
    return Arms(
        target=target,
        inputs=inputs,
        train=train,
        synthetic=synthetic,
        test=held.sample(TEST_ROWS, rng),
        fit_on=(real, synthetic.sample(len(real), rng)),
        positive=int(counts.argmin()) if target.classes == 2 else 1,
        seed=case.options.seed,
        threads=case.options.threads,
    )
