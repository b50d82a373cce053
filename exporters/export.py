"""A generator and its encoding as one graph, from noise to typed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.decode import cell_type, write_decoding
from exporters.graph import GraphBuilder
from kohort.schema import Handling, Storage, TableSchema
from trainers.base import ConditionalGenerator, Generator, Given, Noise, variant_of
from trainers.encoding import Encoding, names_of

GIVEN = Given("given", "mask", "temperature", "top_p")
"""The inputs of a graph that completes rows, besides noise."""


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
    """What the program `single_pass` runs."""

    graph: bytes
    """Takes `uniform` and `normal` (float32 [n, U] and [n, N]; none of width 0)."""
    decoder: bytes
    """The last part of `graph`, node by node: takes `f{j}` [n], the features of the encoding."""
    table: str
    outputs: tuple[Output, ...]
    """The modelled columns in schema order."""
    noise: Noise
    variant: str
    """See `trainers.base.variant_of`."""
    dictionaries: Mapping[str, tuple[str, ...]]
    """Strings by column."""
    nodes: int
    """Of `graph`, or of `given` where that has more."""
    given: bytes = b""
    """Of a `ConditionalGenerator`: as `graph`, but takes `given` float64 [n, F], `mask` bool [n, F],
    `temperature` and `top_p` (float32 [n, 1]) as well."""


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
    covered = [name for column in encoding.columns for name in names_of(column)]
    if sorted(covered) != sorted(modelled):
        raise ValueError("the encoding does not cover exactly the modelled columns of the schema")
    if noise.uniforms + noise.normals == 0:
        raise ValueError("a generator takes some noise")
    builder = GraphBuilder()
    names = _named(builder, encoding, generator.graph(builder, "uniform", "normal"))
    first = builder.position
    outputs = _outputs(builder, encoding, names, schema, modelled)
    typed = [
        (name, dtype)
        for output in outputs
        for name, dtype in ((output.values, cell_type(output.storage)), (output.valid, np.bool_))
        if name
    ]
    both = (("uniform", np.float32, noise.uniforms), ("normal", np.float32, noise.normals))
    noisy: list[tuple[str, npt.DTypeLike, int]] = [entry for entry in both if entry[2]]
    encoded: list[tuple[str, npt.DTypeLike, None]] = [
        (name, np.float64 if feature.size is None else np.int64, None)
        for name, feature in zip(names, encoding.features, strict=True)
    ]
    given, nodes = b"", builder.position
    if isinstance(generator, ConditionalGenerator):
        other, width = GraphBuilder(), len(encoding.features)
        features = _named(other, encoding, generator.graph_given(other, "uniform", "normal", GIVEN))
        _outputs(other, encoding, features, schema, modelled)
        noisy_and_given = [
            *noisy,
            (GIVEN.features, np.float64, width),
            (GIVEN.mask, np.bool_, width),
            (GIVEN.temperature, np.float32, 1),
            (GIVEN.top_p, np.float32, 1),
        ]
        given, nodes = other.model(noisy_and_given, typed), max(nodes, other.position)
    return Exported(
        graph=builder.model(noisy, typed),
        given=given,
        decoder=builder.model(encoded, typed, first),
        table=schema.name,
        outputs=tuple(outputs),
        noise=noise,
        variant=variant_of(generator),
        nodes=nodes,
        dictionaries={
            column.column: tuple(str(value) for value in column.values)
            for column in encoding.categories
            if column.storage is Storage.STRING
        },
    )


def _named(builder: GraphBuilder, encoding: Encoding, features: Sequence[str]) -> list[str]:
    """The features under names of their own."""
    if len(features) != len(encoding.features):
        raise ValueError("the generator writes another number of features than its encoding has")
    return [builder.named(x, f"f{j}") for j, x in enumerate(features)]


def _outputs(
    builder: GraphBuilder,
    encoding: Encoding,
    features: Sequence[str],
    schema: TableSchema,
    modelled: Sequence[str],
) -> list[Output]:
    cells = write_decoding(builder, encoding, features)
    return [
        Output(
            name,
            schema.column(name).storage,
            builder.named(cells[name].values, f"c{j}"),
            builder.named(cells[name].valid, f"v{j}") if cells[name].valid else "",
        )
        for j, name in enumerate(modelled)
    ]
