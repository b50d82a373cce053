"""Whether groups of patients are as many among synthetic rows, and have the same outcomes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.case import Case
from evaluators.fairness.grouping import Groups
from evaluators.fidelity.distances import shares, total_variation
from evaluators.fidelity.sides import Side, jackknife, patients_of, without
from evaluators.intervals import wilson
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
)
from evaluators.roles import MOST_CLASSES, Target
from trainers.base import Doubles, Indices

_SYNTHETIC = 1
"""Which of the sides is not real."""

METRICS = (
    MetricInfo(
        "representation_difference",
        Family.FAIRNESS,
        "Representation of groups",
        "The absolute difference of a group's share among synthetic rows from that among real ones; without a"
        " group named, the largest.",
        Direction.LOWER,
    ),
    MetricInfo(
        "group_share",
        Family.FAIRNESS,
        "Share of a group",
        "The share of a group among synthetic rows; baseline: among training rows.",
        Direction.UNSPECIFIED,
    ),
    MetricInfo(
        "outcome_rate_difference",
        Family.FAIRNESS,
        "Outcomes of groups",
        "How far P(outcome | group) of synthetic rows is from that of real ones: the absolute difference for"
        " two classes, half the sum of differences for more; without a group named, the largest.",
        Direction.LOWER,
    ),
    MetricInfo(
        "group_outcome_rate",
        Family.FAIRNESS,
        "Outcome rate of a group",
        "P(outcome | group) among synthetic rows, of the rarer class of two; baseline: among training rows.",
        Direction.UNSPECIFIED,
    ),
)


def represented(case: Case, groups: Groups) -> Iterator[Result]:
    """Shares of groups."""
    sides = _sides(case)
    counts = [side.counts(groups.of(side.frame), len(groups.names)) for side in sides]
    yield from _compared(groups, "representation_difference", {}, counts, sides, np.arange(len(groups.names)))
    whole = [shares(part.sum(axis=0)) for part in counts]
    patients = [side.frame.patients for side in sides]
    for i, group in enumerate(groups.names):
        spans = [wilson(float(part[i]) * n, n) for part, n in zip(whole, patients, strict=True)]
        if np.isfinite(whole[1][i]):
            yield Metric(
                "group_share",
                float(whole[1][i]),
                (groups.view.name,),
                {"group": group},
                spans[1],
                baseline=float(whole[-1][i]),
                baseline_interval=spans[-1],
                size=int(counts[1][:, i].sum()),
            )
    yield Figure(
        f"fairness:{groups.view.name}",
        Family.FAIRNESS,
        f"Groups by {groups.view.name}",
        FigureKind.BARS,
        tuple(
            Series(said, [round(float(v), 4) for v in whole[at]])
            for said, at in (("real", -1), ("synthetic", 1))
        ),
        groups.names,
        groups.view.name,
        "share of rows",
        y_min=0.0,
    )


def outcomes(case: Case, groups: Groups, name: str) -> Iterator[Result]:
    """P(outcome | group)."""
    target = Target.of(case.layout[name], case.train)
    if not 0 < target.classes <= MOST_CLASSES:
        yield LeftOut(f"outcomes of {name} by {groups.view.name}", "it has no classes, or too many")
        return
    sides, count, classes = _sides(case), len(groups.names), target.classes
    counts = []
    hidden = np.zeros(count, np.bool_)
    for i, side in enumerate(sides):
        codes = np.full(len(side.frame), -1, np.int64)
        rows, outcome = target.outcome(side.frame)
        group = groups.of(side.frame)[rows]
        codes[rows] = np.where(group < 0, -1, group * classes + outcome)
        counts.append(side.counts(codes, count * classes).reshape(-1, count, classes))
        if i != _SYNTHETIC:
            held = patients_of(codes, side.frame.subjects, count * classes).reshape(count, classes)
            hidden |= ((held > 0) & (held < case.options.min_patients)).any(axis=1)
    # A rate tells how many of a group had an outcome, be it one.
    shown = np.flatnonzero(~hidden)
    yield from _compared(groups, "outcome_rate_difference", {"target": name}, counts, sides, shown)
    if classes != 2:
        return
    every = [part.sum(axis=0) for part in counts]
    positive = int(np.bincount(target.outcome(case.train)[1]).argmin())
    # Rows of one patient are not so many witnesses.
    weight = [side.frame.patients / len(side.frame) for side in sides]
    for at in shown:
        named = groups.names[at]
        made, real = every[1][at], every[-1][at]
        if made.sum():
            yield Metric(
                "group_outcome_rate",
                float(made[positive] / made.sum()),
                (groups.view.name,),
                {"target": name, "group": named},
                wilson(*_witnesses(made, positive, weight[1])),
                baseline=float(real[positive] / real.sum()) if real.sum() else None,
                baseline_interval=wilson(*_witnesses(real, positive, weight[-1])) if real.sum() else None,
                size=int(made.sum()),
            )


def _sides(case: Case) -> list[Side]:
    """Reference, synthetic and, where there is a hold-out, training rows; the last two equally many."""
    rng = case.rng("representation")
    others = [case.synthetic, *([] if case.baseline is None else [case.baseline])]
    rows = min(len(part) for part in others)
    return [Side.of(part, rng) for part in (case.reference, *(part.sample(rows, rng) for part in others))]


def _compared(
    groups: Groups,
    name: str,
    detail: dict[str, str],
    counts: list[Doubles],
    sides: list[Side],
    shown: Indices,
) -> Iterator[Metric]:
    """Per group shown, and the largest of all: counts [blocks, groups], or [blocks, groups, classes]."""

    def apart(one: Doubles, other: Doubles) -> Doubles:
        if one.shape[-1] == len(groups.names) and name == "representation_difference":
            return np.abs(shares(one) - shares(other))
        return total_variation(shares(one), shares(other))

    real = counts[0].sum(axis=0)
    values, deleted = [], []
    for part in counts[1:]:
        other = part.sum(axis=0)
        values.append(apart(other, real))
        deleted.append((apart(without(part), real[None]), apart(other[None], without(counts[0]))))
    for i in (*shown.tolist(), None):
        picked = [_pick(value, i) for value in values]
        spans = [
            jackknife(float(value), [np.nan_to_num(_pick(d, i)) for d in pair])
            for value, pair in zip(picked, deleted, strict=True)
        ]
        if np.isfinite(picked[0]):
            yield Metric(
                name,
                float(picked[0]),
                (groups.view.name,),
                detail | ({} if i is None else {"group": groups.names[i]}),
                spans[0],
                baseline=float(picked[1]) if len(picked) > 1 else None,
                baseline_interval=spans[1] if len(picked) > 1 else None,
                null_value=0.0,
                size=len(sides[1].frame) if i is None else int(counts[1][:, i].sum()),
            )


def _pick(values: Doubles, at: int | None) -> Doubles:
    """One group's of [..., groups], or the largest; nan where there is none."""
    if at is not None:
        return np.asarray(values[..., at])
    top = np.where(np.isnan(values), -np.inf, values).max(axis=-1, initial=-np.inf)
    return np.where(np.isfinite(top), top, np.nan)


def _witnesses(counts: Doubles, positive: int, weight: float) -> tuple[float, float]:
    return float(counts[positive]) * weight, float(counts.sum()) * weight
