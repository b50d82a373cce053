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
    middle, half = wilson_middle(hits, tries, level)
    return Interval(max(0.0, middle - half), min(1.0, middle + half), "wilson", level)


def wilson_middle(hits: float, tries: float, level: float = LEVEL) -> tuple[float, float]:
    """The middle of that interval and half its width."""
    if tries <= 0:
        return 0.5, 0.5
    z = _z(level)
    share, shrink = hits / tries, 1 + z * z / tries
    half = z * float(np.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))) / shrink
    return (share + z * z / (2 * tries)) / shrink, half


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


def roc(positive: Doubles, negative: Doubles, rates: Doubles) -> Doubles:
    """The true-positive rate of scores at those false-positive rates, straight between thresholds, [rates].

    0 at the rate 0.
    """
    cuts = np.unique(np.concatenate([positive, negative]))[::-1]
    x, y = (
        np.append(0.0, 1 - np.searchsorted(np.sort(part), cuts, "left") / max(1, len(part)))
        for part in (negative, positive)
    )
    found: Doubles = np.where(rates > 0, np.interp(rates, x, y), 0.0)
    return found


def delong(
    positive: Doubles,
    negative: Doubles,
    level: float = LEVEL,
    subjects: tuple[Indices, Indices] | None = None,
    wider: float = 1.0,
) -> Interval:
    """The interval of an AUC by its placement values (DeLong et al. 1988), on the logit scale.

    Args:
        positive: scores, [m].
        negative: scores, [n].
        level: of the interval.
        subjects: whose the scores are, [m] and [n]: placement values are added
            up by patient (Obuchowski 1997). None: everyone has one.
        wider: multiplies the standard deviation.
    """
    m, n = len(positive), len(negative)
    if m < 2 or n < 2:
        return Interval(0.0, 1.0, "delong", level)
    mine, theirs = subjects or (np.arange(m), np.arange(n))
    every = stats.rankdata(np.concatenate([positive, negative]))
    above = (every[:m] - stats.rankdata(positive)) / n
    below = 1 - (every[m:] - stats.rankdata(negative)) / m
    variance = variance_of_mean(above, mine) + variance_of_mean(below, theirs)
    # Perfect separation has no variance; one pair more or less still could have been otherwise.
    least = 0.5 / (m * n)
    area = min(max(float(above.mean()), least), 1 - least)
    half = _z(level) * wider * max(np.sqrt(variance), least) / (area * (1 - area))
    middle = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-np.clip(x, -50, 50)))) for x in (middle - half, middle + half))
    return Interval(low, high, "delong", level)


def variance_of_mean(values: npt.NDArray[np.floating], subjects: Indices) -> float:
    """Of the mean of values [n] whose patients are independent; 0 of one patient."""
    _, patient = np.unique(subjects, return_inverse=True)
    sums = np.bincount(patient, values - values.mean())
    return float(np.square(sums).sum()) / len(values) ** 2 * len(sums) / max(1, len(sums) - 1)


def normal(value: float, variance: float, level: float = LEVEL) -> Interval:
    """The normal interval of an estimate of that variance."""
    half = _z(level) * float(np.sqrt(variance))
    return Interval(value - half, value + half, "normal", level)


def mean_of(values: npt.NDArray[np.floating], level: float = LEVEL) -> Interval:
    """The normal interval of a mean of independent values [n]."""
    if len(values) < 2:
        return Interval(float("nan"), float("nan"), "normal", level)
    return normal(float(values.mean()), float(np.var(values, ddof=1)) / len(values), level)


def _z(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))
