"""Whether models of synthetic rows look at the same columns as models of real rows.

The weight of a column is its mean absolute TreeSHAP value (Lundberg et al.
2020) over held-out rows, by the boosted trees' own exact contributions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import stats

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.intervals import percentiles
from evaluators.models import BoostedTrees
from evaluators.results import (
    Direction,
    Family,
    Figure,
    FigureKind,
    LeftOut,
    Metric,
    MetricInfo,
    Result,
    Series,
    tidy,
)
from evaluators.utility.arms import Arms, Known, arms
from evaluators.utility.scores import weightings
from trainers.base import Doubles

TOP = 5
"""Columns whose overlap is counted."""
FIT_ROWS = 10_000
"""Rows of each of the three models, at most; they are equally many."""
EXPLAINED_ROWS = 500
"""Held-out rows that are explained, at most; fewer where there are more than four classes."""
_LEAST = 20
"""Rows of a model, at least."""
_SHOWN = 15

METRICS = (
    MetricInfo(
        "feature_importance_correlation",
        Family.UTILITY,
        "Feature importance: rank correlation",
        "Spearman's correlation over columns of mean |TreeSHAP| on held-out rows, of boosted trees trained on"
        " synthetic rows and on as many real ones. Baseline: on real rows of other patients instead.",
        Direction.HIGHER,
        reference="Lundberg et al. 2020",
    ),
    MetricInfo(
        "feature_importance_overlap",
        Family.UTILITY,
        f"Feature importance: overlap of the first {TOP}",
        f"Jaccard index of the {TOP} columns of the largest mean |TreeSHAP| (half of all of fewer than"
        f" {2 * TOP}); models and baseline as of feature_importance_correlation.",
        Direction.HIGHER,
        reference="Lundberg et al. 2020",
    ),
)


def run(case: Case) -> Iterator[Result]:
    """Per target both metrics and a picture."""
    for name in case.targets:
        case.check()
        found = arms(case, name, "importance")
        if isinstance(found, LeftOut):
            yield found
        elif case.seconds_left <= 0:
            yield LeftOut(f"importance of {name}", OUT_OF_TIME)
        else:
            yield from _importance(case, found)


def _importance(case: Case, found: Arms) -> Iterator[Result]:
    part = f"importance of {found.name}"
    columns = len(found.inputs.views)
    if columns < 3:
        yield LeftOut(part, "fewer than three columns predict it: ranks say nothing")
        return
    rng = case.rng(f"importance:{found.name}")
    sides = _sides(found, rng)
    if sides is None:
        yield LeftOut(part, "there are too few rows of known outcome")
        return
    explained = found.test.sample(max(100, EXPLAINED_ROWS * 4 // max(4, found.classes)), rng)
    weights = weightings(explained.frame.subjects, rng)
    means = []
    for rows in sides:
        case.check()
        model = found.fitted(rows)
        if not isinstance(model, BoostedTrees):
            yield LeftOut(part, "a part of the rows has one value of it alone")
            return
        contributions = model.contributions_of_rows(explained.frame)
        means.append(weights @ contributions / weights.sum(axis=1, keepdims=True))
    real, synthetic, other = means
    top = min(TOP, columns // 2)
    for name, statistic in (("correlation", _correlation), ("overlap", _overlap)):
        values, best = statistic(real, synthetic, top), statistic(real, other, top)
        if not np.isfinite(values[0]):
            yield LeftOut(
                f"feature_importance_{name} of {found.name}", "no column matters to one of the models"
            )
            continue
        yield Metric(
            f"feature_importance_{name}",
            float(values[0]),
            detail={"target": found.name},
            interval=percentiles(values[1:]),
            baseline=float(best[0]) if np.isfinite(best[0]) else None,
            baseline_interval=percentiles(best[1:]),
            null_value=0.0 if name == "correlation" else None,
            size=len(explained),
        )
    yield _bars(found, real, synthetic)


def _sides(found: Arms, rng: np.random.Generator) -> tuple[Known, Known, Known] | None:
    """Real rows, as many synthetic ones, and as many real ones of other patients; None where too few."""
    patients, own = np.unique(found.train.frame.subjects, return_inverse=True)
    half = (rng.permutation(len(patients)) % 2)[own]
    one, other = (found.train.take(np.flatnonzero(half == i)) for i in (0, 1))
    rows = min(FIT_ROWS, len(one), len(other), len(found.synthetic))
    if rows < _LEAST:
        return None
    return one.sample(rows, rng), found.synthetic.sample(rows, rng), other.sample(rows, rng)


def _correlation(one: Doubles, other: Doubles, top: int) -> Doubles:
    """Spearman's correlation of every row, [n]."""
    ranks = [stats.rankdata(part, axis=1) for part in (one, other)]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Doubles = (centred[0] * centred[1]).sum(axis=1) / np.sqrt(
            (centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1)
        )
    return found


def _overlap(one: Doubles, other: Doubles, top: int) -> Doubles:
    """The Jaccard index of the `top` largest of every row, [n]."""
    first, second = (_largest(part, top) for part in (one, other))
    found: Doubles = (first & second).sum(axis=1) / (first | second).sum(axis=1)
    return found


def _largest(values: Doubles, top: int) -> npt.NDArray[np.bool_]:
    out = np.zeros(values.shape, np.bool_)
    np.put_along_axis(out, np.argsort(-values, axis=1, kind="stable")[:, :top], True, axis=1)
    return out


def _bars(found: Arms, real: Doubles, synthetic: Doubles) -> Figure:
    shares = [part / np.maximum(part.sum(axis=1, keepdims=True), 1e-300) for part in (real, synthetic)]
    order = np.argsort(-shares[0][0], kind="stable")[:_SHOWN]
    series = []
    for name, part in zip(("real-trained", "synthetic-trained"), shares, strict=True):
        low, high = np.quantile(part[1:, order], [0.025, 0.975], axis=0)
        series.append(Series(name, tidy(part[0, order]), low=tidy(low), high=tidy(high)))
    return Figure(
        f"importance:{found.name}",
        Family.UTILITY,
        f"Columns that models of {found.name} look at",
        FigureKind.BARS,
        tuple(series),
        categories=tuple(found.inputs.views[i].name for i in order),
        y_label="share of mean |TreeSHAP|",
        y_min=0.0,
    )


EVALUATORS = (Evaluator("importance", Family.UTILITY, METRICS, run, frozenset({Need.HOLDOUT, Need.TARGET})),)
