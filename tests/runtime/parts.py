"""Things that several tests are made of: a hand-made graph and its bundle, rows of every storage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporters.bundle import pack
from exporters.card import card_text
from kohort.columns import Array, Batch
from kohort.manifest import Manifest
from kohort.schema import Column, Finding, Handling, Kind, Schema, Storage, TableRole, TableSchema

BLOCK = 64
GRAPH = "graphs/main.onnx"
SEX = ("female", "male", "unknown – nicht erfasst")

_MODEL, _FRESH, _DROP = Handling.MODEL, Handling.REGENERATE, Handling.DROP
PEOPLE = TableSchema(
    "people",
    (
        Column("id", Kind.ID, Storage.INT64, _FRESH, "KEY_REGENERATED", nullable=False),
        Column("sex", Kind.CATEGORY, Storage.STRING, _MODEL),
        Column("smoker", Kind.BOOLEAN, Storage.BOOL, _MODEL),
        Column("notes", Kind.TEXT, Storage.STRING, _DROP, "FREE_TEXT"),
        Column("age", Kind.INTEGER, Storage.INT64, _MODEL, nullable=False),
        Column("weight", Kind.DECIMAL, Storage.DECIMAL, _MODEL, scale=1),
        Column("score", Kind.DECIMAL, Storage.DOUBLE, _MODEL, nullable=False),
        Column("born", Kind.DATE, Storage.DATE, _MODEL, nullable=False),
        Column("seen", Kind.DATETIME, Storage.DATETIME, _MODEL, time_zone="Europe/Berlin"),
        Column("stay", Kind.DURATION, Storage.DURATION, _MODEL, nullable=False),
        Column("ward", Kind.ID, Storage.STRING, _FRESH, nullable=False),
    ),
    primary_key=("id",),
    role=TableRole.STATIC,
)
FAR = 12_000_000_000_000_000  # microseconds: the year 2350, past what nanoseconds hold


def graph_bytes(**changes: Any) -> bytes:
    """Three uniforms and two normals become the eight modelled columns of `PEOPLE`.

    `changes` replaces nodes' operators (by output name), or sets `domain`, `opset`, `block`.
    """
    nodes = []
    tensors = []

    def constant(value: Any, dtype: Any) -> str:
        tensors.append(numpy_helper.from_array(np.asarray(value, dtype), f"k{len(tensors)}"))
        return tensors[-1].name

    def node(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(changes.get(output, op), inputs, [output], **attributes))
        return output

    def column(source: str, index: int, output: str) -> str:
        return node("Gather", [source, constant(index, np.int64)], output, axis=1)

    def whole(source: str, scale: float, output: str, to: int = TensorProto.INT64) -> str:
        scaled = node("Mul", [source, constant(scale, np.float32)], f"{output}.scaled")
        return node("Cast", [node("Floor", [scaled], f"{output}.floor")], output, to=to)

    u = [column("uniform", i, f"u{i}") for i in range(3)]
    z = [column("normal", i, f"z{i}") for i in range(2)]
    present = [node("Less", [u[i], constant(0.8, np.float32)], f"p{i}") for i in range(3)]
    zero = constant(0, np.int64)

    node("Where", [present[0], whole(u[1], 3, "sex"), zero], "c0")
    node("Identity", [present[0]], "v0")
    node("Greater", [z[0], constant(0.5, np.float32)], "c1.raw")
    node("And", ["c1.raw", present[1]], "c1")
    node("Identity", [present[1]], "v1")
    node("Add", [whole(u[0], 60, "years"), constant(18, np.int64)], "c2")
    node("Where", [present[2], whole(z[1], 150, "grams"), zero], "c3")
    node("Identity", [present[2]], "v3")
    node("Cast", [node("Tanh", [z[0]], "score")], "c4", to=TensorProto.DOUBLE)
    whole(z[0], 9000, "c5", TensorProto.INT32)
    node("Add", [whole(u[2], 86400, "second"), constant(FAR, np.int64)], "seen")
    node("Where", [present[0], "seen", zero], "c6")
    node("Not", [node("Not", [present[0]], "absent")], "v6")
    node("Mul", [whole(u[1], 1000, "milli"), constant(1_000, np.int64)], "c7")

    block = changes.get("block", BLOCK)
    types = {f"c{j}": TensorProto.INT64 for j in range(8)}
    types |= {f"v{j}": TensorProto.BOOL for j in (0, 1, 3, 6)}
    types |= {"c1": TensorProto.BOOL, "c4": TensorProto.DOUBLE, "c5": TensorProto.INT32}
    graph = helper.make_graph(
        nodes,
        "people",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [block, w])
            for n, w in (("uniform", 3), ("normal", 2))
        ],
        [helper.make_tensor_value_info(n, t, [block]) for n, t in types.items()],
        tensors,
    )
    opsets = [helper.make_opsetid("", changes.get("opset", 20))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if "domain" in changes:
        model.graph.node[0].domain = changes["domain"]
    return model.SerializeToString()


def model(data: bytes | None = None) -> onnx.ModelProto:
    """The graph as protobuf, to be damaged."""
    return onnx.load_from_string(data or graph_bytes())


def manifest(**changes: Any) -> Manifest:
    """The manifest of a bundle around `graph_bytes`."""
    made = Manifest(
        schema=Schema((PEOPLE,)),
        trainer="handmade",
        parameters={"epochs": 3, "rate": 0.5},
        seed=11,
        program={
            "name": "single_pass",
            "version": 1,
            "unit": "row",
            "table": "people",
            "graph": GRAPH,
            "noise": {"scheme": 1, "stream": 0, "block": BLOCK, "uniforms": 3, "normals": 2},
        },
        dictionaries={"people": {"sex": list(SEX)}},
        privacy={
            "differentially_private": False,
            "min_patients_per_value": 5,
            "statement": "None is promised.",
        },
        findings=(Finding("FREE_TEXT", "free text is never trained on", "people", "notes"),),
        lineage={"dataset": "datasets/d1", "created": "2026-01-01T00:00:00Z"},
    )
    return replace(made, **changes)


def bundle_bytes(made: Manifest | None = None, graph: bytes | None = None, key: Any = None) -> bytes:
    """A whole bundle, unchecked."""
    made = made or manifest()
    return pack(made, {GRAPH: graph or graph_bytes()}, card_text(made), key)[1]


ALL = TableSchema(
    "all", tuple(Column(s.value, storage=s, scale=3) for s in Storage if s is not Storage.UNSPECIFIED)
)


def all_storages(rows: int = 50, seed: int = 0) -> dict[str, Array]:
    """A column of every storage (strings dictionary-coded and plain), with nulls and extremes."""
    random = np.random.default_rng(seed)
    valid = random.random(rows) < 0.7
    extremes = np.array([-(2**63), 2**63 - 1, 0, -1], np.int64)
    big = np.resize(np.concatenate([extremes, random.integers(-(10**17), 10**17, 20)]), rows)
    doubles = np.resize([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7e308, 0.1], rows)
    dates = np.resize(np.array([-(2**31), 2**31 - 1, 0, 719_162], np.int64), rows)
    texts = np.resize(np.array(["", "a", "ü", "日本語", 'q"', "x" * 200, "\r\n", "🩺"], object), rows)
    lengths = random.integers(0, 4, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    words = ("", "I10", "Ω", "E11.9")
    make = Array.make
    arrays = {s.value: make(s, big, valid) for s in (Storage.INT64, Storage.DECIMAL, Storage.DATETIME)}
    arrays |= {
        "duration": make(Storage.DURATION, big),
        "bool": make(Storage.BOOL, random.random(rows) < 0.5, valid),
        "double": make(Storage.DOUBLE, doubles, np.roll(valid, 3)),
        "date": make(Storage.DATE, dates, valid),
        "string": make(Storage.STRING, random.integers(0, 4, rows), valid, words),
        "string_list": make(Storage.STRING_LIST, random.integers(0, 4, lengths.sum()), valid, words, offsets),
    }
    ordered = {column.name: arrays[column.name] for column in ALL.columns}
    return ordered | {"text": make(Storage.STRING, texts, np.roll(valid, 1))}


def all_batch(rows: int = 50, seed: int = 0) -> Batch:
    """`all_storages` as a batch."""
    return Batch("all", all_storages(rows, seed), 7, 0, 7 + rows)
