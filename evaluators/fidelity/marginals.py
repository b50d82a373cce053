"""Each column by itself: how far its synthetic distribution is from the real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from evaluators.case import PAIR_ROWS, Case, Evaluator
from evaluators.fidelity.distances import (
    FEW,
    cut,
    edges,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    shares,
    total_variation,
    wasserstein,
)
from evaluators.fidelity.marginal_figures import dimension_wise_figure, figures
from evaluators.fidelity.marginal_metrics import METRICS
from evaluators.fidelity.sides import Side, Sides, jackknife, patients_of, stacked, without
from evaluators.frame import Frame, View
from evaluators.results import Family, Interval, LeftOut, Metric, Result
from kohort.problem import Problem
from tables.statistics import StatisticsSource
from trainers.base import Doubles, Indices

_GRID = 1000
"""Points at which intervals look at a distribution function."""
_BINS = 20


@dataclass
class _Headline:
    """A mean over columns, with what it is without each group of patients."""

    values: list[list[float]] = field(default_factory=list)
    """Per column that of the synthetic rows, then of the baseline."""
    deleted: list[list[tuple[Doubles, ...]]] = field(default_factory=list)

    def add(self, values: list[float], deleted: list[tuple[Doubles, ...]]) -> None:
        if np.isfinite(values[0]):
            self.values.append(values)
            self.deleted.append(deleted)

    def metric(self, name: str, size: int) -> Iterator[Result]:
        if not self.values:
            yield LeftOut(name, "no column can be compared")
            return
        both = [self._mean(side) for side in range(len(self.values[0]))]
        value, interval = both[0]
        baseline, around = both[1] if len(both) > 1 else (None, None)
        yield Metric(name, value, (), {}, interval, baseline, around, size=size, headline=True)

    def _mean(self, side: int) -> tuple[float, Interval | None]:
        kept = [i for i, values in enumerate(self.values) if np.isfinite(values[side])]
        if not kept:
            return float("nan"), None
        value = float(np.mean([self.values[i][side] for i in kept]))
        samples = zip(*(self.deleted[i][side] for i in kept), strict=True)
        return value, jackknife(value, [np.mean(values, axis=0) for values in samples])


def _run(case: Case) -> Iterator[Result]:
    sides = Sides.of(case, "marginals", PAIR_ROWS)
    similarity, missing, coverage = _Headline(), _Headline(), _Headline()
    levels: list[tuple[Doubles, ...]] = []
    for view in case.layout:
        case.check()
        yield from _missingness(view, sides, missing)
        yield from (_number if view.number else _category)(view, sides, similarity)
        yield from _adherence(view, case, sides)
        yield from _coverage(view, case, sides, coverage, levels)
    size = len(sides.synthetic.frame)
    yield from similarity.metric("column_similarity", size)
    yield from missing.metric("missingness_similarity", size)
    yield from coverage.metric("category_coverage", size)
    yield from _dimension_wise(levels, size)
    yield from figures(case)


def _number(view: View, sides: Sides, headline: _Headline) -> Iterator[Result]:
    cells = [side.frame[view.name] for side in sides]
    at, joint = np.unique(np.concatenate(cells), return_inverse=True)
    at = at[~np.isnan(at)]  # nan sorts last
    codes = np.split(np.where(joint < at.size, joint, -1), np.cumsum([len(part) for part in cells])[:-1])
    counts = [np.bincount(part[part >= 0], minlength=at.size).astype(np.float64) for part in codes]
    sizes = [part.sum() for part in counts]
    if not sizes[0]:
        yield LeftOut("marginals", f"{view.name} holds no real value to compare with")
        return
    real = shares(counts[0])
    # A sample without a value has nothing of the real distribution.
    values = [
        1 - float(kolmogorov_smirnov(real, shares(c))) if n else 0.0
        for c, n in zip(counts[1:], sizes[1:], strict=True)
    ]
    coarse, points = _coarse(counts[0] + counts[1], at.size)
    blocks = [
        side.counts(np.where(c >= 0, coarse[c], -1) if at.size else c, points)
        for side, c in zip(sides, codes, strict=True)
    ]
    yield from _similarity("ks_complement", view, values, blocks, sides, headline)
    scale = _scale(counts[0], at)
    bins = cut(at, edges(cells[0], _BINS))
    binned = [np.bincount(bins, part).astype(np.float64) for part in counts]
    found: dict[str, list[float]] = {"wasserstein": [], "jensen_shannon": [], "hellinger": []}
    for fine, binwise in zip(counts[1:], binned[1:], strict=True):
        if not fine.sum():
            for part in found.values():
                part.append(float("nan"))
            continue
        found["wasserstein"].append(_moved(real, shares(fine), at, scale))
        found["jensen_shannon"].append(jensen_shannon(shares(binned[0]), shares(binwise)))
        found["hellinger"].append(hellinger(shares(binned[0]), shares(binwise)))
    for name, both in found.items():
        yield from _pair(name, view, both, sides)


def _moved(p: Doubles, q: Doubles, at: Doubles, scale: float) -> float:
    """The Wasserstein distance in parts of `scale`; nan where that is none."""
    if not 0 < scale < np.inf:
        return float("nan")
    with np.errstate(over="ignore", invalid="ignore"):
        return wasserstein(p, q, at / scale)


def _category(view: View, sides: Sides, headline: _Headline) -> Iterator[Result]:
    size = len(view.levels) + 1  # null is one
    blocks = [side.counts(_codes(view, side.frame), size) for side in sides]
    whole = [shares(part.sum(axis=0)) for part in blocks]
    values = [1 - float(total_variation(whole[0], part)) for part in whole[1:]]
    yield from _similarity("tv_complement", view, values, blocks, sides, headline)
    yield from _pair("jensen_shannon", view, [jensen_shannon(whole[0], part) for part in whole[1:]], sides)
    yield from _pair("hellinger", view, [hellinger(whole[0], part) for part in whole[1:]], sides)


def _codes(view: View, frame: Frame) -> Indices:
    codes = frame[view.name].astype(np.int64)
    return np.where(codes < 0, len(view.levels), codes)


def _similarity(
    name: str, view: View, values: list[float], blocks: list[Doubles], sides: Sides, headline: _Headline
) -> Iterator[Result]:
    distance = kolmogorov_smirnov if view.number else total_variation
    real = shares(blocks[0].sum(axis=0))
    deleted: list[tuple[Doubles, ...]] = []
    for value, other in zip(values, blocks[1:], strict=True):
        pair = (
            1 - distance(shares(without(blocks[0])), shares(other.sum(axis=0))),
            1 - distance(real, shares(without(other))),
        )
        deleted.append(tuple(np.where(np.isnan(part), value, part) for part in pair))
    headline.add(values, deleted)
    intervals = [jackknife(value, part) for value, part in zip(values, deleted, strict=True)]
    yield from _pair(name, view, values, sides, intervals)


def _pair(
    name: str, view: View, values: list[float], sides: Sides, intervals: list[Interval | None] | None = None
) -> Iterator[Result]:
    """The value of the synthetic rows, beside that of the baseline."""
    around = intervals or [None, None]
    if np.isfinite(values[0]):
        baseline, beside = (values[1], around[1]) if len(values) > 1 else (None, None)
        size = len(sides.synthetic.frame)
        yield Metric(name, values[0], (view.name,), {}, around[0], baseline, beside, size=size)


def _coarse(counts: Doubles, size: int) -> tuple[Indices, int]:
    """Per distinct value the point of a grid of at most so many that it belongs to."""
    if size <= _GRID:
        return np.arange(size), max(size, 1)
    rank = np.cumsum(counts)
    return np.minimum((rank * _GRID / rank[-1]).astype(np.int64), _GRID - 1), _GRID


def _scale(counts: Doubles, at: Doubles) -> float:
    """What the middle 98 % of the values span, else all."""
    low, high = np.searchsorted(np.cumsum(counts), np.array([0.01, 0.99]) * counts.sum())
    held = at[counts > 0]
    with np.errstate(over="ignore"):
        return float(at[high] - at[low]) or float(held[-1] - held[0])


def _missingness(view: View, sides: Sides, headline: _Headline) -> Iterator[Result]:
    nulls = [side.counts(np.where(side.frame.null(view.name), 0, -1), 1)[:, 0] for side in sides]
    found = [part.sum() / side.rows.sum() for part, side in zip(nulls, sides, strict=True)]
    left = [_share_without(part, side) for part, side in zip(nulls, sides, strict=True)]
    values = [1 - abs(other - found[0]) for other in found[1:]]
    deleted: list[tuple[Doubles, ...]] = [
        (1 - np.abs(other - left[0]), 1 - np.abs(lefts - found[0]))
        for other, lefts in zip(found[1:], left[1:], strict=True)
    ]
    headline.add(values, deleted)
    if any(found):
        yield from _pair("missingness_difference", view, [other - found[0] for other in found[1:]], sides)


def _share_without(nulls: Doubles, side: Side) -> Doubles:
    rows = without(side.rows)
    found: Doubles = without(nulls) / np.where(rows > 0, rows, 1.0)
    return found


def _adherence(view: View, case: Case, sides: Sides) -> Iterator[Result]:
    train, beside = case.train, case.holdout
    frames = [sides.synthetic.frame, *([] if beside is None else [beside])]
    held = train[view.name][~train.null(view.name)]
    cells = [frame[view.name][~frame.null(view.name)] for frame in frames]
    if not held.size or not cells[0].size:
        return
    if view.number:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                low, high = StatisticsSource().bounds(
                    held, train.subjects[~train.null(view.name)], case.options.min_patients
                )
        except Problem:  # values of fewer than k patients
            return
        inside = [float(((part >= low) & (part <= high)).mean()) if part.size else np.nan for part in cells]
        yield from _pair("boundary_adherence", view, inside, sides)
    else:
        known = np.bincount(held, minlength=len(view.levels)) > 0
        inside = [float(known[part].mean()) if part.size else float("nan") for part in cells]
        yield from _pair("category_adherence", view, inside, sides)


def _coverage(
    view: View, case: Case, sides: Sides, headline: _Headline, levels: list[tuple[Doubles, ...]]
) -> Iterator[Result]:
    """Also notes per side the share of rows of every level, as `stacked`."""
    found = labels(view, sides)
    if found is None:
        return
    codes, size = found
    reference = sides.reference
    supported = patients_of(codes[0], reference.frame.subjects, size) >= case.options.min_patients
    if not supported.any():
        return
    blocks = [side.counts(part, size)[:, supported] for side, part in zip(sides, codes, strict=True)]
    rows = [np.maximum(stacked(side.rows), 1.0)[:, None] for side in sides]
    levels.append(tuple(stacked(part) / n for part, n in zip(blocks, rows, strict=True)))
    values = [float((part.sum(axis=0) > 0).mean()) for part in blocks[1:]]
    deleted: list[tuple[Doubles, ...]] = [((without(part) > 0).mean(axis=1),) for part in blocks[1:]]
    headline.add(values, deleted)
    yield from _pair("category_coverage", view, values, sides)


def labels(view: View, sides: Sides) -> tuple[list[Indices], int] | None:
    """Codes per side and how many there are, of a category or a few whole numbers; null is -1; else None."""
    if not view.number:
        return [side.frame[view.name].astype(np.int64) for side in sides], len(view.levels)
    if not view.whole:
        return None
    real = sides.reference.frame[view.name]
    distinct = np.unique(real[~np.isnan(real)])
    if not 0 < distinct.size <= FEW:
        return None
    codes = []
    for side in sides:
        values = side.frame[view.name]
        at = np.clip(np.searchsorted(distinct, values), 0, distinct.size - 1)
        codes.append(np.where(distinct[at] == values, at, -1))
    return codes, distinct.size


def _dimension_wise(levels: list[tuple[Doubles, ...]], size: int) -> Iterator[Result]:
    """Of shares per column and side, [1 + blocks, levels], real first."""
    if sum(column[0].shape[1] for column in levels) < 2:
        yield LeftOut("dimension_wise_probability", "fewer than two categories are held by k patients")
        return
    real, *others = (np.concatenate(side, axis=1) for side in zip(*levels, strict=True))
    for name, measure, low, high in (
        ("dimension_wise_probability", _fit, -np.inf, 1.0),
        ("dimension_wise_error", _error, 0.0, 1.0),
    ):
        values = [float(measure(real[0], other[0])) for other in others]
        if np.isnan(values[0]):
            continue
        around = [
            jackknife(value, [measure(real[1:], other[0]), measure(real[0], other[1:])], low, high)
            for value, other in zip(values, others, strict=True)
        ]
        baseline, beside = (values[1], around[1]) if others[1:] else (None, None)
        yield Metric(name, values[0], (), {}, around[0], baseline, beside, size=size)
    yield dimension_wise_figure(np.stack([side[0] for side in (real, *others)], axis=1))


def _fit(real: Doubles, other: Doubles) -> Doubles:
    """R² of shares [..., levels] as a prediction of real ones; nan where those are all equal."""
    spread = ((real - real.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    found: Doubles = 1 - ((other - real) ** 2).sum(axis=-1) / np.where(spread > 0, spread, np.nan)
    return found


def _error(real: Doubles, other: Doubles) -> Doubles:
    found: Doubles = np.abs(other - real).mean(axis=-1)
    return found


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("marginals", Family.FIDELITY, METRICS, _run),)
