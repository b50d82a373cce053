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
from tables.patients import patient_count, patients_per_code
from tables.runs import Runs, bounds_of, edges_of, heaviest, points_of, ranks_of, with_ends

__all__ = [
    "Quantiles",
    "StatisticsSource",
    "Value",
    "distinct_cells",
    "distinct_rows",
    "patient_count",
    "patients_per_code",
]

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
        return bounds_of(Runs.of(values, subjects), k, step)

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
        runs = Runs.of(values, subjects)
        low, high = bounds_of(runs, k, step)
        spikes = heaviest(runs, np.flatnonzero(runs.patients >= k), max(1, max_points // 4))
        rows = runs.values.size
        loose = rows - int((runs.ends - runs.starts)[spikes].sum())
        size = -(-loose // max(8, max_points - 2 * spikes.size))
        ends = [*zip(runs.starts[spikes].tolist(), runs.ends[spikes].tolist(), strict=True), (rows, rows)]
        knots: list[tuple[float, float]] = []
        start, left = 0, None
        for stop, end in ends:
            right = float(runs.values[stop]) if stop < rows else None
            edges = edges_of(runs.subjects[start:stop], runs.alone, k, size, start, rows)
            points = points_of(np.clip(runs.values[start:stop], low, high), runs.subjects[start:stop], edges)
            if points:
                knots += [
                    (start + rank, x) for rank, x in with_ends(points, stop - start, left, right, low, high)
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
        u = u / rows if weights is None else ranks_of(u, weights[np.lexsort((subjects, values))])
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


def _counts(
    codes: Integers, subjects: Integers, weights: Doubles | None, size: int
) -> tuple[Integers, npt.NDArray[np.generic]]:
    """Distinct patients and (weighted) rows per code, [size]."""
    return patients_per_code(codes, subjects, size), np.bincount(codes, weights, minlength=size)
