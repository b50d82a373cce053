"""Refuses a graph that does not do what the model and the encoding do.

Two comparisons, every column: what the graph makes of noise against the
trained model followed by the encoding's own inverse in numpy; and what the
decoding part of the same graph makes of the edges of every feature (each
class, null, knot, rounding tie and bound) against that inverse, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.export import Exported, Output
from kohort.columns import Array
from kohort.noise import MAX_BLOCK, block_noise
from kohort.problem import Problem, Violation
from kohort.schema import Storage
from kohort.sessions import Session, open_session, run_graph
from trainers.base import Generator
from trainers.encoding import CategoryEncoding, ColumnEncoding, Encoding, NumberEncoding

DRAWS = 1e-3
"""Share of rows that may differ: single precision rounds some draws at an edge to the other side."""

NUMBERS = 1e-5
"""How far numbers may differ, of the column's range; one step always may."""

Features = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True)
class ColumnParity:
    """How one column fared."""

    column: str
    differing: int
    """Rows from noise whose cells differ beyond what rounding explains."""
    largest: float
    """Largest difference of a number, as a share of the column's range."""
    edges: int
    """Edge cells that differ at all."""


@dataclass(frozen=True)
class ParityReport:
    """How all columns fared."""

    rows: int
    columns: tuple[ColumnParity, ...]


def check_parity(generator: Generator, exported: Exported, rows: int = 4096, seed: int = 0) -> ParityReport:
    """Compares graph, model and encoding on `rows` rows of noise and on every edge.

    Raises:
        Problem: PARITY_FAILED naming the columns that differ.
    """
    encoding = generator.encoding
    blocks = -(-rows // MAX_BLOCK)
    session = open_session(exported.graph)
    noise = [
        block_noise(seed, 0, block, MAX_BLOCK, exported.noise.uniforms, exported.noise.normals)
        for block in range(blocks)
    ]
    # Model and graph see the same blocks, and each as a whole: what is published runs so.
    made = [_run(session, exported, {"uniform": u, "normal": n}) for u, n in noise]
    from_noise = {
        output.column: Array.concat([m[output.column] for m in made]) for output in exported.outputs
    }
    references = [generator.reference(u, n) for u, n in noise]
    features = [np.concatenate(parts) for parts in zip(*references, strict=True)]
    _check_features(encoding, exported.table, features)
    by_model = encoding.inverse(features)

    edges = edge_features(encoding)
    fed = {f"f{j}": feature for j, feature in enumerate(edges)}
    from_edges = _run(open_session(exported.decoder), exported, fed)
    by_inverse = encoding.inverse(edges)

    columns = []
    for column in encoding.columns:
        name = column.column
        differing, largest = _differing(column, from_noise[name], by_model[name])
        exact = int(_unequal(from_edges[name], by_inverse[name]).sum())
        columns.append(ColumnParity(name, differing, largest, exact))
    allowed = max(1, int(DRAWS * blocks * MAX_BLOCK))
    failed = [column for column in columns if column.edges or column.differing > allowed]
    if failed:
        raise Problem(
            "PARITY_FAILED",
            f"the exported graph and the trained model disagree on {', '.join(c.column for c in failed)}",
            violations=[
                Violation(
                    f"{exported.table}.{c.column}",
                    f"{c.differing} cells from noise and {c.edges} edge cells differ",
                )
                for c in failed
            ],
        )
    return ParityReport(blocks * MAX_BLOCK, tuple(columns))


def edge_features(encoding: Encoding) -> list[npt.NDArray[Any]]:
    """Features of equal length in which every column meets each of its edges."""
    parts = [_edges(column) for column in encoding.columns]
    length = max(part[0].size for part in parts)
    return [np.resize(feature, length) for part in parts for feature in part]


def _edges(column: ColumnEncoding) -> list[npt.NDArray[Any]]:
    if isinstance(column, CategoryEncoding):
        return [np.arange(column.size, dtype=np.int64)]
    knots = column.knots_x
    inner = (knots[1:] + knots[:-1]) / 2
    points = [knots, inner, np.array([column.lo - 1e6, column.hi + 1e6, -1e300, 1e300])]
    if column.step:
        whole = np.unique(np.rint(np.concatenate([knots, inner])))
        points += [
            whole - 0.5,
            whole + 0.5,
            np.nextafter(whole + 0.5, -np.inf),
            np.nextafter(whole + 0.5, np.inf),
        ]
    x = np.concatenate(points)
    if not column.nulls:
        return [x]
    return [np.repeat([1, 0], x.size).astype(np.int64), np.tile(x, 2)]


def _run(session: Session, exported: Exported, fed: Mapping[str, npt.NDArray[Any]]) -> dict[str, Array]:
    names = [name for output in exported.outputs for name in (output.values, output.valid) if name]
    feeds = {name: array for name, array in fed.items() if array.ndim == 1 or array.shape[1]}
    results = dict(zip(names, run_graph(session, feeds, names), strict=True))
    return {output.column: _array(exported, output, results) for output in exported.outputs}


def _array(exported: Exported, output: Output, results: Mapping[str, npt.NDArray[Any]]) -> Array:
    # As the graph gives it: a null cell that does not hold 0 has to be seen as a difference.
    values, valid = results[output.values], results.get(output.valid)
    return Array(output.storage, values, valid, exported.dictionaries.get(output.column))


def _check_features(encoding: Encoding, table: str, features: Features) -> None:
    """A model that gives no number at all must not hide behind clipping."""
    for feature, values in zip(encoding.features, features, strict=True):
        if feature.size is None:
            sound = bool(np.isfinite(values).all())
        else:
            sound = values.min() >= 0 and values.max() < feature.size
        if not sound:
            where = f"{table}.{feature.column}"
            raise Problem.at("PARITY_FAILED", where, "the trained model gives something that is no cell")


def _differing(column: ColumnEncoding, found: Array, wanted: Array) -> tuple[int, float]:
    """Cells that differ beyond rounding, and the largest difference of the others as a share of the range."""
    unequal = _unequal(found, wanted)
    if isinstance(column, CategoryEncoding) or not unequal.any():
        return int(unequal.sum()), 0.0
    both = found.is_valid() & wanted.is_valid()
    distance = _distance(column, found, wanted)
    near = both & (distance <= max(NUMBERS * (column.hi - column.lo), 1.0 if column.step else 0.0))
    spread = (column.hi - column.lo) or 1.0
    return int((unequal & ~near).sum()), float(distance[near].max(initial=0.0)) / spread


def _distance(column: NumberEncoding, found: Array, wanted: Array) -> npt.NDArray[np.float64]:
    """Distances of cells [n] in the column's coordinate."""
    if column.step == 0:
        return np.abs(np.subtract(found.values, wanted.values, dtype=np.float64))
    # The difference first: 2^63 apart, two cells would look equal as float64.
    high = np.maximum(found.values, wanted.values).astype(np.int64).view(np.uint64)
    low = np.minimum(found.values, wanted.values).astype(np.int64).view(np.uint64)
    return (high - low).astype(np.float64) / column.step


def _unequal(found: Array, wanted: Array) -> npt.NDArray[np.bool_]:
    """Where two arrays of one column differ in any way, [n]."""
    if found.storage is Storage.STRING and found.dictionary != wanted.dictionary:
        return np.ones(len(wanted), dtype=np.bool_)
    differ: npt.NDArray[np.bool_] = (found.values != wanted.values) | (found.is_valid() != wanted.is_valid())
    return differ
