"""The one place where facts are read from data: counts, bounds and quantile points, each k-supported.

Trainers, inference and encodings ask a `StatisticsSource` and read no cell for
a stored fact themselves. What it returns may be published: no number depends
on the neighbourhood of fewer than k patients alone (counts excepted, which
callers compare with k). Differential privacy has one place to charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem

Value: TypeAlias = str | int | float | bool
Doubles: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

_TABLE = 16
"""Cells of a table of codes by patients for each row at most; beyond, sorting takes less memory and time."""


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

    def category_counts(
        self, array: Array, subjects: Integers, weights: Doubles | None = None
    ) -> dict[Value | None, tuple[int, float]]:
        """Per distinct cell of a column its distinct patients and its rows; None stands for nulls.

        Rows [n] count 1, or what `weights` [n] say.
        """
        values, codes = distinct_cells(array)
        valid = array.is_valid()
        # One more code for null, which sorts last.
        codes = np.where(valid, codes, len(values))
        patients, rows = _counts(codes, subjects, weights, len(values) + 1)
        seen: list[Value | None] = [*values, None]
        return {seen[code]: (int(patients[code]), float(rows[code])) for code in np.flatnonzero(patients)}

    def combination_counts(
        self, arrays: Sequence[Array], subjects: Integers, weights: Doubles | None = None
    ) -> dict[tuple[Value | None, ...], tuple[int, float]]:
        """As `category_counts`, per distinct row of several columns."""
        distinct, codes = distinct_rows(arrays)
        patients, rows = _counts(codes, subjects, weights, len(distinct))
        return {cells: (int(patients[i]), float(rows[i])) for i, cells in enumerate(distinct)}

    def share(self, rows: npt.NDArray[np.bool_]) -> float:
        """The share of rows [n] that are true; 0 of none."""
        return float(rows.mean()) if rows.size else 0.0

    def middle_half(self, values: Doubles) -> float:
        """The distance between the quartiles of values [n]."""
        low, high = np.percentile(values, (25, 75)) if values.size else (0.0, 0.0)
        return float(high - low)

    def unordered_share(self, low: Doubles, high: Doubles) -> float:
        """How often low [n] would lie above high [m] if neither knew of the other."""
        if not low.size or not high.size:
            return 0.0
        return float(np.searchsorted(np.sort(high), low, side="left").mean() / high.size)

    def common_step(self, cells: Integers, subjects: Integers, k: int, candidates: Sequence[int]) -> int:
        """The first of `candidates` (coarsest first) that divides all cells [n] but those of < k patients.

        Without one it is 1.
        """
        for step in candidates:
            # Nearly always the first rows tell.
            if all(patient_count(subjects[:n][cells[:n] % step != 0]) < k for n in (64 * k, cells.size)):
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
        self,
        values: Doubles,
        subjects: Integers,
        k: int,
        max_points: int = 256,
        step: float = 0.0,
        weights: Doubles | None = None,
    ) -> Quantiles:
        """The quantile function of values [n] of patients [n] in at most about `max_points` points.

        A value that k patients share exactly is a spike, the heaviest first
        where there are too many. Between spikes each point is the mean over at
        least k neighbouring patients (of the patient's own mean), rounded to a
        multiple of `step` (0: not). Rows too few to stand alone are folded into
        the nearest spike; values beyond `bounds` count as the bound. Rows count 1,
        or what `weights` [n] say.

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
            edges = _edges(runs.subjects[start:stop], runs.alone, k, size, start, rows)
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
        u = np.array([rank for rank, _ in knots], dtype=np.float64)
        u = u / rows if weights is None else _ranks(u, weights[np.lexsort((subjects, values))])
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


def distinct_rows(arrays: Sequence[Array]) -> tuple[list[tuple[Value | None, ...]], Integers]:
    """The distinct rows of columns of one length, null as None, and per row the position of its own, [n]."""
    values: list[list[Value | None]] = []
    codes = np.zeros(len(arrays[0]), dtype=np.int64)
    parts = np.zeros((0, 1), dtype=np.int64)
    for array in arrays:
        cells, own = distinct_cells(array)
        own = np.where(array.is_valid(), own, len(cells))
        values.append([*cells, None])
        # Numbered anew at each column, so that no product of sizes can leave int64.
        pairs, codes = np.unique(codes * (len(cells) + 1) + own, return_inverse=True)
        before, last = np.divmod(pairs, len(cells) + 1)
        parts = np.concatenate([parts[:, before], last[None]])
    rows = zip(
        *([own[i] for i in part] for own, part in zip(values, parts.tolist(), strict=True)), strict=True
    )
    return list(rows), codes.astype(np.int64)


def patient_count(subjects: Integers) -> int:
    """How many distinct numbers there are among subjects [n], numbered from 0 as `Table.subjects` does."""
    return int(np.count_nonzero(np.bincount(subjects)))


def patients_per_code(codes: Integers, subjects: Integers, size: int) -> Integers:
    """Distinct subjects [n] per code [n] in 0..size-1, [size]."""
    if 0 < size * _numbers(subjects) <= _TABLE * codes.size:
        met = np.zeros(size * _numbers(subjects), dtype=np.bool_)
        met[_pairs(codes, subjects)] = True
        patients: Integers = met.reshape(size, -1).sum(axis=1, dtype=np.int64)
        return patients
    if patient_count(subjects) < codes.size:
        # Sorting one number is several times faster than np.lexsort of two.
        pairs = np.sort(_pairs(codes, subjects))
        codes = pairs[_fresh(pairs)] // _numbers(subjects)
    return np.bincount(codes, minlength=size).astype(np.int64)


def _counts(
    codes: Integers, subjects: Integers, weights: Doubles | None, size: int
) -> tuple[Integers, npt.NDArray[np.generic]]:
    """Distinct patients and (weighted) rows per code, [size]."""
    return patients_per_code(codes, subjects, size), np.bincount(codes, weights, minlength=size)


def _numbers(subjects: Integers) -> int:
    """A number above those of all subjects [n]."""
    return int(subjects.max(initial=-1)) + 1


def _pairs(codes: Integers, subjects: Integers) -> Integers:
    """One number per code and subject [n], in the order of codes and then of subjects."""
    return codes * _numbers(subjects) + subjects


def _fresh(ordered: Integers) -> npt.NDArray[np.bool_]:
    """Which of numbers in order [n] differ from the one before."""
    fresh = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return fresh


@dataclass(frozen=True, eq=False)
class _Runs:
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
    def of(cls, values: Doubles, subjects: Integers) -> _Runs:
        # Sorting one number is several times faster than np.lexsort of two.
        distinct, codes = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
        pairs = np.sort(_pairs(codes, subjects))
        codes = pairs // _numbers(subjects)
        owners = pairs - codes * _numbers(subjects)
        starts = np.flatnonzero(_fresh(codes))
        own = _fresh(pairs).astype(np.int64)
        patients = np.add.reduceat(own, starts) if codes.size else np.zeros(0, np.int64)
        alone = patient_count(subjects) == codes.size
        return cls(distinct[codes], owners, starts, np.append(starts[1:], codes.size), patients, alone)


def _ranks(positions: Doubles, weights: Doubles) -> Doubles:
    """The share of weights [n], in the order of their values, below positions [m] between them."""
    upto = np.concatenate([[0.0], np.cumsum(weights)])
    shares: Doubles = np.interp(positions, np.arange(weights.size + 1), upto / upto[-1])
    return shares


def _unsupported(k: int) -> Problem:
    return Problem("COLUMN_UNSUPPORTED", f"a column holds numbers of fewer than {k} patients")


def _bounds(runs: _Runs, k: int, step: float) -> tuple[float, float]:
    lows, highs = runs.values, runs.values[::-1]
    if not runs.alone:
        # Rows lie in the order of values: a patient's first row is the minimum, the last the maximum.
        rows = np.arange(runs.subjects.size)
        first = np.full(_numbers(runs.subjects), -1)
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


def _heaviest(runs: _Runs, spikes: Integers, count: int) -> Integers:
    rows = (runs.ends - runs.starts)[spikes]
    kept = np.argsort(-rows, kind="stable")[:count]
    return np.sort(spikes[kept])


def _points(values: Doubles, subjects: Integers, edges: list[int]) -> list[tuple[float, float]]:
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


def _edges(subjects: Integers, alone: bool, k: int, size: int, offset: int, total: int) -> list[int]:
    """Where to cut rows [n], which begin at rank `offset` of `total`, into groups; [] for none.

    A group has at least k patients and about `size` rows, fewer in the tails of
    the whole column, where a mean over many rows would lie far from most. What
    is left over joins the last group.
    """
    rows = subjects.size
    previous = np.full(rows, -1, dtype=np.int64)
    if not alone:
        order = np.argsort(subjects, kind="stable")
        again = np.flatnonzero(~_fresh(subjects[order]))
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
