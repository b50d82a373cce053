"""Pairs of columns: whether what goes together in real rows goes together in synthetic ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evaluators.case import PAIR_ROWS, Case, Evaluator
from evaluators.fidelity.association import Coded, coded, correlation_ratio, correlations, cramers_v, ranks
from evaluators.fidelity.distances import shares, total_variation
from evaluators.fidelity.sides import Sides, jackknife, stacked
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
_Aggregate = Callable[[Doubles], Doubles]
"""Of distances [..., pairs]."""


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
class _Apart:
    """How far apart a side and the reference are, per pair; nan where the real columns say nothing."""

    whole: Doubles
    """[pairs]."""
    left: tuple[Doubles, Doubles]
    """Without each group of the reference, and of the side itself, [blocks, pairs]."""

    @classmethod
    def of(cls, real: Doubles, other: Doubles) -> _Apart:
        """Of strengths of association [1 + blocks, pairs]."""
        whole = _difference(real[0], other[0])
        return cls(whole, (_difference(real[1:], other[0]), _difference(real[0], other[1:])))

    def mean(self, aggregate: _Aggregate) -> tuple[float, Interval | None]:
        """Of the pairs that are known."""
        known = ~np.isnan(self.whole)
        whole = self.whole[known]
        left = [np.where(np.isnan(part[:, known]), whole, part[:, known]) for part in self.left]
        value = float(aggregate(whole))
        return value, jackknife(value, [aggregate(part) for part in left])


def _difference(real: Doubles, other: Doubles) -> Doubles:
    # A column that became constant goes with nothing.
    found: Doubles = np.abs(real - np.where(np.isnan(other), 0.0, other))
    return found


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
    size = len(sides.synthetic.frame)
    apart = _contingency(case, parts, views, pairs)
    yield _mean("pair_similarity", apart, _similarity, {}, size, headline=True)
    yield from _named("contingency_similarity", apart, 1.0, views, pairs, {}, size)
    yield from _correlations(case, parts, views, size)
    yield from _associations(case, parts, views, pairs, size)


def _similarity(apart: Doubles) -> Doubles:
    found: Doubles = 1 - apart.mean(axis=-1)
    return found


def _half_similarity(apart: Doubles) -> Doubles:
    found: Doubles = 1 - apart.mean(axis=-1) / 2
    return found


def _mean_absolute(apart: Doubles) -> Doubles:
    found: Doubles = apart.mean(axis=-1)
    return found


def _frobenius(apart: Doubles) -> Doubles:
    found: Doubles = np.sqrt((apart**2).mean(axis=-1))
    return found


def _contingency(case: Case, parts: tuple[Coded, ...], views: list[View], pairs: _Pairs) -> list[_Apart]:
    real, others = parts[0], parts[1:]
    n = len(pairs)
    found = [
        _Apart(np.empty(n), (np.empty((real.side.blocks, n)), np.empty((other.side.blocks, n))))
        for other in others
    ]
    for number, (i, j) in enumerate(pairs):
        if j == i + 1:
            case.check()
        a, b = views[i].name, views[j].name
        reference = _cells(real, a, b)
        for apart, other in zip(found, others, strict=True):
            own = _cells(other, a, b)
            apart.whole[number] = total_variation(reference[0], own[0])
            apart.left[0][:, number] = total_variation(reference[1:], own[0])
            apart.left[1][:, number] = total_variation(reference[0], own[1:])
    return found


def _cells(part: Coded, a: str, b: str) -> Doubles:
    """Shares of the cells of a table of two columns, [1 + blocks, cells]."""
    counts = part.table(a, b)
    return shares(stacked(counts.reshape(len(counts), -1)))


def _correlations(case: Case, parts: tuple[Coded, ...], views: list[View], size: int) -> Iterator[Result]:
    numbers = [view for view in views if view.number]
    if len(numbers) < 2:
        return
    pairs = list(combinations(range(len(numbers)), 2))
    first, second = np.array(pairs).T
    for method in ("pearson", "spearman"):
        case.check()
        found = []
        for part in parts:
            columns = [part.numbers[view.name] for view in numbers]
            if method == "spearman":
                columns = [ranks(column) for column in columns]
            found.append(correlations(np.stack(columns, axis=1), part.side)[:, first, second])
        apart = [_Apart.of(found[0], other) for other in found[1:]]
        if np.isnan(apart[0].whole).all():
            continue
        detail = {"method": method}
        yield _mean("correlation_similarity", apart, _half_similarity, detail, size)
        yield from _named("correlation_similarity", apart, 0.5, numbers, pairs, detail, size)


def _associations(
    case: Case, parts: tuple[Coded, ...], views: list[View], pairs: _Pairs, size: int
) -> Iterator[Result]:
    strengths = [_strengths(case, part, views, pairs) for part in parts]
    apart = [_Apart.of(strengths[0], other) for other in strengths[1:]]
    if not np.isnan(apart[0].whole).all():
        yield _mean("association_similarity", apart, _similarity, {}, size, headline=True)
        yield from _named("association_similarity", apart, 1.0, views, pairs, {}, size)
        for statistic, aggregate in (("mean_absolute", _mean_absolute), ("frobenius", _frobenius)):
            yield _mean("correlation_matrix_difference", apart, aggregate, {"statistic": statistic}, size)
    if case.reference.patients >= case.options.min_patients:
        yield from _heat_maps([found[0] for found in strengths[:2]], views, pairs)


def _strengths(case: Case, part: Coded, views: list[View], pairs: _Pairs) -> Doubles:
    """The strength of association of every pair, [1 + blocks, pairs]; nan where a column is constant."""
    found = np.empty((1 + part.side.blocks, len(pairs)))
    numbers = [i for i, view in enumerate(views) if view.number]
    place = {i: at for at, i in enumerate(numbers)}
    if numbers:
        columns = np.stack([part.numbers[views[i].name] for i in numbers], axis=1)
        correlated = np.abs(correlations(columns, part.side))
    for number, (i, j) in enumerate(pairs):
        if j == i + 1:
            case.check()
        a, b = views[i].name, views[j].name
        if i in place and j in place:
            found[:, number] = correlated[:, place[i], place[j]]
        elif i in place:
            found[:, number] = correlation_ratio(part.codes[b], part.sizes[b], part.numbers[a], part.side)
        elif j in place:
            found[:, number] = correlation_ratio(part.codes[a], part.sizes[a], part.numbers[b], part.side)
        else:
            found[:, number] = cramers_v(stacked(part.table(a, b)))
    return found


def _heat_maps(strengths: list[Doubles], views: list[View], pairs: _Pairs) -> Iterator[Figure]:
    names = tuple(view.name for view in views[:DRAWN])
    matrices = [np.eye(len(views)) for _ in strengths]
    for matrix, found in zip(matrices, strengths, strict=True):
        first, second = np.array(pairs).T
        matrix[first, second] = matrix[second, first] = found
    real, synthetic = (matrix[:DRAWN, :DRAWN] for matrix in matrices)
    for which, title, matrix, low in (
        ("real", "Association of real columns", real, 0.0),
        ("synthetic", "Association of synthetic columns", synthetic, 0.0),
        ("difference", "Association, synthetic minus real", synthetic - real, -1.0),
    ):
        rows = tuple(Series(name, row.tolist()) for name, row in zip(names, matrix, strict=True))
        kind = FigureKind.HEATMAP
        yield Figure(f"correlation:{which}", Family.FIDELITY, title, kind, rows, names, y_min=low, y_max=1.0)


def _mean(
    name: str,
    apart: list[_Apart],
    aggregate: _Aggregate,
    detail: dict[str, str],
    size: int,
    headline: bool = False,
) -> Metric:
    """The synthetic rows' value beside the baseline's."""
    value, interval = apart[0].mean(aggregate)
    baseline, around = apart[1].mean(aggregate) if len(apart) > 1 else (None, None)
    return Metric(name, value, (), detail, interval, baseline, around, size=size, headline=headline)


def _named(
    name: str,
    apart: list[_Apart],
    weight: float,
    views: list[View],
    pairs: _Pairs,
    detail: dict[str, str],
    size: int,
) -> Iterator[Result]:
    """1 minus the weighted distance of the pairs that are least alike."""
    order = np.argsort(-apart[0].whole, kind="stable")  # nan sorts last
    for at in np.sort(order[: min(NAMED, int((~np.isnan(apart[0].whole)).sum()))]):
        i, j = pairs[at]
        values = [1 - weight * float(part.whole[at]) for part in apart]
        baseline = values[1] if len(values) > 1 else None
        yield Metric(name, values[0], (views[i].name, views[j].name), detail, baseline=baseline, size=size)


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("pairs", Family.FIDELITY, METRICS, _run),)
