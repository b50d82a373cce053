"""Rows of a generator that has not been exported: by the trained model and the encoding's own inverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kohort.noise import MAX_BLOCK, block_noise
from kohort.schema import Handling, TableSchema
from tables.tableset import Table
from trainers.base import Generator


def draw(generator: Generator, schema: TableSchema, rows: int, seed: int) -> Table:
    """So many rows of the modelled columns; the same for the same seed, but not those that a bundle gives.

    Args:
        generator: fitted.
        schema: of the table it was fitted on.
        rows: how many.
        seed: any int64.
    """
    noise = generator.noise
    parts = []
    for block in range(-(-rows // MAX_BLOCK)):
        uniform, normal = block_noise(seed, 0, block, MAX_BLOCK, noise.uniforms, noise.normals, noise.scheme)
        parts.append(generator.reference(uniform, normal))
    features = [np.concatenate(column)[:rows] for column in zip(*parts, strict=True)]
    arrays = generator.encoding.inverse(features)
    columns = tuple(c for c in schema.columns if c.handling is Handling.MODEL)
    # Every row a patient of its own: keys are not learned.
    apart = replace(schema.with_columns(columns), subject_key="")
    return Table(apart, {c.name: arrays[c.name] for c in columns})
