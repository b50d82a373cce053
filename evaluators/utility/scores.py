"""How good predictions are, for many weightings of the same rows at once.

A bootstrap sample is a weight per row: how often its patient was drawn. So
200 samples cost one sort, and scores of two models under the same weights are
paired.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from evaluators.intervals import REPEATS
from trainers.base import Doubles, Indices

_AT_ONCE = 25
"""Weightings that are held in double precision at once."""

CLASS_SCORES = ("auroc", "auprc", "f1", "accuracy")
NUMBER_SCORES = ("r2", "mae")


def weightings(subjects: Indices, rng: np.random.Generator, repeats: int = REPEATS) -> npt.NDArray[Any]:
    """Weights of rows, float32 [1 + repeats, n]: first ones, then bootstrap samples of whole patients."""
    _, patients = np.unique(subjects, return_inverse=True)
    every = int(patients.max()) + 1 if len(patients) else 0
    out = np.ones((1 + repeats, len(subjects)), np.float32)
    for i in range(repeats if every else 0):
        out[1 + i] = np.bincount(rng.integers(0, every, every), minlength=every)[patients]
    return out


def scores(
    weights: npt.NDArray[Any], truth: npt.NDArray[Any], found: Doubles, classes: int, positive: int = 1
) -> dict[str, Doubles]:
    """Scores under each weighting, [weightings] per name.

    Args:
        weights: [weightings, n].
        truth: classes int [n], or numbers [n].
        found: probabilities [n, classes], or numbers [n].
        classes: how many; 0 means numbers.
        positive: of two classes, the one that AUROC and AUPRC are about.

    Returns:
        `CLASS_SCORES`: of more than two classes the unweighted means over those
        that occur (one versus rest); F1 and accuracy are of the likeliest
        class, F1 the mean over classes. Or `NUMBER_SCORES`. nan where undefined.
    """
    if not classes:
        return {"r2": r2(weights, truth, found), "mae": _mean(weights, np.abs(truth - found))}
    asked = [positive] if classes == 2 else [c for c in range(classes) if 0 < (truth == c).sum() < len(truth)]
    pairs = [ranking(weights, truth == c, found[:, c]) for c in asked]
    nothing = np.full(len(weights), np.nan)
    chosen = found.argmax(axis=1)
    return {
        "auroc": _over(np.array([pair[0] for pair in pairs])) if pairs else nothing,
        "auprc": _over(np.array([pair[1] for pair in pairs])) if pairs else nothing,
        "f1": f1_macro(weights, truth, chosen, classes),
        "accuracy": _mean(weights, truth == chosen),
    }


def ranking(
    weights: npt.NDArray[Any], truth: npt.NDArray[np.bool_], score: Doubles
) -> tuple[Doubles, Doubles]:
    """AUROC (ties count half) and average precision under each weighting, [weightings] each.

    nan where a weighting has only positives or only negatives.
    """
    area, precision = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    if not truth.any() or truth.all():
        return area, precision
    order = np.argsort(-score, kind="stable")
    hits = order[truth[order]]
    # Only scores that a positive has add to either sum.
    starts = np.flatnonzero(np.diff(score[hits], prepend=np.inf))
    at = np.searchsorted(-score[order], -score[hits[starts]], side="right") - 1
    before = np.searchsorted(-score[order], -score[hits[starts]], side="left") - 1
    for first in range(0, len(weights), _AT_ONCE):
        part = weights[first : first + _AT_ONCE]
        every = np.cumsum(part[:, order], axis=1)  # whole numbers: exact in single precision
        positive = np.add.reduceat(part[:, hits], starts, axis=1).astype(np.float64)
        above = np.cumsum(positive, axis=1)
        reached = every[:, at].astype(np.float64)
        tied = reached - np.where(before < 0, 0, every[:, before]) - positive
        with np.errstate(invalid="ignore", divide="ignore"):
            positives = above[:, -1]
            negatives = every[:, -1] - positives
            won = (positive * (negatives[:, None] - (reached - above) + tied / 2)).sum(axis=1)
            mean = (positive * np.where(above > 0, above / reached, 0)).sum(axis=1) / positives
            both = (positives > 0) & (negatives > 0)
            area[first : first + len(part)] = np.where(both, won / (positives * negatives), np.nan)
            precision[first : first + len(part)] = np.where(both, mean, np.nan)
    return area, precision


def f1_macro(weights: npt.NDArray[Any], truth: Indices, chosen: Indices, classes: int) -> Doubles:
    """The mean F1 over classes that occur in truth or predictions, under each weighting, [weightings]."""
    each = []
    for c in range(classes):
        real, said = truth == c, chosen == c
        counts = np.stack([real & said, real, said], axis=1).astype(np.float32)
        hit, of, among = (weights @ counts).astype(np.float64).T
        with np.errstate(invalid="ignore"):
            each.append(2 * hit / (of + among))
    return _over(np.array(each))


def r2(weights: npt.NDArray[Any], truth: Doubles, found: Doubles) -> Doubles:
    """The share of the variance that is explained, [weightings]; nan without variance."""
    # Centred and scaled first: sums of squares of large numbers lose their digits.
    width = float(truth.std()) or 1.0
    centred, error = (truth - truth.mean()) / width, (truth - found) / width
    total = _mean(weights, centred**2) - _mean(weights, centred) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        explained: Doubles = np.where(total > 1e-12, 1 - _mean(weights, error**2) / total, np.nan)
    return explained


def delong_p(truth: npt.NDArray[np.bool_], one: Doubles, other: Doubles, subjects: Indices) -> float:
    """The two-sided p-value that two scores of the same rows have one AUROC (DeLong et al. 1988).

    Placement values of rows of one patient are summed first (Obuchowski 1997);
    of one row each this is DeLong's test itself. nan with fewer than two
    positives or negatives; 1 where the scores rank alike.
    """
    m, n = int(truth.sum()), int((~truth).sum())
    if m < 2 or n < 2:
        return float("nan")
    areas, parts = [], []
    for score in (one, other):
        ranks = stats.rankdata(score)
        placed = np.empty(len(score))
        placed[truth] = (ranks[truth] - stats.rankdata(score[truth])) / n
        placed[~truth] = 1 - (ranks[~truth] - stats.rankdata(score[~truth])) / m
        area = float(placed[truth].mean())
        areas.append(area)
        parts.append(
            np.where(truth, (placed - area) / np.sqrt(m * (m - 1)), (placed - area) / np.sqrt(n * (n - 1)))
        )
    _, patients = np.unique(subjects, return_inverse=True)
    spread = float(np.square(np.bincount(patients, parts[0] - parts[1])).sum())
    if spread <= 1e-18:
        return 1.0
    return float(2 * stats.norm.sf(abs(areas[0] - areas[1]) / np.sqrt(spread)))


def _mean(weights: npt.NDArray[Any], values: npt.NDArray[Any]) -> Doubles:
    """The weighted means of values [n], [weightings]."""
    total = weights.sum(axis=1, dtype=np.float64)
    summed = np.empty(len(weights))
    for first in range(0, len(weights), _AT_ONCE):
        summed[first : first + _AT_ONCE] = weights[first : first + _AT_ONCE].astype(np.float64) @ values
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Doubles = summed / total
    return out


def _over(each: Doubles) -> Doubles:
    """Means over the first axis of what is a number."""
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        out: Doubles = np.where(known, each, 0).sum(axis=0) / known.sum(axis=0)
    return out
