"""Tables in memory: typed arrays under a schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Schema, TableSchema


@dataclass(frozen=True)
class Table:
    """One table: a schema and, per column of it, an `Array` of `num_rows` cells."""

    schema: TableSchema
    arrays: Mapping[str, Array]

    @property
    def num_rows(self) -> int:
        """Rows."""
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    def take(self, rows: npt.NDArray[np.intp]) -> Table:
        """The rows at those positions, in that order."""
        return Table(self.schema, {name: array.take(rows) for name, array in self.arrays.items()})

    def subjects(self) -> npt.NDArray[np.int64]:
        """Per row a number 0..n-1 that is equal for rows of one patient, [num_rows].

        Without a subject key every row is a patient of its own; a null key is
        one too.
        """
        key = self.schema.subject_key
        if not key:
            return np.arange(self.num_rows, dtype=np.int64)
        return self.arrays[key].factorize(nulls_distinct=True)


@dataclass(frozen=True)
class TableSet:
    """The tables of a dataset by name, in schema order."""

    tables: Mapping[str, Table]

    @property
    def schema(self) -> Schema:
        """The schemas of all tables."""
        return Schema(tuple(t.schema for t in self.tables.values()))

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def single(self) -> Table:
        """The only table. Raises Problem MULTI_TABLE_UNSUPPORTED when there are more."""
        if len(self.tables) != 1:
            raise Problem("MULTI_TABLE_UNSUPPORTED", "this trainer models exactly one table")
        return next(iter(self.tables.values()))
