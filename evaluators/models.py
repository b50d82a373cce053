"""Predictors that evaluation fits: boosted trees, a random forest, a linear model.

One way in for all parts: columns of a frame as inputs, one column as the
outcome. Parameters and seeds are fixed; nothing is tuned, so that real-trained
and synthetic-trained models differ by their rows alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evaluators.frame import Codes, Frame, Layout, View
from trainers.base import Doubles, Floats, Indices

MOST_LEVELS = 50
"""Levels of a column that linear models and forests tell apart; the others count as none."""
_MOST_FEATURES = 1024
"""Features of a linear model or a forest: wide tables have fewer levels of a column told apart."""
_MOST_CODES = 256
"""Levels of a column that boosted trees tell apart; the others count as one."""
_HUGE = float(np.finfo(np.float32).max)
_DEPTH, _ROUNDS, _RATE = 6, 100, 0.1


class ModelKind(StrEnum):
    """What is fitted."""

    BOOSTED_TREES = "boosted_trees"
    FOREST = "random_forest"
    LINEAR = "logistic"
    """Logistic regression, or ridge regression of numbers."""


@dataclass(frozen=True)
class Inputs:
    """The columns that predict, and how they become a matrix."""

    views: tuple[View, ...]

    @classmethod
    def of(cls, layout: Layout, without: Sequence[str] = ()) -> Inputs:
        """All columns but those."""
        return cls(tuple(view for view in layout if view.name not in without))

    def raw(self, frame: Frame) -> Floats:
        """Numbers and codes as they are, nan for null, float32 [n, columns]: for trees with categories."""
        out = np.empty((len(frame), len(self.views)), np.float32)
        for i, view in enumerate(self.views):
            values = frame[view.name]
            # Beyond single precision a number would become infinite, which no model takes.
            out[:, i] = (
                np.clip(values, -_HUGE, _HUGE) if view.number else np.where(values < 0, np.nan, values)
            )
        return out

    @property
    def types(self) -> list[str]:
        """Per column of `raw`, "q" or "c", as xgboost calls them."""
        return ["q" if view.number else "c" for view in self.views]


class Predictor(Protocol):
    """A fitted model."""

    def predict(self, frame: Frame) -> Doubles:
        """Classes: probabilities [n, classes]. Numbers: values [n]."""


def fit(
    kind: ModelKind,
    inputs: Inputs,
    frame: Frame,
    outcome: npt.NDArray[Any],
    classes: int,
    seed: int,
    threads: int = 1,
) -> Predictor:
    """Fits a predictor.

    Args:
        kind: of what kind.
        inputs: from which columns.
        frame: the rows.
        outcome: classes int [n] below `classes`, or numbers float [n].
        classes: how many; 0 means numbers.
        seed: of all draws.
        threads: to use.

    Of an outcome with one value, no rows or no inputs nothing is fitted: the
    shares of the classes, or the mean, are predicted of every row.
    """
    if len(np.unique(outcome)) < 2 or not inputs.views:
        return _constant(outcome, classes)
    if kind is ModelKind.BOOSTED_TREES:
        return BoostedTrees(inputs, frame, outcome, classes, seed, threads)
    return _Sklearn(kind, inputs, frame, outcome, classes, seed, threads)


@dataclass(frozen=True)
class _Constant:
    """What is known without looking at a row."""

    value: Doubles
    """[classes], or [] for a number."""

    def predict(self, frame: Frame) -> Doubles:
        return np.broadcast_to(self.value, (len(frame), *self.value.shape)).copy()


def _constant(outcome: npt.NDArray[Any], classes: int) -> _Constant:
    if not classes:
        return _Constant(np.asarray(outcome.mean() if len(outcome) else 0.0))
    if not len(outcome):
        return _Constant(np.full(classes, 1 / classes))
    return _Constant(np.bincount(outcome.astype(np.int64), minlength=classes) / len(outcome))


@dataclass(frozen=True)
class _Unit:
    """Numbers to predict, centred and scaled: models see the same whatever their unit."""

    middle: float = 0.0
    width: float = 1.0

    @classmethod
    def of(cls, outcome: npt.NDArray[Any], classes: int) -> _Unit:
        return cls() if classes else cls(float(outcome.mean()), float(outcome.std()) or 1.0)

    def to(self, outcome: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return outcome if self == _Unit() else (outcome - self.middle) / self.width

    def back(self, found: Doubles) -> Doubles:
        return found * self.width + self.middle


class BoostedTrees:
    """Gradient boosting (Chen and Guestrin 2016), 100 trees of depth 6, with categories as such."""

    def __init__(
        self, inputs: Inputs, frame: Frame, outcome: npt.NDArray[Any], classes: int, seed: int, threads: int
    ) -> None:
        self._inputs, self._classes, self._threads = inputs, classes, threads
        self._unit = _Unit.of(outcome, classes)
        self._places = {
            i: _places(view, frame[view.name], _MOST_CODES)
            for i, view in enumerate(inputs.views)
            if len(view.levels) > _MOST_CODES
        }
        objective = "binary:logistic" if classes == 2 else "multi:softprob" if classes else "reg:squarederror"
        settings: dict[str, Any] = {
            "objective": objective,
            "max_depth": _DEPTH,
            "eta": _RATE,
            "tree_method": "hist",
            "max_bin": 64,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            # One level against the rest: splits by sets of levels overfit codes of hundreds of levels.
            "max_cat_to_onehot": _MOST_CODES + 2,
            "seed": seed & (2**31 - 1),
            "nthread": threads,
            "verbosity": 0,
        }
        if classes > 2:
            settings["num_class"] = classes
        import xgboost

        self._model = xgboost.train(
            settings, self._matrix(frame, self._unit.to(outcome)), _ROUNDS // (2 if classes > 2 else 1)
        )

    def _matrix(self, frame: Frame, outcome: npt.NDArray[Any] | None = None) -> Any:
        import xgboost

        raw = self._inputs.raw(frame)
        for i, place in self._places.items():
            codes = frame[self._inputs.views[i].name]
            raw[:, i] = np.where(codes < 0, np.nan, np.where(place[codes] < 0, _MOST_CODES, place[codes]))
        return xgboost.DMatrix(
            raw,
            label=None if outcome is None else outcome.astype(np.float32),
            feature_types=self._inputs.types,
            enable_categorical=True,
            nthread=self._threads,
        )

    def predict(self, frame: Frame) -> Doubles:
        """See `Predictor`."""
        found: Doubles = self._model.predict(self._matrix(frame)).astype(np.float64)
        if not self._classes:
            return self._unit.back(found)
        return np.stack([1 - found, found], axis=1) if self._classes == 2 else found

    def contributions(self, frame: Frame) -> Doubles:
        """Mean absolute TreeSHAP values (Lundberg et al. 2020), summed over classes, per input [columns]."""
        found: Doubles = self.contributions_of_rows(frame).mean(axis=0)
        return found

    def contributions_of_rows(self, frame: Frame) -> Doubles:
        """Absolute TreeSHAP values, summed over classes, [n, columns]."""
        found = np.abs(self._model.predict(self._matrix(frame), pred_contribs=True)).astype(np.float64)
        per_input: Doubles = found.reshape(len(frame), -1, len(self._inputs.views) + 1).sum(axis=1)
        return per_input[:, :-1]


class _Sklearn:
    """A forest or a linear model of scikit-learn over one-hot levels and scaled numbers."""

    def __init__(
        self,
        kind: ModelKind,
        inputs: Inputs,
        frame: Frame,
        outcome: npt.NDArray[Any],
        classes: int,
        seed: int,
        threads: int,
    ) -> None:
        self._classes = classes
        self._coder = _Coder(inputs, frame)
        self._model = _model(kind, bool(classes), seed & (2**31 - 1), threads)
        self._unit = _Unit.of(outcome, classes)
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        with warnings.catch_warnings(), threadpool_limits(limits=threads):
            # Not converged in so many steps is a model like any other: it is measured, not trusted.
            warnings.simplefilter("ignore")
            self._model.fit(self._coder.code(frame), self._unit.to(outcome))

    def predict(self, frame: Frame) -> Doubles:
        matrix = self._coder.code(frame)
        if not self._classes:
            return self._unit.back(np.asarray(self._model.predict(matrix), np.float64))
        out = np.zeros((len(frame), self._classes))
        out[:, self._model.classes_.astype(np.int64)] = self._model.predict_proba(matrix)
        return out


def _model(kind: ModelKind, classify: bool, seed: int, threads: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if kind is ModelKind.LINEAR:
        return LogisticRegression(max_iter=200, C=1.0) if classify else Ridge(alpha=1.0)
    forest = RandomForestClassifier if classify else RandomForestRegressor
    return forest(100, min_samples_leaf=5, max_depth=16, random_state=seed, n_jobs=threads)


class _Coder:
    """Numbers scaled, nulls as the median beside an indicator, the frequent levels one-hot."""

    def __init__(self, inputs: Inputs, frame: Frame) -> None:
        self._inputs = inputs
        self._scales: dict[str, tuple[float, float]] = {}
        self._levels: dict[str, Codes] = {}
        most = min(MOST_LEVELS, max(2, _MOST_FEATURES // max(1, len(inputs.views))))
        for view in inputs.views:
            values = frame[view.name]
            if view.number:
                known = values[~np.isnan(values)]
                with np.errstate(over="ignore"):
                    width = float(known.std()) if len(known) else 0.0
                usable = np.isfinite(width) and width > 0
                self._scales[view.name] = (
                    float(np.median(known)) if len(known) else 0.0,
                    width if usable else 1.0,
                )
            else:
                self._levels[view.name] = _places(view, values, most)

    def code(self, frame: Frame) -> Floats:
        """float32 [n, features]."""
        parts: list[npt.NDArray[Any]] = []
        for view in self._inputs.views:
            values = frame[view.name]
            if view.number:
                middle, width = self._scales[view.name]
                null = np.isnan(values)
                # Ten widths away is far: rows beyond would bend a linear model to themselves.
                parts += [np.clip((np.where(null, middle, values) - middle) / width, -10, 10), null]
            else:
                at = self._levels[view.name][values]
                parts.append(at[:, None] == np.arange(-1, self._levels[view.name].max() + 1))
        if not parts:
            return np.zeros((len(frame), 0), np.float32)
        return np.column_stack(parts).astype(np.float32)


def _places(view: View, codes: Codes, most: int) -> Codes:
    """Per level its rank by frequency, -1 beyond the `most` frequent that occur; last, for null, -1."""
    counts = np.bincount(codes[codes >= 0], minlength=len(view.levels))
    frequent = np.argsort(-counts, kind="stable")[: min(most, int((counts > 0).sum()))]
    place = np.full(len(view.levels) + 1, -1, np.int32)
    place[frequent] = np.arange(len(frequent), dtype=np.int32)
    return place


def folds(subjects: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Per row the number of its fold, 0..count-1, whole patients together, int64 [n]."""
    _, patients = np.unique(subjects, return_inverse=True)
    every = int(patients.max()) + 1 if len(patients) else 0
    fold: Indices = (rng.permutation(every) % count).astype(np.int64)
    return fold[patients]
