"""Distances between distributions over common cells, and the bins that make cells of numbers."""

from __future__ import annotations

import numpy as np

from trainers.base import Doubles, Indices

FEW = 20
"""Numbers of no more distinct values are compared value by value; more levels of a category are folded."""


def shares(counts: Doubles) -> Doubles:
    """Counts [..., m] as shares of their sum; nan where it is 0."""
    total = counts.sum(axis=-1, keepdims=True)
    found: Doubles = counts / np.where(total > 0, total, np.nan)
    return found


def kolmogorov_smirnov(p: Doubles, q: Doubles) -> Doubles:
    """The largest difference of the distribution functions of shares [..., m] in ascending order."""
    found: Doubles = np.abs(np.cumsum(p - q, axis=-1)).max(axis=-1)
    return found


def total_variation(p: Doubles, q: Doubles) -> Doubles:
    """Half the sum of the differences of shares [..., m]."""
    found: Doubles = np.abs(p - q).sum(axis=-1) / 2
    return found


def jensen_shannon(p: Doubles, q: Doubles) -> float:
    """The Jensen-Shannon distance of shares [m], in [0, 1]: the root of the divergence in bits."""
    middle = (p + q) / 2
    bits = sum(float((s[s > 0] * np.log2(s[s > 0] / middle[s > 0])).sum()) for s in (p, q)) / 2
    return float(np.sqrt(min(max(bits, 0.0), 1.0)))


def hellinger(p: Doubles, q: Doubles) -> float:
    """The Hellinger distance of shares [m], in [0, 1]."""
    return float(np.sqrt(min(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2, 1.0)))


def wasserstein(p: Doubles, q: Doubles, at: Doubles) -> float:
    """The first Wasserstein distance of shares [m] of ascending values `at` [m], in their unit."""
    return float(np.abs(np.cumsum(p - q)[:-1]) @ np.diff(at))


def edges(values: Doubles, bins: int, few: int = FEW) -> Doubles:
    """Where to cut numbers: one bin per value where there are at most `few`, else about equally full bins.

    A value that fills a bin alone is one. `cut` puts numbers into bins.
    nan do not count.
    """
    known = np.sort(values[~np.isnan(values)])
    if not known.size:
        return np.zeros(0)
    distinct: Doubles = known[np.concatenate([[True], known[1:] != known[:-1]])]
    if distinct.size <= few:
        return distinct[:-1]
    inner = known[(np.arange(1, bins) * known.size) // bins]
    spikes = np.unique(inner[1:][inner[1:] == inner[:-1]])
    found: Doubles = np.union1d(inner, np.nextafter(spikes, -np.inf))
    return found


def cut(values: Doubles, at: Doubles) -> Indices:
    """Per number its bin, int64 [n] in 0..len(at): bin i is (at[i-1], at[i]]; nan is -1."""
    found: Indices = np.where(np.isnan(values), -1, np.searchsorted(at, values, side="left"))
    return found
