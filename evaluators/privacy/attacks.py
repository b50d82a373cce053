"""Attacks that tell members from others by synthetic rows alone, or with real rows of third patients.

Who is scored and who lends the attacker real rows are different patients. All
that an attack fits (scales, densities, models) sees synthetic rows and rows of
the third patients, never a scored one: members and others meet the same
attack, so that without leakage their scores are exchangeable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluators.case import Case
from evaluators.frame import Frame, View
from evaluators.privacy.scores import Scores, best_rows
from evaluators.space import Space, nearest
from trainers.base import Doubles, Floats, Indices

SCORED_ROWS = 4_000
"""Rows of members, and of others, that are scored, at most."""
REFERENCE_ROWS = 10_000
SYNTHETIC_ROWS = 40_000
"""More than the reference: a copy that is not among them is not found."""
PATIENT_ROWS = (4, 20)
"""Rows of one patient that are looked at, at most: the fewer, the more patients there are."""
_PATIENTS = 1_000
"""As many, for a false-positive rate of one in a thousand."""
_COORDINATES = 500
"""Where points have more, fewer rows are compared."""
FIT_ROWS = 4_000
"""Rows that the models of `error_prediction` are fitted on, at most."""
FIT_COLUMNS = 16
FIT_LEVELS = 20
_TREES = 8
_NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows by what they are to an attacker.

    `members` and `others` are scored; `reference` are rows of training
    patients that are not scored. Taken from the training part, because the
    hold-out is the smaller one and every patient less of it coarsens the rates
    of false positives; at most half of the training patients are scored. That
    synthetic rows resemble the reference, too, makes the attacks no worse:
    they ask where synthetic rows are denser than that.
    """

    members: Frame
    others: Frame
    reference: Frame
    synthetic: Frame

    @classmethod
    def of(cls, case: Case) -> Parts:
        """Of a case with a hold-out."""
        assert case.holdout is not None
        rng = case.rng("membership")
        fewest, most = PATIENT_ROWS
        scored = min(case.train.patients // 2, case.holdout.patients, _PATIENTS)
        each = min(most, max(fewest, SCORED_ROWS // max(1, scored)))
        train, holdout = _thinned(case.train, each, rng), _thinned(case.holdout, each, rng)
        members, rest = _divided(train, min(train.patients // 2, _fitting(train, SCORED_ROWS)), rng)
        among = min(1.0, _COORDINATES / max(1, Space.fit(rest).dimensions))
        reference, _ = _divided(rest, _fitting(rest, int(REFERENCE_ROWS * among)), rng)
        others, _ = _divided(holdout, _fitting(holdout, SCORED_ROWS), rng)
        return cls(members, others, reference, case.synthetic.sample(int(SYNTHETIC_ROWS * among), rng))

    @cached_property
    def space(self) -> Space:
        """Scaled by the reference."""
        return Space.fit(self.reference)

    @cached_property
    def scored(self) -> tuple[Floats, Floats]:
        """The points of members and of others."""
        return self.space.points(self.members), self.space.points(self.others)

    @cached_property
    def to_synthetic(self) -> tuple[Doubles, Doubles]:
        """Distances of members and of others to their nearest synthetic rows, [rows, neighbours]."""
        among = self.space.points(self.synthetic)
        return _both(nearest(part, among, _NEIGHBOURS)[0] for part in self.scored)

    @cached_property
    def to_reference(self) -> tuple[Doubles, Doubles]:
        """The same to the nearest rows of the reference."""
        among = self.space.points(self.reference)
        return _both(nearest(part, among, _NEIGHBOURS)[0] for part in self.scored)

    def by_patient(self, members: Doubles, others: Doubles) -> Scores:
        """A patient's score is that of its best row."""
        return Scores(best_rows(members, self.members.subjects), best_rows(others, self.others.subjects))


def distance(parts: Parts) -> Scores:
    """Minus the distance to the nearest synthetic row (Chen et al. 2020)."""
    return parts.by_patient(*(-found[:, 0] for found in parts.to_synthetic))


def domias(parts: Parts) -> Scores:
    """The density of synthetic rows over that of the population (DOMIAS, van Breugel et al. 2023).

    Both by nearest neighbours, which hold in mixed columns: in d dimensions a
    density falls with the d-th power of the way to them, so the logarithm of
    the ratio orders rows as that of the ways does. A copy is one synthetic
    row, the population is smooth: the nearest of the former, the mean of five
    of the latter. Of rows that are equal to synthetic ones those far from the
    reference score most: they are the ones that chance explains least.
    """
    population = [found.mean(axis=1) for found in parts.to_reference]
    floor = 1e-2 * (float(np.median(np.concatenate(population))) or 1.0)
    return parts.by_patient(
        *(
            np.log(wide + floor) - np.log(found[:, 0] + floor)
            for wide, found in zip(population, parts.to_synthetic, strict=True)
        )
    )


def exposure(parts: Parts) -> Scores:
    """How far a patient's most remote row is from the reference: no attack, but whom to attack."""
    return parts.by_patient(*(found[:, 0] for found in parts.to_reference))


def error_prediction(
    parts: Parts, seed: int, threads: int = 1, check: Callable[[], None] = lambda: None
) -> Scores:
    """How much better models of synthetic rows predict a row's cells than models of the reference do.

    After MIA-EPT (German et al. 2025, arXiv 2509.13046): one model per column, of the others;
    its error on a member's cell is small where the generator repeats members.
    The reference's models take away what is easy to predict for anyone. The
    errors of `FIT_COLUMNS` columns are compared, by mean. `check` is called
    between the columns and may raise.
    """
    rng = np.random.default_rng([seed & (2**63 - 1), 7])
    views = [view for view in parts.members.layout if _tells(view, parts)]
    if len(views) > FIT_COLUMNS:
        views = [views[i] for i in np.sort(rng.choice(len(views), FIT_COLUMNS, replace=False))]
    size = min(FIT_ROWS, len(parts.reference), len(parts.synthetic))
    fitted = [frame.sample(size, rng) for frame in (parts.synthetic, parts.reference)]
    scored = [parts.members, parts.others]
    gains = [np.zeros(len(frame)) for frame in scored]
    for view in views:
        check()
        errors = [_errors(view, frame, scored, int(rng.integers(2**31)), threads) for frame in fitted]
        spread = float(np.std(np.concatenate(errors[1]))) or 1.0
        for gain, ours, theirs in zip(gains, errors[0], errors[1], strict=True):
            gain += (theirs - ours) / spread
    return parts.by_patient(*gains)


def _tells(view: View, parts: Parts) -> bool:
    """Whether both kinds of fitted rows hold two values of it."""
    return all(len(np.unique(_cells(view, frame))) > 1 for frame in (parts.reference, parts.synthetic))


def _errors(view: View, fitted: Frame, scored: list[Frame], seed: int, threads: int) -> list[Doubles]:
    """Errors of a model of one column by the others: of a number in standard deviations, of a level 1 - p."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    settings: dict[str, Any] = {
        "n_estimators": _TREES,
        "max_features": 0.5,
        "random_state": seed,
        "n_jobs": threads,
    }
    inputs = [other for other in fitted.layout if other.name != view.name]
    cells = _cells(view, fitted)
    if view.number:
        spread = float(cells.std()) or 1.0
        model = ExtraTreesRegressor(min_samples_leaf=2, **settings).fit(
            _matrix(inputs, fitted), cells / spread
        )
        return [
            np.minimum(np.abs(model.predict(_matrix(inputs, frame)) - _cells(view, frame) / spread), 3.0)
            for frame in scored
        ]
    levels, counts = np.unique(cells, return_counts=True)
    frequent = np.sort(levels[np.argsort(-counts, kind="stable")[:FIT_LEVELS]])
    classifier = ExtraTreesClassifier(min_samples_leaf=2, **settings)
    classifier.fit(_matrix(inputs, fitted), _classes(cells, frequent))
    errors = []
    for frame in scored:
        found = classifier.predict_proba(_matrix(inputs, frame))
        place = np.full(len(frequent) + 1, -1)
        place[classifier.classes_] = np.arange(len(classifier.classes_))
        at = place[_classes(_cells(view, frame), frequent)]
        errors.append(1 - np.where(at < 0, 0.0, found[np.arange(len(frame)), at]))
    return errors


def _classes(cells: Doubles, frequent: Doubles) -> Indices:
    """Positions among the frequent levels, the rest as one more."""
    at = np.clip(np.searchsorted(frequent, cells), 0, len(frequent) - 1)
    return np.where(frequent[at] == cells, at, len(frequent))


def _cells(view: View, frame: Frame) -> Doubles:
    """Cells as numbers, bent so that far ones stay in sight; null is below all of them."""
    values = frame[view.name].astype(np.float64)
    return np.where(frame.null(view.name), -1e3, np.arcsinh(values)) if view.number else values


def _matrix(inputs: list[View], frame: Frame) -> Floats:
    out = np.empty((len(frame), max(1, len(inputs))), np.float32)
    for i, view in enumerate(inputs):
        out[:, i] = _cells(view, frame)
    return out if inputs else np.zeros_like(out)


def _thinned(frame: Frame, each: int, rng: np.random.Generator) -> Frame:
    """At most so many rows of every patient."""
    if frame.patients == len(frame):
        return frame
    shuffled = rng.permutation(len(frame))
    order = shuffled[np.argsort(frame.subjects[shuffled], kind="stable")]
    first = np.diff(frame.subjects[order], prepend=-1) != 0
    place = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    return frame.take(np.sort(order[place < each]))


def _fitting(frame: Frame, rows: int) -> int:
    """How many patients have about so many rows: not which, or those of many rows were passed over."""
    return min(frame.patients, int(rows * frame.patients / max(1, len(frame))))


def _divided(frame: Frame, patients: int, rng: np.random.Generator) -> tuple[Frame, Frame]:
    """The rows of so many random patients, and of the others."""
    _, numbers = np.unique(frame.subjects, return_inverse=True)
    mine = (rng.permutation(frame.patients) < patients)[numbers]
    return frame.take(mine), frame.take(~mine)


def _both(parts: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    first, second = parts
    return first, second
