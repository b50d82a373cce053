"""Whether synthetic rows look real within each class of the outcome, not only taken together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.fidelity.distances import kolmogorov_smirnov, shares, total_variation
from evaluators.fidelity.sides import Side, jackknife, without
from evaluators.frame import Frame, View
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result
from evaluators.roles import MOST_CLASSES, Target
from trainers.base import Doubles

ROWS = 5_000
"""Rows of one class that are compared, at most."""

METRICS = (
    MetricInfo(
        "column_similarity_by_class",
        Family.FIDELITY,
        "Column similarity within a class",
        "The mean over columns of the KS complement (numbers) or TV complement (categories) among rows of one"
        " class of a target; 0 where no synthetic row is of the class. Only classes of enough real patients.",
        Direction.HIGHER,
    ),
)


def run(case: Case) -> Iterator[Result]:
    """For every target of classes, one value per class."""
    for name in case.targets:
        target = Target.of(case.layout[name], case.train)
        if not 0 < target.classes <= MOST_CLASSES:
            yield LeftOut(f"column_similarity_by_class of {name}", "it has no classes, or too many")
            continue
        for number in range(target.classes):
            case.check()
            if case.seconds_left <= 0:
                yield LeftOut(f"column_similarity_by_class of {name}", OUT_OF_TIME)
                return
            yield from _of_class(case, target, number)


def _of_class(case: Case, target: Target, number: int) -> Iterator[Metric]:
    name = target.view.name
    rng = case.rng(f"subgroups:{name}:{number}")
    views = [view for view in case.layout if view.name != name]
    reference = _rows(target, number, case.reference)
    baseline = None if case.baseline is None else _rows(target, number, case.baseline)
    least = min(part.patients for part in (reference, baseline or reference))
    if least < case.options.min_patients or not views:
        return
    most = min(ROWS, len(baseline or reference))
    real = Side.of(reference.sample(ROWS, rng), rng)
    rows = _rows(target, number, case.synthetic).sample(most, rng)
    value, interval = _similarity(views, real, Side.of(rows, rng)) if len(rows) else (0.0, None)
    best = (
        (None, None)
        if baseline is None
        else _similarity(views, real, Side.of(baseline.sample(most, rng), rng))
    )
    if np.isfinite(value):
        yield Metric(
            "column_similarity_by_class",
            value,
            detail={"target": name, "class": target.name_of(number)},
            interval=interval,
            baseline=best[0],
            baseline_interval=best[1],
            size=len(rows),
        )


def _rows(target: Target, number: int, frame: Frame) -> Frame:
    rows, classes = target.outcome(frame)
    return frame.take(rows[classes == number])


def _similarity(views: list[View], real: Side, other: Side) -> tuple[float, Interval | None]:
    """The mean over columns and its interval; columns without a value on either side do not count."""
    each, deleted = [], []
    for view in views:
        counts = _counts(view, real, other)
        distance = kolmogorov_smirnov if view.number else total_variation
        whole = [shares(c.sum(axis=0)) for c in counts]
        if any(np.isnan(part).any() or not part.size for part in whole):
            continue
        each.append(1 - float(distance(*whole)))
        left = [shares(without(c)) for c in counts]
        deleted.append((1 - distance(left[0], whole[1]), 1 - distance(whole[0], left[1])))
    if not each:
        return float("nan"), None
    means = [np.nan_to_num(np.stack([d[i] for d in deleted])).mean(axis=0) for i in range(2)]
    return float(np.mean(each)), jackknife(float(np.mean(each)), means)


def _counts(view: View, real: Side, other: Side) -> list[Doubles]:
    """Rows per group of patients and cell, [blocks, cells], of either side; nulls do not count."""
    cells = [side.frame[view.name] for side in (real, other)]
    known = [~side.frame.null(view.name) for side in (real, other)]
    distinct = np.unique(np.concatenate([c[k] for c, k in zip(cells, known, strict=True)]))
    return [
        side.counts(np.where(k, np.searchsorted(distinct, c), -1), max(1, distinct.size))
        for side, c, k in zip((real, other), cells, known, strict=True)
    ]


EVALUATOR = Evaluator("subgroups", Family.FIDELITY, METRICS, run, frozenset({Need.TARGET}))
