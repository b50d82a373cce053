"""The propensity score mean squared error and what it is expected to be (Snoke et al. 2018)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evaluators.fidelity.association import standardised
from evaluators.frame import Frame
from trainers.base import Doubles

_LEAST_SHARE, _LEAST_ROWS = 0.01, 5
"""Levels of fewer rows count as one: the expectation holds for cells that are not nearly empty."""
_STEPS = 25
_CLOSE = 1e-6


def pmse_ratio(real: Frame, synthetic: Frame, *, independent: bool) -> float:
    """pMSE of a logistic regression on main effects over its expectation; nan without a column that varies.

    With c the share of synthetic rows, N rows and k parameters, pMSE is
    expected to be (k - 1) c (1 - c) / N where real and synthetic rows are
    independent draws of one distribution. Against the rows that the synthetic
    ones were fitted to, whose sampling error the synthetic ones repeat, it is
    (1 - c) times that: the expectation that Snoke et al. give.

    Args:
        real: rows.
        synthetic: rows of the same layout.
        independent: the real rows are not those that were learned from.
    """
    x = _design(real, synthetic)
    n, k = x.shape
    share = len(synthetic) / n
    if k < 2:
        return float("nan")
    y = np.repeat([0.0, 1.0], [len(real), len(synthetic)])
    scores = _logistic(x, y)
    expected = (k - 1) * share * (1 - share) / n * (1.0 if independent else 1 - share)
    return float(np.mean(np.square(scores - share)) / expected)


def _design(real: Frame, synthetic: Frame) -> Doubles:
    """Intercept, scaled numbers with null indicators, levels; orthonormal columns of their span [n, k]."""
    n = len(real) + len(synthetic)
    parts: list[npt.NDArray[np.generic]] = [np.ones(n)]
    for view in real.layout:
        values = np.concatenate([real[view.name], synthetic[view.name]])
        if view.number:
            null = np.isnan(values)
            parts += [np.where(null, 0.0, standardised(values)), null.astype(np.float64)]
        else:
            counts = np.bincount(values + 1, minlength=len(view.levels) + 1)
            often = np.flatnonzero(counts >= max(_LEAST_ROWS, _LEAST_SHARE * n))
            parts += [(values + 1 == level).astype(np.float64) for level in often]
    x = np.column_stack(parts).astype(np.float64)
    # Levels of one column add up to the intercept, and columns may copy one another: k is the rank.
    sizes, axes = np.linalg.eigh(x.T @ x)
    kept = sizes > 1e-8 * sizes[-1]
    return np.asarray(x @ (axes[:, kept] / np.sqrt(sizes[kept])), np.float64)


def _logistic(x: Doubles, y: Doubles) -> Doubles:
    """Maximum-likelihood probabilities [n] by Newton's method; near 0 and 1 where sides separate."""
    ridge = 1e-8 * np.eye(x.shape[1])  # of columns of length 1: keeps separated sides solvable, no more
    weights = np.zeros(x.shape[1])
    score: Doubles = np.full(len(y), 0.5)
    for _ in range(_STEPS):
        spread = score * (1 - score)
        step = np.linalg.solve(x.T @ (x * spread[:, None]) + ridge, x.T @ (y - score))
        weights = weights + step
        moved = x @ step
        score = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        if float(np.abs(moved).max()) < _CLOSE:
            break
    return score
