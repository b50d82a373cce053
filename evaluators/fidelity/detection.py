"""Whether a classifier can tell synthetic rows from real ones (the classifier two-sample test)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from evaluators.case import MODEL_ROWS, OUT_OF_TIME, Case, Evaluator
from evaluators.fidelity.propensity import pmse_ratio
from evaluators.frame import Frame, joined
from evaluators.intervals import LEVEL, auc, delong, roc
from evaluators.models import BoostedTrees, Inputs, ModelKind, fit, folds
from evaluators.results import (
    Direction,
    Family,
    Figure,
    FigureKind,
    Interval,
    LeftOut,
    Metric,
    MetricInfo,
    Result,
    Series,
)
from trainers.base import Doubles

FOLDS = 5
FEWEST = 20
"""Rows of either side, below which nothing can be learned."""
_SMALL = 1000
"""Real parts of fewer rows are compared with several blocks of the other rows: one alone is luck."""
_BLOCKS = 4
_POINTS = 50
"""Of a ROC curve, at most."""
_EXPLAINED = 1000
"""Rows that the classifier is explained on."""
_WIDER = 1.5
"""Intervals are so much wider than if scores were independent: sqrt(1 + 5/4) of Nadeau and Bengio 2003.

The folds' models share their rows. In simulation areas vary so much where nothing or little can be told.
"""
_MODELS = (ModelKind.BOOSTED_TREES, ModelKind.LINEAR)

_C2ST = MetricInfo(
    "c2st_auc",
    Family.FIDELITY,
    "Classifier two-sample test",
    "Area under the ROC curve of a classifier that tells real from synthetic rows it was not fitted on "
    "(5 folds, whole patients). 0.5: it cannot. The baseline tells hold-out from training rows. Intervals "
    "are widened by half, as the folds' models share rows. Far below 0.5, rows copy those they are compared "
    "with.",
    Direction.TARGET,
    0.5,
    "Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests",
)
_SCORE = MetricInfo(
    "detection_score",
    Family.FIDELITY,
    "Detection score",
    "1 - 2 max(AUC - 0.5, 0) of the classifier two-sample test: 1 where rows cannot be told apart, "
    "0 where they always can.",
)
_PMSE = MetricInfo(
    "pmse_ratio",
    Family.FIDELITY,
    "Propensity score ratio",
    "Mean squared deviation of propensity scores (logistic regression on main effects) from the share of "
    "synthetic rows, over what is expected where both are drawn from one distribution. 1: as expected; "
    "it grows with the number of rows where they differ.",
    Direction.TARGET,
    1.0,
    "Snoke, Raab, Nowok, Dibben and Slavkovic 2018, General and specific utility measures",
)


@dataclass(frozen=True)
class Told:
    """How well a classifier tells two sets of rows apart."""

    area: float
    interval: Interval
    real: Doubles
    """Out-of-fold scores of the first, as places among the second's of the same fold."""
    other: Doubles


def tell_apart(
    kind: ModelKind,
    real: Frame,
    other: Frame,
    rng: np.random.Generator,
    seed: int,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Told:
    """The AUC of a classifier that tells `real` from `other`, out of fold, with its interval.

    Scores are compared within folds only: a model fitted on fewer rows of one
    side scores all others lower, which would push a pooled AUC below 0.5.
    `check` is called before every fold and may raise.
    """
    inputs = Inputs.of(real.layout)
    parts = [folds(frame.subjects, FOLDS, rng) for frame in (real, other)]
    rows, outcome = joined(real, other), np.repeat([1, 0], [len(real), len(other)])
    fold = np.concatenate(parts)
    places = np.full(len(outcome), np.nan)
    for k in range(FOLDS):
        check()
        test = np.flatnonzero(fold == k)
        negative = outcome[test] == 0
        if negative.all() or not negative.any():
            continue
        model = fit(kind, inputs, rows.take(fold != k), outcome[fold != k], 2, seed, threads)
        scores = model.predict(rows.take(test))[:, 1]
        places[test] = _places(scores, np.sort(scores[negative]))
    known = np.isfinite(places)
    mine, theirs = known & (outcome == 1), known & (outcome == 0)
    a, b = places[mine], places[theirs]
    return Told(auc(a, b), delong(a, b, LEVEL, (rows.subjects[mine], rows.subjects[theirs]), _WIDER), a, b)


def _places(scores: Doubles, among: Doubles) -> Doubles:
    """The share of `among` (sorted) below each score, ties half."""
    low, high = np.searchsorted(among, scores, "left"), np.searchsorted(among, scores, "right")
    return (low + high) / (2 * len(among))


def _blocks(real: Frame, other: Frame, rng: np.random.Generator) -> list[tuple[Frame, Frame]]:
    """Pairs of equal size: one, or several blocks of `other` where real rows are few."""
    size = min(len(real), len(other), MODEL_ROWS // 2)
    count = max(1, min(_BLOCKS, len(other) // size)) if size < _SMALL else 1
    order = rng.permutation(len(other))
    return [
        (real.sample(size, rng), other.take(np.sort(order[i * size : (i + 1) * size]))) for i in range(count)
    ]


def _run(case: Case) -> Iterator[Result]:
    rng = case.rng("detection")
    sides = [case.reference, case.synthetic]
    if min(len(side) for side in sides) < FEWEST or min(side.patients for side in sides) < FOLDS:
        yield LeftOut("detection", f"fewer than {FEWEST} rows or {FOLDS} patients on a side")
        return
    against = {"synthetic": case.synthetic}
    if case.baseline is not None and len(case.baseline) >= FEWEST and case.baseline.patients >= FOLDS:
        against["training"] = case.baseline
    pairs = {name: _blocks(case.reference, frame, rng) for name, frame in against.items()}
    curves: dict[str, list[Told]] = {}
    for kind in _MODELS:
        told: dict[str, list[Told]] = {}
        for name, blocks in pairs.items():
            for real, other in blocks:
                if case.seconds_left <= 0:
                    yield LeftOut("detection", OUT_OF_TIME)
                    return
                seed, threads = case.options.seed, case.options.threads
                found = tell_apart(kind, real, other, rng, seed, threads, case.check)
                told.setdefault(name, []).append(found)
        curves |= {f"{name} rows, {kind.value}": each for name, each in told.items()}
        yield from _metrics(kind, told["synthetic"], told.get("training"), len(pairs["synthetic"][0][0]))
        if case.seconds_left <= 0:
            yield LeftOut("detection", OUT_OF_TIME)
            return
    yield _roc(curves, case.options.min_patients)
    yield from _ratio(case, pairs)
    yield _columns(case, *pairs["synthetic"][0])


def _metrics(kind: ModelKind, told: list[Told], base: list[Told] | None, size: int) -> Iterator[Result]:
    area, interval = _mean(told)
    real, real_interval = _mean(base) if base else (None, None)
    yield Metric(
        _C2ST.name,
        area,
        detail={"model": kind.value},
        interval=interval,
        baseline=real,
        baseline_interval=real_interval,
        null_value=0.5,
        size=size,
        headline=True,
    )
    yield Metric(
        _SCORE.name,
        _score(area),
        detail={"model": kind.value},
        interval=Interval(_score(interval.high), _score(interval.low), interval.method, interval.level),
        baseline=None if real is None else _score(real),
        size=size,
    )


def _mean(told: list[Told]) -> tuple[float, Interval]:
    """Over blocks. They share their real rows: the interval is no narrower than that of one."""
    low, high = (float(np.mean([getattr(t.interval, end) for t in told])) for end in ("low", "high"))
    return float(np.mean([t.area for t in told])), Interval(low, high, told[0].interval.method)


def _score(area: float) -> float:
    return 1 - 2 * max(area - 0.5, 0.0)


def _roc(curves: dict[str, list[Told]], min_patients: int) -> Figure:
    """ROC curves on a grid so coarse that no step is fewer rows than `min_patients`."""
    rows = min(len(t.real) for found in curves.values() for t in found)
    grid = np.linspace(0, 1, max(2, min(_POINTS, rows // max(1, min_patients))) + 1)
    series = []
    for name, found in curves.items():
        rates = np.mean([roc(t.real, t.other, grid) for t in found], axis=0)
        series.append(Series(name, [float(v) for v in rates], [float(v) for v in grid]))
    return Figure(
        "detection:roc",
        Family.FIDELITY,
        "Telling real rows from others",
        FigureKind.LINES,
        tuple(series),
        x_label="share of the other rows taken for real",
        y_label="share of real rows recognised",
        y_min=0.0,
        y_max=1.0,
    )


def _ratio(case: Case, pairs: dict[str, list[tuple[Frame, Frame]]]) -> Iterator[Result]:
    independent = case.holdout is not None
    found = {
        name: [pmse_ratio(real, other, independent=independent) for real, other in blocks]
        for name, blocks in pairs.items()
    }
    value = float(np.mean(found["synthetic"]))
    if not np.isfinite(value):
        yield LeftOut("detection: pmse_ratio", "no column differs between rows")
        return
    base = float(np.mean(found["training"])) if "training" in found else None
    yield Metric(_PMSE.name, value, baseline=base, null_value=1.0, size=2 * len(pairs["synthetic"][0][0]))


def _columns(case: Case, real: Frame, other: Frame) -> Figure:
    """Which columns give synthetic rows away."""
    rng = case.rng("detection:columns")
    rows, outcome = joined(real, other), np.repeat([1, 0], [len(real), len(other)])
    test = rng.random(len(rows)) < 1 / FOLDS
    inputs = Inputs.of(real.layout)
    model = fit(
        ModelKind.BOOSTED_TREES,
        inputs,
        rows.take(~test),
        outcome[~test],
        2,
        case.options.seed,
        case.options.threads,
    )
    held = rows.take(test).sample(_EXPLAINED, rng)
    told = (
        model.contributions(held)
        if isinstance(model, BoostedTrees) and len(held)
        else np.zeros(len(inputs.views))
    )
    order = np.argsort(-told, kind="stable")
    return Figure(
        "detection:columns",
        Family.FIDELITY,
        "What gives synthetic rows away",
        FigureKind.BARS,
        (Series("boosted trees", [float(told[i]) for i in order]),),
        categories=tuple(inputs.views[i].name for i in order),
        y_label="mean absolute TreeSHAP value (log-odds)",
        y_min=0.0,
    )


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("detection", Family.FIDELITY, (_C2ST, _SCORE, _PMSE), _run),)
