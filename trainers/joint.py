"""The encoding of columns that occur together only in certain ways: one class per combination of cells.

Fixed combinations (a department and its site) and one-hot groups are such
columns: what no k patients have together is no class, so no row can hold it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Finding, Storage
from tables.statistics import Value, distinct_rows
from trainers.categories import CategoryEncoding, shares
from trainers.features import Evidence

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class JointEncoding(CategoryEncoding):
    """A category whose classes are combinations of cells, null among them.

    `column` names all columns, `values` are tuples of cells (None is null) and
    there is no null class beside them. To a trainer it is a category like others.
    """

    names: tuple[str, ...] = ()
    """The columns, in schema order."""
    storages: tuple[Storage, ...] = ()

    @classmethod
    def of(cls, columns: Sequence[Column], evidence: Evidence) -> tuple[JointEncoding, Finding | None]:
        """The encoding of some columns, and what a person should know about combinations it leaves out.

        Raises:
            Problem: COLUMN_UNSUPPORTED when no combination is held by `min_patients` patients.
        """
        k = evidence.min_patients
        names = tuple(column.name for column in columns)
        arrays = [evidence.table.arrays[name] for name in names]
        counts = evidence.statistics.combination_counts(arrays, evidence.subjects, evidence.weights)
        values = sorted((cells for cells, (held, _) in counts.items() if held >= k), key=_nulls_last)
        for place, name in enumerate(names):
            if all(cells[place] is None for cells in values):
                where = f"{evidence.table.schema.name}.{name}"
                raise Problem.at(
                    "COLUMN_UNSUPPORTED", where, f"no value in a combination is held by {k} patients"
                )
        rare = len(counts) - len(values)
        what = [f"{rare} combinations with {', '.join(names[1:])} held by fewer than {k} patients: replaced"]
        frequencies = shares([counts[cells][1] for cells in values])
        return (
            cls(
                " & ".join(names),
                Storage.UNSPECIFIED,
                tuple(values),  # type: ignore[arg-type]
                False,
                frequencies,
                names,
                tuple(column.storage for column in columns),
            ),
            evidence.protected(what if rare else [], names[0]),
        )

    @cached_property
    def parts(self) -> tuple[tuple[CategoryEncoding, Indices], ...]:
        """Per column its own categories, and which of them each combination has, [size]."""
        made = []
        for place, (name, storage) in enumerate(zip(self.names, self.storages, strict=True)):
            cells: list[Value | None] = [combination[place] for combination in self._combinations]
            values = tuple(sorted({cell for cell in cells if cell is not None}))
            nulls = None in cells
            position: dict[Value | None, int] = {value: i for i, value in enumerate(values)}
            position[None] = len(values)
            own = CategoryEncoding(name, storage, values, nulls, ())
            made.append((own, np.array([position[cell] for cell in cells], dtype=np.int64)))
        return tuple(made)

    @property
    def _combinations(self) -> tuple[tuple[Value | None, ...], ...]:
        return self.values  # type: ignore[return-value]

    def encode_rows(self, arrays: Sequence[Array], rng: np.random.Generator) -> list[npt.NDArray[Any]]:
        """Class indices, int64 [n], of the columns' cells; unsupported combinations are drawn anew."""
        position = {cells: i for i, cells in enumerate(self._combinations)}
        distinct, codes = distinct_rows(arrays)
        index = np.array([*(position.get(cells, -1) for cells in distinct), -1], dtype=np.int64)[codes]
        rare = np.flatnonzero(index < 0)
        if rare.size:
            index[rare] = rng.choice(self.size, size=rare.size, p=np.array(self.frequencies))
        return [index]

    def inverse_rows(self, index: npt.NDArray[Any]) -> dict[str, Array]:
        """The cells of class indices [n], by column."""
        chosen = np.asarray(index, dtype=np.int64)
        return {part.column: part.inverse([table[chosen]]) for part, table in self.parts}

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "encoding": "joint",
            "columns": list(self.names),
            "storages": [storage.value for storage in self.storages],
            "values": [list(cells) for cells in self._combinations],
            "frequencies": list(self.frequencies),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> JointEncoding:
        """The inverse of `to_json`."""
        return cls(
            " & ".join(value["columns"]),
            Storage.UNSPECIFIED,
            tuple(tuple(cells) for cells in value["values"]),  # type: ignore[misc]
            False,
            tuple(value["frequencies"]),
            tuple(value["columns"]),
            tuple(map(Storage, value["storages"])),
        )


def _nulls_last(cells: tuple[Value | None, ...]) -> tuple[Any, ...]:
    return tuple((cell is None, 0 if cell is None else cell) for cell in cells)
