"""Dense networks in whole numbers: what an int8 graph computes, exactly, and how it is made of float32.

Inputs of a layer are whole numbers from 0 to 127, weights whole numbers from
-127 to 127, their products whole numbers that no processor rounds: 127 · 127 · 2
fits the 16 bits into which instructions older than VNNI add pairs. Scales are
fixed when the network is made, per output of every layer, so that no row
depends on those beside it (Jacob et al., 2018, arXiv 1712.05877). They are
measured on the network's own noise: no patient is needed for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.base import Floats, Indices, Ops
from trainers.search import FLOAT, cast, gather

LEVELS = 127
"""The largest input and the largest weight."""

_MIDDLE = 64
"""The level that stands for a normal of 0."""

_NORMAL_STEP = np.float32(0.0675)
"""Between levels of a normal; they end at ±4.25, beyond which lies one normal of fifty thousand."""

_EDGE = _NORMAL_STEP * np.float32(_MIDDLE - 1)

_CHUNK = 4_096
_EXACT = (1 << 24) // LEVELS**2
"""Up to so many inputs float32 adds the products without rounding."""


@dataclass(frozen=True, eq=False)
class Dense:
    """A layer in floating point: x [n, i] → x · weightᵀ + one of the rows [n, o]."""

    weight: Floats
    """[o, i]."""
    rows: Floats
    """[k, o]: the bias, for every class that may be asked for; one row where none is asked."""


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer in whole numbers: levels [n, i] → float32(levels · weight) · scale + one of the rows [n, o].

    The result of a hidden layer is in levels of the next one: rounded, those below 0 cut off.
    """

    weight: npt.NDArray[np.int8]
    """[i, o]."""
    scale: Floats
    """[o]."""
    rows: Floats
    """[k, o]."""

    def write(self, ops: Ops, levels: str, asked: str) -> str:
        """As a graph: levels uint8 [n, i], the class asked for int64 [n] (or "") → float32 [n, o]."""
        product = cast(ops, ops.node("MatMulInteger", levels, ops.constant(self.weight)), FLOAT)
        row = gather(ops, self.rows, asked) if len(self.rows) > 1 else ops.constant(self.rows)
        return str(ops.node("Add", ops.node("Mul", product, ops.constant(self.scale)), row))

    def run(self, levels: Floats, asked: Indices | None) -> Floats:
        """The same in numpy, to the last bit; levels are whole numbers in float32."""
        kind = np.float32 if len(self.weight) <= _EXACT else np.float64
        product = (levels.astype(kind) @ self.weight.astype(kind)).astype(np.float32)
        row = self.rows[asked] if asked is not None and len(self.rows) > 1 else self.rows
        result: Floats = product * self.scale + row
        return result


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Layers with a ReLU after each hidden one."""

    layers: tuple[IntegerLayer, ...]
    passing: bool
    """Whether a hidden layer's input goes on behind its output, as in CTGAN."""

    @classmethod
    def of(
        cls, layers: Sequence[Dense], normal: Floats, asked: Indices | None, passing: bool
    ) -> IntegerNetwork:
        """The network of float32 layers.

        Args:
            layers: as they are in floating point.
            normal: standard normals [n, i]: what the layers are measured on.
            asked: the classes asked for [n], None where nothing is.
            passing: see above.
        """
        exact, levels = normal, _levels_of(normal)
        # A value is (level - zero) · step, per input.
        step = np.full(normal.shape[1], _NORMAL_STEP, np.float64)
        zero = np.full(normal.shape[1], _MIDDLE, np.float64)
        made = []
        for place, layer in enumerate(layers):
            weights = layer.weight.T * step[:, None]
            scale = np.maximum(np.abs(weights).max(axis=0), 1e-30) / LEVELS
            whole = np.rint(weights / scale)
            rows = layer.rows - scale * (zero @ whole)
            chosen = asked if asked is not None and len(layer.rows) > 1 else np.zeros(len(normal), np.intp)
            wanted = exact @ layer.weight.T + layer.rows[chosen]
            # What rounding shifts on average is known, and taken back.
            rows += (wanted - ((levels @ whole.astype(np.float32)) * scale + rows[chosen])).mean(axis=0)
            unit = np.ones(len(scale))
            if place + 1 < len(layers):
                unit = np.maximum(wanted.max(axis=0), 1e-30) / LEVELS
            found = IntegerLayer(
                whole.astype(np.int8), (scale / unit).astype(np.float32), (rows / unit).astype(np.float32)
            )
            made.append(found)
            if place + 1 < len(layers):
                hidden, shown = np.maximum(wanted, 0), _hidden(found.run(levels, asked))
                if passing:
                    hidden, shown = np.hstack([hidden, exact]), np.hstack([shown, levels])
                    unit, zero = np.append(unit, step), np.append(np.zeros(len(unit)), zero)
                else:
                    zero = np.zeros(len(unit))
                exact, levels, step = hidden, shown, unit
        return cls(tuple(made), passing)

    def write(self, ops: Ops, normal: str, asked: str) -> str:
        """As a graph: normals float32 [n, i], the class asked for int64 [n] (or "") → float32 [n, o]."""
        levels = _write_levels(ops, normal, -_EDGE, _EDGE, _NORMAL_STEP, _MIDDLE)
        *hidden, last = self.layers
        for layer in hidden:
            own = _write_levels(ops, layer.write(ops, levels, asked), 0, LEVELS, 1, 0)
            levels = ops.node("Concat", own, levels, axis=1) if self.passing else own
        return last.write(ops, levels, asked)

    def run(self, normal: Floats, asked: Indices | None) -> Floats:
        """The same in numpy."""
        *hidden, last = self.layers
        parts = [np.zeros((0, len(last.scale)), np.float32)]
        for start in range(0, len(normal), _CHUNK):
            levels = _levels_of(normal[start : start + _CHUNK])
            some = None if asked is None else asked[start : start + _CHUNK]
            for layer in hidden:
                own = _hidden(layer.run(levels, some))
                levels = np.hstack([own, levels]) if self.passing else own
            parts.append(last.run(levels, some))
        return np.concatenate(parts)


def _levels_of(normal: Floats) -> Floats:
    levels: Floats = np.rint(np.clip(normal, -_EDGE, _EDGE) / _NORMAL_STEP) + np.float32(_MIDDLE)
    return levels


def _hidden(values: Floats) -> Floats:
    levels: Floats = np.rint(np.clip(values, np.float32(0), np.float32(LEVELS)))
    return levels


def _write_levels(
    ops: Ops, x: str, low: np.float32 | int, high: np.float32 | int, step: np.float32 | int, zero: int
) -> str:
    """x float32, within low and high, in steps → uint8."""
    clipped = ops.node("Clip", x, *(ops.constant(np.array(end), np.float32) for end in (low, high)))
    scale, point = ops.constant(np.array(step), np.float32), ops.constant(np.array(zero), np.uint8)
    return str(ops.node("QuantizeLinear", clipped, scale, point))
