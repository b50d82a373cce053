"""What a program knows of each modelled column beyond its graph: how cells become inputs, and marginals.

`manifest.program.features` lists the graph's inputs in order. An entry has `columns`,
the names of those that it stands for, and is one of

    {"encoding": "category", "values": [...], "nulls": bool, "frequencies": [...]}
        one input: the class; null is the class after the last value. `values` is
        left out for STRING, whose classes are the places in the dictionary.
    {"encoding": "number", "base", "step", "lo", "hi", "knots_u", "knots_x", "nulls"}
        "present" (0 or 1) where there are nulls, then the coordinate x: the cell is
        base + step * x, or x itself where step is 0 (doubles). The knots are the
        quantile function, piecewise linear. With "anchor", the name of another column
        of numbers, all of that is of the difference to its cell (a date counts as the
        first microsecond of its day, a time beside dates as its day).
    {"encoding": "opaque", "width": n}
        n inputs that cannot be given, such as several columns in one.

All of it is in the graph already, and supported by as many patients as the graph is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array, Mask
from kohort.conditions import Test, positions
from kohort.schema import Storage

Doubles = npt.NDArray[np.float64]

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Inputs:
    """Inputs of one column for n rows."""

    features: Doubles
    """[n, w]; 0 where not given."""
    mask: Mask
    """[n, w]."""
    learned: Mask
    """Per row whether the cell is one that the model knows, [n]."""


@dataclass(frozen=True, eq=False)
class Category:
    """A column of classes."""

    values: tuple[Any, ...]
    nulls: bool
    frequencies: Doubles
    """Share of each class, null last."""

    width = 1

    def inputs(self, array: Array) -> Inputs:
        """What gives these cells; nulls are given as such."""
        place = positions(array, self.values)
        learned = place >= 0
        if self.nulls:
            null = ~array.is_valid()
            place, learned = np.where(null, len(self.values), place), learned | null
        return _inputs(np.where(learned, place, 0)[:, None].astype(np.float64), learned, learned[:, None])

    def present(self) -> tuple[Doubles, Mask] | None:
        """What gives that a cell is not null, [w] each; None where that cannot be said."""
        return None

    def _weights(self, test: Test) -> Doubles:
        weights = np.zeros(len(self.values))
        if test.null is not None:
            weights[:] = 0 if test.null else self.frequencies[: len(self.values)]
        elif test.values is not None:
            wanted = set(test.values)
            chosen = [value in wanted for value in self.values]
            weights[chosen] = self.frequencies[: len(self.values)][chosen]
        else:
            cells = np.array(self.values)
            inside = np.ones(cells.size, dtype=np.bool_)
            inside &= True if test.low is None else cells >= test.low
            inside &= True if test.high is None else cells <= test.high
            weights[inside] = self.frequencies[: len(self.values)][inside]
        return weights

    def knows(self, test: Test) -> bool:
        """Whether any cell that was learned meets a condition."""
        return self.nulls if test.null else bool(self._weights(test).any())

    def mass(self, test: Test) -> float:
        """The marginal probability of a set or range."""
        return float(self._weights(test).sum())

    def draw(self, test: Test, u: Doubles) -> tuple[Doubles, Mask]:
        """Inputs [n, w] and mask [n, w] of cells from the marginal within a set or range of some mass."""
        sums = np.cumsum(self._weights(test))
        place = np.searchsorted(sums, u * sums[-1], side="right")
        # Rounding must not lead past the last class with a share.
        last = int(np.searchsorted(sums, sums[-1]))
        return np.minimum(place, last)[:, None].astype(np.float64), np.ones((u.size, 1), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Number:
    """A column with a coordinate."""

    storage: Storage
    base: int
    step: int
    lo: float
    hi: float
    knots_u: Doubles
    knots_x: Doubles
    nulls: bool

    @property
    def width(self) -> int:
        """Inputs."""
        return 2 if self.nulls else 1

    def inputs(self, array: Array) -> Inputs:
        """As `Category.inputs`: null is "present" 0 without a value; a cell beyond or between those
        that the model knows gives the nearest of them."""
        valid = array.is_valid()
        if self.step:
            low, high = self.base + self.step * int(self.lo), self.base + self.step * int(self.hi)
            cells = np.clip(array.values.astype(np.int64), low, high)
            whole, rest = np.divmod(cells - np.int64(self.base), np.int64(self.step))
            exact = (rest == 0) & (cells == array.values)
            x = np.clip(whole + (rest >= self.step - rest), self.lo, self.hi)
        else:
            x = np.clip(np.where(np.isfinite(array.values), array.values, self.lo), self.lo, self.hi)
            exact = x == array.values
        if not self.nulls:
            return _inputs(x[:, None], exact & valid, valid[:, None])
        return _inputs(
            np.stack([valid.astype(np.float64), x], axis=1),
            exact | ~valid,
            np.stack([np.ones_like(valid), valid], axis=1),
        )

    def present(self) -> tuple[Doubles, Mask] | None:
        """As `Category.present`."""
        return (np.array([1.0, 0.0]), np.array([True, False])) if self.nulls else None

    def _pieces(self, test: Test) -> list[tuple[float, float, float, float]]:
        """Ranks [u0, u1] and coordinates [x0, x1] of each stretch that meets a set or range."""
        if test.null is not None:
            return [] if test.null else [(0.0, 1.0, self.lo, self.hi)]
        if test.values is not None:
            stretches = [self._stretch(value, value) for value in test.values]
        else:
            stretches = [self._stretch(test.low, test.high)]
        return [
            (self._rank(a, "left"), self._rank(b, "right"), a, b)
            for a, b in (stretch for stretch in stretches if stretch is not None)
        ]

    def _stretch(self, low: Any, high: Any) -> tuple[float, float] | None:
        """The coordinates between two cells, bounds included; None where there is none."""
        if self.step:
            # In Python's integers, of which no difference leaves the range.
            first = int(self.lo) if low is None else max(int(self.lo), -((self.base - int(low)) // self.step))
            last = int(self.hi) if high is None else min(int(self.hi), (int(high) - self.base) // self.step)
            return (float(first), float(last)) if first <= last else None
        a = self.lo if low is None else max(self.lo, low)
        b = self.hi if high is None else min(self.hi, high)
        return (a, b) if a <= b else None

    def _rank(self, x: float, side: Any) -> float:
        """The lowest ("left") or highest rank at which the quantile function gives the cell of x."""
        if self.step:
            x += -0.5 if side == "left" else 0.5
        right = int(np.searchsorted(self.knots_x, x, side=side))
        if right in (0, self.knots_x.size):
            return float(self.knots_u[0 if right == 0 else -1])
        x0, x1 = self.knots_x[right - 1], self.knots_x[right]
        u0, u1 = self.knots_u[right - 1], self.knots_u[right]
        return float(u0 + (u1 - u0) * ((x - x0) / (x1 - x0))) if x1 > x0 else float(u0)

    def knows(self, test: Test) -> bool:
        """As `Category.knows`, for all cells between the lowest and the highest."""
        return self.nulls if test.null else bool(self._pieces(test))

    def mass(self, test: Test) -> float:
        """As `Category.mass`, of the cells that are not null."""
        return math.fsum(max(u1 - u0, 0.0) for u0, u1, _, _ in self._pieces(test))

    def draw(self, test: Test, u: Doubles) -> tuple[Doubles, Mask]:
        """As `Category.draw`."""
        u0, u1, low, high = (np.array(edge) for edge in zip(*self._pieces(test), strict=True))
        widths = np.maximum(u1 - u0, 0.0)
        # Cells between two values that were learned have no share of their own: they get equal ones.
        shared = bool(widths.any())
        sums = np.cumsum(widths if shared else np.ones_like(widths))
        target = u * sums[-1]
        piece = np.minimum(np.searchsorted(sums, target, side="right"), np.searchsorted(sums, sums[-1]))
        beyond = target - np.where(piece > 0, sums[piece - 1], 0.0)
        if shared:
            x = self._quantile(u0[piece] + np.clip(beyond, 0.0, widths[piece]))
        else:
            x = low[piece] + beyond * (high - low)[piece]
        x = np.clip(np.rint(x) if self.step else x, low[piece], high[piece])[:, None]
        if self.nulls:
            x = np.concatenate([np.ones_like(x), x], axis=1)
        return x, np.ones(x.shape, dtype=np.bool_)

    def _quantile(self, u: Doubles) -> Doubles:
        left = np.clip(np.searchsorted(self.knots_u, u, side="right") - 1, 0, self.knots_u.size - 2)
        du = self.knots_u[left + 1] - self.knots_u[left]
        dx = self.knots_x[left + 1] - self.knots_x[left]
        share = np.divide(u - self.knots_u[left], du, out=np.zeros_like(u), where=du > 0)
        return np.asarray(self.knots_x[left] + dx * np.clip(share, 0.0, 1.0))


@dataclass(frozen=True)
class Opaque:
    """A column whose inputs cannot be given."""

    width: int


@dataclass(frozen=True, eq=False)
class Relative:
    """A column told relative to another one; it can be given where the other is."""

    difference: Number
    anchor: str
    anchor_storage: Storage

    @property
    def width(self) -> int:
        """Inputs."""
        return self.difference.width

    def inputs(self, array: Array, anchor: Array | None) -> Inputs:
        """As `Number.inputs`. Without its anchor's cell in the row, only that a cell is there is given."""
        valid = array.is_valid()
        told = np.zeros_like(valid) if anchor is None else anchor.is_valid()
        values = array.values
        if anchor is not None:
            if self.difference.step:
                # Halved, the range of 64 bits leaves no difference outside.
                near = np.clip(array.values.astype(np.int64), -(2**62), 2**62 - 1)
                values = near - np.clip(self._in_unit(anchor.values), -(2**62), 2**62 - 1)
            else:
                values = array.values - anchor.values
        made = self.difference.inputs(Array(array.storage, values, array.valid))
        made.mask[:, -1] &= told
        return _inputs(made.features, made.learned & (told | ~valid), made.mask)

    def _in_unit(self, cells: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        whole = cells.astype(np.int64)
        match self.anchor_storage, self.difference.storage:
            case Storage.DATE, Storage.DATETIME:
                return whole * _DAY
            case Storage.DATETIME, Storage.DATE:
                return whole // _DAY
        return whole

    def present(self) -> tuple[Doubles, Mask] | None:
        """As `Category.present`."""
        return self.difference.present()


Feature = Category | Number | Relative | Opaque
"""Only the first two can be given by themselves."""


def _inputs(features: Doubles, learned: Mask, mask: Mask) -> Inputs:
    return Inputs(np.where(mask, features, 0.0), mask, learned)
