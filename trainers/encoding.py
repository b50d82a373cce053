"""Between cells and what a trainer learns: reversible, and stored as JSON, never as code.

`Encoding.encode` turns a table into features (class indices and coordinates);
`Encoding.inverse` turns features back into cells, in numpy and independently
of the exported graph, which is compared with it before anything is published.
Whatever an encoding holds is supported by at least k patients.

Constraints hold by construction where they can: columns of a `Combination` or
`OneHot` are one category (`trainers.joint`), the upper column of an `Order` is
told relative to the lower one (`trainers.anchors`), `Range` bounds what numbers
are clipped to, and categories are those of rows that keep `Range` and `Allowed`.
Sampling tests every row besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.rules import Allowed, Combination, OneHot
from kohort.schema import Column, Finding, Handling, Kind, Storage, TableSchema
from trainers.anchors import Anchor, Relation, in_unit, limits_of, relations
from trainers.categories import CategoryEncoding
from trainers.features import Evidence, Feature
from trainers.grids import GRIDS
from trainers.joint import JointEncoding
from trainers.numbers import NumberEncoding

if TYPE_CHECKING:
    from tables.statistics import StatisticsSource
    from tables.tableset import Table

__all__ = ["CategoryEncoding", "ColumnEncoding", "Encoding", "Feature", "JointEncoding", "NumberEncoding"]

ColumnEncoding: TypeAlias = CategoryEncoding | NumberEncoding
"""A `JointEncoding` is a `CategoryEncoding`, too."""

_CATEGORIES = frozenset({Kind.BOOLEAN, Kind.CATEGORY, Kind.ORDINAL, Kind.CODE})


@dataclass(frozen=True)
class Encoding:
    """The encodings of one table's modelled columns, in schema order (a joint one at its first column)."""

    columns: tuple[ColumnEncoding, ...]
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    """What fitting changed to protect rare values; not part of the state."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features of all columns, in order."""
        return tuple(feature for column in self.columns for feature in column.features)

    @property
    def categories(self) -> tuple[CategoryEncoding, ...]:
        """The categories of single columns, those of joint encodings among them."""
        own = [column for column in self.columns if isinstance(column, CategoryEncoding)]
        parts = ([part for part, _ in c.parts] if isinstance(c, JointEncoding) else [c] for c in own)
        return tuple(column for some in parts for column in some)

    @cached_property
    def in_order(self) -> tuple[tuple[ColumnEncoding, slice], ...]:
        """Every encoding with the places of its features, anchors before what is told relative to them."""
        places, start = [], 0
        for column in self.columns:
            places.append((column, slice(start, start + len(column.features))))
            start += len(column.features)
        by_name = {column.column: (column, where) for column, where in places}
        ordered: dict[str, tuple[ColumnEncoding, slice]] = {}

        def add(name: str) -> None:
            if name not in ordered:
                anchor = anchor_of(by_name[name][0])
                if anchor is not None:
                    add(anchor.column)
                ordered[name] = by_name[name]

        for name in by_name:
            add(name)
        return tuple(ordered.values())

    @classmethod
    def fit(
        cls,
        table: Table,
        statistics: StatisticsSource,
        min_patients: int,
        weights: npt.NDArray[np.float64] | None = None,
    ) -> Encoding:
        """Learns the encoding of every column that is to be modelled.

        Args:
            table: arrays in exactly the storage of the schema; its rows keep the schema's constraints.
            statistics: the only reader of facts about cells.
            min_patients: k; what fewer patients support is left out.
            weights: what each row counts, [n]; None: 1.

        Raises:
            Problem: NO_USABLE_COLUMNS, COLUMN_UNSUPPORTED.
        """
        schema = table.schema
        modelled = [column for column in schema.columns if column.handling is Handling.MODEL]
        if not modelled:
            raise Problem.at("NO_USABLE_COLUMNS", schema.name, "no column is left to be modelled")
        for column in modelled:
            if column.storage is Storage.STRING_LIST:
                where = f"{schema.name}.{column.name}"
                raise Problem.at("COLUMN_UNSUPPORTED", where, "lists of codes cannot be modelled yet")
        return _Fit(Evidence(table, table.subjects(), statistics, min_patients, weights), modelled).run()

    def encode(self, table: Table, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
        """Per feature int64 (discrete) or float64 (continuous) [table.num_rows]."""
        made = _Encoded(table, rng)
        for column, _ in self.in_order:
            made.add(column)
        return [feature for column in self.columns for feature in made.features[column.column]]

    def inverse(self, features: Sequence[npt.NDArray[Any]]) -> dict[str, Array]:
        """The cells of features (each [n]) by column, in exactly the schema's storage."""
        arrays: dict[str, Array] = {}
        raw: dict[str, npt.NDArray[Any]] = {}
        for column, where in self.in_order:
            own = features[where]
            if isinstance(column, JointEncoding):
                arrays.update(column.inverse_rows(own[0]))
            elif isinstance(column, CategoryEncoding):
                arrays[column.column] = column.inverse(own)
            else:
                anchors = _anchors(column, raw)
                raw[column.column] = column.cells(own[-1], anchors)
                arrays[column.column] = column.inverse(own, anchors)
        return {name: arrays[name] for column in self.columns for name in names_of(column)}

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Encoding:
        """The inverse of `to_json`."""
        kinds: dict[str, type[ColumnEncoding]] = {
            "category": CategoryEncoding,
            "joint": JointEncoding,
            "number": NumberEncoding,
        }
        return cls(tuple(kinds[column["encoding"]].from_json(column) for column in value["columns"]))


def is_category(column: Column) -> bool:
    """Whether a column is modelled by classes rather than by a coordinate."""
    return column.kind in _CATEGORIES or column.storage in (Storage.BOOL, Storage.STRING)


def names_of(column: ColumnEncoding) -> tuple[str, ...]:
    """The columns of the table that an encoding stands for."""
    return column.names if isinstance(column, JointEncoding) else (column.column,)


def anchor_of(column: ColumnEncoding) -> Anchor | None:
    """What it is told relative to."""
    return column.anchor if isinstance(column, NumberEncoding) else None


def _anchors(column: NumberEncoding, raw: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any] | None:
    """The cells of its anchor [n] in its own unit."""
    if column.anchor is None:
        return None
    return in_unit(raw[column.anchor.column], column.anchor.storage, column.storage)


class _Fit:
    """One fit of all columns."""

    def __init__(self, evidence: Evidence, modelled: Sequence[Column]) -> None:
        self.evidence = evidence
        self.modelled = modelled
        self.findings: list[Finding] = []
        self.groups = _groups(evidence.table.schema)
        listed = {rule.column for rule in evidence.table.schema.constraints if isinstance(rule, Allowed)}
        grouped = {name for group in self.groups for name in group}
        self.numbers = [
            c for c in modelled if not is_category(c) and c.name not in listed and c.name not in grouped
        ]
        self.by_name = {column.name: column for column in self.numbers}
        self.relations = relations(self.numbers, evidence)
        self.fitted: dict[str, ColumnEncoding] = {}

    def run(self) -> Encoding:
        for column in self.numbers:
            self._number(column)
        columns: list[ColumnEncoding] = []
        for column in self.modelled:
            group = next((group for group in self.groups if column.name in group), None)
            if column.name in self.fitted:
                columns.append(self.fitted[column.name])
            elif group is None:
                columns.append(self._told(*CategoryEncoding.fit(column, self.evidence)))
            elif not any(isinstance(c, JointEncoding) and column.name in c.names for c in columns):
                members = [member for member in self.modelled if member.name in group]
                columns.append(self._told(*JointEncoding.of(members, self.evidence)))
        return Encoding(tuple(columns), tuple(self.findings))

    def _told(self, encoding: Any, finding: Finding | None) -> Any:
        self.findings += [finding] if finding else []
        return encoding

    def _number(self, column: Column) -> None:
        """Fits a column of numbers."""
        relation, evidence = self.relations.get(column.name), self.evidence
        if relation is None:
            fitted = NumberEncoding.fit(column, evidence, limits_of(column, evidence))
        else:
            anchor = self._anchor(column, relation)
            other = evidence.table.arrays[anchor.column]
            known = evidence.table.arrays[column.name].is_valid() & other.is_valid()
            anchors = in_unit(other.values, anchor.storage, column.storage)
            fitted = NumberEncoding.relative(column, anchor, anchors, known, evidence, relation.limits)
        self.fitted[column.name] = self._told(*fitted)

    def _anchor(self, column: Column, relation: Relation) -> Anchor:
        """With the range of the column's own cells, as k patients and the table's ranges support it."""
        array, evidence = self.evidence.table.arrays[column.name], self.evidence
        valid = array.is_valid()
        cells, owners = array.values[valid], evidence.subjects[valid]
        low, high = evidence.statistics.bounds(cells.astype(np.float64), owners, evidence.min_patients)
        limits = limits_of(column, evidence)
        low = low if limits.least is None else max(low, limits.least)
        high = high if limits.most is None else min(high, limits.most)
        if column.storage is not Storage.DOUBLE:
            step = evidence.statistics.common_step(
                cells.astype(np.int64), owners, evidence.min_patients, GRIDS[column.storage]
            )
            low, high = -(-int(low) // step) * step, int(high) // step * step
        anchor = self.by_name[relation.anchor]
        return Anchor(anchor.name, anchor.storage, low, max(low, high))


class _Encoded:
    """Columns of a table becoming features, anchors first."""

    def __init__(self, table: Table, rng: np.random.Generator) -> None:
        self._table = table
        self._rng = rng
        self.features: dict[str, list[npt.NDArray[Any]]] = {}
        self._numbers: dict[str, NumberEncoding] = {}
        self._raw: dict[str, npt.NDArray[Any]] = {}
        self._free: dict[str, npt.NDArray[np.bool_]] = {}

    def add(self, column: ColumnEncoding) -> None:
        """Encodes a column whose anchor is encoded."""
        arrays = self._table.arrays
        if isinstance(column, JointEncoding):
            self.features[column.column] = column.encode_rows([arrays[n] for n in column.names], self._rng)
            return
        array = arrays[column.column]
        if isinstance(column, CategoryEncoding):
            self.features[column.column] = column.encode(array, self._rng)
            return
        if column.anchor is not None:
            self._place(column, array)
        anchors = _anchors(column, self._raw)
        features = column.encode(array, self._rng, anchors)
        self.features[column.column] = features
        self._numbers[column.column] = column
        # A protected cell moves to the range's edge; what is told relative to it moves along.
        free = self._free[column.column] = ~array.is_valid()
        self._raw[column.column] = np.where(free, column.cells(features[-1], anchors), array.values)

    def _place(self, column: NumberEncoding, array: Array) -> None:
        """Gives null anchors of cells that are not null coordinates from which those cells are ordinary.

        Nothing is known of a null anchor. Placed as far from the cell as such cells lie from theirs,
        both keep their distributions.
        """
        assert column.anchor is not None
        name = column.anchor.column
        rows = np.flatnonzero(self._free[name] & array.is_valid())
        if not rows.size:
            return
        drawn = column.cells(column.draw(rows.size, self._rng))
        wanted = array.values[rows].astype(drawn.dtype) - drawn
        anchor = self._numbers[name]
        above = _anchors(anchor, self._raw)
        above = None if above is None else above[rows]
        x = anchor.coordinate(in_unit(wanted, column.storage, anchor.storage), above)
        self.features[name][-1][rows] = x
        self._raw[name][rows] = anchor.cells(x, above)
        self._free[name][rows] = False


def _groups(schema: TableSchema) -> list[set[str]]:
    """Columns that are one category together, disjoint: constraints that share columns are united."""
    groups: list[set[str]] = []
    for rule in schema.constraints:
        if isinstance(rule, Combination | OneHot):
            own = set(rule.columns)
            for other in [group for group in groups if group & own]:
                groups.remove(other)
                own |= other
            groups.append(own)
    return groups
