"""The encoding of numbers, dates, datetimes and durations.

A cell is a coordinate x (float64). Where cells are whole steps (integers,
scaled decimals, days, microseconds), the cell is base + step * round(x), half
to even, in int64: x counts steps from a base inside the data, so that float64
holds every cell exactly whatever the year. Doubles are their own coordinate.

Beside it stands the column's quantile function, piecewise linear between
points that at least k patients support; a value that k patients share is a
flat piece of it (a spike), so spikes come back at their share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Finding, Storage
from tables.statistics import patient_count
from trainers.features import Feature

if TYPE_CHECKING:
    from tables.statistics import StatisticsSource
    from tables.tableset import Table

Doubles = npt.NDArray[np.float64]

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_TIMES = (_DAY, 3_600 * _SECOND, 60 * _SECOND, _SECOND, 1_000, 1)
_POWERS = tuple(10**n for n in range(12, -1, -1))
GRIDS: Mapping[Storage, tuple[int, ...]] = {
    Storage.INT64: _POWERS,
    Storage.DECIMAL: _POWERS,
    Storage.DATE: (1,),
    Storage.DATETIME: _TIMES,
    Storage.DURATION: _TIMES,
}
"""Steps that cells may come in, coarsest first."""

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

    @property
    def features(self) -> tuple[Feature, ...]:
        """One or two features."""
        value = Feature(self.column, "value", None)
        return (Feature(self.column, "present", 2), value) if self.nulls else (value,)

    @classmethod
    def fit(
        cls, table: Table, column: Column, statistics: StatisticsSource, min_patients: int
    ) -> tuple[NumberEncoding, Finding | None]:
        """The encoding of a column, and what a person should know about cells that it changes.

        Raises:
            Problem: COLUMN_UNSUPPORTED when fewer than `min_patients` patients have a value.
        """
        array, subjects = table.arrays[column.name], table.subjects()
        valid = array.is_valid()
        cells, owners = array.values[valid], subjects[valid]
        if np.unique(owners).size < min_patients:
            where = f"{table.schema.name}.{column.name}"
            raise Problem.at("COLUMN_UNSUPPORTED", where, f"fewer than {min_patients} patients have a value")
        nulls = np.unique(subjects[~valid]).size >= min_patients
        if column.storage is Storage.DOUBLE:
            base, step, x = 0, 0, np.clip(cells, -_LARGEST, _LARGEST)
        else:
            base, step, x = _in_steps(
                column.storage, cells.astype(np.int64), owners, statistics, min_patients
            )
        quantiles = statistics.quantile_points(x, owners, min_patients, MAX_KNOTS, step=1.0 if step else 0.0)
        knots_u, knots_x = quantiles.u, quantiles.x
        if step:
            # Small coordinates near the data, unless the whole range needs the middle of it.
            shift = float(knots_x[0]) if step * int(knots_x[-1] - knots_x[0]) < 2**62 else 0.0
            base, knots_x = base + step * int(shift), knots_x - shift
        lo, hi = float(knots_x[0]), float(knots_x[-1])
        encoding = cls(column.name, column.storage, base, step, lo, hi, knots_u, knots_x, bool(nulls))
        return encoding, encoding._finding(table, array, min_patients)

    def _finding(self, table: Table, array: Array, min_patients: int) -> Finding | None:
        low, high = self._range()
        valid = array.is_valid()
        cells = array.values[valid]
        moved = patient_count(table.subjects()[valid][(cells < low) | (cells > high)])
        what = []
        if moved:
            # A count below k is itself what k protects, and so is how many rows few patients have.
            count = str(moved) if moved >= min_patients else f"fewer than {min_patients}"
            what = [
                f"cells of {count} patients beyond what {min_patients} patients support: "
                "moved to the range's edge"
            ]
        if not (self.nulls or valid.all()):
            what += [f"nulls of fewer than {min_patients} patients: replaced by values"]
        if not what:
            return None
        return Finding("RARE_VALUES_PROTECTED", "; ".join(what), table.schema.name, self.column)

    def _range(self) -> tuple[Any, Any]:
        """The lowest and the highest cell."""
        if self.step == 0:
            return self.lo, self.hi
        return self.base + self.step * int(self.lo), self.base + self.step * int(self.hi)

    def encode(self, array: Array, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
        """Per feature int64 or float64 [n]; a null cell's coordinate is drawn from the quantile function."""
        valid = array.is_valid()
        x = self.coordinate(array.values)
        nulls = np.flatnonzero(~valid)
        if nulls.size:
            x[nulls] = np.clip(self._rounded(self.quantile(rng.random(nulls.size))), self.lo, self.hi)
        return [valid.astype(np.int64), x] if self.nulls else [x]

    def inverse(self, features: Sequence[npt.NDArray[Any]]) -> Array:
        """The cells of encoded features, each [n]."""
        x = np.clip(np.asarray(features[-1], dtype=np.float64), self.lo, self.hi)
        valid = np.asarray(features[0]) != 0 if self.nulls else None
        if self.step == 0:
            return Array.make(self.storage, x, valid)
        return Array.make(self.storage, self.base + self.step * np.rint(x).astype(np.int64), valid)

    def coordinate(self, cells: npt.NDArray[Any]) -> Doubles:
        """The coordinates of cells [n], clipped to the supported range."""
        if self.step == 0:
            return np.clip(cells.astype(np.float64), self.lo, self.hi)
        low, high = self._range()
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
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NumberEncoding:
        """The inverse of `to_json`."""
        known = {name: cell for name, cell in value.items() if name != "encoding"}
        for name in ("knots_u", "knots_x"):
            known[name] = np.array(known[name], dtype=np.float64)
        return cls(**{**known, "storage": Storage(known["storage"])})

    def _rounded(self, x: Doubles) -> Doubles:
        return np.rint(x) if self.step else x


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


def steps_from(cells: npt.NDArray[np.int64], base: int, step: int) -> Doubles:
    """(cells - base) / step rounded to whole steps, computed in int64, as float64 [n]."""
    whole, rest = np.divmod(cells - base, step)
    return (whole + (2 * rest >= step)).astype(np.float64)


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
