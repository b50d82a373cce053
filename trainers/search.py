"""Which of many intervals a number lies in: once as numpy, once as a graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Indices, Ops

FLOAT, INT64, DOUBLE = 1, 7, 11
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


def cast(ops: Ops, x: str, to: int) -> str:
    """x as another element type."""
    return str(ops.node("Cast", x, to=to))


def flatten(ops: Ops, x: str) -> str:
    """[n, 1] → [n]."""
    return str(ops.node("Squeeze", x, ops.constant(np.array([1]), np.int64)))


def gather(ops: Ops, table: npt.NDArray[np.generic], index: str) -> str:
    """Rows of a table by index [n]: [k, ...] → [n, ...]."""
    return str(ops.node("Gather", ops.constant(table), index))
