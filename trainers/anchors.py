"""Which columns are told relative to which: intervals between dates, and orders that must hold.

Where an admission and a discharge stand in one row, the stay between them is
what is regular, not the discharge. A column that has such an anchor is encoded
as its difference to it (`trainers.numbers`), so that what the data keep, no
discharge before its admission, holds in every row that is made.

Anchors are chosen among columns of days and of times, where the data show it;
a declared `Order` makes one wherever the columns allow it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import permutations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.constraints import range_of
from kohort.rules import Order
from kohort.schema import Column, Storage
from tables.statistics import patient_count
from trainers.features import Evidence
from trainers.grids import GRIDS

Cells: TypeAlias = npt.NDArray[Any]

DAY = 86_400_000_000


@dataclass(frozen=True)
class Anchor:
    """The column that another one is told relative to."""

    column: str
    storage: Storage
    least: float | int
    """No cell is less, unless the difference demands it."""
    most: float | int
    """No cell is more, unless the difference demands it."""

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {**asdict(self), "storage": self.storage.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Anchor:
        """The inverse of `to_json`."""
        return cls(**{**value, "storage": Storage(value["storage"])})


def in_unit(cells: Cells, have: Storage, want: Storage) -> Cells:
    """Cells [n] of one storage as another counts: days as their first microsecond, times as their day."""
    if want is Storage.DOUBLE:
        return cells.astype(np.float64)
    whole = cells.astype(np.int64)
    if have is Storage.DATE and want is Storage.DATETIME:
        return whole * DAY
    return whole // DAY if have is Storage.DATETIME and want is Storage.DATE else whole


@dataclass(frozen=True)
class Limits:
    """The least and the most that cells (or differences) may be; None: whatever they are."""

    least: float | int | None = None
    most: float | int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Relation:
    """One column told relative to another, within what a declared order demands of the difference."""

    column: str
    anchor: str
    limits: Limits = NO_LIMITS


_TEMPORAL = (Storage.DATE, Storage.DATETIME)
_EXACT = 2**61
"""Cells beyond have differences that could leave int64."""
_UNITS = {Storage.DATE: DAY}
_SHOWN = 20_000
"""Rows that a pair is judged by."""
_FIRST = 2_000
"""Rows that tell which pairs may be worth it."""
_ORDERED = 0.999
_PRESENT = 0.99
_MUCH_LESS = 0.1
_HARDLY_MORE = 1.2
_TELLING = 0.01


def limits_of(column: Column, evidence: Evidence) -> Limits:
    """What the table's ranges and the column's public bounds leave of its cells."""
    low, high = range_of(evidence.table.schema.constraints, column)
    least, most = column.minimum, column.maximum
    if column.storage is not Storage.DOUBLE:
        unit = 10**column.scale
        least = None if least is None else math.ceil(Fraction(repr(least)) * unit)
        most = None if most is None else math.floor(Fraction(repr(most)) * unit)
    return Limits(low if least is None else max(low, least), high if most is None else min(high, most))


def relations(columns: Sequence[Column], evidence: Evidence) -> dict[str, Relation]:
    """The anchors of columns of numbers and dates, by column; none is its own anchor by any path."""
    judge = _Judge.of(columns, evidence)
    found: dict[str, Relation] = {}
    for relation in [*judge.declared(), *judge.observed()]:
        path = relation.anchor
        while path in found and path != relation.column:
            path = found[path].anchor
        if relation.column not in found and path != relation.column:
            found[relation.column] = relation
    return found


@dataclass(frozen=True)
class _Pair:
    """What the data say of a column and what might be its anchor."""

    relation: Relation
    present: float
    """The share of the column's cells that are not null whose anchor is not null either."""
    ratio: float
    """How wide the middle half of the differences is, of how wide that of the column is."""
    ordered: float
    """The share of rows in which the column is on one side of the anchor."""
    above: bool
    """Which side."""
    by_chance: float
    """The share of rows that would be on the other side if neither knew of the other."""

    @property
    def matters(self) -> bool:
        """Whether a model that keeps the two apart would break an order between them often."""
        return self.ratio < _MUCH_LESS or self.by_chance >= _TELLING

    @property
    def depends(self) -> bool:
        """Whether one is on one side of the other, and either near it or only so because of it."""
        shown = self.present >= _PRESENT and self.ordered >= _ORDERED
        return shown and self.matters and self.ratio <= _HARDLY_MORE

    @property
    def rank(self) -> tuple[float, bool, float]:
        """The best anchor first: the one of the narrowest differences; of like ones that which is below."""
        return round(self.ratio, 1), not self.above, self.ratio


@dataclass(frozen=True, eq=False)
class _Judge:
    """Looks at pairs of columns."""

    evidence: Evidence
    columns: Mapping[str, Column]
    steps: Mapping[str, int]
    """The step that the cells of each column come in."""

    @classmethod
    def of(cls, columns: Sequence[Column], evidence: Evidence) -> _Judge:
        """Of some columns, those whose differences int64 holds, and that are in question at all."""
        ordered = {
            name
            for r in evidence.table.schema.constraints
            if isinstance(r, Order)
            for name in (r.low, r.high)
        }
        usable, steps = {}, {}
        for column in columns:
            array = evidence.table.arrays[column.name]
            valid = array.is_valid()
            cells, owners = array.values[valid], evidence.subjects[valid]
            if not cells.size or (column.storage not in _TEMPORAL and column.name not in ordered):
                continue
            if column.storage is Storage.DOUBLE:
                usable[column.name], steps[column.name] = column, 1
            elif np.abs(cells.astype(np.float64)).max() * _UNITS.get(column.storage, 1) < _EXACT:
                usable[column.name] = column
                steps[column.name] = evidence.statistics.common_step(
                    cells.astype(np.int64), owners, evidence.min_patients, GRIDS[column.storage]
                )
        return cls(evidence, usable, steps)

    def declared(self) -> list[Relation]:
        """Anchors of the orders that a person declared."""
        made = []
        for rule in self.evidence.table.schema.constraints:
            if not isinstance(rule, Order) or rule.low not in self.columns or rule.high not in self.columns:
                continue
            low, high = self.columns[rule.low], self.columns[rule.high]
            if low.scale != high.scale or (rule.strict and low.storage is Storage.DOUBLE):
                continue
            least = 1 if rule.strict else 0
            pairs = [self._pair(high, low, Limits(least=least)), self._pair(low, high, Limits(most=-least))]
            some = sorted(
                (p for p in pairs if p and p.present >= _PRESENT and p.matters),
                key=lambda p: (-round(p.present, 2), p.rank),
            )
            made += [pair.relation for pair in some]
        return made

    def observed(self) -> list[Relation]:
        """Anchors of days and times that the data show to depend on each other, the strongest first."""
        temporal = [column for column in self.columns.values() if column.storage in _TEMPORAL]
        first = {column.name: self._first(column) for column in temporal}
        pairs = [
            self._pair(column, anchor)
            for column, anchor in permutations(temporal, 2)
            if _ordered(*first[column.name], *first[anchor.name])
        ]
        found = sorted(
            (pair for pair in pairs if pair is not None and pair.depends), key=lambda pair: pair.rank
        )
        return [pair.relation for pair in found]

    def _first(self, column: Column) -> tuple[Cells, Cells]:
        """Microseconds and validity of some rows: dozens of dates are thousands of pairs to be looked at."""
        array = self.evidence.table.arrays[column.name]
        rows = slice(None, None, max(1, len(array) // _FIRST))
        return in_unit(array.values[rows], column.storage, Storage.DATETIME), array.is_valid()[rows]

    def _pair(self, column: Column, anchor: Column, limits: Limits = NO_LIMITS) -> _Pair | None:
        """None for columns that cannot be told relative to each other."""
        evidence, statistics = self.evidence, self.evidence.statistics
        if column.storage is not anchor.storage and not {column.storage, anchor.storage} <= set(_TEMPORAL):
            return None
        if column.storage is not Storage.DATE:
            # An anchor of finer steps than the column's own would give it cells that it never has.
            step = DAY if anchor.storage is Storage.DATE else self.steps[anchor.name]
            if step % self.steps[column.name]:
                return None
        own, other = (evidence.table.arrays[c.name] for c in (column, anchor))
        valid, both = own.is_valid(), own.is_valid() & other.is_valid()
        if patient_count(evidence.subjects[both]) < 2 * evidence.min_patients:
            return None
        rows = np.flatnonzero(both)
        rows = rows[:: max(1, rows.size // _SHOWN)]
        b = in_unit(own.values[rows], column.storage, column.storage)
        a = in_unit(other.values[rows], anchor.storage, column.storage)
        spread, apart = (statistics.middle_half(x.astype(np.float64)) for x in (b, b - a))
        above, below = statistics.share(b >= a), statistics.share(b <= a)
        low, high = (a, b) if above >= below else (b, a)
        return _Pair(
            Relation(column.name, anchor.name, limits),
            statistics.share(both[valid]),
            apart / spread if spread else np.inf,
            max(above, below),
            above >= below,
            statistics.unordered_share(low.astype(np.float64), high.astype(np.float64)),
        )


def _ordered(column: Cells, has: Cells, anchor: Cells, known: Cells) -> bool:
    """Whether one is on one side of the other, or on its day, in about all rows [n] that have both."""
    later, earlier = column + DAY >= anchor, column <= anchor + DAY
    both = has & known
    most = 0.99 * np.count_nonzero(both)
    return bool(max(np.count_nonzero(later & both), np.count_nonzero(earlier & both)) >= most)
