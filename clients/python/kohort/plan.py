"""What the manifest says about a `single_pass` program, checked, and whether its graphs do that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kohort.constraints import check_constraints
from kohort.entries import Features, no_features, read_features
from kohort.fakes import supported
from kohort.graphcheck import GraphInfo, TensorType
from kohort.manifest import Manifest, invalid
from kohort.noise import MAX_BLOCK, SCHEMES
from kohort.problem import Problem
from kohort.schema import Column, Handling, Storage, TableSchema

VARIANTS = ("fp32", "int8")
"""What networks of graphs may compute in."""

MAX_STREAM = 1 << 32
"""Streams of graphs lie up to here; those above are the runtime's own."""

_MAX_NOISE = 1 << 14
# TensorProto.DataType
_FLOAT, _INT32, _INT64, _BOOL, _DOUBLE = 1, 6, 7, 9, 11
ELEMENTS: Mapping[Storage, tuple[int, Any]] = {
    Storage.BOOL: (_BOOL, np.bool_),
    Storage.INT64: (_INT64, np.int64),
    Storage.DOUBLE: (_DOUBLE, np.float64),
    Storage.DECIMAL: (_INT64, np.int64),
    Storage.STRING: (_INT64, np.int64),
    Storage.DATE: (_INT32, np.int32),
    Storage.DATETIME: (_INT64, np.int64),
    Storage.DURATION: (_INT64, np.int64),
}
"""Element type and numpy type of a column's tensor."""


@dataclass(frozen=True)
class Plan:
    """A `single_pass` program as its manifest describes it."""

    table: TableSchema
    modelled: tuple[Column, ...]
    graph: str
    scheme: int
    stream: int
    block: int
    uniforms: int
    normals: int
    given_graph: str
    """Empty where nothing can be given."""
    features: Features
    """The inputs of the given graph."""
    temperature: bool
    """Whether temperature and top-p do what they say."""
    variant: str
    """One of `VARIANTS`."""

    @property
    def graphs(self) -> set[str]:
        """The files of all graphs."""
        return {self.graph, self.given_graph} - {""}


def read_plan(manifest: Manifest) -> Plan:
    """What the manifest says. Raises Problem BUNDLE_INVALID."""
    program = manifest.program
    noise = program.get("noise")
    if program.get("unit") != "row" or not isinstance(noise, dict):
        raise invalid("manifest.program", "is not of the documented shape")
    scheme, stream, block, uniforms, normals = (
        _whole(noise, "scheme", SCHEMES[0], SCHEMES[-1]),
        _whole(noise, "stream", 0, MAX_STREAM),
        _whole(noise, "block", 1, MAX_BLOCK),
        _whole(noise, "uniforms", 0, _MAX_NOISE),
        _whole(noise, "normals", 0, _MAX_NOISE),
    )
    if [table.name for table in manifest.schema] != [program.get("table")]:
        raise invalid("manifest.program.table", "is not the only table of the schema")
    variant = program.get("variant", VARIANTS[0])
    if variant not in VARIANTS:
        raise invalid("manifest.program.variant", f"is none of {', '.join(VARIANTS)}")
    table = manifest.schema.tables[0]
    modelled = tuple(c for c in table.emitted if c.handling is not Handling.REGENERATE)
    if not modelled or any(c.storage not in ELEMENTS for c in modelled):
        raise invalid("manifest.schema", "a column has a storage that this program does not emit")
    if not all(supported(c.fake, c.storage) for c in table.emitted if c.handling is Handling.REGENERATE):
        raise invalid("manifest.schema", "a regenerated column has no fakes of its kind and storage")
    try:
        check_constraints(table)
    except Problem:
        raise invalid("manifest.schema", "a constraint cannot be kept") from None
    given_graph, temperature = "", False
    features = no_features(modelled)
    if program["version"] >= 2:
        given_graph, temperature = str(program.get("given_graph")), program.get("temperature") is True
        features = read_features(program, modelled, dictionaries(manifest, table, modelled))
        if given_graph == program.get("graph"):
            raise invalid("manifest.program.given_graph", "is the graph that takes nothing")
    return Plan(
        table,
        modelled,
        str(program.get("graph")),
        scheme,
        stream,
        block,
        uniforms,
        normals,
        given_graph,
        features,
        temperature,
        variant,
    )


def dictionaries(
    manifest: Manifest, table: TableSchema, modelled: tuple[Column, ...]
) -> dict[str, tuple[str, ...]]:
    """The strings of the modelled columns that have some. Raises Problem BUNDLE_INVALID."""
    return {
        column.name: manifest.strings(table.name, column.name)
        for column in modelled
        if column.storage is Storage.STRING
    }


def check(manifest: Manifest, graphs: Mapping[str, GraphInfo]) -> None:
    """Raises Problem BUNDLE_INVALID when the graphs do not fit the manifest."""
    plan = read_plan(manifest)
    if set(graphs) != plan.graphs:
        raise invalid("manifest.program.graph", "the bundle does not hold exactly the graphs it names")
    check_signatures(plan, graphs)
    dictionaries(manifest, plan.table, plan.modelled)


def check_signatures(plan: Plan, graphs: Mapping[str, GraphInfo]) -> None:
    """Raises Problem BUNDLE_INVALID when a graph takes or gives other tensors than it should."""
    noise = {"uniform": (_FLOAT, plan.uniforms), "normal": (_FLOAT, plan.normals)}
    wanted = {name: entry for name, entry in noise.items() if entry[1]}
    _check_signature(plan, graphs[plan.graph], wanted)
    if plan.given_graph:
        width = plan.features.width
        wanted |= {"given": (_DOUBLE, width), "mask": (_BOOL, width)}
        wanted |= {"temperature": (_FLOAT, 1), "top_p": (_FLOAT, 1)}
        _check_signature(plan, graphs[plan.given_graph], wanted)
        if set(graphs[plan.graph].outputs) != set(graphs[plan.given_graph].outputs):
            raise invalid("graph", "the graphs do not give the same columns")


def _whole(noise: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = noise.get(name)
    if type(value) is not int or not low <= value <= high:
        raise invalid(f"manifest.program.noise.{name}", f"is no whole number from {low} to {high}")
    return value


def _check_signature(plan: Plan, info: GraphInfo, wanted: Mapping[str, tuple[int, int]]) -> None:
    if set(info.inputs) != set(wanted):
        raise invalid("graph", "does not take exactly the inputs of the manifest")
    for name, (element, size) in wanted.items():
        if not _fits(info.inputs[name], element, (plan.block, size)):
            raise invalid("graph", f"takes {name} of another type or shape")
    allowed = {}
    for j, column in enumerate(plan.modelled):
        allowed[f"c{j}"] = ELEMENTS[column.storage][0]
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
