"""Writes how encoded features become cells: the graph's half of `trainers.encoding`.

Whole numbers are put together in int64, so that no digit of a large one passes
through a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from exporters.graph import GraphBuilder
from kohort.schema import Storage
from trainers.encoding import CategoryEncoding, ColumnEncoding, NumberEncoding
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


def write_decoding(graph: GraphBuilder, encoding: ColumnEncoding, features: Sequence[str]) -> Cells:
    """Writes the decoding of one column from its features, each [n]."""
    if isinstance(encoding, CategoryEncoding):
        return _category(graph, encoding, features[0])
    return _number(graph, encoding, features)


def _category(graph: GraphBuilder, encoding: CategoryEncoding, index: str) -> Cells:
    valid = ""
    if encoding.nulls:
        valid = graph.node("Less", index, graph.constant(len(encoding.values), np.int64))
    if encoding.storage is Storage.STRING:
        zero = graph.constant(0, np.int64)
        return Cells(graph.node("Where", valid, index, zero) if valid else index, valid)
    table = np.array(encoding.values, dtype=cell_type(encoding.storage))
    return Cells(gather(graph, np.append(table, table.dtype.type(0)), index), valid)


def _number(graph: GraphBuilder, encoding: NumberEncoding, features: Sequence[str]) -> Cells:
    lo, hi = graph.constant(encoding.lo, np.float64), graph.constant(encoding.hi, np.float64)
    cells = graph.node("Clip", features[-1], lo, hi)
    if encoding.step:
        cells = cast(graph, graph.node("Round", cells), TensorProto.INT64)
        if encoding.step != 1:
            cells = graph.node("Mul", cells, graph.constant(encoding.step, np.int64))
        if encoding.base:
            cells = graph.node("Add", cells, graph.constant(encoding.base, np.int64))
    if encoding.storage is Storage.DATE:
        cells = cast(graph, cells, TensorProto.INT32)
    if not encoding.nulls:
        return Cells(cells, "")
    valid = cast(graph, features[0], TensorProto.BOOL)
    return Cells(graph.node("Where", valid, cells, graph.constant(0, cell_type(encoding.storage))), valid)
