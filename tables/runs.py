"""Values in order with their patients, and the bounds and points that enough patients support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.problem import Problem
from tables.patients import above, firsts, paired, patient_count

Doubles: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Values in order, with runs of equal ones."""

    values: Doubles
    subjects: Integers
    starts: Integers
    ends: Integers
    patients: Integers
    """Distinct patients per run."""
    alone: bool
    """Whether every patient has one value."""

    @classmethod
    def of(cls, values: Doubles, subjects: Integers) -> Runs:
        """The runs of values [n] of patients [n]."""
        # Sorting one number is several times faster than np.lexsort of two.
        distinct, codes = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
        pairs = np.sort(paired(codes, subjects))
        codes = pairs // above(subjects)
        owners = pairs - codes * above(subjects)
        starts = np.flatnonzero(firsts(codes))
        own = firsts(pairs).astype(np.int64)
        patients = np.add.reduceat(own, starts) if codes.size else np.zeros(0, np.int64)
        alone = patient_count(subjects) == codes.size
        return cls(distinct[codes], owners, starts, np.append(starts[1:], codes.size), patients, alone)


def ranks_of(positions: Doubles, weights: Doubles) -> Doubles:
    """The share of weights [n], in the order of their values, below positions [m] between them."""
    upto = np.concatenate([[0.0], np.cumsum(weights)])
    shares: Doubles = np.interp(positions, np.arange(weights.size + 1), upto / upto[-1])
    return shares


def _unsupported(k: int) -> Problem:
    return Problem("COLUMN_UNSUPPORTED", f"a column holds numbers of fewer than {k} patients")


def bounds_of(runs: Runs, k: int, step: float) -> tuple[float, float]:
    """See `tables.statistics.StatisticsSource.bounds`."""
    lows, highs = runs.values, runs.values[::-1]
    if not runs.alone:
        # Rows lie in the order of values: a patient's first row is the minimum, the last the maximum.
        rows = np.arange(runs.subjects.size)
        first = np.full(above(runs.subjects), -1)
        last = first.copy()
        first[runs.subjects[::-1]], last[runs.subjects] = rows[::-1], rows  # of equal places the last is kept
        lows = runs.values[np.sort(first[first >= 0])]
        highs = runs.values[np.sort(last[last >= 0])[::-1]]
    if lows.size < k:
        raise _unsupported(k)
    if lows.size < 2 * k:
        low = high = float(((lows + highs) / 2).mean())
    else:
        low, high = float(lows[k - 1 : 2 * k - 1].mean()), float(highs[k - 1 : 2 * k - 1].mean())
    if step:
        low, high = (float(np.rint(edge / step) * step) for edge in (low, high))
    shared = runs.values[runs.starts[runs.patients >= k]]
    if shared.size:
        low, high = min(low, float(shared[0])), max(high, float(shared[-1]))
    return min(low, high), max(low, high)


def heaviest(runs: Runs, spikes: Integers, count: int) -> Integers:
    """Of some runs at most `count`, those of the most rows, in order."""
    rows = (runs.ends - runs.starts)[spikes]
    kept = np.argsort(-rows, kind="stable")[:count]
    return np.sort(spikes[kept])


def points_of(values: Doubles, subjects: Integers, edges: list[int]) -> list[tuple[float, float]]:
    """Per group of rows (rank of its middle, mean over its patients of their own means)."""
    if not edges:
        return []
    cuts = np.array(edges)
    group = np.repeat(np.arange(cuts.size - 1), np.diff(cuts))
    size = int(subjects.max()) + 1
    pairs, patient = np.unique(group * size + subjects, return_inverse=True)
    own = np.bincount(patient, values) / np.bincount(patient)
    means = np.bincount(pairs // size, own) / np.bincount(pairs // size)
    middles = (cuts[:-1] + cuts[1:]) / 2
    return list(zip(middles.tolist(), means.tolist(), strict=True))


def edges_of(subjects: Integers, alone: bool, k: int, size: int, offset: int, total: int) -> list[int]:
    """Where to cut rows [n], which begin at rank `offset` of `total`, into groups; [] for none.

    A group has at least k patients and about `size` rows, fewer in the tails of
    the whole column, where a mean over many rows would lie far from most. What
    is left over joins the last group.
    """
    rows = subjects.size
    previous = np.full(rows, -1, dtype=np.int64)
    if not alone:
        order = np.argsort(subjects, kind="stable")
        again = np.flatnonzero(~firsts(subjects[order]))
        previous[order[again]] = order[again - 1]
    edges, start = [0], 0
    while start < rows:
        rank = offset + start
        least = max(1, min(size, min(rank, total - rank) // 8))
        width = max(least, k)
        while start + width < rows and int((previous[start : start + width] < start).sum()) < k:
            width *= 2
        fresh = np.flatnonzero(previous[start : start + width] < start)
        if fresh.size < k:
            break
        start += min(max(least, int(fresh[k - 1]) + 1), rows - start)
        edges.append(start)
    edges[-1] = rows
    return edges if len(edges) > 1 else []


def with_ends(
    points: list[tuple[float, float]],
    rows: int,
    left: float | None,
    right: float | None,
    low: float,
    high: float,
) -> list[tuple[float, float]]:
    """A segment's points with its first and last rank, extended as far as its own slope leads.

    The ends are reckoned from the points alone, so they say no more than they do.
    """
    floor, ceiling = (low if left is None else left), (high if right is None else right)
    xs = [x for _, x in points]
    if len(points) == 1:
        first, last = (floor + xs[0]) / 2, (xs[0] + ceiling) / 2
    else:
        first = max(floor, xs[0] - (xs[1] - xs[0]) / 2)
        last = min(ceiling, xs[-1] + (xs[-1] - xs[-2]) / 2)
    return [(0.0, first), *points, (float(rows), last)]
