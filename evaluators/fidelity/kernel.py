"""The maximum mean discrepancy: how far apart two sets of rows are to a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluators.case import KERNEL_ROWS, Case, Evaluator
from evaluators.intervals import normal, variance_of_mean
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result
from evaluators.space import Space
from trainers.base import Doubles, Floats, Indices

_FEWEST = 4
_MEDIAN_ROWS = 1000
_CHUNK = 1 << 22
"""Cells of the kernel matrix held at once."""

_MMD = MetricInfo(
    "mmd",
    Family.FIDELITY,
    "Maximum mean discrepancy",
    "Squared maximum mean discrepancy under a Gaussian kernel as wide as the median distance of real rows, "
    "unbiased: around 0, and negative as often as positive, where both are drawn from one distribution. "
    "Pairs of rows of one patient are left out.",
    Direction.TARGET,
    0.0,
    "Gretton, Borgwardt, Rasch, Schölkopf and Smola 2012, A kernel two-sample test",
)


@dataclass(frozen=True)
class _Pairs:
    """Sums of a kernel over the pairs of distinct patients of two sets."""

    rows: Doubles
    """Mean over the others, per row of the first [n]."""
    columns: Doubles
    """The same per row of the second [m]."""
    mean: float
    square: float
    """Mean of the squared kernel."""
    count: float
    """Pairs."""

    @property
    def spread(self) -> float:
        """Variance of the kernel without what its rows explain: what is left where both sets are alike."""
        own = float(np.mean(self.rows**2) + np.mean(self.columns**2))
        return max(self.square - own + self.mean**2, 0.0)


def mmd2(
    a: Floats,
    b: Floats,
    bandwidth: float,
    a_subjects: Indices | None = None,
    b_subjects: Indices | None = None,
) -> tuple[float, Interval]:
    """The unbiased squared discrepancy of points [n, d] and [m, d], and its normal interval.

    The variance has both terms of a U-statistic: between patients (which
    vanishes where the distributions are equal) and between pairs.

    Args:
        a: points.
        b: points.
        bandwidth: sigma of exp(-|x - y|^2 / (2 sigma^2)).
        a_subjects: per point of `a` the number of its patient; None: each its own.
        b_subjects: of `b`.
    """
    mine, theirs = (np.arange(len(p)) if s is None else s for p, s in ((a, a_subjects), (b, b_subjects)))
    within_a, within_b = _pairs(a, a, bandwidth, mine, mine), _pairs(b, b, bandwidth, theirs, theirs)
    across = _pairs(a, b, bandwidth, mine, theirs + int(mine.max()) + 1)
    value = within_a.mean + within_b.mean - 2 * across.mean
    variance = 4 * variance_of_mean(within_a.rows - across.rows, mine)
    variance += 4 * variance_of_mean(within_b.rows - across.columns, theirs)
    variance += 2 * within_a.spread / within_a.count + 2 * within_b.spread / within_b.count
    variance += 4 * across.spread / across.count
    return value, normal(value, variance)


def _pairs(a: Floats, b: Floats, bandwidth: float, mine: Indices, theirs: Indices) -> _Pairs:
    rows, row_count = np.zeros(len(a)), np.zeros(len(a))
    columns, column_count = np.zeros(len(b)), np.zeros(len(b))
    squares = 0.0
    # The middle taken away, single precision loses fewer digits to the expansion of the square.
    middle = a.mean(axis=0)
    a, b = a - middle, b - middle
    lengths = np.einsum("ij,ij->i", b, b)
    step = max(1, _CHUNK // len(b))
    for first in range(0, len(a), step):
        part, own = a[first : first + step], slice(first, first + step)
        gaps = np.einsum("ij,ij->i", part, part)[:, None] + lengths[None, :] - 2 * (part @ b.T)
        kernel = np.exp(np.maximum(gaps, 0) * np.float32(-1 / (2 * bandwidth**2)))
        apart = mine[own, None] != theirs[None, :]
        kernel *= apart
        rows[own], row_count[own] = kernel.sum(axis=1, dtype=np.float64), apart.sum(axis=1)
        columns += kernel.sum(axis=0, dtype=np.float64)
        column_count += apart.sum(axis=0)
        squares += float(np.square(kernel).sum(dtype=np.float64))
    count = max(float(row_count.sum()), 1.0)
    return _Pairs(
        rows / np.maximum(row_count, 1),
        columns / np.maximum(column_count, 1),
        float(rows.sum()) / count,
        squares / count,
        count,
    )


def median_distance(points: Floats) -> float:
    """The median distance of different points [n, d] among the first thousand; 1 where all are equal."""
    some = points[:_MEDIAN_ROWS].astype(np.float64)
    squares = np.einsum("ij,ij->i", some, some)
    gaps = squares[:, None] + squares[None, :] - 2 * some @ some.T
    gaps = gaps[np.triu_indices(len(some), 1)]
    gaps = gaps[gaps > 1e-9 * max(float(squares.max(initial=0.0)), 1.0)]
    return float(np.sqrt(np.median(gaps))) if len(gaps) else 1.0


def _run(case: Case) -> Iterator[Result]:
    rng = case.rng("kernel")
    real = case.reference.sample(KERNEL_ROWS, rng)
    others = {"synthetic": case.synthetic} | ({} if case.baseline is None else {"training": case.baseline})
    drawn = {name: frame.sample(len(real), rng) for name, frame in others.items()}
    if min(real.patients, *(frame.patients for frame in drawn.values())) < _FEWEST:
        yield LeftOut("kernel", f"fewer than {_FEWEST} patients on a side")
        return
    space = Space.fit(case.train)
    points = space.points(real)
    bandwidth = median_distance(points[rng.permutation(len(points))[:_MEDIAN_ROWS]])
    found = {}
    for name, frame in drawn.items():
        case.check()
        found[name] = mmd2(points, space.points(frame), bandwidth, real.subjects, frame.subjects)
    value, interval = found["synthetic"]
    base, base_interval = found.get("training", (None, None))
    yield Metric(
        _MMD.name,
        value,
        interval=interval,
        baseline=base,
        baseline_interval=base_interval,
        null_value=0.0,
        size=len(real),
    )


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("kernel", Family.FIDELITY, (_MMD,), _run),)
