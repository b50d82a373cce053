"""What scores of members and of others say about an attack: its ROC curve, with bounds that hold exactly.

Under the null, an attack that knows nothing, scores of members and of others
are exchangeable. Everything here is a function of which are greater, and ties
with a threshold never count for the attack: rows that stand in training and
hold-out alike raise no alarm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, special, stats

from evaluators.intervals import LEVEL
from evaluators.results import Interval
from trainers.base import Doubles, Indices

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)
_FAR = 1e-12
"""Tails of the threshold's distribution that are not integrated over."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of an attack, one per patient; more speaks for membership.

    `members`: float64 [m], of patients whose rows were learned from; `others`:
    float64 [n], of patients whose rows were not.
    """

    members: Doubles
    others: Doubles

    @cached_property
    def ordered(self) -> tuple[Doubles, Doubles]:
        """Both, ascending."""
        return np.sort(self.members), np.sort(self.others)

    def rank(self, fpr: float) -> int:
        """Which greatest score of the others is the threshold for that rate of false positives; 0: none.

        The k-th greatest of n is exceeded by another patient at a rate whose
        mean is k / (n + 1), whatever the scores' distribution.
        """
        return int(fpr * (len(self.others) + 1) + 1e-9)

    def hits(self, rank: int, *, ties: bool = False) -> int:
        """Members above the rank-th greatest of the others (with `ties`, or equal to it)."""
        members, others = self.ordered
        threshold = float(others[-rank])
        below = members < threshold if ties else members <= threshold
        return len(members) - int(below.sum())

    @property
    def advantage(self) -> float:
        """The most that the true-positive rate exceeds the false-positive rate (Yeom et al. 2018)."""
        members, others = self.ordered
        above = [1 - np.searchsorted(part, others, "right") / len(part) for part in (members, others)]
        below = [1 - np.searchsorted(part, members, "left") / len(part) for part in (members, others)]
        return max(0.0, float((above[0] - above[1]).max()), float((below[0] - below[1]).max()))

    def advantage_interval(self, level: float = LEVEL) -> Interval:
        """Simultaneous over all thresholds (Dvoretzky, Kiefer and Wolfowitz 1956, Massart 1990)."""
        # One-sided bands for either curve and either end: four tails share what the level leaves.
        scale = np.sqrt(np.log(4 / (1 - level)) / 2)
        half = float(scale * (len(self.members) ** -0.5 + len(self.others) ** -0.5))
        found = self.advantage
        return Interval(max(0.0, found - half), min(1.0, found + half), "dkw", level)

    def excess_interval(self, fpr: float, level: float = LEVEL) -> Interval:
        """What the true-positive rate at `fpr` exceeds `fpr` by; see `excess`."""
        rank = self.rank(fpr)
        m, n = len(self.members), len(self.others)
        low, high = excess(self.hits(rank), self.hits(rank, ties=True), m, rank, n, level)
        return Interval(low * (1 - fpr), high * (1 - fpr), "exceedance", level)

    def curve(self, lowest: float, points: int = 40) -> tuple[Doubles, Doubles]:
        """False- and true-positive rates, evenly spread on a logarithmic scale from `lowest` to 1."""
        n = len(self.others)
        ranks = np.unique(np.geomspace(max(1.0, lowest * n), n, points).astype(np.int64))
        return ranks / n, np.array([self.hits(int(rank)) / len(self.members) for rank in ranks])


def best_rows(scores: Doubles, subjects: Indices) -> Doubles:
    """The greatest score of every patient's rows, [patients]; `subjects` [n]."""
    order = np.argsort(subjects, kind="stable")
    starts = np.flatnonzero(np.diff(subjects[order], prepend=-1))
    return np.maximum.reduceat(scores[order], starts) if len(starts) else np.zeros(0)


def exceedance_chance(hits: int, members: int, rank: int, others: int) -> float:
    """The chance, under the null, of so many members or more above the rank-th greatest of the others.

    Exact for any distribution: so many are above if and only if, of the
    `hits + rank - 1` greatest scores of all, fewer than `rank` are the others'
    (the exceedance test, Gumbel and von Schelling 1950). With ties it is less.
    """
    drawn = hits + rank - 1
    return float(stats.hypergeom.cdf(rank - 1, members + others, others, drawn)) if hits else 1.0


def excess(hits: int, tied: int, members: int, rank: int, others: int, level: float) -> tuple[float, float]:
    """Bounds on the share of members whom the attack recognises for certain.

    That share d scores above everyone, the rest of the members score as the
    others do: above a threshold that a share u of the others exceeds are
    u + d (1 - u) of the members. The threshold is the rank-th greatest of the
    others' scores, so u is Beta(rank, others - rank + 1) by itself, and the
    bounds invert the test of `hits` with u integrated out. The lower bound is
    above 0 if and only if `exceedance_chance` is below (1 - level) / 2.

    Args:
        hits: members above the threshold.
        tied: members above or equal to it.
        members: how many in all.
        rank: of the threshold among the others' scores.
        others: how many in all.
        level: of the interval.
    """
    tail = (1 - level) / 2
    threshold = stats.beta(rank, others - rank + 1)
    first, last = threshold.ppf(_FAR), threshold.isf(_FAR)
    shares = (first + last) / 2 + (last - first) / 2 * _NODES
    weights = _WEIGHTS * threshold.pdf(shares)
    weights /= weights.sum()

    def reached(least: int, share: float) -> float:
        """The chance that at least so many members are above."""
        rates = np.clip(shares + share * (1 - shares), 0, 1)
        return float(weights @ special.betainc(least, members - least + 1, rates))

    low = -last if not hits else _root(lambda share: reached(hits, share) - tail, -float(last))
    high = 1.0 if tied == members else _root(lambda share: reached(tied + 1, share) - 1 + tail, -float(last))
    return float(max(low, -float(last))), float(high)


def _root(rising: Callable[[float], float], first: float) -> float:
    """Where a rising function of a share from `first` to 1 crosses 0."""
    if rising(first) >= 0:
        return first
    return float(optimize.brentq(rising, first, 1.0, xtol=1e-9)) if rising(1.0) > 0 else 1.0
