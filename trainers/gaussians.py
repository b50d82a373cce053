"""A variational mixture of Gaussians in one dimension (Bishop 2006, section 10.2; Blei and Jordan 2006).

Sticks broken by a Dirichlet process prior empty the components that are not
needed. Equal and neighbouring points are taken together with their first two
moments, so that a round costs the same however many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.base import Doubles, Indices

_GROUPS = 1_024
"""Groups that points are taken together in."""

_CONCENTRATION = 0.001
"""Of the process: a priori nearly everything is one component."""

_ROUNDS = 100
_SETTLED = 1e-4
"""Change of all shares together, a round, at which the fit ends."""

_NARROWEST = 1e-6
"""Added to every variance."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians by the order of their sticks."""

    weights: Doubles
    means: Doubles
    variances: Doubles


def fit_mixture(x: Doubles, most: int) -> tuple[Mixture, Indices]:
    """A mixture of points x [n] of about unit variance, and the likeliest component of each, int64 [n].

    The prior of a component is the mean and variance of all points, for one point.
    """
    from scipy.special import digamma  # here, so that other trainers do without scipy

    values, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    group = np.arange(values.size)
    if values.size > _GROUPS:  # Of about as many points each; equal points stay together.
        earlier = np.cumsum(counts) - counts
        group = np.unique((earlier * _GROUPS) // x.size, return_inverse=True)[1]
    weight = np.bincount(group, counts)
    first = np.bincount(group, counts * values) / weight
    second = np.bincount(group, counts * values**2) / weight
    centre = float(np.average(first, weights=weight))
    spread = max(float(np.average(second, weights=weight)) - centre**2, _NARROWEST)

    shares = _nearest(first, weight.astype(np.float64), min(most, values.size))
    held = np.zeros(shares.shape[1])
    for _ in range(_ROUNDS):
        before, weighted = held, shares * weight[:, None]
        held = weighted.sum(axis=0) + 1e-12
        means = (weighted.T @ first) / held
        within = (weighted.T @ second) / held - means**2
        precision, degrees = 1.0 + held, 1.0 + held
        pull = (means - centre) ** 2 / precision
        variances = (spread + held * (np.maximum(within, 0.0) + _NARROWEST + pull)) / degrees
        means = (centre + held * means) / precision
        taken, left = 1.0 + held, _CONCENTRATION + np.append(np.cumsum(held[::-1])[-2::-1], 0.0)
        both = digamma(taken + left)
        sticks = digamma(taken) - both + np.append(0.0, np.cumsum(digamma(left) - both)[:-1])
        sharpness = digamma(degrees / 2) - np.log(degrees * variances / 2)
        height = sticks + 0.5 * (sharpness - 1.0 / precision)
        likely = height - 0.5 * (first[:, None] - means) ** 2 / variances
        shares = np.exp(likely - likely.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        if np.abs(held - before).sum() < _SETTLED * x.size:
            break
    broken = taken / (taken + left)
    weights = broken * np.append(1.0, np.cumprod(1.0 - broken)[:-1])
    # Of every value by itself: a group over a gap would give the patients of one side to the other.
    likeliest = (height - 0.5 * (values[:, None] - means) ** 2 / variances).argmax(axis=1)[place]
    return Mixture(weights / weights.sum(), means, variances), likeliest.astype(np.int64)


def _nearest(x: Doubles, weight: Doubles, size: int) -> Doubles:
    """Where the rounds begin: 1 for the nearest of at most `size` centres; k-means from even quantiles."""
    # By the root of weights: of a column of mostly zeros the rest has centres, too.
    ends = np.cumsum(np.sqrt(weight))
    ends /= ends[-1]
    centres = x[np.searchsorted(ends, (np.arange(size) + 0.5) / size)]
    centres = x if x.size <= size else np.unique(centres)
    size = centres.size
    for _ in range(30):
        nearest = np.abs(x[:, None] - centres).argmin(axis=1)
        held = np.bincount(nearest, weight, minlength=size)
        moved = np.where(
            held > 0, np.bincount(nearest, weight * x, minlength=size) / np.maximum(held, 1e-12), centres
        )
        if np.array_equal(moved, centres):
            break
        centres = moved
    one: Doubles = np.zeros((x.size, size))
    one[np.arange(x.size), nearest] = 1.0
    order = np.argsort(-one.T @ weight, kind="stable")  # The longest stick comes first.
    return one[:, order]
