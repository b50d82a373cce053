"""Rows as points: one scale for all parts that ask how far rows are apart.

A number is centred at the median of the rows it was fitted on, divided by half
the middle half's width, and bent by asinh, so that far values stay far without
drowning all else; null is a coordinate of its own. Categories are corners of a
cube: two that differ are 1 apart. Levels beyond the most frequent share one
corner. Distances are Euclidean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluators.frame import Frame, View
from trainers.base import Doubles, Floats, Indices

MOST_LEVELS = 64
"""Levels of one column that have a corner of their own, at most; fewer in tables of more than 32 columns."""
_COORDINATES = 2048
"""That points have, about, at most."""
_FARTHEST = 1e3
"""No double is as far from the middle, except for overflow."""
_CHUNK = 1 << 22
"""Distances, or coordinates of candidates, held at once."""


@dataclass(frozen=True)
class _Scale:
    view: View
    middle: float = 0.0
    width: float = 1.0
    corners: npt.NDArray[np.int64] | None = None
    """Categories: the corner of every level, [levels]."""
    size: int = 2

    def points(self, values: npt.NDArray[np.generic]) -> Floats:
        if self.corners is None:
            numbers = np.asarray(values, np.float64)
            null = np.isnan(numbers)
            with np.errstate(over="ignore"):  # between the ends of the doubles
                bent = np.arcsinh((np.where(null, self.middle, numbers) - self.middle) / self.width)
            return np.stack([np.clip(bent, -_FARTHEST, _FARTHEST), null], axis=1).astype(np.float32)
        out = np.zeros((len(values), self.size), np.float32)
        codes = np.asarray(values, np.int64)
        at = np.where(codes < 0, self.size - 1, self.corners[codes]) if len(self.corners) else codes * 0
        out[np.arange(len(values)), at] = np.sqrt(0.5)
        return out


@dataclass(frozen=True)
class Space:
    """A map from rows to points; `Space.fit` makes one."""

    scales: tuple[_Scale, ...]

    @classmethod
    def fit(cls, frame: Frame, columns: tuple[str, ...] | None = None) -> Space:
        """The map for those columns (None: all), scaled by the rows of `frame`."""
        views = [view for view in frame.layout if columns is None or view.name in columns]
        levels = min(MOST_LEVELS, max(2, _COORDINATES // max(1, len(views))))
        return cls(tuple(_scale(view, frame, levels) for view in views))

    @property
    def dimensions(self) -> int:
        """Coordinates of a point."""
        return sum(scale.size for scale in self.scales)

    def points(self, frame: Frame) -> Floats:
        """The points of rows, float32 [n, dimensions]."""
        if not self.scales:
            return np.zeros((len(frame), 0), np.float32)
        return np.concatenate([scale.points(frame[scale.view.name]) for scale in self.scales], axis=1)


def _scale(view: View, frame: Frame, levels: int) -> _Scale:
    values = frame[view.name]
    if view.number:
        known = values[~np.isnan(values)]
        if not len(known):
            return _Scale(view)
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
        with np.errstate(over="ignore", invalid="ignore"):
            width = float(high / 2 - low / 2) or float(known.std()) or 1.0
        return _Scale(view, float(middle), width if np.isfinite(width) else float(np.finfo(np.float64).max))
    counts = np.bincount(values[values >= 0], minlength=len(view.levels))
    frequent = np.argsort(-counts, kind="stable")[:levels]
    corners = np.full(len(view.levels), len(frequent), np.int64)
    corners[frequent] = np.arange(len(frequent))
    return _Scale(view, corners=corners, size=len(frequent) + 2)  # the rare ones', and null


def nearest(points: Floats, among: Floats, k: int = 1, *, same: bool = False) -> tuple[Doubles, Indices]:
    """The k nearest neighbours of each of `points` [n, d] among `among` [m, d], nearest first.

    Args:
        points: where from.
        among: where to.
        k: how many; as many as there are where there are fewer.
        same: both are the same points, and none is its own neighbour.

    Returns:
        Distances float64 [n, k] and positions int64 [n, k]. Distances are exact
        to single precision (equal points are 0 apart). Memory is bounded by chunks.
    """
    k = min(k, len(among) - same)
    found, places = np.empty((len(points), max(k, 0))), np.empty((len(points), max(k, 0)), np.int64)
    if k <= 0:
        return found, places
    squares = np.einsum("ij,ij->i", among, among)
    # The expansion of the square loses digits: a few more candidates, then the differences themselves.
    spare = min(k + 4, len(among) - same)
    step = max(1, _CHUNK // max(1, len(among), spare * points.shape[1]))
    for first in range(0, len(points), step):
        part = points[first : first + step]
        rough = (-2 * part) @ among.T
        rough += squares
        if same:
            rows = np.arange(len(part))
            rough[rows, first + rows] = np.inf
        near = np.argpartition(rough, spare - 1, axis=1)[:, :spare] if spare < len(among) else None
        if near is None:
            near = np.broadcast_to(np.arange(len(among)), rough.shape)
        exact = np.square(among[near].astype(np.float64) - part[:, None, :]).sum(axis=2)
        if same:
            exact[near == (first + np.arange(len(part)))[:, None]] = np.inf
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        found[first : first + step] = np.sqrt(np.take_along_axis(exact, order, axis=1))
        places[first : first + step] = np.take_along_axis(near, order, axis=1)
    return found, places
