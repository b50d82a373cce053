"""Whether groups of patients fare alike in models of synthetic rows.

Boosted trees are trained on real rows and on synthetic rows and tested on
held-out patients, group by group. A row counts as predicted positive where its
probability is at least the share of positives among the real training rows: at
0.5 hardly anybody is predicted to have a rare outcome, and all groups look alike.
Of more than two classes each is asked for against the rest, and the worst counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.fairness.disparity import BINS, calibration, difference, rates, ratio
from evaluators.fairness.figures import Tested, pictures
from evaluators.fairness.grouping import Groups, groups
from evaluators.fairness.representation import METRICS as REPRESENTATION
from evaluators.fairness.representation import outcomes, represented
from evaluators.fidelity.sides import patients_of
from evaluators.intervals import percentiles
from evaluators.results import (
    Direction,
    Family,
    LeftOut,
    Metric,
    MetricInfo,
    Result,
)
from evaluators.utility.arms import arms
from evaluators.utility.scores import scores, weightings
from trainers.base import Doubles, Indices


def _info(
    name: str, title: str, description: str, direction: Direction, reference: str, target: float | None = None
) -> MetricInfo:
    said = " Of boosted trees trained on synthetic rows; baseline: on real rows. Both on held-out patients."
    return MetricInfo(name, Family.FAIRNESS, title, description + said, direction, target, reference)


_PARITY, _ODDS = "Agarwal et al. 2018; fairlearn.metrics", "Hardt, Price and Srebro 2016; fairlearn.metrics"
METRICS = (
    *REPRESENTATION,
    _info(
        "demographic_parity_difference",
        "Demographic parity: difference",
        "The largest minus the smallest P(predicted positive) over groups. Positive is a probability of at"
        " least the outcome's share of the training rows.",
        Direction.LOWER,
        _PARITY,
    ),
    _info(
        "demographic_parity_ratio",
        "Demographic parity: ratio",
        "The smallest over the largest P(predicted positive) over groups.",
        Direction.HIGHER,
        _PARITY,
    ),
    _info(
        "equalized_odds_difference",
        "Equalized odds: difference",
        "The larger of the differences over groups of the true-positive and of the false-positive rate, of"
        " groups with enough patients with and without the outcome.",
        Direction.LOWER,
        _ODDS,
    ),
    _info(
        "equalized_odds_ratio",
        "Equalized odds: ratio",
        "The smaller of the ratios over groups of the true-positive and of the false-positive rate.",
        Direction.HIGHER,
        _ODDS,
    ),
    _info(
        "group_auroc",
        "AUROC within a group",
        "AUROC within a group; of more than two classes the mean of one versus the rest.",
        Direction.HIGHER,
        "",
    ),
    _info(
        "expected_calibration_error",
        "Expected calibration error",
        f"The mean over rows of |mean probability - share of positives| of the row's bin, {BINS} bins of"
        " equal width; of more than two classes the mean over classes.",
        Direction.LOWER,
        "Naeini, Cooper and Hauskrecht 2015",
    ),
    _info(
        "brier_score",
        "Brier score",
        "The mean squared difference of probability and outcome; of more than two classes the mean over"
        " classes.",
        Direction.LOWER,
        "Brier 1950",
    ),
    _info(
        "calibration_in_the_large",
        "Calibration in the large",
        "The share of positives minus the mean probability; of more than two classes that of the class where"
        " it is farthest from 0.",
        Direction.TARGET,
        "Van Calster et al. 2019",
        0.0,
    ),
)


def run(case: Case) -> Iterator[Result]:
    """Per protected column its groups, then what models make of them."""
    tested = []
    for name in case.targets:
        found = _tested(case, name)
        if isinstance(found, LeftOut):
            yield found
            continue
        tested.append(found)
        everyone = np.ones(len(found.arms.test), np.bool_)
        yield from _calibrated(found, everyone, (), {"target": name})
    for column in case.protected:
        case.check()
        made = groups(case, column)
        if len(made.names) < 2:
            yield LeftOut(f"fairness by {column}", "fewer than two groups have enough patients")
            continue
        yield from represented(case, made)
        for name in case.targets:
            if name != column:
                yield from outcomes(case, made, name)
        for found in tested:
            case.check()
            if case.seconds_left <= 0:
                yield LeftOut(f"fairness of {found.arms.name} by {column}", OUT_OF_TIME)
            elif found.arms.name != column:
                yield from _by_group(case, found, made)


def _tested(case: Case, name: str) -> Tested | LeftOut:
    found = arms(case, name, "fairness")
    if isinstance(found, LeftOut):
        return found
    if not found.classes:
        return LeftOut(f"fairness of {name}", "it is a number: parity is of classes")
    case.check()
    test, k = found.test, case.options.min_patients
    held = patients_of(test.outcome.astype(np.int64), test.frame.subjects, found.classes)
    asked = [found.positive] if found.classes == 2 else range(found.classes)
    classes = tuple(c for c in asked if held[c] >= k and held.sum() - held[c] >= k)
    if not classes:
        return LeftOut(f"fairness of {name}", "too few held-out patients have each of its values")
    return Tested(
        found,
        weightings(test.frame.subjects, case.rng(f"fairness:{name}"), found.repeats),
        found.model(real=True).predict(test.frame),
        found.model(real=False).predict(test.frame),
        classes,
    )


def _by_group(case: Case, found: Tested, made: Groups) -> Iterator[Result]:
    test, column, k = found.arms.test, made.view.name, case.options.min_patients
    where = made.of(test.frame)
    # A target's test rows are a part of the hold-out: fewer patients than k of a group may be left.
    held = patients_of(where, test.frame.subjects, len(made.names))
    where = np.where((where >= 0) & (held[where] >= k), where, -1)
    yield from _disparities(found, where, made, k)
    detail = {"target": found.arms.name}
    for i, group in enumerate(made.names):
        rows = where == i
        if not rows.any():
            continue
        yield from _discriminated(found, rows, (column,), detail | {"group": group}, k)
        yield from _calibrated(found, rows, (column,), detail | {"group": group})
    if len(found.classes) == 1 and found.arms.classes == 2:
        yield from pictures(case, found, where, made)


def _disparities(found: Tested, where: Indices, made: Groups, k: int) -> Iterator[Result]:
    """Parity and odds: of more classes the worst one."""
    count, test = len(made.names), found.arms.test
    share = found.arms.prevalence
    sides: list[dict[str, Doubles]] = []
    for probabilities in found.both:
        each: dict[str, list[Doubles]] = {}
        for c in found.classes:
            truth = test.outcome == c
            got = rates(found.weights, where, count, truth, probabilities[:, c] >= share[c])
            # A rate of fewer than k patients is noise, and would tell of them.
            with_it = patients_of(np.where(truth, where, -1), test.frame.subjects, count) >= k
            without_it = patients_of(np.where(truth, -1, where), test.frame.subjects, count) >= k
            odds = [
                np.where(with_it, got.true_positive, np.nan),
                np.where(without_it, got.false_positive, np.nan),
            ]
            each.setdefault("demographic_parity_difference", []).append(difference(got.selected))
            each.setdefault("demographic_parity_ratio", []).append(ratio(got.selected))
            each.setdefault("equalized_odds_difference", []).append(
                np.maximum(difference(odds[0]), difference(odds[1]))
            )
            each.setdefault("equalized_odds_ratio", []).append(np.fmin(ratio(odds[0]), ratio(odds[1])))
        sides.append(
            {
                name: np.fmin.reduce(values) if name.endswith("ratio") else np.fmax.reduce(values)
                for name, values in each.items()
            }
        )
    for name, values in sides[0].items():
        yield _metric(
            name,
            values,
            sides[1][name],
            (made.view.name,),
            {"target": found.arms.name},
            size=int((where >= 0).sum()),
            headline=name.endswith("_difference"),
            null_value=0.0 if name.endswith("_difference") else 1.0,
        )


def _discriminated(
    found: Tested, rows: npt.NDArray[np.bool_], columns: tuple[str, ...], detail: dict[str, str], k: int
) -> Iterator[Result]:
    test = found.arms.test
    outcome = test.outcome[rows].astype(np.int64)
    held = patients_of(outcome, test.frame.subjects[rows], found.arms.classes)
    if (held >= k).sum() < 2:
        said = f"group_auroc of {found.arms.name} by {columns[0]}"
        yield LeftOut(said, "a group has too few patients with or without the outcome")
        return
    both = [
        scores(found.weights[:, rows], outcome, part[rows], found.arms.classes, found.arms.positive)["auroc"]
        for part in found.both
    ]
    yield _metric("group_auroc", both[0], both[1], columns, detail, int(rows.sum()), null_value=0.5)


def _calibrated(
    found: Tested, rows: npt.NDArray[np.bool_], columns: tuple[str, ...], detail: dict[str, str]
) -> Iterator[Result]:
    outcome, weights = found.arms.test.outcome[rows], found.weights[:, rows]
    sides = []
    for part in found.both:
        each = [calibration(weights, outcome == c, part[rows][:, c]) for c in found.classes]
        sides.append({name: np.stack([one[name] for one in each]) for name in each[0]})
    for name in sides[0]:
        values, best = (_farthest(s[name]) if name.endswith("large") else s[name].mean(axis=0) for s in sides)
        yield _metric(name, values, best, columns, detail, int(rows.sum()))


def _farthest(values: Doubles) -> Doubles:
    """Of [classes, weightings] the class that is farthest from 0 under the first weighting, [weightings]."""
    found: Doubles = values[int(np.argmax(np.abs(np.nan_to_num(values[:, 0]))))]
    return found


def _metric(
    name: str,
    values: Doubles,
    best: Doubles,
    columns: tuple[str, ...],
    detail: dict[str, str],
    size: int,
    *,
    headline: bool = False,
    null_value: float | None = None,
) -> Metric | LeftOut:
    if not np.isfinite(values[0]):
        return LeftOut(
            f"{name} of {detail['target']} by {', '.join(columns)}", "no group has enough patients"
        )
    known = bool(np.isfinite(best[0]))
    return Metric(
        name,
        float(values[0]),
        columns,
        detail,
        percentiles(values[1:]),
        baseline=float(best[0]) if known else None,
        baseline_interval=percentiles(best[1:]) if known else None,
        null_value=null_value,
        size=size,
        headline=headline,
    )


EVALUATORS = (
    Evaluator("fairness", Family.FAIRNESS, METRICS, run, frozenset({Need.HOLDOUT, Need.PROTECTED})),
)
