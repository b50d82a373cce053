"""Writes how encoded features become cells: the graph's half of `trainers.encoding`.

Whole numbers are put together in int64, so that no digit of a large one passes
through a float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from exporters.graph import GraphBuilder
from kohort.schema import Storage
from trainers.anchors import DAY
from trainers.encoding import CategoryEncoding, Encoding, JointEncoding, NumberEncoding
from trainers.search import cast, gather


@dataclass(frozen=True)
class Cells:
    """The tensors of one column, each [n]."""

    values: str
    """In the storage's type; STRING: int64 positions in the dictionary. 0 where null."""
    valid: str
    """bool, false where null; empty where no cell can be."""


def cell_type(storage: Storage) -> npt.DTypeLike:
    """The type of a column's tensor."""
    return np.int64 if storage is Storage.STRING else storage.dtype


def write_decoding(graph: GraphBuilder, encoding: Encoding, features: Sequence[str]) -> dict[str, Cells]:
    """Writes the decoding of all columns from their features, each [n]; by column."""
    columns: dict[str, Cells] = {}
    raw: dict[str, str] = {}
    for column, where in encoding.in_order:
        own = features[where]
        if isinstance(column, JointEncoding):
            for part, table in column.parts:
                columns[part.column] = _category(graph, part, gather(graph, table, own[0]))
        elif isinstance(column, CategoryEncoding):
            columns[column.column] = _category(graph, column, own[0])
        else:
            cells = raw[column.column] = _number(graph, column, own[-1], raw)
            columns[column.column] = _shown(graph, column, cells, own)
    return columns


def _category(graph: GraphBuilder, encoding: CategoryEncoding, index: str) -> Cells:
    valid = ""
    if encoding.nulls:
        valid = graph.node("Less", index, graph.constant(len(encoding.values), np.int64))
    if encoding.storage is Storage.STRING:
        zero = graph.constant(0, np.int64)
        return Cells(graph.node("Where", valid, index, zero) if valid else index, valid)
    table = np.array(encoding.values, dtype=cell_type(encoding.storage))
    return Cells(gather(graph, np.append(table, table.dtype.type(0)), index), valid)


def _number(graph: GraphBuilder, encoding: NumberEncoding, x: str, raw: Mapping[str, str]) -> str:
    """Cells as int64 or float64, whether or not they are null."""
    lo, hi = graph.constant(encoding.lo, np.float64), graph.constant(encoding.hi, np.float64)
    cells: str = graph.node("Clip", x, lo, hi)
    if encoding.step:
        cells = cast(graph, graph.node("Round", cells), TensorProto.INT64)
        if encoding.step != 1:
            cells = graph.node("Mul", cells, graph.constant(encoding.step, np.int64))
        if encoding.base:
            cells = graph.node("Add", cells, graph.constant(encoding.base, np.int64))
    if encoding.anchor is None:
        return cells
    dtype = np.int64 if encoding.step else np.float64
    anchors = _in_unit(graph, raw[encoding.anchor.column], encoding.anchor.storage, encoding.storage)
    cells = graph.node("Add", anchors, cells)
    cells = _at_least(graph, cells, graph.constant(encoding.anchor.least, dtype))
    cells = _at_most(graph, cells, graph.constant(encoding.anchor.most, dtype))
    # What the difference must be goes before what the column's own range is.
    low, high = (graph.node("Add", anchors, graph.constant(edge, dtype)) for edge in encoding.span)
    return _at_most(graph, _at_least(graph, cells, low), high)


# Not Max and Min: those of ONNX Runtime 1.31 on x86-64 are wrong for one in ten int64 beyond 32 bits.


def _at_least(graph: GraphBuilder, x: str, low: str) -> str:
    return str(graph.node("Where", graph.node("Less", x, low), low, x))


def _at_most(graph: GraphBuilder, x: str, high: str) -> str:
    return str(graph.node("Where", graph.node("Less", high, x), high, x))


def _in_unit(graph: GraphBuilder, cells: str, have: Storage, want: Storage) -> str:
    """`trainers.anchors.in_unit` as a graph; division rounds towards zero here, so the rest goes first."""
    if {have, want} != {Storage.DATE, Storage.DATETIME}:
        return cells
    day = graph.constant(DAY, np.int64)
    if have is Storage.DATE:
        return str(graph.node("Mul", cells, day))
    return str(graph.node("Div", graph.node("Sub", cells, graph.node("Mod", cells, day)), day))


def _shown(graph: GraphBuilder, encoding: NumberEncoding, cells: str, features: Sequence[str]) -> Cells:
    """Cells in the storage's type, 0 where null."""
    if encoding.storage is Storage.DATE:
        cells = cast(graph, cells, TensorProto.INT32)
    if not encoding.nulls:
        return Cells(cells, "")
    valid = cast(graph, features[0], TensorProto.BOOL)
    return Cells(graph.node("Where", valid, cells, graph.constant(0, cell_type(encoding.storage))), valid)
