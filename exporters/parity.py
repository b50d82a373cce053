"""Refuses a graph that does not do what the model and the encoding do.

Every column: what the graph makes of noise against the trained model followed
by the encoding's own inverse in numpy; and what the decoding part of the same
graph makes of the edges of every feature (each class, null, knot, rounding tie
and bound) against that inverse, exactly. Of a graph that completes rows: random
cells given, at several temperatures and top-p, against the model given the
same; given cells must come back, and with nothing given the rows of the other
graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.export import GIVEN, Exported, Output
from kohort.columns import Array
from kohort.noise import MAX_BLOCK, block_noise
from kohort.problem import Problem, Violation
from kohort.schema import Storage
from kohort.sessions import Session, open_session, run_graph
from trainers.anchors import DAY
from trainers.base import ConditionalGenerator, Doubles, Floats, Generator
from trainers.encoding import CategoryEncoding, ColumnEncoding, Encoding, NumberEncoding, names_of

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
    consumed = exported.noise
    noise = [
        block_noise(seed, 0, block, MAX_BLOCK, consumed.uniforms, consumed.normals, consumed.scheme)
        for block in range(blocks)
    ]
    # Model and graph see the same blocks, and each as a whole: what is published runs so.
    fed = [{"uniform": u, "normal": n} for u, n in noise]
    from_noise = _run_all(open_session(exported.graph), exported, fed)
    features = _joined([generator.reference(u, n) for u, n in noise])
    _check_features(encoding, exported.table, features)
    by_model = encoding.inverse(features)
    wholes = [(from_noise, by_model)]
    if isinstance(generator, ConditionalGenerator):
        wholes += _given(generator, encoding, exported, noise, features, from_noise, seed)

    edges = edge_features(encoding)
    from_edges = _run(
        open_session(exported.decoder), exported, {f"f{j}": feature for j, feature in enumerate(edges)}
    )
    by_inverse = encoding.inverse(edges)

    near = _tolerances(encoding)
    columns = []
    for column in encoding.columns:
        for name in names_of(column):
            fared = [_differing(column, a[name], b[name], near.get(name, 0.0)) for a, b in wholes]
            differing, largest = max(count for count, _ in fared), max(far for _, far in fared)
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


def _given(
    generator: ConditionalGenerator,
    encoding: Encoding,
    exported: Exported,
    noise: Sequence[tuple[Floats, Floats]],
    features: Features,
    unconditional: dict[str, Array],
    seed: int,
) -> list[tuple[dict[str, Array], dict[str, Array]]]:
    """What the graph that completes rows makes and what it should: with cells given, and with none."""
    rng = np.random.default_rng(seed)
    n = sum(len(u) for u, _ in noise)
    # Cells that go together and cells that never did: every second row is given another row's.
    rows = np.where(np.arange(n) % 2, rng.permutation(n), np.arange(n))
    cells = np.stack([np.asarray(feature, dtype=np.float64)[rows] for feature in features], axis=1)
    mask = _masks(encoding, cells, rng)
    cells = np.where(mask, _on_grid(encoding, cells), 0.0)
    temperature = rng.choice([0.5, 1.0, 2.0], (n, 1)).astype(np.float32)
    top_p = rng.choice([0.3, 0.9, 1.0], (n, 1)).astype(np.float32)
    ones = np.ones_like(temperature)
    # Of hundreds of columns it takes half a minute to open: once for both runs.
    session = open_session(exported.given)

    def run(
        cells: Doubles, mask: npt.NDArray[np.bool_], temperature: Floats, top_p: Floats
    ) -> tuple[dict[str, Array], list[npt.NDArray[Any]]]:
        fed: list[dict[str, npt.NDArray[Any]]] = []
        references: list[Features] = []
        for i, (u, v) in enumerate(noise):
            own = slice(i * MAX_BLOCK, (i + 1) * MAX_BLOCK)
            asked = (cells[own], mask[own], temperature[own], top_p[own])
            names = (GIVEN.features, GIVEN.mask, GIVEN.temperature, GIVEN.top_p)
            fed.append({"uniform": u, "normal": v, **dict(zip(names, asked, strict=True))})
            references.append(generator.reference_given(u, v, *asked))
        found = _joined(references)
        _check_features(encoding, exported.table, found)
        return _run_all(session, exported, fed), found

    made, found = run(cells, mask, temperature, top_p)
    for j, feature in enumerate(found):
        if (mask[:, j] & (feature != cells[:, j])).any():
            where = f"{exported.table}.{encoding.features[j].column}"
            raise Problem.at("PARITY_FAILED", where, "a given cell does not come back from the model")
    free, unasked = run(np.zeros_like(cells), np.zeros_like(mask), ones, ones)
    return [(made, encoding.inverse(found)), (free, encoding.inverse(unasked)), (free, unconditional)]


def _masks(encoding: Encoding, cells: Doubles, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which features are given, [n, F]: whole columns, null ones without their value."""
    parts, j = [], 0
    for column in encoding.columns:
        width = len(column.features)
        given = rng.random(len(cells)) < rng.random(len(cells))
        part = np.repeat(given[:, None], width, axis=1)
        for k in range(1, width):
            # "present" comes first: 0 leaves the value open, and so does a third of the others.
            part[:, k] &= (cells[:, j] != 0) & (rng.random(len(cells)) < 2 / 3)
        parts.append(part)
        j += width
    return np.concatenate(parts, axis=1)


def _on_grid(encoding: Encoding, cells: Doubles) -> Doubles:
    """The features of cells that can be: coordinates inside the bounds, whole where cells are steps."""
    snapped, j = cells.copy(), 0
    for column in encoding.columns:
        j += len(column.features)
        if isinstance(column, NumberEncoding):
            x = np.clip(cells[:, j - 1], column.lo, column.hi)
            snapped[:, j - 1] = np.rint(x) if column.step else x
    return snapped


def _joined(parts: Sequence[Features]) -> list[npt.NDArray[Any]]:
    return [np.concatenate(some) for some in zip(*parts, strict=True)]


def _run_all(
    session: Session, exported: Exported, fed: Sequence[Mapping[str, npt.NDArray[Any]]]
) -> dict[str, Array]:
    """The columns of all blocks."""
    made = [_run(session, exported, feeds) for feeds in fed]
    return {o.column: Array.concat([m[o.column] for m in made]) for o in exported.outputs}


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


def _tolerances(encoding: Encoding) -> dict[str, float]:
    """How far the cells of numbers may differ; what is told relative to an anchor differs with it, too."""
    near: dict[str, float] = {}
    for column, _ in encoding.in_order:
        if isinstance(column, NumberEncoding):
            unit = float(column.step or 1)
            near[column.column] = unit * max(NUMBERS * (column.hi - column.lo), 1.0 if column.step else 0.0)
            if column.anchor is not None:
                scale = DAY if column.anchor.storage is Storage.DATE else 1.0
                scale = scale if column.storage is Storage.DATETIME else 1.0
                near[column.column] += scale * near[column.anchor.column]
    return near


def _differing(column: ColumnEncoding, found: Array, wanted: Array, near: float) -> tuple[int, float]:
    """Cells that differ beyond rounding, and the largest difference of the others as a share of the range."""
    unequal = _unequal(found, wanted)
    if isinstance(column, CategoryEncoding) or not unequal.any():
        return int(unequal.sum()), 0.0
    both = found.is_valid() & wanted.is_valid()
    distance = _distance(column, found, wanted)
    close = both & (distance <= near)
    spread = ((column.hi - column.lo) or 1.0) * (column.step or 1)
    return int((unequal & ~close).sum()), float(distance[close].max(initial=0.0)) / spread


def _distance(column: NumberEncoding, found: Array, wanted: Array) -> npt.NDArray[np.float64]:
    """Distances of cells [n]."""
    if column.step == 0:
        return np.abs(np.subtract(found.values, wanted.values, dtype=np.float64))
    # The difference first: 2^63 apart, two cells would look equal as float64.
    high = np.maximum(found.values, wanted.values).astype(np.int64).view(np.uint64)
    low = np.minimum(found.values, wanted.values).astype(np.int64).view(np.uint64)
    return (high - low).astype(np.float64)


def _unequal(found: Array, wanted: Array) -> npt.NDArray[np.bool_]:
    """Where two arrays of one column differ in any way, [n]."""
    if found.storage is Storage.STRING and found.dictionary != wanted.dictionary:
        return np.ones(len(wanted), dtype=np.bool_)
    differ: npt.NDArray[np.bool_] = (found.values != wanted.values) | (found.is_valid() != wanted.is_valid())
    return differ
