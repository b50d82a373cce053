"""Bayesian networks: every column drawn from a table that a few others choose the row of.

Structures come from `trainers.structure`, columns as classes from
`trainers.bins`. What few patients say of a combination of parents is pulled
towards what more patients say of fewer parents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tables.statistics import patients_per_code
from trainers.base import (
    MODELLED,
    REJECTION,
    Doubles,
    FitRequest,
    Floats,
    Generator,
    Hooks,
    Indices,
    Noise,
    Ops,
    Parameter,
    ParameterType,
    Progress,
    TrainerInfo,
)
from trainers.bins import Bins
from trainers.encoding import Encoding
from trainers.rows import encode_rows
from trainers.search import INT64, cast
from trainers.structure import SCORES, Settings, in_order, learn

_CATEGORIES = 64
"""Categories of a column that tables tell apart."""

_CELLS = 12_000_000
"""Numbers in all tables together: 48 MB of a bundle."""

_WIDEST = 1 << 18
"""Numbers in one column's table."""

_ROWS = 50_000
"""Rows that a structure is learned from; tables are counted on all rows."""

_PAIRS = 2_000_000_000
"""Rows, times pairs of columns: bounds the search where columns are hundreds."""

_PARAMETERS = (
    Parameter(
        "struct_learning_search_method",
        ParameterType.STRING,
        "hillclimb",
        "tree_search: one parent a column; hillclimb: goes on from that tree while the score rises.",
        choices=("hillclimb", "tree_search"),
    ),
    Parameter(
        "struct_learning_score",
        ParameterType.STRING,
        "aic",
        "What a structure is judged by.",
        choices=tuple(sorted(SCORES)),
    ),
    Parameter(
        "struct_learning_n_iter",
        ParameterType.INTEGER,
        1_000,
        "Changes of the structure at most.",
        1,
        100_000,
    ),
    Parameter("struct_max_indegree", ParameterType.INTEGER, 4, "Parents of a column at most.", 1, 8),
    Parameter(
        "encoder_max_clusters", ParameterType.INTEGER, 20, "Bins of a number, besides frequent values.", 2, 64
    ),
    Parameter(
        "smoothing",
        ParameterType.NUMBER,
        1.0,
        "How many rows a table with one parent fewer weighs beside a table's own rows.",
        0.01,
        1_000,
    ),
)


@dataclass(frozen=True, eq=False)
class Table:
    """What one column's classes are drawn from."""

    parents: tuple[int, ...]
    edges: Floats
    """Cumulative shares of the classes but the last, [configurations of parents, size - 1]."""
    strides: tuple[int, ...]
    """How far apart the configurations of each parent's neighbouring classes lie."""

    def rows(self, classes: Indices) -> Indices:
        """The configuration of rows of classes [n, columns]."""
        return classes[:, list(self.parents)] @ np.array(self.strides, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class NetworkGenerator:
    """Tables of all columns.

    A unit consumes uniforms: one for each column's class, then the bins' details.
    """

    encoding: Encoding
    bins: Bins
    tables: tuple[Table, ...]

    @property
    def noise(self) -> Noise:
        """What one unit consumes."""
        return Noise(uniforms=len(self.tables) + self.bins.details, normals=0)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """One search for all columns of one depth in the network and about as many classes."""
        features: dict[int, str] = {}
        classes: dict[int, str] = {}
        for places in self._steps():
            u = ops.node("Gather", uniform, ops.constant(np.array(places), np.int64), axis=1)
            drawn = self._write_draw(ops, places, classes, u)
            parts = [drawn]
            if len(places) > 1:
                parts = ops.node("Split", drawn, outputs=len(places), axis=1, num_outputs=len(places))
            classes |= dict(zip(places, parts, strict=True))
            features |= self.bins.write(ops, places, drawn, uniform, len(self.tables))
        return [features[place] for place in range(len(features))]

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same in numpy, column by column."""
        classes = np.zeros((uniform.shape[0], len(self.tables)), dtype=np.int64)
        for place in (place for places in self._steps() for place in places):
            table = self.tables[place]
            edges = table.edges[table.rows(classes)]
            classes[:, place] = (edges <= uniform[:, place, None]).sum(axis=1)
        return self.bins.decode(classes, uniform, len(self.tables))

    def _steps(self) -> Iterator[list[int]]:
        """Columns that are drawn together, parents first."""
        depth = in_order([table.parents for table in self.tables])
        groups = list(self.bins.groups())
        for level in range(max(depth) + 1):
            for group in groups:
                places = [place for place in group if depth[place] == level]
                if places:
                    yield places

    def _write_draw(self, ops: Ops, places: list[int], classes: dict[int, str], u: str) -> str:
        """Classes int64 [n, g]: a binary search in the row of each column's table."""
        found = cast(ops, ops.node("Less", u, u), INT64)
        tables = [self.tables[place] for place in places]
        steps = max(table.edges.shape[1] for table in tables).bit_length()
        width = 2**steps - 1
        if not width:
            return found
        flat: list[Floats] = []
        begins = []
        for table in tables:
            padded = np.ones((table.edges.shape[0], width), dtype=np.float32)
            padded[:, : table.edges.shape[1]] = table.edges
            begins.append(sum(part.size for part in flat))
            flat.append(padded.ravel())
        cells = ops.constant(np.concatenate(flat))
        begin = ops.constant(np.array([begins]), np.int64)
        rows = [self._write_rows(ops, table, classes, found) for table in tables]
        if any(table.parents for table in tables):
            row = ops.node("Concat", *rows, axis=1) if len(rows) > 1 else rows[0]
            begin = ops.node("Add", ops.node("Mul", row, ops.constant(np.array(width), np.int64)), begin)
        for level in reversed(range(steps)):
            probe = ops.node("Add", found, ops.constant(np.array(2**level - 1), np.int64))
            edge = ops.node("Gather", cells, ops.node("Add", probe, begin))
            passed = cast(ops, ops.node("LessOrEqual", edge, u), INT64)
            step = ops.node("Mul", passed, ops.constant(np.array(2**level), np.int64))
            found = ops.node("Add", found, step)
        return found

    @staticmethod
    def _write_rows(ops: Ops, table: Table, classes: dict[int, str], zeros: str) -> str:
        """The configuration of a table's parents, int64 [n, 1]."""
        row = ""
        for parent, stride in zip(table.parents, table.strides, strict=True):
            part = ops.node("Mul", classes[parent], ops.constant(np.array(stride), np.int64))
            row = ops.node("Add", row, part) if row else part
        return row or ops.slice(zeros, 0, 1)


class BayesianNetworkTrainer:
    """Learns a structure, then its tables."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="bayesian-network",
        display_name="Bayesian network",
        description=(
            "Finds which few columns each column depends on and counts the rest in tables. Seconds on a CPU; "
            "good with categories and a few thousand patients, and its structure can be read. "
            "Numbers are binned, so what two numbers say of each other is only as fine as the bins."
        ),
        reference="Cooper, Herskovits, Machine Learning 9, 1992; Chow, Liu, IEEE Trans. Inf. Theory 14, 1968",
        parameters=_PARAMETERS,
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Structure from at most 50,000 rows, tables from all."""
        given = request.parameters
        rng = np.random.default_rng(request.seed)
        rows = encode_rows(request, hooks, rng)
        bins = Bins.of(rows, int(given["encoder_max_clusters"]), _CATEGORIES)
        classes, sizes = bins.encode(rows.features), bins.sizes
        hooks.phase("structure")
        settings = Settings(
            search=str(given["struct_learning_search_method"]),
            score=str(given["struct_learning_score"]),
            max_indegree=int(given["struct_max_indegree"]),
            changes=int(given["struct_learning_n_iter"]),
            cells=min(_WIDEST, _CELLS // sizes.size),
        )
        total, most = classes.shape[0], min(_ROWS, max(2_000, _PAIRS // sizes.size**2))
        chosen = np.sort(rng.choice(total, most, replace=False)) if total > most else np.arange(total)
        parents = learn(classes[chosen], sizes, settings, hooks)
        hooks.phase("counting")
        counted = Counted(rows.subjects, rows.weights, request.min_patients, float(given["smoothing"]))
        tables = []
        for place, own in enumerate(parents):
            hooks.check()
            edges = shares_of(classes, sizes, place, own, counted)
            strides = [int(np.prod(sizes[list(own[i + 1 :])])) for i in range(len(own))]
            tables.append(Table(own, edges, tuple(strides)))
        hooks.progress(Progress(1, 1))
        return NetworkGenerator(rows.encoding, bins, tuple(tables))


@dataclass(frozen=True, eq=False)
class Counted:
    """Rows, and how they count."""

    subjects: Indices
    weights: Doubles
    min_patients: int
    smoothing: float
    """How many rows a table of one parent fewer weighs."""


def shares_of(
    classes: npt.NDArray[np.int32], sizes: Indices, place: int, parents: tuple[int, ...], counted: Counted
) -> Floats:
    """Cumulative shares of a column's classes but the last, [configurations of its parents, size - 1].

    Those of a configuration that fewer than `min_patients` patients have are
    those of the configuration without the last parent; others are pulled there.
    """
    size, own = int(sizes[place]), classes[:, place].astype(np.int64)
    shares = np.full((1, size), 1.0 / size)
    config = np.zeros_like(own)
    for parent in (-1, *parents):
        if parent >= 0:
            shares = np.repeat(shares, sizes[parent], axis=0)
            config = config * sizes[parent] + classes[:, parent]
        count = shares.shape[0]
        counts = np.bincount(config * size + own, counted.weights, minlength=count * size)
        counts = counts.reshape(count, size)
        enough = patients_per_code(config, counted.subjects, count) >= counted.min_patients
        # The first table needs no prior: each of its classes is of enough patients.
        prior = counted.smoothing if parent >= 0 else 1e-9
        pulled = (counts + prior * shares) / (counts.sum(axis=1, keepdims=True) + prior)
        shares = np.where(enough[:, None], pulled, shares)
    ends = np.cumsum(shares, axis=1)
    edges: Floats = (ends[:, :-1] / ends[:, -1:]).astype(np.float32)
    return edges
