"""Pairs of columns: whether what goes together in real rows goes together in synthetic ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evaluators.case import PAIR_ROWS, Case, Evaluator
from evaluators.fidelity.association import Coded, coded, correlation_ratio, correlations, cramers_v, ranks
from evaluators.fidelity.distances import shares, total_variation
from evaluators.fidelity.sides import Sides, jackknife, without
from evaluators.frame import View
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

COLUMNS = 60
"""Columns whose pairs are looked at, at most."""
NAMED = 200
"""Pairs that are named per metric, those that are least alike."""
DRAWN = 40
"""Columns of a heat map, at most."""
_NAMED = f"At most {NAMED} pairs are named, the least alike."

_Pairs = list[tuple[int, int]]


def _info(
    name: str, title: str, description: str, direction: Direction = Direction.HIGHER, reference: str = ""
) -> MetricInfo:
    return MetricInfo(name, Family.FIDELITY, title, description, direction, reference=reference)


METRICS = (
    _info(
        "pair_similarity",
        "Similarity of pairs",
        "The mean over all pairs of columns of the contingency similarity.",
    ),
    _info(
        "contingency_similarity",
        "Contingency similarity",
        "1 minus half the sum of the differences of the shares in the table of two columns: numbers in ten "
        "bins of real quantiles, the twenty most frequent categories and a rest, null as one more. " + _NAMED,
    ),
    _info(
        "correlation_similarity",
        "Correlation similarity",
        "1 minus half the absolute difference of the correlations of two numbers; without columns, the mean "
        "over all pairs. " + _NAMED,
    ),
    _info(
        "association_similarity",
        "Association similarity",
        "1 minus the absolute difference of the strengths of association: of two numbers |r|, of a category "
        "and a number the correlation ratio, of two categories Cramér's V without its bias; without columns, "
        "the mean over all pairs. " + _NAMED,
        reference="Bergsma 2013",
    ),
    _info(
        "correlation_matrix_difference",
        "Difference of association matrices",
        "Of the matrices of those strengths: the mean absolute difference, and the Frobenius norm of the "
        "difference over the root of the number of entries.",
        Direction.LOWER,
    ),
)


@dataclass(frozen=True, eq=False)
class _Contingency:
    """Contingency similarities: per pair, then of their mean what it is without each group of patients."""

    values: Doubles
    """[others, pairs]."""
    deleted: tuple[tuple[Doubles, Doubles], ...]
    """Per other side: without groups of the reference, and of its own; [blocks] each."""


def _run(case: Case) -> Iterator[Result]:
    sides = Sides.of(case, "pairs", PAIR_ROWS)
    views = list(case.layout)
    if len(views) > COLUMNS:
        chosen = np.sort(case.rng("pair_columns").choice(len(views), COLUMNS, replace=False))
        yield LeftOut("pairs", f"of {len(views)} columns those of {COLUMNS}, drawn at random, were looked at")
        views = [views[i] for i in chosen]
    if len(views) < 2:
        yield LeftOut("pairs", "there is only one column")
        return
    parts = coded(sides, views)
    pairs = list(combinations(range(len(views)), 2))
    contingency = _contingency(case, parts, views, pairs)
    size = len(sides.synthetic.frame)
    means = contingency.values.mean(axis=1)
    intervals = [
        jackknife(float(mean), deleted) for mean, deleted in zip(means, contingency.deleted, strict=True)
    ]
    yield _beside("pair_similarity", means, (), {}, size, intervals, headline=True)
    yield from _named("contingency_similarity", contingency.values, views, pairs, {}, size)
    case.check()
    yield from _correlations(parts, views, size)
    case.check()
    yield from _associations(case, parts, views, pairs, size)


def _contingency(case: Case, parts: tuple[Coded, ...], views: list[View], pairs: _Pairs) -> _Contingency:
    real, others = parts[0], parts[1:]
    values = np.empty((len(others), len(pairs)))
    deleted = tuple((np.zeros(real.side.blocks), np.zeros(other.side.blocks)) for other in others)
    for number, (i, j) in enumerate(pairs):
        if j == i + 1:
            case.check()
        a, b = views[i].name, views[j].name
        reference = _flat(real.table(a, b))
        whole, left = shares(reference.sum(axis=0)), shares(without(reference))
        for place, other in enumerate(others):
            counts = _flat(other.table(a, b))
            own = shares(counts.sum(axis=0))
            values[place, number] = 1 - float(total_variation(whole, own))
            # Of a single group nothing is left; `jackknife` gives no interval then.
            deleted[place][0][:] += np.nan_to_num(1 - total_variation(left, own))
            deleted[place][1][:] += np.nan_to_num(1 - total_variation(whole, shares(without(counts))))
    return _Contingency(values, tuple((a / len(pairs), b / len(pairs)) for a, b in deleted))


def _flat(tables: Doubles) -> Doubles:
    """Tables [blocks, m, n] as rows of cells [blocks, m n]."""
    return tables.reshape(len(tables), -1)


def _correlations(parts: tuple[Coded, ...], views: list[View], size: int) -> Iterator[Result]:
    numbers = [view for view in views if view.number]
    if len(numbers) < 2:
        return
    pairs = list(combinations(range(len(numbers)), 2))
    upper = tuple(np.array(pairs).T)
    for method in ("pearson", "spearman"):
        found = []
        for part in parts:
            columns = [part.numbers[view.name] for view in numbers]
            if method == "spearman":
                columns = [ranks(column) for column in columns]
            found.append(correlations(np.stack(columns, axis=1))[upper])
        values = np.stack([1 - _apart(found[0], other) / 2 for other in found[1:]])
        yield from _mean_and_named("correlation_similarity", values, numbers, pairs, {"method": method}, size)


def _apart(real: Doubles, other: Doubles) -> Doubles:
    """Absolute differences; a column that became constant goes with nothing, one that was so is nan."""
    found: Doubles = np.abs(real - np.where(np.isnan(other), 0.0, other))
    return found


def _associations(
    case: Case, parts: tuple[Coded, ...], views: list[View], pairs: _Pairs, size: int
) -> Iterator[Result]:
    matrices = [_matrix(part, views) for part in parts]
    upper = tuple(np.array(pairs).T)
    apart = np.stack([_apart(matrices[0][upper], other[upper]) for other in matrices[1:]])
    yield from _mean_and_named("association_similarity", 1 - apart, views, pairs, {}, size)
    known = apart[:, ~np.isnan(apart[0])]
    if known.size:
        for statistic, found in (
            ("mean_absolute", known.mean(axis=1)),
            ("frobenius", np.sqrt((known**2).mean(axis=1))),
        ):
            detail = {"statistic": statistic}
            yield _beside("correlation_matrix_difference", found, (), detail, size)
    if case.reference.patients < case.options.min_patients:
        return
    names = tuple(view.name for view in views[:DRAWN])
    real, synthetic = (matrix[:DRAWN, :DRAWN] for matrix in matrices[:2])
    for which, title, matrix, low in (
        ("real", "Association of real columns", real, 0.0),
        ("synthetic", "Association of synthetic columns", synthetic, 0.0),
        ("difference", "Association, synthetic minus real", synthetic - real, -1.0),
    ):
        rows = tuple(Series(name, row.tolist()) for name, row in zip(names, matrix, strict=True))
        kind = FigureKind.HEATMAP
        yield Figure(f"correlation:{which}", Family.FIDELITY, title, kind, rows, names, y_min=low, y_max=1.0)


def _matrix(part: Coded, views: list[View]) -> Doubles:
    """The strength of association of every pair, [p, p]; nan where a column is constant."""
    found = np.eye(len(views))
    numbers = [i for i, view in enumerate(views) if view.number]
    if numbers:
        columns = np.stack([part.numbers[views[i].name] for i in numbers], axis=1)
        found[np.ix_(numbers, numbers)] = np.abs(correlations(columns))
    for i, j in combinations(range(len(views)), 2):
        if views[i].number and views[j].number:
            continue
        a, b = views[i].name, views[j].name
        if views[i].number:
            strength = correlation_ratio(part.codes[b], part.sizes[b], part.numbers[a])
        elif views[j].number:
            strength = correlation_ratio(part.codes[a], part.sizes[a], part.numbers[b])
        else:
            strength = cramers_v(part.table(a, b).sum(axis=0))
        found[i, j] = found[j, i] = strength
    return found


def _mean_and_named(
    name: str, values: Doubles, views: list[View], pairs: _Pairs, detail: dict[str, str], size: int
) -> Iterator[Result]:
    known = ~np.isnan(values[0])
    if known.any():
        yield _beside(name, values[:, known].mean(axis=1), (), detail, size)
        left = [pair for pair, there in zip(pairs, known, strict=True) if there]
        yield from _named(name, values[:, known], views, left, detail, size)


def _named(
    name: str, values: Doubles, views: list[View], pairs: _Pairs, detail: dict[str, str], size: int
) -> Iterator[Result]:
    """Values [others, pairs], of the pairs that are least alike."""
    for at in np.sort(np.argsort(values[0], kind="stable")[:NAMED]):
        i, j = pairs[at]
        yield _beside(name, values[:, at], (views[i].name, views[j].name), detail, size)


def _beside(
    name: str,
    values: Doubles,
    columns: tuple[str, ...],
    detail: dict[str, str],
    size: int,
    intervals: list[Interval | None] | None = None,
    headline: bool = False,
) -> Metric:
    """The synthetic rows' value beside the baseline's."""
    around = intervals or [None, None]
    baseline, beside = (float(values[1]), around[1]) if len(values) > 1 else (None, None)
    return Metric(
        name, float(values[0]), columns, detail, around[0], baseline, beside, size=size, headline=headline
    )


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("pairs", Family.FIDELITY, METRICS, _run),)
