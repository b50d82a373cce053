"""What synthetic rows add to real ones as training rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.frame import joined
from evaluators.intervals import percentiles
from evaluators.models import Predictor
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
from evaluators.utility.arms import Arms, Known, arms
from evaluators.utility.scores import scores, weightings
from trainers.base import Doubles

RATES = (0.1, 0.25, 0.5, 1.0)
"""Synthetic rows per real one."""
REAL_ROWS = 50_000
"""Real training rows, at most."""
_WORK = 150_000
"""Rows times classes of one fit, at most: outcomes of many classes have fewer real rows."""

METRICS = (
    MetricInfo(
        "augmentation_gain",
        Family.UTILITY,
        "Augmentation gain",
        "AUROC (numbers: R²) on held-out patients of boosted trees trained on real rows and `rate` times as"
        " many synthetic ones, minus that of trees trained on the real rows alone. The interval is of the"
        " held-out patients. Where the generator learned from more rows than are used here (50,000), the gain"
        " includes what it learned from the others.",
        Direction.HIGHER,
    ),
)


def run(case: Case) -> Iterator[Result]:
    """Per target a gain per rate, and a picture."""
    for name in case.targets:
        found = arms(case, name, "augmentation")
        if isinstance(found, LeftOut):
            yield found
        elif not len(found.synthetic):
            yield LeftOut(f"augmentation of {name}", "no synthetic row knows it")
        elif case.seconds_left <= 0:
            yield LeftOut(f"augmentation of {name}", OUT_OF_TIME)
        else:
            yield from _gains(case, found)


def _gains(case: Case, found: Arms) -> Iterator[Result]:
    rng = case.rng(f"augmentation:{found.name}")
    real = found.train.sample(min(REAL_ROWS, _WORK // max(2, found.classes)), rng)
    weights = weightings(found.test.frame.subjects, rng, found.repeats)

    def tested(model: Predictor) -> Doubles:
        predicted = model.predict(found.test.frame)
        scored = scores(weights, found.test.outcome, predicted, found.classes, found.positive)
        return scored["auroc" if found.classes else "r2"]

    alone = tested(found.fitted(real))
    if not np.isfinite(alone[0]):
        yield LeftOut(f"augmentation of {found.name}", "the held-out rows know too few of its values")
        return
    reached, values, spans = [0.0], [0.0], [Interval(0.0, 0.0, "bootstrap")]
    added = found.synthetic.take(rng.permutation(len(found.synthetic)))  # a larger rate adds to a smaller
    for rate in RATES:
        case.check()
        rows = round(rate * len(real))
        if case.seconds_left <= 0 or rows > len(added) or not rows:
            why = OUT_OF_TIME if case.seconds_left <= 0 else "too few synthetic rows"
            yield LeftOut(f"augmentation of {found.name} at the rate {rate:g}", why)
            continue
        gain = tested(found.fitted(_joined(real, added.take(np.arange(rows))))) - alone
        interval = percentiles(gain[1:])
        yield Metric(
            "augmentation_gain",
            float(gain[0]),
            detail={"target": found.name, "rate": f"{rate:g}"},
            interval=interval,
            null_value=0.0,
            size=len(found.test),
        )
        reached.append(rate)
        values.append(float(gain[0]))
        spans.append(interval)
    if len(reached) == 1:
        return
    yield Figure(
        f"augmentation:{found.name}",
        Family.UTILITY,
        f"Predicting {found.name} with synthetic rows beside real ones",
        FigureKind.LINES,
        (Series("gain", values, reached, [s.low for s in spans], [s.high for s in spans]),),
        x_label="synthetic rows per real row",
        y_label="gain in AUROC" if found.classes else "gain in R²",
    )


def _joined(one: Known, other: Known) -> Known:
    return Known(joined(one.frame, other.frame), np.concatenate([one.outcome, other.outcome]))


EVALUATORS = (
    Evaluator("augmentation", Family.UTILITY, METRICS, run, frozenset({Need.HOLDOUT, Need.TARGET})),
)
