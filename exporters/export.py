"""A generator and its encoding as one graph, from noise to typed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.decode import cell_type, write_decoding
from exporters.graph import GraphBuilder
from kohort.schema import Handling, Storage, TableSchema
from trainers.base import Generator, Noise
from trainers.encoding import CategoryEncoding, Encoding


@dataclass(frozen=True)
class Output:
    """Where one column comes out."""

    column: str
    storage: Storage
    values: str
    """`c{j}`, [n]."""
    valid: str
    """`v{j}`, bool [n]; empty where no cell is null."""


@dataclass(frozen=True)
class Exported:
    """What the program `single_pass/1` runs."""

    graph: bytes
    """Takes `uniform` and `normal` (float32 [n, U] and [n, N]; none of width 0)."""
    decoder: bytes
    """The last part of `graph`, node by node: takes `f{j}` [n], the features of the encoding."""
    table: str
    outputs: tuple[Output, ...]
    """The modelled columns in schema order."""
    noise: Noise
    dictionaries: Mapping[str, tuple[str, ...]]
    """Strings by column."""
    nodes: int
    """Of `graph`."""


def export(generator: Generator, schema: TableSchema) -> Exported:
    """Writes the graph of a generator.

    Args:
        generator: what training gave; its encoding covers exactly the columns to be modelled.
        schema: the effective schema of its table.

    Raises:
        ValueError: the generator does not fit the schema or the contract of `Generator`.
    """
    encoding, noise = generator.encoding, generator.noise
    modelled = [column.name for column in schema.columns if column.handling is Handling.MODEL]
    if [column.column for column in encoding.columns] != modelled:
        raise ValueError("the encoding does not cover exactly the modelled columns of the schema")
    if noise.uniforms + noise.normals == 0:
        raise ValueError("a generator takes some noise")
    builder = GraphBuilder()
    features = generator.graph(builder, "uniform", "normal")
    layout = encoding.features
    if len(features) != len(layout):
        raise ValueError("the generator writes another number of features than its encoding has")
    names = [builder.named(x, f"f{j}") for j, x in enumerate(features)]
    first = builder.position
    outputs = _write_columns(builder, encoding, names)
    typed = [
        (name, dtype)
        for output in outputs
        for name, dtype in ((output.values, cell_type(output.storage)), (output.valid, np.bool_))
        if name
    ]
    noisy = [("uniform", np.float32, noise.uniforms), ("normal", np.float32, noise.normals)]
    encoded: list[tuple[str, npt.DTypeLike, None]] = [
        (name, np.float64 if feature.size is None else np.int64, None)
        for name, feature in zip(names, layout, strict=True)
    ]
    return Exported(
        graph=builder.model([i for i in noisy if i[2]], typed),
        decoder=builder.model(encoded, typed, first),
        table=schema.name,
        outputs=tuple(outputs),
        noise=noise,
        nodes=builder.position,
        dictionaries={
            column.column: tuple(str(value) for value in column.values)
            for column in encoding.columns
            if isinstance(column, CategoryEncoding) and column.storage is Storage.STRING
        },
    )


def _write_columns(builder: GraphBuilder, encoding: Encoding, features: Sequence[str]) -> list[Output]:
    outputs = []
    start = 0
    for j, column in enumerate(encoding.columns):
        stop = start + len(column.features)
        cells = write_decoding(builder, column, features[start:stop])
        values = builder.named(cells.values, f"c{j}")
        valid = builder.named(cells.valid, f"v{j}") if cells.valid else ""
        outputs.append(Output(column.column, column.storage, values, valid))
        start = stop
    return outputs
