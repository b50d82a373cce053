"""Whether models of synthetic rows do as well on held-out patients as models of real rows.

TSTR trains on synthetic rows and tests on held-out ones (Esteban et al. 2017),
TRTR trains on real ones, TRTS trains on real ones and tests on synthetic ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.intervals import percentiles, roc
from evaluators.models import ModelKind
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
    tidy,
)
from evaluators.utility import subgroups
from evaluators.utility.arms import Arms, arms
from evaluators.utility.scores import (
    CLASS_SCORES,
    NUMBER_SCORES,
    delong_p,
    scores,
    weightings,
)
from trainers.base import Doubles

_ARMS = {
    "tstr": "trained on synthetic rows, tested on held-out ones",
    "trtr": "trained on real rows, tested on held-out ones",
    "trts": "trained on real rows, tested on synthetic ones",
}
_SCORES = {
    "auroc": "AUROC; of more than two classes the mean of one class versus the rest over classes",
    "auprc": "average precision, of the rarer of two classes, or the mean over classes",
    "f1": "F1 of the likeliest class, the mean over classes",
    "accuracy": "share of rows whose likeliest class is theirs",
    "r2": "share of the variance explained; below 0 is worse than predicting the mean",
    "mae": "mean absolute error, in the column's unit",
}
_RATES = np.linspace(0, 1, 51)


def _info(arm: str, score: str) -> MetricInfo:
    return MetricInfo(
        f"{arm}_{score}",
        Family.UTILITY,
        f"{arm.upper()} {score.upper() if score != 'accuracy' else score}",
        f"A model {_ARMS[arm]}: {_SCORES[score]}.",
        Direction.LOWER if score == "mae" else Direction.HIGHER,
        reference="Esteban, Hyland and Rätsch 2017",
    )


METRICS = (
    *(_info(arm, score) for arm in _ARMS for score in (*CLASS_SCORES, *NUMBER_SCORES)),
    MetricInfo(
        "utility_ratio",
        Family.UTILITY,
        "TSTR over TRTR",
        "(1 + skill) of boosted trees trained on synthetic rows over that of boosted trees trained on real"
        " ones, both tested on held-out patients. Skill is 0 for guessing and 1 for perfection: 2 AUROC - 1"
        " of classes, which makes the ratio that of the AUROCs, and R² of numbers, at least -1. A real model"
        " that is worse than guessing counts as guessing. The interval is of the held-out patients alone.",
        Direction.HIGHER,
        reference="Esteban, Hyland and Rätsch 2017",
    ),
    MetricInfo(
        "tstr_trtr_delong_p",
        Family.UTILITY,
        "DeLong p-value, TSTR against TRTR",
        "How likely a difference of the two AUROCs as large as this would be if they were equal; rows of one"
        " patient count together. A small one says that synthetic rows cost something, not how much.",
        Direction.UNSPECIFIED,
        reference="DeLong, DeLong and Clarke-Pearson 1988; Obuchowski 1997",
    ),
)


def run(case: Case) -> Iterator[Result]:
    """For every target and model the scores; the ratio; the pictures."""
    drawn: list[_Drawn] = []
    for name in case.targets:
        found = arms(case, name, "transfer")
        if isinstance(found, LeftOut):
            yield found
            continue
        weights = weightings(found.test.frame.subjects, case.rng(f"transfer:{name}"), found.repeats)
        for kind in (ModelKind.BOOSTED_TREES, ModelKind.LINEAR, ModelKind.FOREST):
            case.check()
            if case.seconds_left <= 0:
                yield LeftOut(f"transfer of {name} by {_label(kind, found)}", OUT_OF_TIME)
                continue
            yield from _compared(case, found, kind, weights, drawn)
    if drawn:
        yield _bars(drawn)


_Drawn = tuple[str, str, dict[str, Doubles]]
"""Target, model, and per arm the main score under each weighting."""


def _compared(
    case: Case, found: Arms, kind: ModelKind, weights: npt.NDArray[np.float32], drawn: list[_Drawn]
) -> Iterator[Result]:
    test, classes, name = found.test, found.classes, found.name
    real = found.model(real=True, kind=kind)
    case.check()
    synthetic = found.model(real=False, kind=kind)
    told = {"trtr": real.predict(test.frame), "tstr": synthetic.predict(test.frame)}
    by_arm = {
        arm: scores(weights, test.outcome, predicted, classes, found.positive)
        for arm, predicted in told.items()
    }
    rng = case.rng(f"trts:{name}")
    other = found.synthetic.sample(len(test), rng)
    if len(other):
        by_arm["trts"] = scores(
            weightings(other.frame.subjects, rng, len(weights) - 1),
            other.outcome,
            real.predict(other.frame),
            classes,
            found.positive,
        )
    detail = {"target": name, "model": _label(kind, found)}
    for arm, by_score in by_arm.items():
        for score, values in by_score.items():
            best = by_arm["trtr"][score]
            if not np.isfinite(values[0]):
                yield LeftOut(f"{arm}_{score} of {name}", "the rows know too few of its values")
                continue
            yield Metric(
                f"{arm}_{score}",
                float(values[0]),
                detail=detail,
                interval=_interval(values),
                baseline=None if arm == "trtr" else float(best[0]),
                baseline_interval=None if arm == "trtr" else _interval(best),
                null_value=0.5 if score == "auroc" else None,
                size=len(other) if arm == "trts" else len(test),
            )
    main = "auroc" if classes else "r2"
    drawn.append((name, detail["model"], {arm: by_score[main] for arm, by_score in by_arm.items()}))
    if kind is ModelKind.BOOSTED_TREES:
        yield _ratio(found, by_arm["tstr"][main], by_arm["trtr"][main])
        if classes == 2:
            yield from _binary(found, told)


def _ratio(found: Arms, synthetic: Doubles, real: Doubles) -> Metric:
    if found.classes:
        synthetic, real = 2 * synthetic - 1, 2 * real - 1
    ratio = (1 + np.maximum(synthetic, -1)) / (1 + np.maximum(real, 0))
    return Metric(
        "utility_ratio",
        float(ratio[0]),
        detail={"target": found.name},
        interval=_interval(ratio),
        baseline=1.0,
        size=len(found.test),
        headline=True,
    )


def _binary(found: Arms, told: dict[str, Doubles]) -> Iterator[Result]:
    truth = found.test.outcome == found.positive
    by_arm = {arm: predicted[:, found.positive] for arm, predicted in told.items()}
    p = delong_p(truth, by_arm["tstr"], by_arm["trtr"], found.test.frame.subjects)
    if np.isfinite(p):
        yield Metric("tstr_trtr_delong_p", p, detail={"target": found.name}, size=len(truth))
    yield Figure(
        f"tstr:roc:{found.name}",
        Family.UTILITY,
        f"Predicting {found.name} for held-out patients",
        FigureKind.LINES,
        (
            *(
                Series(said, tidy(roc(by_arm[arm][truth], by_arm[arm][~truth], _RATES)), tidy(_RATES))
                for arm, said in (("trtr", "trained on real rows"), ("tstr", "trained on synthetic rows"))
            ),
            Series("guessing", [0.0, 1.0], [0.0, 1.0]),
        ),
        x_label="false-positive rate",
        y_label="true-positive rate",
        y_min=0.0,
        y_max=1.0,
    )


def _bars(drawn: list[_Drawn]) -> Figure:
    several = len({name for name, _, _ in drawn}) > 1
    series = []
    for arm in ("trtr", "tstr", "trts"):
        each = [by_arm.get(arm, np.full(1, np.nan)) for _, _, by_arm in drawn]
        spans = [percentiles(values[1:]) if len(values) > 1 else None for values in each]
        series.append(
            Series(
                arm.upper(),
                tidy([values[0] for values in each]),
                low=tidy([np.nan if span is None else span.low for span in spans]),
                high=tidy([np.nan if span is None else span.high for span in spans]),
            )
        )
    return Figure(
        "tstr",
        Family.UTILITY,
        "Models trained on real and on synthetic rows",
        FigureKind.BARS,
        tuple(series),
        categories=tuple(f"{name}: {model}" if several else model for name, model, _ in drawn),
        y_label="AUROC of classes, R² of numbers",
    )


def _label(kind: ModelKind, found: Arms) -> str:
    return "ridge" if kind is ModelKind.LINEAR and not found.classes else kind.value


def _interval(values: Doubles) -> Interval:
    return percentiles(values[1:])


EVALUATORS = (
    Evaluator("transfer", Family.UTILITY, METRICS, run, frozenset({Need.HOLDOUT, Need.TARGET})),
    subgroups.EVALUATOR,
)
