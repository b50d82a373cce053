"""Between cells and what a trainer learns: reversible, and stored as JSON, never as code.

`Encoding.encode` turns a table into features (class indices and coordinates);
`Encoding.inverse` turns features back into cells, in numpy and independently
of the exported graph, which is compared with it before anything is published.
Whatever an encoding holds is supported by at least k patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Finding, Handling, Kind, Storage
from trainers.categories import CategoryEncoding
from trainers.features import Feature
from trainers.numbers import NumberEncoding

if TYPE_CHECKING:
    from tables.statistics import StatisticsSource
    from tables.tableset import Table

__all__ = ["CategoryEncoding", "ColumnEncoding", "Encoding", "Feature", "NumberEncoding"]

ColumnEncoding: TypeAlias = CategoryEncoding | NumberEncoding

_CATEGORIES = frozenset({Kind.BOOLEAN, Kind.CATEGORY, Kind.ORDINAL, Kind.CODE})


@dataclass(frozen=True)
class Encoding:
    """The encodings of the modelled columns of one table, in schema order."""

    columns: tuple[ColumnEncoding, ...]
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    """What fitting changed to protect rare values; not part of the state."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features of all columns, in order."""
        return tuple(feature for column in self.columns for feature in column.features)

    @classmethod
    def fit(cls, table: Table, statistics: StatisticsSource, min_patients: int) -> Encoding:
        """Learns the encoding of every column that is to be modelled.

        Args:
            table: arrays in exactly the storage of the schema.
            statistics: the only reader of facts about cells.
            min_patients: k; what fewer patients support is left out.

        Raises:
            Problem: NO_USABLE_COLUMNS, COLUMN_UNSUPPORTED.
        """
        schema = table.schema
        modelled = [column for column in schema.columns if column.handling is Handling.MODEL]
        if not modelled:
            raise Problem.at("NO_USABLE_COLUMNS", schema.name, "no column is left to be modelled")
        columns: list[ColumnEncoding] = []
        findings: list[Finding] = []
        for column in modelled:
            if column.storage is Storage.STRING_LIST:
                where = f"{schema.name}.{column.name}"
                raise Problem.at("COLUMN_UNSUPPORTED", where, "lists of codes cannot be modelled yet")
            fit = CategoryEncoding.fit if is_category(column) else NumberEncoding.fit
            encoding, finding = fit(table, column, statistics, min_patients)
            columns.append(encoding)
            findings += [finding] if finding else []
        return cls(tuple(columns), tuple(findings))

    def encode(self, table: Table, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
        """Per feature int64 (discrete) or float64 (continuous) [table.num_rows]."""
        parts = [column.encode(table.arrays[column.column], rng) for column in self.columns]
        return [feature for part in parts for feature in part]

    def inverse(self, features: Sequence[npt.NDArray[Any]]) -> dict[str, Array]:
        """The cells of features (each [n]) by column, in exactly the schema's storage."""
        arrays: dict[str, Array] = {}
        start = 0
        for column in self.columns:
            stop = start + len(column.features)
            arrays[column.column] = column.inverse(features[start:stop])
            start = stop
        return arrays

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Encoding:
        """The inverse of `to_json`."""
        kinds: dict[str, type[ColumnEncoding]] = {"category": CategoryEncoding, "number": NumberEncoding}
        return cls(tuple(kinds[column["encoding"]].from_json(column) for column in value["columns"]))


def is_category(column: Column) -> bool:
    """Whether a column is modelled by classes rather than by a coordinate."""
    return column.kind in _CATEGORIES or column.storage in (Storage.BOOL, Storage.STRING)
