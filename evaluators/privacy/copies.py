"""Copies: synthetic rows that equal a real row, and whether training rows are copied more than others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.case import Case
from evaluators.frame import Frame
from evaluators.intervals import wilson
from evaluators.privacy.alike import chance_of_any, classes
from evaluators.results import Direction, Family, Interval, Metric, MetricInfo, Result
from trainers.base import Doubles, Indices

_PERMUTATIONS = 1000
_MATCH_LEVEL = 0.99
"""Of the interval that locks releases: one honest generator in 200 is above 0."""

METRICS = (
    MetricInfo(
        "identical_match_share",
        Family.PRIVACY,
        "Copies of real rows",
        "Share of synthetic rows that equal a training row in all compared columns. The baseline is the "
        "share that equals a hold-out row. Where there is a hold-out, both are expected values for random "
        "subsets of as many rows as the smaller of the two sets has; the value against all training rows, "
        "which is the one to read as how many rows are copies, stands beside.",
        Direction.LOWER,
        0.0,
    ),
    MetricInfo(
        "identical_match_excess",
        Family.PRIVACY,
        "Copies beyond chance",
        "identical_match_share minus its baseline. In a survey of few questions many people answer alike, "
        "so matches alone prove nothing; matches beyond those with people never seen do. The interval is "
        "the value minus what random exchanges of training and hold-out patients give (a permutation test, "
        "99 %): a lower end above 0 means that training rows were copied. Without a hold-out, "
        "identical_match_share minus the share of training rows that equal one of another patient.",
        Direction.LOWER,
        0.0,
    ),
)


def matches(case: Case) -> Iterator[Result]:
    """`identical_match_share` and `identical_match_excess`."""
    names = [view.name for view in case.layout]
    parts = [case.train, case.synthetic] + ([case.holdout] if case.holdout is not None else [])
    keys, count = classes(parts, names)
    drawn = np.bincount(keys[1], minlength=count).astype(np.float64) / len(case.synthetic)
    size = len(case.synthetic)
    everyone = float(drawn[np.unique(keys[0])].sum())
    all_rows = Metric(
        "identical_match_share",
        everyone,
        detail={"against": "all training rows"},
        interval=wilson(everyone * size, size),
        size=size,
        headline=True,
    )
    if case.holdout is None:
        yield Metric("identical_match_share", everyone, interval=all_rows.interval, size=size, headline=True)
        yield _beyond_twins(case.train, keys[0], everyone, size)
        return
    yield all_rows
    fewest = min(len(case.train), len(case.holdout))
    train, held = (
        float(drawn @ chance_of_any(np.bincount(found, minlength=count), len(found), fewest))
        for found in (keys[0], keys[2])
    )
    yield Metric(
        "identical_match_share",
        train,
        interval=wilson(train * size, size),
        baseline=held,
        baseline_interval=wilson(held * size, size),
        size=size,
        headline=True,
    )
    yield Metric(
        "identical_match_excess",
        train - held,
        interval=_exchanged(case, case.holdout, keys[0], keys[2], drawn, train - held),
        null_value=0.0,
        size=size,
        headline=True,
    )


def _beyond_twins(train: Frame, keys: Indices, copied: float, size: int) -> Metric:
    """Copies beyond what patients who answer alike explain, where nobody was held out.

    A row of somebody new equals a training row about as often as training rows
    equal one of another patient. Twins come in pairs at least, so that their
    share is as sure as that of half as many rows; the interval of the
    difference is Newcombe's (1998), of Wilson intervals.
    """
    _, first = np.unique(np.stack([keys, train.subjects]), axis=1, return_index=True)
    holders = np.bincount(keys[first], minlength=int(keys.max()) + 1)
    twins, rows = float((holders[keys] > 1).mean()), len(train)
    made = wilson(copied * size, size, _MATCH_LEVEL)
    alike = wilson(twins * rows / 2, rows / 2, _MATCH_LEVEL)
    value = copied - twins
    low = value - float(np.hypot(copied - made.low, alike.high - twins))
    high = value + float(np.hypot(made.high - copied, twins - alike.low))
    return Metric(
        "identical_match_excess",
        value,
        detail={"control": "twins among training rows"},
        interval=Interval(low, high, "newcombe", _MATCH_LEVEL),
        null_value=0.0,
        size=size,
        headline=True,
    )


def _exchanged(
    case: Case, holdout: Frame, train_keys: Indices, held_keys: Indices, drawn: Doubles, value: float
) -> Interval:
    """The value minus its spread when patients are assigned to training and hold-out at random.

    If training rows were not copied, the two are exchangeable given the
    synthetic rows, whatever the shape of the data; rows move with their patient.
    """
    rng = case.rng("identical_match_excess")
    keys = np.concatenate([train_keys, held_keys])
    subjects = np.concatenate([case.train.subjects, holdout.subjects + _next(case.train.subjects)])
    patients, held_patients = case.train.patients + holdout.patients, holdout.patients
    rows = np.flatnonzero(drawn[keys] > 0)
    matched, keys = np.unique(keys[rows], return_inverse=True)
    weights = drawn[matched]
    who, place = np.unique(subjects[rows], return_inverse=True)
    sizes = len(train_keys), len(held_keys)
    fewest = min(sizes)
    found = np.empty(_PERMUTATIONS)
    total = np.bincount(keys, minlength=len(matched))
    chances = [chance_of_any(np.arange(total.max(initial=0) + 1), size, fewest) for size in sizes]
    for i in range(_PERMUTATIONS):
        chosen = np.zeros(len(who), np.float64)
        out = int(rng.hypergeometric(len(who), patients - len(who), held_patients)) if len(who) else 0
        chosen[rng.choice(len(who), out, replace=False, shuffle=False)] = 1.0
        held = np.bincount(keys, weights=chosen[place], minlength=len(matched)).astype(np.int64)
        found[i] = weights @ (chances[0][total - held] - chances[1][held])
    tail = (1 - _MATCH_LEVEL) / 2
    low = float(np.quantile(found, tail, method="lower"))
    high = float(np.quantile(found, 1 - tail, method="higher"))
    # What rounding leaves of equal values is no excess.
    return Interval(round(value - high, 9), round(value - low, 9), "permutation", _MATCH_LEVEL)


def _next(subjects: Indices) -> int:
    return int(subjects.max()) + 1 if len(subjects) else 0
