"""Which of many intervals a number lies in: once as numpy, once as a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Indices, Ops
from trainers.numbers import slopes

FLOAT, INT64, BOOL, DOUBLE = 1, 7, 9, 11
"""Element types as ONNX numbers them (`TensorProto.DataType`)."""

COLUMNWISE = 192
"""Up to so many classes `Ops.draw_columns` is the fastest draw."""


def cumulative(weights: npt.ArrayLike) -> Doubles:
    """Inner edges [k-1] that cut (0, 1) into k intervals as wide as the weights [k] are heavy."""
    ends = np.cumsum(np.asarray(weights, dtype=np.float64))
    # Divided by the last end itself, so that intervals of no width at the end stay beyond reach.
    edges: Doubles = ends[:-1] / ends[-1]
    return edges


def locate(x: npt.ArrayLike, edges: Doubles) -> Indices:
    """How many of the sorted edges [k] are at most x [n]; int64 [n] in 0..k."""
    return np.searchsorted(edges, np.asarray(x, dtype=np.float64), side="right").astype(np.int64)


def write_locate(ops: Ops, x: str, edges: Doubles) -> str:
    """`locate` as a graph: x float64 [n] → int64 [n].

    A binary search without branches: a column of ten thousand categories
    costs 13 gathers and no [n, k] comparison.
    """
    depth = int(edges.size).bit_length()
    if depth == 0:
        return cast(ops, ops.node("Less", x, x), INT64)
    found = ""
    for level in _levels([edges], depth):
        if not found:
            found = cast(ops, ops.node("LessOrEqual", ops.constant(level[0], np.float64), x), INT64)
            continue
        found = _descend(ops, x, level, found)
    return found


def write_locate_all(ops: Ops, x: str, edges: Sequence[Doubles], axis: int = 1) -> str:
    """`locate` in edges of its own for each column of x float64 [n, g] → int64 [n, g].

    One search for all columns: a graph with nodes for each would take a runtime minutes to open where
    columns are thousands. Where `axis` is 0, here and below, columns are rows: x is [g, n], which is faster
    where they are few.
    """
    depth = max(int(own.size).bit_length() for own in edges)
    if depth == 0:
        return cast(ops, ops.node("Less", x, x), INT64)
    first, *levels = _levels(edges, depth)
    passed = ops.node("LessOrEqual", _beside(ops, first, axis), x)
    found = cast(ops, passed, INT64)
    places = np.arange(len(edges), dtype=np.int64)
    if len(edges) > 1:
        found = ops.node("Add", found, _beside(ops, 2 * places, axis))
    if levels:
        found, flat = _flat(ops, found), _flat(ops, x)
        for level in levels:
            found = _descend(ops, flat, level, found)
        found = _shaped(ops, found, len(edges), axis)
    if len(edges) > 1:
        found = ops.node("Sub", found, _beside(ops, 2**depth * places, axis))
    return found


def _levels(edges: Sequence[Doubles], depth: int) -> list[Doubles]:
    """The binary trees of sorted edges, level by level: level l holds 2^l edges of each column, [g · 2^l].

    What lies under edge i of a level are edges 2i and 2i + 1 of the next.
    """
    padded = np.full((len(edges), 2**depth - 1), np.inf)
    for row, own in zip(padded, edges, strict=True):
        row[: own.size] = own
    steps = (2 ** (depth - level) for level in range(depth))
    return [np.ascontiguousarray(padded[:, step // 2 - 1 :: step]).ravel() for step in steps]


def _descend(ops: Ops, x: str, level: Doubles, found: str) -> str:
    """One step down the trees: x [m] at places int64 [m] of a level → places of the next."""
    passed = ops.node("LessOrEqual", gather(ops, level, found), x)
    return str(ops.node("Add", ops.node("Add", found, found), cast(ops, passed, INT64)))


def gather_all(ops: Ops, tables: Sequence[npt.NDArray[np.generic]], index: str, axis: int = 1) -> str:
    """Column j of the result is tables[j] [k_j] by column j of index [n, g] → [n, g]."""
    found = gather(ops, np.concatenate(tables), _places(ops, tables, index, axis))
    return _shaped(ops, found, len(tables), axis)


def write_interpolate_all(ops: Ops, x: str, maps: Sequence[tuple[Doubles, Doubles]], axis: int = 1) -> str:
    """Column j of x float64 [n, g] through maps[j] = (knots [m], values [m]), linear between → [n, g].

    Knots never decrease; equal ones are a step, and beyond them the outer pieces go on.
    """
    piece = write_locate_all(ops, x, [knots[1:-1] for knots, _ in maps], axis)
    place = _places(ops, [knots[:-1] for knots, _ in maps], piece, axis)
    beyond = ops.node("Sub", _flat(ops, x), gather(ops, np.concatenate([k[:-1] for k, _ in maps]), place))
    slope = gather(ops, np.concatenate([slopes(knots, values) for knots, values in maps]), place)
    start = gather(ops, np.concatenate([values[:-1] for _, values in maps]), place)
    found = ops.node("Add", start, ops.node("Mul", beyond, slope))
    return _shaped(ops, found, len(maps), axis)


def write_within(ops: Ops, x: str, lows: Sequence[float], highs: Sequence[float], axis: int = 1) -> str:
    """Column j of x float64 [n, g] kept from lows[j] to highs[j] → [n, g]."""
    low, high = (_beside(ops, np.array(edges, dtype=np.float64), axis) for edges in (lows, highs))
    return str(ops.node("Min", ops.node("Max", x, low), high))


def split(ops: Ops, x: str, columns: int, axis: int = 1) -> list[str]:
    """x [n, columns] → that many [n]."""
    parts = [x]
    if columns > 1:
        parts = ops.node("Split", x, outputs=columns, axis=axis, num_outputs=columns)
    return [str(ops.node("Squeeze", part, ops.constant(np.array([axis]), np.int64))) for part in parts]


def _places(ops: Ops, tables: Sequence[npt.NDArray[np.generic]], index: str, axis: int) -> str:
    """Where column j of index [n, g] points when tables lie one after the other, int64 [n · g]."""
    if len(tables) > 1:
        begins = np.cumsum([0, *(table.size for table in tables[:-1])])
        index = ops.node("Add", index, _beside(ops, begins.astype(np.int64), axis))
    return _flat(ops, index)


def _beside(ops: Ops, values: npt.NDArray[np.generic], axis: int) -> str:
    """A number for each column, as [1, g] or [g, 1]."""
    return ops.constant(np.expand_dims(values, 1 - axis))


def _flat(ops: Ops, x: str) -> str:
    return str(ops.node("Reshape", x, ops.constant(np.array([-1]), np.int64)))


def _shaped(ops: Ops, x: str, columns: int, axis: int) -> str:
    shape = [-1, columns] if axis == 1 else [columns, -1]
    return str(ops.node("Reshape", x, ops.constant(np.array(shape), np.int64)))


def cast(ops: Ops, x: str, to: int) -> str:
    """x as another element type."""
    return str(ops.node("Cast", x, to=to))


def flatten(ops: Ops, x: str) -> str:
    """[n, 1] → [n]."""
    return str(ops.node("Squeeze", x, ops.constant(np.array([1]), np.int64)))


def gather(ops: Ops, table: npt.NDArray[np.generic], index: str) -> str:
    """Rows of a table by index int64 [n]: [k, ...] → [n, ...]."""
    if table.ndim == 1:
        # ONNX Runtime gathers rows one memcpy after the other, elements five times as fast.
        return str(ops.node("GatherElements", ops.constant(table), index, axis=0))
    return str(ops.node("Gather", ops.constant(table), index))
