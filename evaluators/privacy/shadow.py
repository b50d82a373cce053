"""Membership of the most exposed patients, by training again with and without them.

The attack of Stadler et al. (2022) and Carlini et al. (2022): whoever can
train as the model was trained learns from such shadow models how synthetic
rows look with a record and without it. Every shadow model is trained on a
random half of the patients and on a random half of the targets, and the next
one on the other half of the targets: every target is in as many models as it
is out of, and one model serves all targets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from evaluators.case import Case, Evaluator, Need, Profile
from evaluators.frame import Frame, frames
from evaluators.intervals import LEVEL, auc
from evaluators.privacy.membership import AUC
from evaluators.results import Family, Interval, LeftOut, Metric, Result
from evaluators.space import Space, nearest
from kohort.problem import Problem
from tables.tableset import Table, TableSet
from trainers.base import Doubles, Indices

TARGETS = 10
"""Patients who are attacked: those farthest from all others."""
FEWEST_PAIRS, MOST_PAIRS = 8, 32
"""Pairs of shadow models: so many with a target, and so many without."""
POOL_ROWS = 8_000
"""Training rows that halves are drawn from, at most; fewer leak more, so that this errs to the safe side."""
_RESERVE = 5.0
"""Seconds that stay for what follows the fits."""
_NEIGHBOURS = 5
_FEATURES = 6
_PART = "shadow"


@dataclass(frozen=True, eq=False)
class _Pool:
    """Training rows that shadow models are made of."""

    table: Table
    subjects: Indices
    """Per row the number of its patient, 0..patients-1, [rows]; targets are the first."""
    patients: int
    targets: int
    reach: Doubles
    """How far every target is from others' rows, [targets]."""


def run(case: Case) -> Iterator[Result]:
    """Trains, attacks, and says how well it went."""
    assert case.refit is not None
    pool = _pool(case)
    if pool.patients < 4 * TARGETS:
        yield LeftOut(_PART, f"needs {4 * TARGETS} training patients")
        return
    rng = case.rng(_PART)
    features: list[Doubles] = []
    members: list[Any] = []
    slowest = 0.0
    for pair in range(MOST_PAIRS):
        if case.seconds_left - _RESERVE < 1.2 * slowest * max(1, FEWEST_PAIRS - pair):
            break
        began = time.monotonic()
        inside = rng.permutation(pool.targets) < pool.targets // 2
        try:
            for chosen in (inside, ~inside):
                case.check()
                features.append(_shadow(case, pool, chosen, rng))
                members.append(chosen)
        except Problem as error:
            yield LeftOut(_PART, f"a part of the training rows cannot be trained on: {error.reason}")
            return
        slowest = max(slowest, time.monotonic() - began)
    if len(members) < 2 * FEWEST_PAIRS:
        took = f", {slowest / 2:.3g} s each" if slowest else ""
        yield LeftOut(_PART, f"{2 * FEWEST_PAIRS} shadow models take longer than what is left{took}")
        return
    areas = attack(np.stack(features), np.stack(members), case.options.seed)
    yield Metric(
        AUC.name,
        float(areas.mean()),
        (),
        {"attack": "shadow", "records": "most exposed"},
        mean_area(areas, len(members) // 2),
        null_value=0.5,
        size=areas.size * len(members),
        headline=True,
    )


def attack(features: Doubles, members: Any, seed: int) -> Doubles:
    """The AUC of every target, over shadow models it is in and out of.

    What membership looks like is learned from the other models and all targets
    together (logistic regression of features, standardised per target), and
    judged on a pair of models it was not learned from.

    Args:
        features: float64 [models, targets, features].
        members: whether a target is in a model, bool [models, targets]; models
            2i and 2i + 1 are a pair.
        seed: of the solver.
    """
    from sklearn.linear_model import LogisticRegression

    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    scores = np.zeros(members.shape)
    for first in range(0, len(members), 2):
        rest = np.ones(len(members), np.bool_)
        rest[first : first + 2] = False
        model = LogisticRegression(C=0.1, random_state=seed & (2**31 - 1))
        model.fit(scaled[rest].reshape(-1, scaled.shape[2]), members[rest].ravel())
        scores[first : first + 2] = model.decision_function(
            scaled[~rest].reshape(-1, scaled.shape[2])
        ).reshape(2, -1)
    return np.array(
        [auc(scores[inside, i], scores[~inside, i]) for i, inside in enumerate(members.T)], np.float64
    )


def mean_area(areas: Doubles, models: int, level: float = LEVEL) -> Interval:
    """The interval of the mean AUC of targets, each of so many models in and out.

    Student's, with a variance not below that of an AUC that knows nothing:
    few targets that agree by chance are no certainty.
    """
    count = len(areas)
    chance = (2 * models + 1) / (12 * models * models)
    variance = max(float(np.var(areas, ddof=1)) if count > 1 else 0.0, chance)
    half = float(stats.t.ppf((1 + level) / 2, max(1, count - 1))) * float(np.sqrt(variance / count))
    middle = float(areas.mean())
    return Interval(max(0.0, middle - half), min(1.0, middle + half), "student-t", level)


def _pool(case: Case) -> _Pool:
    """The most exposed patients and a random part of the others."""
    rng = case.rng(f"{_PART}:pool")
    _, patient = np.unique(case.train.subjects, return_inverse=True)
    count = case.train.patients
    kept = rng.permutation(count) < POOL_ROWS * count // max(1, len(case.train))
    rows = np.flatnonzero(kept[patient])
    frame = case.train.take(rows)
    points = Space.fit(frame).points(frame)
    found, places = nearest(points, points, min(_NEIGHBOURS, len(rows)), same=True)
    foreign = patient[rows][places] != patient[rows][:, None]
    # A patient's own rows do not hide the patient; where all near ones are, the farthest seen bounds it.
    first = np.where(foreign.any(axis=1), foreign.argmax(axis=1), found.shape[1] - 1)
    reach = np.zeros(count)
    if found.shape[1]:
        np.maximum.at(reach, patient[rows], found[np.arange(len(rows)), first])
    targets = np.argsort(-reach, kind="stable")[: min(TARGETS, int(kept.sum()))]
    order = np.concatenate([targets, np.setdiff1d(np.flatnonzero(kept), targets)])
    number = np.full(count, -1)
    number[order] = np.arange(len(order))
    table = case.tables["train"].single().take(rows)
    return _Pool(table, number[patient[rows]], len(order), len(targets), reach[targets])


def _shadow(case: Case, pool: _Pool, inside: Any, rng: np.random.Generator) -> Doubles:
    """What the rows of one shadow model look like to every target, [targets, features]."""
    assert case.refit is not None
    drawn = rng.random(pool.patients) < 0.5
    drawn[: pool.targets] = inside
    rows = np.flatnonzero(drawn[pool.subjects])
    name = pool.table.schema.name
    seed = int(rng.integers(2**31))
    sampler = case.refit(TableSet({name: pool.table.take(rows)}), seed)
    synthetic = sampler(len(rows), seed + 1).single()
    real, made = frames([pool.table, synthetic])
    assert real is not None
    assert made is not None
    return _features(pool, real, made)


def _features(pool: _Pool, real: Frame, made: Frame) -> Doubles:
    """How near and how many synthetic rows are, and how often they hold a target's cells."""
    mine = np.flatnonzero(pool.subjects < pool.targets)
    target = pool.subjects[mine]
    space = Space.fit(real)
    found, _ = nearest(space.points(real.take(mine)), space.points(made), min(_NEIGHBOURS, len(made)))
    reach = np.maximum(pool.reach[target], 1e-6)[:, None]
    cells = np.log(_shares(real.take(mine), made) + 1 / len(made))
    per_row = np.stack(
        [
            -np.log(found[:, 0] / reach[:, 0] + 1e-2),
            -np.log(found.mean(axis=1) / reach[:, 0] + 1e-2),
            (found < 0.5 * reach).sum(axis=1),
            (found < reach).sum(axis=1),
            cells.mean(axis=1),
            cells.min(axis=1),
        ],
        axis=1,
    )
    out = np.full((pool.targets, _FEATURES), -np.inf)
    np.maximum.at(out, target, per_row)
    return out


def _shares(rows: Frame, made: Frame) -> Doubles:
    """Per cell the share of synthetic rows with the same, or as far out a number, [rows, columns]."""
    out = np.empty((len(rows), len(rows.layout)))
    for i, view in enumerate(rows.layout):
        cells, others = rows[view.name], made[view.name]
        if view.number:
            known = np.sort(others[~np.isnan(others)])
            below = np.searchsorted(known, cells, "right")
            above = len(known) - np.searchsorted(known, cells, "left")
            out[:, i] = np.where(np.isnan(cells), len(others) - len(known), np.minimum(below, above))
        else:
            out[:, i] = np.bincount(others + 1, minlength=len(view.levels) + 1)[cells + 1]
    return out / len(made)


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator("shadow", Family.PRIVACY, (AUC,), run, frozenset({Need.REFIT}), Profile.FULL),
)
