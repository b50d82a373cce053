"""How strongly columns go together: correlation, correlation ratio, Cramér's V."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evaluators.fidelity.distances import FEW, cut, edges
from evaluators.fidelity.sides import Side, Sides, stacked
from evaluators.frame import View
from trainers.base import Doubles, Indices

BINS = 10
"""Of numbers in tables of two columns, about equally full with real rows."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A side's columns as cells of tables: few codes each, and numbers as they are."""

    side: Side
    codes: Mapping[str, Indices]
    """int64 [n]: the bin or category, the last for null where any side has it."""
    sizes: Mapping[str, int]
    numbers: Mapping[str, Doubles]
    """Standardised, [n]; nan for null."""

    def table(self, a: str, b: str) -> Doubles:
        """Rows per group of patients and pair of cells, [blocks, cells of a, cells of b]."""
        m, n = self.sizes[a], self.sizes[b]
        cells = (self.side.block * m + self.codes[a]) * n + self.codes[b]
        counts = np.bincount(cells, minlength=self.side.blocks * m * n)
        return counts.reshape(self.side.blocks, m, n).astype(np.float64)


def coded(sides: Sides, views: Iterable[View]) -> tuple[Coded, ...]:
    """The sides with one set of cells: numbers in bins of real rows, rare categories of theirs folded."""
    codes: list[dict[str, Indices]] = [{} for _ in sides]
    numbers: list[dict[str, Doubles]] = [{} for _ in sides]
    sizes: dict[str, int] = {}
    for view in views:
        cells = [side.frame[view.name] for side in sides]
        if view.number:
            at = edges(cells[0], BINS)
            found, size = [cut(part, at) for part in cells], len(at) + 1
            for part, mine in zip(cells, numbers, strict=True):
                mine[view.name] = standardised(part)
        else:
            place, size = _folded(cells[0], len(view.levels))
            found = [place[part] for part in cells]
        if any((part < 0).any() for part in found):
            found, size = [np.where(part < 0, size, part) for part in found], size + 1
        sizes[view.name] = size
        for part, own in zip(found, codes, strict=True):
            own[view.name] = part
    return tuple(Coded(side, c, sizes, x) for side, c, x in zip(sides, codes, numbers, strict=True))


def _folded(codes: Indices, levels: int) -> tuple[Indices, int]:
    """Where each level goes, [levels + 1] with null, -1, last; the most frequent keep their own place."""
    if levels <= FEW:
        return np.array([*range(levels), -1], dtype=np.int64), max(levels, 1)
    counts = np.bincount(codes[codes >= 0], minlength=levels)
    kept = np.argsort(-counts, kind="stable")[:FEW]
    place = np.full(levels + 1, FEW, dtype=np.int64)
    place[kept] = np.arange(FEW)
    place[-1] = -1
    return place, FEW + 1


def standardised(values: Doubles) -> Doubles:
    """Numbers [n] less their mean, over their standard deviation; 0 where all are equal, nan stays."""
    with np.errstate(all="ignore"):
        known = values[~np.isnan(values)]
        if not known.size:
            return values
        scale = max(float(np.abs(known).max()), np.finfo(np.float64).tiny)  # squares must not overflow
        scaled = values / scale
        centred = scaled - (known / scale).mean()
        deviation = float(np.sqrt(np.nanmean(centred**2)))
    found: Doubles = centred / deviation if deviation > 1e-12 else centred * 0.0
    return found


def correlations(columns: Doubles, side: Side) -> Doubles:
    """Pearson's r of standardised columns [n, p] over rows where both are known.

    Of all rows of a side, then without each of its groups of patients,
    [1 + blocks, p, p]; nan where fewer than three rows are known, or a column
    is constant there.
    """
    known = ~np.isnan(columns)
    z, m = np.where(known, columns, 0.0), known.astype(np.float64)
    order = np.argsort(side.block, kind="stable")
    groups = np.split(order, np.cumsum(side.rows)[:-1].astype(np.int64))
    n, x, xx, xy = np.moveaxis(stacked(np.stack([_moments(z[rows], m[rows]) for rows in groups])), 1, 0)
    with np.errstate(all="ignore"):
        n = np.where(n >= 3, n, np.nan)
        mean = x / n
        variance = xx / n - mean**2
        variance = np.where(variance > 1e-12, variance, np.nan)
        r = (xy / n - mean * mean.swapaxes(-1, -2)) / np.sqrt(variance * variance.swapaxes(-1, -2))
    found: Doubles = np.clip(r, -1.0, 1.0)
    return found


def _moments(z: Doubles, m: Doubles) -> Doubles:
    """Rows, sums of the first, of its squares, and of products, per pair of columns, [4, p, p]."""
    return np.stack([m.T @ m, z.T @ m, (z * z).T @ m, z.T @ z])


def ranks(values: Doubles) -> Doubles:
    """The standardised ranks of numbers [n], equal ones with their mean; nan stays."""
    found = np.full(values.size, np.nan)
    known = ~np.isnan(values)
    found[known] = stats.rankdata(values[known])
    return standardised(found)


def cramers_v(tables: Doubles) -> Doubles:
    """Cramér's V of counts [..., m, n] less its bias (Bergsma 2013); nan with fewer than two of either."""
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    total = rows.sum(axis=-1)
    m, n = (rows > 0).sum(axis=-1), (columns > 0).sum(axis=-1)
    with np.errstate(all="ignore"):
        expected = rows[..., :, None] * columns[..., None, :]
        phi = (tables**2 / np.where(expected > 0, expected, 1.0)).sum(axis=(-1, -2)) - 1
        phi = np.maximum(0.0, phi - (m - 1) * (n - 1) / (total - 1))
        least = np.minimum(m - (m - 1) ** 2 / (total - 1), n - (n - 1) ** 2 / (total - 1)) - 1
        known = (np.minimum(m, n) >= 2) & (least > 0)
        found: Doubles = np.where(known, np.sqrt(np.minimum(1.0, phi / np.where(known, least, 1.0))), np.nan)
    return found


def correlation_ratio(codes: Indices, size: int, values: Doubles, side: Side) -> Doubles:
    """The root of the share of a number's variance that groups explain (Pearson 1905).

    Of all rows of a side, then without each of its groups of patients, [1 + blocks].

    Args:
        codes: the category of each row, [n], below `size`.
        size: categories.
        values: standardised, [n], nan for null; such rows do not count.
        side: the rows.
    """
    known = ~np.isnan(values)
    cells, block = side.block * size + codes, side.block
    if not known.all():
        cells, block, values = cells[known], block[known], values[known]
    shape = (side.blocks, size)
    rows = stacked(np.bincount(cells, minlength=shape[0] * size).reshape(shape).astype(np.float64))
    sums = stacked(np.bincount(cells, values, shape[0] * size).reshape(shape).astype(np.float64))
    squares = stacked(np.bincount(block, values * values, shape[0]).astype(np.float64))
    with np.errstate(all="ignore"):
        middle = sums.sum(axis=-1) ** 2 / rows.sum(axis=-1)
        total = squares - middle
        between = (sums**2 / np.maximum(rows, 1.0)).sum(axis=-1) - middle
        known = ((rows > 0).sum(axis=-1) >= 2) & (total > 1e-12 * rows.sum(axis=-1))
        found: Doubles = np.where(known, np.sqrt(np.clip(between / total, 0.0, 1.0)), np.nan)
    return found
