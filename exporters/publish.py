"""From a trained generator to the file of a bundle: the one call of a training job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.bundle import Written, write_bundle
from exporters.card import card_text
from exporters.export import Exported, export
from exporters.parity import check_parity
from kohort.graphcheck import MAX_NODES
from kohort.manifest import Manifest
from kohort.noise import MAX_BLOCK
from kohort.problem import Problem
from kohort.rules import Allowed, Constraint
from kohort.schema import Column, Finding, Schema, Storage
from kohort.values import read_value
from tables.physical import written
from trainers.base import Generator, TrainerInfo
from trainers.encoding import (
    CategoryEncoding,
    ColumnEncoding,
    Encoding,
    JointEncoding,
    NumberEncoding,
    names_of,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

GRAPH, GIVEN_GRAPH = "graphs/main.onnx", "graphs/given.onnx"


def export_bundle(
    generator: Generator,
    schema: Schema,
    info: TrainerInfo,
    parameters: Mapping[str, Any],
    seed: int,
    privacy: Mapping[str, Any],
    findings: Sequence[Finding],
    lineage: Mapping[str, Any],
    path: str | Path,
    signing_key: Ed25519PrivateKey | None = None,
    phase: Callable[[str], None] = lambda _: None,
) -> Written:
    """Exports a generator, proves the graph equal to it, and writes the bundle.

    Args:
        generator: what training gave.
        schema: the whole effective schema, of one table. Of declared levels the bundle names those
            that the encoding supports: who declares them takes them from the data as a rule.
        info: of the trainer.
        parameters: all of them, defaults filled in.
        seed: of the training.
        privacy: `differentially_private`, `epsilon`, `delta`, `min_patients_per_value`, `statement`.
        findings: what a person should know.
        lineage: where it comes from; not part of the content digest.
        path: where to write.
        signing_key: signs the manifest; None leaves the bundle unsigned.
        phase: told "exporting", "verifying" and "publishing" as they begin.

    Raises:
        Problem: PARITY_FAILED; MULTI_TABLE_UNSUPPORTED; LIMIT_EXCEEDED for a graph larger than
            bundles may hold; what `write_bundle` raises.
        ValueError: the generator breaks its contract.
        OSError: the file cannot be written.
    """
    if len(schema.tables) != 1:
        raise Problem("MULTI_TABLE_UNSUPPORTED", "a bundle of this program emits exactly one table")
    phase("exporting")
    exported = export(generator, schema.tables[0])
    _check_size(exported)
    phase("verifying")
    check_parity(generator, exported)
    phase("publishing")
    manifest = Manifest(
        schema=_published(schema, generator.encoding),
        trainer=info.name,
        parameters=parameters,
        seed=seed,
        program=_program(exported, generator.encoding, info),
        dictionaries={
            exported.table: {name: list(strings) for name, strings in exported.dictionaries.items()}
        },
        privacy=privacy,
        findings=tuple(findings),
        lineage=lineage,
    )
    graphs = {GRAPH: exported.graph} | ({GIVEN_GRAPH: exported.given} if exported.given else {})
    return write_bundle(path, manifest, graphs, card_text(manifest), signing_key)


def _check_size(exported: Exported) -> None:
    """Before a runtime spends minutes on opening what `write_bundle` would refuse."""
    if exported.nodes > MAX_NODES:
        raise Problem.at("LIMIT_EXCEEDED", exported.table, "has more columns than this trainer can export")


def _published(schema: Schema, encoding: Encoding) -> Schema:
    """The schema without levels and allowed values that only few patients hold, or nobody."""
    supported: dict[str, set[str]] = {}
    table = schema.tables[0]
    constraints = table.constraints
    for column in encoding.categories:
        own = table.column(column.column)
        supported[own.name] = {written(value, column.storage, own) for value in column.values}
        constraints = tuple(_supported(rule, own, column) for rule in constraints)
    columns = tuple(
        replace(c, levels=tuple(level for level in c.levels if level in supported.get(c.name, ())))
        for c in table.columns
    )
    return Schema((replace(table, columns=columns, constraints=constraints),))


def _supported(rule: Constraint, column: Column, encoding: CategoryEncoding) -> Constraint:
    if not isinstance(rule, Allowed) or rule.column != column.name:
        return rule
    values = (text for text in rule.values if read_value(text, column, column.name) in encoding.values)
    return Allowed(rule.column, tuple(values))


def _program(exported: Exported, encoding: Encoding, info: TrainerInfo) -> dict[str, Any]:
    """See `kohort.single_pass`."""
    program: dict[str, Any] = {
        "name": "single_pass",
        "version": 1,
        "unit": "row",
        "table": exported.table,
        "graph": GRAPH,
        "noise": {
            "scheme": exported.noise.scheme,
            "stream": 0,
            "block": MAX_BLOCK,
            "uniforms": exported.noise.uniforms,
            "normals": exported.noise.normals,
        },
    }
    if exported.variant != "fp32":
        program["variant"] = exported.variant
    if exported.given:
        program |= {
            "version": 2,
            "given_graph": GIVEN_GRAPH,
            "features": [_feature(column) for column in encoding.columns],
            "temperature": info.temperature,
        }
    return program


def _feature(column: ColumnEncoding) -> dict[str, Any]:
    """See `kohort.features`."""
    said: dict[str, Any] = {"columns": list(names_of(column))}
    if isinstance(column, JointEncoding):
        return {**said, "encoding": "opaque", "width": len(column.features)}
    if isinstance(column, NumberEncoding):
        names = ("encoding", "base", "step", "lo", "hi", "knots_u", "knots_x", "nulls")
        known = column.to_json()
        said |= {name: known[name] for name in names}
        return said if column.anchor is None else {**said, "anchor": column.anchor.column}
    said |= {"encoding": "category", "nulls": column.nulls, "frequencies": list(column.frequencies)}
    return said if column.storage is Storage.STRING else {**said, "values": list(column.values)}
