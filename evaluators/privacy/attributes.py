"""Attribute inference: what synthetic rows tell about a patient's secret beyond what they tell about anyone.

The attacker knows a patient's other columns and guesses a sensitive one, by
the nearest synthetic row or by a model trained on synthetic rows. A good
generator lets a model guess well: that is its use. Only guessing better for
patients whose rows were learned from than for hold-out patients is a leak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.frame import Frame
from evaluators.intervals import mean_of
from evaluators.models import Inputs, ModelKind, Predictor, fit
from evaluators.privacy.alike import classes
from evaluators.privacy.control import advantage, corrected
from evaluators.privacy.guesses import Hits, Secret, attacked, nearest_guesses, secrets
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result
from evaluators.roles import MOST_CLASSES, Target
from trainers.base import Doubles, Indices

_MODELS = 4
"""Columns that a model is trained for."""
_MODEL_ROWS = 5_000
_FEWEST = 10
"""Rows that a model is trained on, at least."""
_MOST = 1e15
"""A number whose square single precision, which models compute in, holds with room to spare."""
_BINS = 10

_METRICS = (
    MetricInfo(
        "attribute_inference_advantage",
        Family.PRIVACY,
        "Attribute inference beyond the population",
        "Share of training patients whose sensitive cell is guessed (numbers: within 5 % of the width "
        "between the 5th and 95th percentile) minus that share of hold-out patients; the attacker knows "
        "all other columns. The headline is the column and attack whose interval has the highest lower "
        "end; being the largest of many, its value is above 0 by chance alone, and all intervals are "
        "widened for their number (Bonferroni), so that a lower end above 0 is significant.",
        Direction.LOWER,
        0.0,
        reference="Yeom et al. 2018; control as in Giomi et al. 2023",
    ),
    MetricInfo(
        "attribute_inference_accuracy",
        Family.PRIVACY,
        "Attribute inference, rate of right guesses",
        "Share of training patients whose sensitive cell is guessed; the baseline is that share of hold-out "
        "patients. High values of both tell of the population, not of patients.",
        Direction.UNSPECIFIED,
    ),
    MetricInfo(
        "correct_attribution_probability",
        Family.PRIVACY,
        "Correct attribution probability (zeroCAP)",
        "Mean over training rows of the share of synthetic rows with the same quasi-identifiers that have "
        "the same sensitive value, 0 where there is no such row; the baseline is that of hold-out rows. "
        "Numbers of more than ten values count as ten classes of equal size.",
        Direction.UNSPECIFIED,
        reference="Taub et al. 2018, Privacy in Statistical Databases",
    ),
)


def _run(case: Case) -> Iterable[Result]:
    wanted = secrets(case)
    if not wanted or len(case.layout) < 2:
        yield LeftOut("attributes", "there is no sensitive column of two values or more beside a known one")
        return
    attacks: list[tuple[Secret, str, Hits, Hits]] = [
        (found.secret, "nearest", found.train, found.holdout) for found in nearest_guesses(case)
    ]
    case.check()
    if case.seconds_left > 0:
        attacks += _model_attacks(case, wanted)
    else:
        yield LeftOut("attribute inference by models", OUT_OF_TIME)
    if len(case.sensitive) > len(wanted):
        yield LeftOut(
            "attribute inference of some columns",
            f"{len(wanted)} of {len(case.sensitive)} sensitive columns are attacked",
        )
    yield from _advantages(attacks)
    yield from _attribution(case, wanted)


def _advantages(attacks: list[tuple[Secret, str, Hits, Hits]]) -> Iterator[Metric]:
    attacks = [attack for attack in attacks if len(attack[2]) and len(attack[3])]
    level = corrected(len(attacks))
    worst: tuple[float, Interval, int] | None = None
    for secret, how, train, holdout in attacks:
        hits, control = int(train.sum()), int(holdout.sum())
        accuracy, base = hits / len(train), control / len(holdout)
        interval = advantage(hits, len(train), control, len(holdout), level)
        size = len(train) + len(holdout)
        columns, detail = (secret.view.name,), {"attack": how}
        yield Metric(
            "attribute_inference_advantage",
            accuracy - base,
            columns=columns,
            detail=detail,
            interval=interval,
            null_value=0.0,
            size=size,
        )
        yield Metric(
            "attribute_inference_accuracy", accuracy, columns=columns, detail=detail, baseline=base, size=size
        )
        if worst is None or interval.low > worst[1].low:
            worst = accuracy - base, interval, size
    if worst is not None:
        value, interval, size = worst
        yield Metric(
            "attribute_inference_advantage",
            value,
            interval=interval,
            null_value=0.0,
            size=size,
            headline=True,
        )


def _model_attacks(case: Case, wanted: tuple[Secret, ...]) -> Iterator[tuple[Secret, str, Hits, Hits]]:
    """Boosted trees, trained on synthetic rows, guess the first few columns of not too many classes."""
    rows = case.synthetic.sample(_MODEL_ROWS, case.rng("attribute models"))
    able = [s for s in wanted if s.view.number or len(s.view.levels) <= MOST_CLASSES]
    parts = attacked(case)
    for secret in able[:_MODELS]:
        case.check()
        target = Target.of(secret.view, case.train)
        known, outcome = target.outcome(rows)
        if len(known) < _FEWEST or (not target.classes and float(np.abs(outcome).max()) > _MOST):
            continue
        inputs = Inputs.of(case.layout, [secret.view.name])
        with np.errstate(all="ignore"):  # numbers near the greatest double
            model = fit(
                ModelKind.BOOSTED_TREES,
                inputs,
                rows.take(known),
                outcome,
                target.classes,
                case.options.seed,
                case.options.threads,
            )
        train, holdout = (_guessed(model, target, secret, part) for part in parts)
        yield secret, "model", train, holdout


def _guessed(model: Predictor, target: Target, secret: Secret, part: Frame) -> Hits:
    name = secret.view.name
    there = part.take(~part.null(name))
    if not len(there):
        return np.zeros(0, np.bool_)
    with np.errstate(all="ignore"):
        found: npt.NDArray[Any] = model.predict(there)
    if target.classes:
        found = found.argmax(axis=1)
        found = target.values[found] if secret.view.number else found
    return secret.right(found, there[name])


def _attribution(case: Case, wanted: tuple[Secret, ...]) -> Iterator[Result]:
    if not case.quasi_identifiers:
        yield LeftOut("correct_attribution_probability", "needs quasi-identifiers")
        return
    assert case.holdout is not None
    parts = [case.train, case.holdout, case.synthetic]
    keys, count = classes(parts, case.quasi_identifiers)
    alike = np.bincount(keys[2], minlength=count)
    for secret in wanted:
        if secret.view.name in case.quasi_identifiers:
            continue
        cells, values = _classed(parts, secret)
        pairs = [key * values + cell for key, cell in zip(keys, cells, strict=True)]
        held, same = np.unique(pairs[2], return_counts=True)
        means, intervals = [], []
        for part, key, pair in zip(parts[:2], keys, pairs, strict=False):
            known = ~part.null(secret.view.name)
            at = np.minimum(np.searchsorted(held, pair), len(held) - 1)
            share = np.where(held[at] == pair, same[at], 0) / np.maximum(alike[key], 1)
            per_patient = _by_patient(share[known], part.subjects[known])
            means.append(float(per_patient.mean()) if len(per_patient) else float("nan"))
            intervals.append(mean_of(per_patient))
        if not np.isfinite(means).all():
            continue
        yield Metric(
            "correct_attribution_probability",
            means[0],
            columns=(secret.view.name,),
            interval=intervals[0],
            baseline=means[1],
            baseline_interval=intervals[1],
            size=len(case.train),
        )


def _by_patient(values: Doubles, subjects: Indices) -> Doubles:
    _, place = np.unique(subjects, return_inverse=True)
    found: Doubles = np.bincount(place, weights=values) / np.maximum(np.bincount(place), 1)
    return found


def _classed(parts: list[Frame], secret: Secret) -> tuple[list[npt.NDArray[np.int64]], int]:
    """Per part the class of every cell, and how many there are; null is one too."""
    name = secret.view.name
    values = parts[0][name]
    if not secret.view.number or len(np.unique(values[~np.isnan(values)])) <= _BINS:
        return classes(parts, [name])
    edges = np.quantile(values[~np.isnan(values)], np.linspace(0, 1, _BINS + 1)[1:-1])
    found = [
        np.where(part.null(name), _BINS, np.searchsorted(edges, part[name], "right")).astype(np.int64)
        for part in parts
    ]
    return found, _BINS + 1


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator("attributes", Family.PRIVACY, _METRICS, _run, needs=frozenset({Need.HOLDOUT})),
)
