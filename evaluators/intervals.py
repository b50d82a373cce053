"""Confidence intervals: of shares, of means over patients, of AUCs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from evaluators.results import Interval
from trainers.base import Doubles, Indices

LEVEL = 0.95
REPEATS = 200
"""Bootstrap repeats."""


def clopper_pearson(hits: int, tries: int, level: float = LEVEL) -> Interval:
    """The exact interval of a share (Clopper and Pearson 1934); [0, 1] without tries.

    For one of m attacks pass `level` = 1 - (1 - LEVEL) / m (Bonferroni).
    """
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, tries - hits + 1))
    high = 1.0 if hits == tries else float(stats.beta.ppf(1 - tail, hits + 1, tries - hits))
    return Interval(low, high, "clopper-pearson", level)


def wilson(hits: float, tries: float, level: float = LEVEL) -> Interval:
    """The score interval of a share (Wilson 1927); [0, 1] without tries."""
    if tries <= 0:
        return Interval(0.0, 1.0, "wilson", level)
    z = float(stats.norm.ppf((1 + level) / 2))
    share, shrink = hits / tries, 1 + z * z / tries
    middle = (share + z * z / (2 * tries)) / shrink
    half = z * float(np.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))) / shrink
    return Interval(max(0.0, middle - half), min(1.0, middle + half), "wilson", level)


def bootstrap(
    statistic: Callable[[Indices], float],
    subjects: Indices,
    rng: np.random.Generator,
    repeats: int = REPEATS,
    level: float = LEVEL,
) -> Interval:
    """The percentile interval of `statistic(rows)` under resampling of whole patients.

    Args:
        statistic: of row positions, int64 [m], which repeat.
        subjects: per row the number of its patient, [n].
        rng: of the draws.
        repeats: how many.
        level: of the interval.
    """
    draws = resamples(subjects, rng, repeats)
    return percentiles(np.array([statistic(rows) for rows in draws]), level)


def resamples(subjects: Indices, rng: np.random.Generator, repeats: int = REPEATS) -> list[Indices]:
    """Row positions of so many samples of whole patients, drawn with replacement."""
    order = np.argsort(subjects, kind="stable")
    starts = np.flatnonzero(np.diff(subjects[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    if len(starts) == len(order):
        return [rng.integers(0, len(order), len(order)) for _ in range(repeats)]
    parts = [order[a:b] for a, b in zip(starts, ends, strict=True)]
    return [
        np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))]) for _ in range(repeats)
    ]


def percentiles(values: Doubles, level: float = LEVEL) -> Interval:
    """The percentile interval of bootstrap values; nan where fewer than half of them are numbers."""
    known = values[np.isfinite(values)]
    if 2 * len(known) < len(values) or not len(known):
        return Interval(float("nan"), float("nan"), "bootstrap", level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), "bootstrap", level)


def auc(positive: Doubles, negative: Doubles) -> float:
    """The area under the ROC curve of scores: the chance that a positive's is higher, ties count half.

    nan without one of them.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.mean() - (len(positive) + 1) / 2) / len(negative))


def delong(positive: Doubles, negative: Doubles, level: float = LEVEL) -> Interval:
    """The interval of that AUC by its placement values (DeLong et al. 1988), on the logit scale."""
    m, n = len(positive), len(negative)
    if m < 2 or n < 2:
        return Interval(0.0, 1.0, "delong", level)
    every = stats.rankdata(np.concatenate([positive, negative]))
    above = (every[:m] - stats.rankdata(positive)) / n
    below = 1 - (every[m:] - stats.rankdata(negative)) / m
    area = float(above.mean())
    variance = float(np.var(above, ddof=1)) / m + float(np.var(below, ddof=1)) / n
    # Perfect separation has no variance; one pair more or less still could have been otherwise.
    area = min(max(area, 0.5 / (m * n)), 1 - 0.5 / (m * n))
    z = float(stats.norm.ppf((1 + level) / 2))
    half = z * max(np.sqrt(variance), 0.5 / (m * n)) / (area * (1 - area))
    middle = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-min(max(x, -50), 50)))) for x in (middle - half, middle + half))
    return Interval(low, high, "delong", level)


def mean_of(values: npt.NDArray[np.floating], level: float = LEVEL) -> Interval:
    """The normal interval of a mean of independent values [n]."""
    n = len(values)
    if n < 2:
        return Interval(float("nan"), float("nan"), "normal", level)
    half = float(stats.norm.ppf((1 + level) / 2)) * float(np.std(values, ddof=1)) / np.sqrt(n)
    return Interval(float(values.mean()) - half, float(values.mean()) + half, "normal", level)
