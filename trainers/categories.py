"""The encoding of columns with few distinct values: one class per value, and one for null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Finding, Kind, Storage
from tables.physical import written
from tables.statistics import Value, distinct_cells
from trainers.features import Evidence, Feature


@dataclass(frozen=True)
class CategoryEncoding:
    """One discrete feature: the index of the value; null is the last class.

    A null class exists where at least k patients have nulls. Cells that hold a
    value of fewer than k patients are drawn anew from the supported ones.
    """

    column: str
    storage: Storage
    values: tuple[Value, ...]
    """The supported values: levels in their order, all else sorted."""
    nulls: bool
    """Whether there is a null class."""
    frequencies: tuple[float, ...]
    """Share of each class, null last; sums to 1."""

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.values) + self.nulls

    @property
    def features(self) -> tuple[Feature, ...]:
        """The one feature."""
        return (Feature(self.column, "value", self.size),)

    @classmethod
    def fit(cls, column: Column, evidence: Evidence) -> tuple[CategoryEncoding, Finding | None]:
        """The encoding of a column, and what a person should know about values it leaves out.

        Raises:
            Problem: COLUMN_UNSUPPORTED when no value is held by `min_patients` patients.
        """
        k = evidence.min_patients
        array = evidence.table.arrays[column.name]
        counts = evidence.statistics.category_counts(array, evidence.subjects, evidence.weights)
        # Sorted, since the order in which values were met is the order of patients.
        values: list[Any] = sorted(v for v, (held, _) in counts.items() if v is not None and held >= k)
        if not values:
            where = f"{evidence.table.schema.name}.{column.name}"
            raise Problem.at("COLUMN_UNSUPPORTED", where, f"no value is held by {k} patients")
        if column.kind is Kind.ORDINAL:
            order = {level: i for i, level in enumerate(column.levels)}
            values.sort(key=lambda value: order.get(written(value, column.storage, column), len(order)))
        nulls = counts.get(None, (0, 0.0))[0] >= k
        weights = [counts[value][1] for value in (*values, *([None] if nulls else []))]
        rare = sum(1 for value in counts if value is not None) - len(values)
        what = [f"{rare} rare value{'s' if rare > 1 else ''}"] if rare else []
        what += ["rare nulls"] if None in counts and not nulls else []
        message = f"{' and '.join(what)} held by fewer than {k} patients: replaced"
        finding = evidence.protected([message] if what else [], column.name)
        return cls(column.name, column.storage, tuple(values), nulls, shares(weights)), finding

    def encode(self, array: Array, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
        """Class indices, int64 [n]; unsupported cells are drawn by frequency."""
        distinct, codes = distinct_cells(array)
        position = {value: i for i, value in enumerate(self.values)}
        # One more entry serves arrays whose cells are all null: their codes point nowhere.
        lookup = np.array([*(position.get(value, -1) for value in distinct), -1], dtype=np.int64)
        index = np.where(array.is_valid(), lookup[codes], len(self.values) if self.nulls else -1)
        rare = np.flatnonzero(index < 0)
        if rare.size:
            weights = np.array(self.frequencies[: len(self.values)])
            index[rare] = rng.choice(len(self.values), size=rare.size, p=weights / weights.sum())
        return [index]

    def inverse(self, features: Sequence[npt.NDArray[Any]]) -> Array:
        """The cells of class indices [n]."""
        index = np.asarray(features[0], dtype=np.int64)
        valid = index < len(self.values)
        index = np.where(valid, index, 0)
        mask = valid if self.nulls else None
        if self.storage is Storage.STRING:
            return Array.make(self.storage, index, mask, dictionary=[str(v) for v in self.values])
        return Array.make(self.storage, np.array(self.values, dtype=self.storage.dtype)[index], mask)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "encoding": "category",
            "column": self.column,
            "storage": self.storage.value,
            "values": list(self.values),
            "nulls": self.nulls,
            "frequencies": list(self.frequencies),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CategoryEncoding:
        """The inverse of `to_json`."""
        return cls(
            value["column"],
            Storage(value["storage"]),
            tuple(value["values"]),
            value["nulls"],
            tuple(value["frequencies"]),
        )


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights divided by their sum."""
    total = sum(weights)
    return tuple(weight / total for weight in weights)
