"""The program `single_pass/1`: one graph maps a block of noise to a block of rows.

`manifest.program` holds, besides name and version:

    unit      "row"
    table     the table that is emitted
    graph     the file of the graph, such as "graphs/main.onnx"
    noise     scheme (1), stream, block (units per run), uniforms, normals

The graph takes `uniform` float32 [block, uniforms] and `normal` float32
[block, normals]; one of them is absent when its count is 0. For the j-th column
that is modelled and emitted it gives `c{j}`, in the type of the column's
storage (STRING: int64 positions in the dictionary), and `v{j}` (bool, true
where the cell is not null) if cells may be null; all of shape [block]. Columns
to be regenerated are fresh fakes of the unit (`kohort.fakes`).

The graph always runs on whole blocks from unit 0 on, and rows are sliced out,
so that no range and no batch size can change a byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kohort.columns import Array, Batch
from kohort.fakes import fake_column, supported
from kohort.graphcheck import GraphInfo, TensorType, check_graph
from kohort.manifest import Manifest, invalid
from kohort.noise import MAX_BLOCK, SCHEME, block_noise, check_units
from kohort.schema import Column, Handling, Schema, Storage, TableSchema
from kohort.sessions import SessionFactory, run_graph, runtime_fingerprint

if TYPE_CHECKING:
    from kohort.programs import SampleSpec

_MAX_NOISE = 1 << 14
# TensorProto.DataType
_FLOAT, _INT32, _INT64, _BOOL, _DOUBLE = 1, 6, 7, 9, 11
_ELEMENTS: Mapping[Storage, tuple[int, Any]] = {
    Storage.BOOL: (_BOOL, np.bool_),
    Storage.INT64: (_INT64, np.int64),
    Storage.DOUBLE: (_DOUBLE, np.float64),
    Storage.DECIMAL: (_INT64, np.int64),
    Storage.STRING: (_INT64, np.int64),
    Storage.DATE: (_INT32, np.int32),
    Storage.DATETIME: (_INT64, np.int64),
    Storage.DURATION: (_INT64, np.int64),
}


class SinglePass:
    """A loaded `single_pass/1` program (see `kohort.programs.Program`)."""

    unit = "row"

    def __init__(
        self, manifest: Manifest, graphs: Mapping[str, bytes], session_factory: SessionFactory
    ) -> None:
        self._plan = plan = _plan(manifest)
        if plan.graph not in graphs:
            raise invalid("manifest.program.graph", "names no graph of the bundle")
        info = check_graph(graphs[plan.graph])
        _check_signature(plan, info)
        self.schema = Schema((plan.table.with_columns(plan.table.emitted),))
        self.dictionaries = {
            (plan.table.name, column.name): manifest.strings(plan.table.name, column.name)
            for column in plan.modelled
            if column.storage is Storage.STRING
        }
        self._outputs = [n for n in _output_names(len(plan.modelled)) if n in info.outputs]
        self._session = session_factory(graphs[plan.graph])
        self.fingerprint = runtime_fingerprint(manifest.content_digest, self._session)

    def units(self, spec: SampleSpec, start: int, count: int) -> Iterator[Batch]:
        """Units [start, start + count), one batch per block of noise."""
        check_units(start, count)
        stop, size = start + count, self._plan.block
        for block in range(start // size, -(-stop // size) if count else 0):
            first = block * size
            low, high = max(start, first), min(stop, first + size)
            cells = self._run(spec, block)
            arrays = {
                column.name: cells[column.name].slice(low - first, high - first)
                if column.name in cells
                else fake_column(column, spec.seed, low, high)
                for column in self._plan.table.emitted
            }
            yield Batch(self._plan.table.name, arrays, low, 0, high)

    def _run(self, spec: SampleSpec, block: int) -> dict[str, Array]:
        plan = self._plan
        uniform, normal = block_noise(spec.seed, plan.stream, block, plan.block, plan.uniforms, plan.normals)
        feeds = {"uniform": uniform, "normal": normal}
        feeds = {name: noise for name, noise in feeds.items() if noise.shape[1]}
        results = dict(zip(self._outputs, run_graph(self._session, feeds, self._outputs), strict=True))
        return {
            column.name: self._array(column, results[f"c{j}"], results.get(f"v{j}"))
            for j, column in enumerate(plan.modelled)
        }

    def _array(self, column: Column, values: Any, valid: Any) -> Array:
        where = f"{self._plan.table.name}.{column.name}"
        shape, dtype = (self._plan.block,), _ELEMENTS[column.storage][1]
        if values.shape != shape or values.dtype != dtype:
            raise invalid(where, "the graph emits another type or shape than it should")
        if valid is not None:
            if valid.shape != shape or valid.dtype != np.bool_:
                raise invalid(where, "the graph emits another type or shape than it should")
            if valid.all():
                valid = None
            else:
                values = np.where(valid, values, values.dtype.type(0))
        if column.storage is Storage.DOUBLE and not np.isfinite(values).all():
            raise invalid(where, "the graph emits something that is no number")
        dictionary = self.dictionaries.get((self._plan.table.name, column.name))
        if dictionary is not None:
            if values.min() < 0 or values.max() >= max(len(dictionary), 1 if valid is not None else 0):
                raise invalid(where, "the graph emits a position outside the dictionary")
            values = values.astype("<u4")
        return Array(column.storage, values, valid, dictionary)


def check(manifest: Manifest, graphs: Mapping[str, GraphInfo]) -> None:
    """Raises Problem BUNDLE_INVALID when the graph does not fit the manifest."""
    plan = _plan(manifest)
    if set(graphs) != {plan.graph}:
        raise invalid("manifest.program.graph", "the bundle does not hold exactly this graph")
    _check_signature(plan, graphs[plan.graph])
    for column in plan.modelled:
        if column.storage is Storage.STRING:
            manifest.strings(plan.table.name, column.name)


@dataclass(frozen=True)
class _Plan:
    table: TableSchema
    modelled: tuple[Column, ...]
    graph: str
    stream: int
    block: int
    uniforms: int
    normals: int


def _plan(manifest: Manifest) -> _Plan:
    """What the manifest says, checked."""
    program = manifest.program
    noise = program.get("noise")
    if program.get("unit") != "row" or not isinstance(noise, dict) or noise.get("scheme") != SCHEME:
        raise invalid("manifest.program", "is not of the documented shape")
    stream, block, uniforms, normals = (
        _whole(noise, "stream", 0, 1 << 32),
        _whole(noise, "block", 1, MAX_BLOCK),
        _whole(noise, "uniforms", 0, _MAX_NOISE),
        _whole(noise, "normals", 0, _MAX_NOISE),
    )
    if [table.name for table in manifest.schema] != [program.get("table")]:
        raise invalid("manifest.program.table", "is not the only table of the schema")
    table = manifest.schema.tables[0]
    modelled = tuple(c for c in table.emitted if c.handling is not Handling.REGENERATE)
    if not modelled or any(c.storage not in _ELEMENTS for c in modelled):
        raise invalid("manifest.schema", "a column has a storage that this program does not emit")
    if not all(supported(c.fake, c.storage) for c in table.emitted if c.handling is Handling.REGENERATE):
        raise invalid("manifest.schema", "a regenerated column has no fakes of its kind and storage")
    return _Plan(table, modelled, str(program.get("graph")), stream, block, uniforms, normals)


def _whole(noise: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = noise.get(name)
    if type(value) is not int or not low <= value <= high:
        raise invalid(f"manifest.program.noise.{name}", f"is no whole number from {low} to {high}")
    return value


def _check_signature(plan: _Plan, info: GraphInfo) -> None:
    inputs = {"uniform": plan.uniforms, "normal": plan.normals}
    wanted = {name: size for name, size in inputs.items() if size}
    if set(info.inputs) != set(wanted):
        raise invalid("graph", "does not take exactly the noise of the manifest")
    for name, size in wanted.items():
        if not _fits(info.inputs[name], _FLOAT, (plan.block, size)):
            raise invalid("graph", f"takes {name} of another type or shape")
    allowed = {}
    for j, column in enumerate(plan.modelled):
        allowed[f"c{j}"] = _ELEMENTS[column.storage][0]
        allowed[f"v{j}"] = _BOOL
    needed = {f"c{j}" for j in range(len(plan.modelled))}
    if not needed <= set(info.outputs) <= set(allowed):
        raise invalid("graph", "does not give exactly the columns of the schema")
    for name, kind in info.outputs.items():
        if not _fits(kind, allowed[name], (plan.block,)):
            raise invalid("graph", f"gives {name} of another type or shape")


def _fits(kind: TensorType, element: int, shape: tuple[int, ...]) -> bool:
    if kind.element != element:
        return False
    if kind.shape is None:
        return True
    return len(kind.shape) == len(shape) and all(
        a in (None, b) for a, b in zip(kind.shape, shape, strict=True)
    )


def _output_names(columns: int) -> list[str]:
    return [f"{kind}{j}" for j in range(columns) for kind in "cv"]
