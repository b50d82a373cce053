"""The one place where facts are read from data: counts, bounds and quantile points, each k-supported.

Trainers, inference and encodings ask a `StatisticsSource` and read no cell for
a stored fact themselves. What it returns may be published: no number depends
on the neighbourhood of fewer than k patients alone (counts excepted, which
callers compare with k). Differential privacy has one place to charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from tables.tableset import Table

Value: TypeAlias = str | int | float | bool
Doubles: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Quantiles:
    """A piecewise-linear quantile function.

    `u` [m] runs from 0 to 1 and `x` [m] from the lower to the upper bound, both
    non-decreasing, m >= 2. Equal neighbours in x are a spike (a value shared by
    at least k patients, or rows folded into one); equal neighbours in u are a
    gap in which no value lies.
    """

    u: Doubles
    x: Doubles


class StatisticsSource:
    """Reads facts from tables, at most what k patients support."""

    def category_counts(self, table: Table, column: str) -> dict[Value | None, int]:
        """Distinct patients per distinct cell of a column; None counts the nulls, where there are any."""
        return self._count(table, column, table.subjects())

    def category_rows(self, table: Table, column: str) -> dict[Value | None, int]:
        """Rows per distinct cell of a column; None counts the nulls, where there are any."""
        return self._count(table, column, None)

    def _count(self, table: Table, column: str, subjects: Integers | None) -> dict[Value | None, int]:
        array = table.arrays[column]
        values, codes = distinct_cells(array)
        valid = array.is_valid()
        shown = codes[valid]
        per_code = (
            np.bincount(shown, minlength=len(values))
            if subjects is None
            else patients_per_code(shown, subjects[valid], len(values))
        )
        counts: dict[Value | None, int] = {v: int(c) for v, c in zip(values, per_code, strict=True) if c}
        if array.valid is not None:
            nulls = ~valid
            counts[None] = int(nulls.sum()) if subjects is None else patient_count(subjects[nulls])
        return counts

    def common_step(self, cells: Integers, subjects: Integers, k: int, candidates: Sequence[int]) -> int:
        """The first of `candidates` (coarsest first) that divides all cells [n] but those of < k patients.

        Without one it is 1.
        """
        for step in candidates:
            odd = cells % step != 0
            if patient_count(subjects[odd]) < k:
                return int(step)
        return 1

    def bounds(self, values: Doubles, subjects: Integers, k: int, step: float = 0.0) -> tuple[float, float]:
        """A lower and an upper bound that fewer than k patients cannot move far.

        The upper bound is the mean of the k-th to (2k-1)-th largest patients'
        maxima, or a larger value that k patients share exactly; the lower one
        is its mirror image. Both are rounded to multiples of `step` (0: not).

        Raises:
            Problem: COLUMN_UNSUPPORTED with fewer than k patients.
        """
        return _bounds(_Runs.of(values, subjects), k, step)

    def quantile_points(
        self, values: Doubles, subjects: Integers, k: int, max_points: int = 256, step: float = 0.0
    ) -> Quantiles:
        """The quantile function of values [n] of patients [n] in at most about `max_points` points.

        A value that k patients share exactly is a spike, the heaviest first
        where there are too many. Between spikes each point is the mean over at
        least k neighbouring patients (of the patient's own mean), rounded to a
        multiple of `step` (0: not). Rows too few to stand alone are folded into
        the nearest spike; values beyond `bounds` count as the bound.

        Raises:
            Problem: COLUMN_UNSUPPORTED with fewer than k patients.
        """
        runs = _Runs.of(values, subjects)
        low, high = _bounds(runs, k, step)
        spikes = _heaviest(runs, np.flatnonzero(runs.patients >= k), max(1, max_points // 4))
        rows = runs.values.size
        loose = rows - int((runs.ends - runs.starts)[spikes].sum())
        size = -(-loose // max(8, max_points - 2 * spikes.size))
        ends = [*zip(runs.starts[spikes].tolist(), runs.ends[spikes].tolist(), strict=True), (rows, rows)]
        knots: list[tuple[float, float]] = []
        start, left = 0, None
        for stop, end in ends:
            right = float(runs.values[stop]) if stop < rows else None
            edges = _edges(runs.subjects[start:stop], k, size, start, rows)
            points = _points(np.clip(runs.values[start:stop], low, high), runs.subjects[start:stop], edges)
            if points:
                knots += [
                    (start + rank, x) for rank, x in _with_ends(points, stop - start, left, right, low, high)
                ]
            elif left is not None:
                # Too few patients to stand alone: each row joins the nearer spike.
                between = runs.values[start:stop]
                stop = start + (between.size if right is None else int((between < (left + right) / 2).sum()))
                knots.append((stop, left))
            else:
                stop = start
            if right is not None:
                knots += [(stop, right), (end, right)]
            start, left = end, right
        u = np.array([rank for rank, _ in knots], dtype=np.float64) / rows
        x = np.array([x for _, x in knots], dtype=np.float64)
        x = np.clip(np.maximum.accumulate(np.rint(x / step) * step if step else x), low, high)
        return Quantiles(np.concatenate([[0.0], u, [1.0]]), np.concatenate([[low], x, [high]]))


def distinct_cells(array: Array) -> tuple[list[Value], Integers]:
    """The distinct cells (of no list) and per row the position of its own, [n]; nulls point anywhere."""
    if array.dictionary is not None:
        return list(array.dictionary), array.values.astype(np.int64)
    if array.values.dtype == object:
        seen: dict[Value, int] = {}
        codes = np.fromiter((seen.setdefault(v, len(seen)) for v in array.values), np.int64, len(array))
        return list(seen), codes
    values, positions = np.unique(array.values, return_inverse=True)
    return values.tolist(), positions.astype(np.int64)


def patient_count(subjects: Integers) -> int:
    """How many distinct numbers there are among subjects [n], numbered from 0 as `Table.subjects` does."""
    return int(np.count_nonzero(np.bincount(subjects)))


def patients_per_code(codes: Integers, subjects: Integers, size: int) -> Integers:
    """Distinct subjects [n] per code [n] in 0..size-1, [size]."""
    if codes.size == 0:
        return np.zeros(size, dtype=np.int64)
    order = np.lexsort((subjects, codes))
    c, s = codes[order], subjects[order]
    fresh = np.ones(c.size, dtype=np.bool_)
    fresh[1:] = (c[1:] != c[:-1]) | (s[1:] != s[:-1])
    return np.bincount(c[fresh], minlength=size).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Runs:
    """Values in order, with runs of equal ones."""

    values: Doubles
    subjects: Integers
    starts: Integers
    ends: Integers
    patients: Integers
    """Distinct patients per run."""

    @classmethod
    def of(cls, values: Doubles, subjects: Integers) -> _Runs:
        order = np.lexsort((subjects, values))
        v, s = np.asarray(values, dtype=np.float64)[order], subjects[order]
        fresh = np.ones(v.size, dtype=np.bool_)
        fresh[1:] = v[1:] != v[:-1]
        starts = np.flatnonzero(fresh)
        own = fresh.copy()
        own[1:] |= s[1:] != s[:-1]
        patients = np.add.reduceat(own.astype(np.int64), starts) if v.size else np.zeros(0, np.int64)
        return cls(v, s, starts, np.append(starts[1:], v.size), patients)


def _unsupported(k: int) -> Problem:
    return Problem("COLUMN_UNSUPPORTED", f"a column holds numbers of fewer than {k} patients")


def _bounds(runs: _Runs, k: int, step: float) -> tuple[float, float]:
    # Rows lie in the order of values: a patient's first row is the minimum, the last the maximum.
    patients, first = np.unique(runs.subjects, return_index=True)
    last = runs.subjects.size - 1 - np.unique(runs.subjects[::-1], return_index=True)[1]
    if patients.size < k:
        raise _unsupported(k)
    lows, highs = runs.values[np.sort(first)], runs.values[np.sort(last)[::-1]]
    if patients.size < 2 * k:
        low = high = float(((lows + highs) / 2).mean())
    else:
        low, high = float(lows[k - 1 : 2 * k - 1].mean()), float(highs[k - 1 : 2 * k - 1].mean())
    if step:
        low, high = (float(np.rint(edge / step) * step) for edge in (low, high))
    shared = runs.values[runs.starts[runs.patients >= k]]
    if shared.size:
        low, high = min(low, float(shared[0])), max(high, float(shared[-1]))
    return min(low, high), max(low, high)


def _heaviest(runs: _Runs, spikes: Integers, count: int) -> Integers:
    rows = (runs.ends - runs.starts)[spikes]
    kept = np.argsort(-rows, kind="stable")[:count]
    return np.sort(spikes[kept])


def _points(values: Doubles, subjects: Integers, edges: list[int]) -> list[tuple[float, float]]:
    """Per group of rows (rank of its middle, mean over its patients of their own means)."""
    points = []
    for start, stop in pairwise(edges):
        _, patient = np.unique(subjects[start:stop], return_inverse=True)
        means = np.bincount(patient, values[start:stop]) / np.bincount(patient)
        points.append(((start + stop) / 2, float(means.mean())))
    return points


def _edges(subjects: Integers, k: int, size: int, offset: int, total: int) -> list[int]:
    """Where to cut rows [n], which begin at rank `offset` of `total`, into groups; [] for none.

    A group has at least k patients and about `size` rows, fewer in the tails of
    the whole column, where a mean over many rows would lie far from most. What
    is left over joins the last group.
    """
    rows = subjects.size
    previous = np.full(rows, -1, dtype=np.int64)
    order = np.argsort(subjects, kind="stable")
    again = np.flatnonzero(subjects[order][1:] == subjects[order][:-1])
    previous[order[again + 1]] = order[again]
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


def _with_ends(
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
