"""Which of many intervals a number lies in: once as numpy, once as a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Indices, Ops
from trainers.numbers import slopes

FLOAT, INT64, BOOL, DOUBLE = 1, 7, 9, 11
"""Element types as ONNX numbers them (`TensorProto.DataType`)."""


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
    costs 14 gathers and no [n, k] comparison.
    """
    depth = int(edges.size).bit_length()
    if depth == 0:
        return cast(ops, ops.node("Less", x, x), INT64)
    sentinels = np.full(2**depth - 1 - edges.size, np.inf)
    table = ops.constant(np.concatenate([edges, sentinels]), np.float64)
    found = ""
    for level in reversed(range(depth)):
        below = ops.constant(np.array(2**level - 1), np.int64)
        probe = ops.node("Add", found, below) if found else below
        passed = ops.node("LessOrEqual", ops.node("Gather", table, probe), x)
        step = ops.node("Mul", cast(ops, passed, INT64), ops.constant(np.array(2**level), np.int64))
        found = ops.node("Add", found, step) if found else step
    return found


def write_locate_all(ops: Ops, x: str, edges: Sequence[Doubles]) -> str:
    """`locate` in edges of its own for each column of x float64 [n, g] → int64 [n, g].

    One search for all columns: a graph with nodes for each would take a runtime minutes to open where
    columns are thousands.
    """
    depth = max(int(own.size).bit_length() for own in edges)
    if depth == 0:
        return cast(ops, ops.node("Less", x, x), INT64)
    size = 2**depth - 1
    padded = np.full((len(edges), size), np.inf)
    for row, own in zip(padded, edges, strict=True):
        row[: own.size] = own
    table = ops.constant(padded.ravel(), np.float64)
    begins = np.arange(len(edges)) * size
    found = ""
    for level in reversed(range(depth)):
        below = ops.constant((begins + 2**level - 1)[None], np.int64)
        probe = ops.node("Add", found, below) if found else below
        passed = ops.node("LessOrEqual", ops.node("Gather", table, probe), x)
        step = ops.node("Mul", cast(ops, passed, INT64), ops.constant(np.array(2**level), np.int64))
        found = ops.node("Add", found, step) if found else step
    return found


def gather_all(ops: Ops, tables: Sequence[npt.NDArray[np.generic]], index: str) -> str:
    """Column j of the result is tables[j] [k_j] by column j of index [n, g] → [n, g]."""
    sizes = [table.size for table in tables]
    begins = ops.constant(np.cumsum([0, *sizes[:-1]]), np.int64)
    return gather(ops, np.concatenate(tables), ops.node("Add", index, begins))


def write_interpolate_all(ops: Ops, x: str, maps: Sequence[tuple[Doubles, Doubles]]) -> str:
    """Column j of x float64 [n, g] through maps[j] = (knots [m], values [m]), linear between → [n, g].

    Knots never decrease; equal ones are a step, and beyond them the outer pieces go on.
    """
    piece = write_locate_all(ops, x, [knots[1:-1] for knots, _ in maps])
    beyond = ops.node("Sub", x, gather_all(ops, [knots[:-1] for knots, _ in maps], piece))
    slope = gather_all(ops, [slopes(knots, values) for knots, values in maps], piece)
    start = gather_all(ops, [values[:-1] for _, values in maps], piece)
    return str(ops.node("Add", start, ops.node("Mul", beyond, slope)))


def write_within(ops: Ops, x: str, lows: Sequence[float], highs: Sequence[float]) -> str:
    """Column j of x float64 [n, g] kept from lows[j] to highs[j] → [n, g]."""
    low, high = (ops.constant(np.array(edges), np.float64) for edges in (lows, highs))
    return str(ops.node("Min", ops.node("Max", x, low), high))


def split(ops: Ops, x: str, columns: int) -> list[str]:
    """x [n, columns] → that many [n]."""
    if columns == 1:
        return [flatten(ops, x)]
    parts = ops.node("Split", x, outputs=columns, axis=1, num_outputs=columns)
    return [flatten(ops, part) for part in parts]


def cast(ops: Ops, x: str, to: int) -> str:
    """x as another element type."""
    return str(ops.node("Cast", x, to=to))


def flatten(ops: Ops, x: str) -> str:
    """[n, 1] → [n]."""
    return str(ops.node("Squeeze", x, ops.constant(np.array([1]), np.int64)))


def gather(ops: Ops, table: npt.NDArray[np.generic], index: str) -> str:
    """Rows of a table by index [n]: [k, ...] → [n, ...]."""
    return str(ops.node("Gather", ops.constant(table), index))
