"""The encoding of numbers, dates, datetimes and durations.

A cell is a coordinate x (float64). Where cells are whole steps (integers,
scaled decimals, days, microseconds), the cell is base + step * round(x), half
to even, in int64: x counts steps from a base inside the data, so that float64
holds every cell exactly whatever the year. Doubles are their own coordinate.

Beside it stands the column's quantile function, piecewise linear between
points that at least k patients support; a value that k patients share is a
flat piece of it (a spike), so spikes come back at their share.

A column may be told relative to another one, its anchor: a discharge by how
long after the admission it was. Then a coordinate counts steps of the
difference, and what the data say of the difference (never negative) holds in
every row that is made. A null anchor has a coordinate all the same, as every
null cell has, and is added like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Finding, Storage
from tables.statistics import patient_count
from trainers.anchors import NO_LIMITS, Anchor, Limits
from trainers.features import Evidence, Feature
from trainers.grids import GRIDS, steps_from

if TYPE_CHECKING:
    from tables.statistics import StatisticsSource

Cells: TypeAlias = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MAX_KNOTS = 256
"""Points of a quantile function at most."""

_STEPS = 2**52
"""More steps than this float64 cannot tell apart with a half between them."""

_WIDEST = 2**63 - 2**41
"""Whole cells beyond are clipped, so that no step can lead out of int64."""

_LARGEST = 1e290
"""Doubles beyond are clipped, so that slopes of the quantile function stay finite."""


@dataclass(frozen=True, eq=False)
class NumberEncoding:
    """Feature "present" where there are nulls, then the coordinate x as feature "value"."""

    column: str
    storage: Storage
    base: int
    step: int
    """0 for doubles, whose coordinate is the cell itself."""
    lo: float
    hi: float
    knots_u: Doubles
    """[m], m >= 2, from 0 to 1, non-decreasing; equal neighbours are a gap between values."""
    knots_x: Doubles
    """[m], from `lo` to `hi`, non-decreasing; equal neighbours are a spike."""
    nulls: bool
    anchor: Anchor | None = None
    """With one, coordinates are of differences to its cells."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """One or two features."""
        value = Feature(self.column, "value", None)
        return (Feature(self.column, "present", 2), value) if self.nulls else (value,)

    @classmethod
    def fit(
        cls, column: Column, evidence: Evidence, limits: Limits = NO_LIMITS
    ) -> tuple[NumberEncoding, Finding | None]:
        """The encoding of a column within limits, and what a person should know about cells that it changes.

        Raises:
            Problem: COLUMN_UNSUPPORTED when fewer than `min_patients` patients have a value.
        """
        k = evidence.min_patients
        array = evidence.table.arrays[column.name]
        valid = array.is_valid()
        if patient_count(evidence.subjects[valid]) < k:
            where = f"{evidence.table.schema.name}.{column.name}"
            raise Problem.at("COLUMN_UNSUPPORTED", where, f"fewer than {k} patients have a value")
        encoding = cls._of(column, array.values[valid], valid, evidence, limits)
        return encoding, encoding._finding(array.values[valid], valid, None, evidence)

    @classmethod
    def relative(
        cls, column: Column, anchor: Anchor, anchors: Cells, known: Mask, evidence: Evidence, limits: Limits
    ) -> tuple[NumberEncoding, Finding | None]:
        """The encoding of a column relative to another one.

        Args:
            column: the column.
            anchor: what it is told relative to.
            anchors: the anchor's cells, [n], in the unit of the column.
            known: where both are not null, [n]; at least k patients are.
            evidence: the rows.
            limits: of the difference.
        """
        cells = evidence.table.arrays[column.name].values[known]
        differences = cells.astype(anchors.dtype) - anchors[known]
        encoding = replace(cls._of(column, differences, known, evidence, limits), anchor=anchor)
        return encoding, encoding._finding(cells, known, anchors[known], evidence)

    @classmethod
    def _of(
        cls, column: Column, cells: Cells, rows: Mask, evidence: Evidence, limits: Limits
    ) -> NumberEncoding:
        """The encoding of cells [m] of some rows [n]."""
        k, statistics, owners = evidence.min_patients, evidence.statistics, evidence.subjects[rows]
        nulls = ~evidence.table.arrays[column.name].is_valid()
        if column.storage is Storage.DOUBLE:
            base, step, x = 0, 0, np.clip(cells, -_LARGEST, _LARGEST)
        else:
            base, step, x = _in_steps(column.storage, cells.astype(np.int64), owners, statistics, k)
        unit = 1.0 if step else 0.0
        quantiles = statistics.quantile_points(x, owners, k, MAX_KNOTS, unit, evidence.weights_of(rows))
        knots_u, knots_x = quantiles.u, _within(quantiles.x, base, step, limits)
        if step:
            # Small coordinates near the data, unless the whole range needs the middle of it.
            shift = float(knots_x[0]) if step * int(knots_x[-1] - knots_x[0]) < 2**62 else 0.0
            base, knots_x = base + step * int(shift), knots_x - shift
        lo, hi = float(knots_x[0]), float(knots_x[-1])
        has_nulls = patient_count(evidence.subjects[nulls]) >= k
        return cls(column.name, column.storage, base, step, lo, hi, knots_u, knots_x, has_nulls)

    def _finding(self, cells: Cells, rows: Mask, anchors: Cells | None, evidence: Evidence) -> Finding | None:
        """What it changes about cells [m] of some rows [n]."""
        k = evidence.min_patients
        low, high = self.span
        cells = cells if anchors is None else cells.astype(anchors.dtype) - anchors
        far = (cells < low) | (cells > high)
        moved = patient_count(evidence.subjects[rows][far])
        what = []
        if moved:
            # A count below k is itself what k protects, and so is how many rows few patients have.
            count = str(moved) if moved >= k else f"fewer than {k}"
            what = [f"cells of {count} patients beyond what {k} patients support: moved to the range's edge"]
        if not (self.nulls or evidence.table.arrays[self.column].is_valid().all()):
            what += [f"nulls of fewer than {k} patients: replaced by values"]
        return evidence.protected(what, self.column)

    @property
    def span(self) -> tuple[Any, Any]:
        """The lowest and the highest cell, or difference to the anchor."""
        if self.step == 0:
            return self.lo, self.hi
        return self.base + self.step * int(self.lo), self.base + self.step * int(self.hi)

    def encode(
        self, array: Array, rng: np.random.Generator, anchors: Cells | None = None
    ) -> list[npt.NDArray[Any]]:
        """Per feature int64 or float64 [n]; a null cell's coordinate is drawn from the quantile function.

        `anchors` [n] are the anchor's cells in the unit of the column, where there is an anchor.
        """
        valid = array.is_valid()
        x = self.coordinate(array.values, anchors)
        nulls = np.flatnonzero(~valid)
        if nulls.size:
            x[nulls] = self.draw(nulls.size, rng)
        return [valid.astype(np.int64), x] if self.nulls else [x]

    def draw(self, count: int, rng: np.random.Generator) -> Doubles:
        """Coordinates from the quantile function, [count]."""
        drawn: Doubles = np.clip(self._rounded(self.quantile(rng.random(count))), self.lo, self.hi)
        return drawn

    def inverse(self, features: Sequence[npt.NDArray[Any]], anchors: Cells | None = None) -> Array:
        """The cells of encoded features, each [n]; `anchors` as in `encode`."""
        valid = np.asarray(features[0]) != 0 if self.nulls else None
        return Array.make(self.storage, self.cells(features[-1], anchors), valid)

    def cells(self, x: npt.ArrayLike, anchors: Cells | None = None) -> Cells:
        """The cells of coordinates x [n], int64 or float64 [n], whether or not they are null."""
        inside = np.clip(np.asarray(x, dtype=np.float64), self.lo, self.hi)
        cells: Cells = inside if self.step == 0 else self.base + self.step * np.rint(inside).astype(np.int64)
        if self.anchor is None or anchors is None:
            return cells
        low, high = self.span
        # What the difference must be goes before what the column's own range is.
        cells = np.clip(anchors + cells, self.anchor.least, self.anchor.most)
        kept: Cells = np.minimum(np.maximum(cells, anchors + low), anchors + high)
        return kept

    def coordinate(self, cells: Cells, anchors: Cells | None = None) -> Doubles:
        """The coordinates of cells [n], clipped to the supported range."""
        if anchors is not None:
            cells = cells.astype(anchors.dtype) - anchors
        if self.step == 0:
            return np.clip(cells.astype(np.float64), self.lo, self.hi)
        low, high = self.span
        return steps_from(np.clip(cells.astype(np.int64), low, high), self.base, self.step)

    def quantile(self, u: npt.ArrayLike) -> Doubles:
        """Coordinates at ranks u [n] in [0, 1]; where a gap lies at u, its upper end."""
        ranks = np.clip(np.asarray(u, dtype=np.float64), self.knots_u[0], self.knots_u[-1])
        left = np.clip(np.searchsorted(self.knots_u, ranks, side="right") - 1, 0, self.knots_u.size - 2)
        x = self.knots_x[left] + slopes(self.knots_u, self.knots_x)[left] * (ranks - self.knots_u[left])
        return np.clip(x, self.lo, self.hi)

    def rank(self, x: npt.ArrayLike, rng: np.random.Generator) -> Doubles:
        """Ranks in (0, 1) of coordinates x [n]: uniform within what `quantile` maps to the same cell."""
        points = np.asarray(x, dtype=np.float64)
        half = 0.5 if self.step else 0.0
        low = _inverse(self.knots_u, self.knots_x, points - half, "left")
        high = _inverse(self.knots_u, self.knots_x, points + half, "right")
        u = low + (high - low) * rng.random(points.size)
        return np.clip(u, 2.0**-40, 1.0 - 2.0**-40)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "encoding": "number",
            "column": self.column,
            "storage": self.storage.value,
            "base": self.base,
            "step": self.step,
            "lo": self.lo,
            "hi": self.hi,
            "knots_u": self.knots_u.tolist(),
            "knots_x": self.knots_x.tolist(),
            "nulls": self.nulls,
            **({} if self.anchor is None else {"anchor": self.anchor.to_json()}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NumberEncoding:
        """The inverse of `to_json`."""
        known = {name: cell for name, cell in value.items() if name != "encoding"}
        for name in ("knots_u", "knots_x"):
            known[name] = np.array(known[name], dtype=np.float64)
        if "anchor" in known:
            known["anchor"] = Anchor.from_json(known["anchor"])
        return cls(**{**known, "storage": Storage(known["storage"])})

    def _rounded(self, x: Doubles) -> Doubles:
        return np.rint(x) if self.step else x


def _within(x: Doubles, base: int, step: int, limits: Limits) -> Doubles:
    """Coordinates [m], moved between the limits of the cells they stand for, whatever rounding did."""
    low, high = limits.least, limits.most
    if step:
        low = None if low is None else -((base - int(low)) // step)
        high = None if high is None else (int(high) - base) // step
    moved: Doubles = np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)
    return moved


def _in_steps(
    storage: Storage,
    cells: npt.NDArray[np.int64],
    owners: npt.NDArray[np.int64],
    statistics: StatisticsSource,
    min_patients: int,
) -> tuple[int, int, Doubles]:
    """A provisional base, the step, and whole coordinates of cells [n] that are all below 2^52."""
    low, high = (int(edge) for edge in statistics.bounds(cells.astype(np.float64), owners, min_patients))
    # The quantile function finds the bounds itself. Here cells are only kept from
    # leaving int64, and one far away from making all steps coarse.
    spread = max(high - low + 2**12, 2**50)
    lowest, highest = max(low - spread, -_WIDEST), min(high + spread, _WIDEST)
    fine = [step for step in GRIDS[storage] if (highest - lowest) // step <= _STEPS]
    # A step wider than the range would say nothing but that there is one value.
    some = [step for step in fine if step <= high - low]
    step = max(fine[-1], statistics.common_step(cells, owners, min_patients, some))
    base = (lowest + highest) // 2 // step * step
    return base, step, steps_from(np.clip(cells, lowest, highest), base, step)


def slopes(knots_u: Doubles, knots_x: Doubles) -> Doubles:
    """dx/du of each piece, [m - 1]; 0 across gaps."""
    du = np.diff(knots_u)
    return np.divide(np.diff(knots_x), du, out=np.zeros_like(du), where=du > 0)


def _inverse(knots_u: Doubles, knots_x: Doubles, x: Doubles, side: Any) -> Doubles:
    """The lowest ("left") or highest ("right") rank at which the quantile function reaches x."""
    right = np.searchsorted(knots_x, x, side=side)
    inner = np.clip(right, 1, knots_x.size - 1)
    x0, x1, u0, u1 = knots_x[inner - 1], knots_x[inner], knots_u[inner - 1], knots_u[inner]
    width = np.where(x1 > x0, x1 - x0, 1.0)
    u = u0 + (u1 - u0) * ((x - x0) / width)
    return np.where(right == 0, knots_u[0], np.where(right == knots_x.size, knots_u[-1], u))
