"""How predictions differ between groups, for many weightings of the same rows at once.

Formulas as in fairlearn.metrics (Hardt et al. 2016; Agarwal et al. 2018) and,
for calibration, Naeini et al. 2015; weightings as in `evaluators.utility.scores`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Indices

BINS = 10
"""Bins of predicted probabilities, equally wide."""


@dataclass(frozen=True, eq=False)
class Rates:
    """Per weighting and group, [weightings, groups]; nan of no rows."""

    selected: Doubles
    """P(predicted positive)."""
    true_positive: Doubles
    """P(predicted positive | positive)."""
    false_positive: Doubles
    """P(predicted positive | negative)."""


def rates(
    weights: npt.NDArray[Any],
    group: Indices,
    count: int,
    truth: npt.NDArray[np.bool_],
    chosen: npt.NDArray[np.bool_],
) -> Rates:
    """The rates of groups.

    Args:
        weights: [weightings, n].
        group: per row its group, -1 for none, [n].
        count: how many groups.
        truth: who is positive, [n].
        chosen: who is predicted to be, [n].
    """
    member = group[:, None] == np.arange(count)
    masks = [member & mask[:, None] for mask in (member.any(axis=1), chosen, truth, truth & chosen)]
    rows, hits, positive, both = np.split(
        (weights @ np.concatenate(masks, axis=1).astype(np.float32)).astype(np.float64), 4, axis=1
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return Rates(hits / rows, both / positive, (hits - both) / (rows - positive))


def difference(values: Doubles) -> Doubles:
    """The largest minus the smallest over groups, [weightings]; groups without a value do not count."""
    top, bottom = _ends(values)
    return top - bottom


def ratio(values: Doubles) -> Doubles:
    """The smallest over the largest over groups, [weightings]; nan where all are 0."""
    top, bottom = _ends(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Doubles = bottom / top
    return found


def _ends(values: Doubles) -> tuple[Doubles, Doubles]:
    known = np.isfinite(values)
    any_known = known.any(axis=1)
    top = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    bottom = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    return np.where(any_known, top, np.nan), np.where(any_known, bottom, np.nan)


def calibration(
    weights: npt.NDArray[Any], truth: npt.NDArray[np.bool_], found: Doubles
) -> dict[str, Doubles]:
    """How far probabilities are from shares, under each weighting, [weightings] per name; nan of no rows.

    `expected_calibration_error`: the mean over rows of |mean probability - share
    of positives| of the row's bin (`BINS` of equal width). `brier_score`: the
    mean squared error. `calibration_in_the_large`: share of positives minus mean
    probability.
    """
    at = bins_of(found)
    member = (at[:, None] == np.arange(BINS)).astype(np.float64)
    error = truth - found
    columns = np.concatenate([member * error[:, None], np.square(error)[:, None]], axis=1)
    # Single precision is enough for sums of a few thousand errors, and half the memory.
    summed = (weights @ columns.astype(np.float32)).astype(np.float64)
    total = weights.sum(axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "expected_calibration_error": np.abs(summed[:, :BINS]).sum(axis=1) / total,
            "brier_score": summed[:, BINS] / total,
            "calibration_in_the_large": summed[:, :BINS].sum(axis=1) / total,
        }


def bins_of(found: Doubles) -> Indices:
    """Per probability its bin, int64 [n]."""
    return np.minimum((found * BINS).astype(np.int64), BINS - 1)
