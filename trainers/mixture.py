"""Mixtures of products: draw a component, then every column by itself from that component's table.

A forest's leaves are such components, and so is a table of independent columns
(one component). What some columns hold says how likely each component is, so
any columns can be given: the others are drawn from the posterior, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Floats, Given, Indices, Noise, Ops
from trainers.bins import Bins, ClassBins, NumberBins
from trainers.encoding import Encoding
from trainers.search import (
    DOUBLE,
    FLOAT,
    INT64,
    cast,
    cumulative,
    flatten,
    gather_all,
    locate,
    split,
    write_locate,
    write_locate_all,
)

_CHUNK = 4_096

_FEW = 256
"""Rows that are compared with all components at once."""

_HELD = 1 << 14
"""Components, times columns, that a graph looks at for each row at once."""

_IMPOSSIBLE = np.float32(1e-30)
"""Stands for a probability of 0, so that its logarithm is finite."""

_BEYOND = np.float32(1.0)
"""An edge that no uniform reaches, and the share before all that is behind the last class."""


@dataclass(frozen=True, eq=False)
class Group:
    """Columns of one group of `Bins.groups`, and what each component says of them."""

    places: tuple[int, ...]
    depth: int
    """Steps of a binary search among the classes of a column."""
    table: Floats
    """[g, 2^depth + 1, components]: 0, then the cumulative shares of the classes, then 1."""

    @classmethod
    def of(cls, places: Sequence[int], shares: Sequence[Doubles]) -> Group:
        """The group of columns whose classes have shares [components, size], summing to 1."""
        depth = max(int(own.shape[1] - 1).bit_length() for own in shares)
        table = np.full((len(places), 2**depth + 1, shares[0].shape[0]), _BEYOND, dtype=np.float32)
        table[:, 0] = 0.0
        for rows, own in zip(table, shares, strict=True):
            ends = np.cumsum(own, axis=1)
            rows[1 : own.shape[1]] = (ends[:, :-1] / ends[:, -1:]).T
        return cls(tuple(places), depth, table)

    def draw(self, component: Indices, u: Floats) -> Indices:
        """Classes [n, g] of components [n] at uniforms [n, g]."""
        passed = self.table[:, 1:, component] <= u.T[:, None]
        classes: Indices = passed.sum(axis=1, dtype=np.int64).T
        return classes

    def write_draw(self, ops: Ops, component: str, u: str) -> str:
        """`draw` as a graph: component int64 [n, 1] → int64 [n, g]."""
        found = cast(ops, ops.node("Less", u, u), INT64)
        count, stride, components = self.table.shape
        table = self._flat(ops)
        begins = np.arange(count)[None] * stride
        for level in reversed(range(self.depth)):
            probe = ops.node("Add", found, ops.constant(begins + 2**level, np.int64))
            cell = self._cell(ops, probe, component, components)
            passed = cast(ops, ops.node("LessOrEqual", ops.node("Gather", table, cell), u), INT64)
            found = ops.node(
                "Add", found, ops.node("Mul", passed, ops.constant(np.array(2**level), np.int64))
            )
        return found

    def write_before(self, ops: Ops, classes: Indices, component: str) -> str:
        """Share of each component before those classes [g], float32 [n, g]."""
        count, stride, components = self.table.shape
        probe = ops.constant(np.arange(count)[None] * stride + classes[None], np.int64)
        cell = self._cell(ops, probe, component, components)
        return str(ops.node("Gather", self._flat(ops), cell))

    def _flat(self, ops: Ops) -> str:
        # One initializer for the searches here and the whole rows of it that evidence reads.
        count, stride, components = self.table.shape
        table = ops.constant(self.table.reshape(count * stride, components))
        return str(ops.node("Reshape", table, ops.constant(np.array([-1]), np.int64)))

    @staticmethod
    def _cell(ops: Ops, probe: str, component: str, components: int) -> str:
        scaled = ops.node("Mul", probe, ops.constant(np.array(components), np.int64))
        return str(ops.node("Add", scaled, component))


@dataclass(frozen=True, eq=False)
class MixtureGenerator:
    """Components, and what each says of every column.

    A unit consumes uniforms: one for the component, one for each column's class, then the bins' details.
    """

    encoding: Encoding
    bins: Bins
    weights: Doubles
    """Shares of the components."""
    groups: tuple[Group, ...]

    @classmethod
    def of(
        cls, encoding: Encoding, bins: Bins, weights: Doubles, shares: Sequence[Doubles]
    ) -> MixtureGenerator:
        """A mixture whose components have shares [components, size] of every column's classes."""
        groups = (Group.of(places, [shares[place] for place in places]) for places in bins.groups())
        return cls(encoding, bins, weights, tuple(groups))

    @property
    def noise(self) -> Noise:
        """What one unit consumes."""
        return Noise(uniforms=self._details + self.bins.details, normals=0)

    @property
    def _details(self) -> int:
        """The first uniform of the bins' details."""
        return 1 + len(self.bins.columns)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """A search for the component, then one for each group of columns."""
        component = self._write_component(ops, uniform)
        features: dict[int, str] = {}
        for group in self.groups:
            classes = group.write_draw(ops, component, self._uniforms(ops, uniform, group))
            features |= self.bins.write(ops, group.places, classes, uniform, self._details)
        return [features[place] for place in range(len(features))]

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same in numpy, by counting."""
        component = locate(uniform[:, 0], cumulative(self.weights))
        classes = np.empty((uniform.shape[0], len(self.bins.columns)), dtype=np.int64)
        for start in range(0, uniform.shape[0], _CHUNK):
            part = slice(start, start + _CHUNK)
            for group in self.groups:
                places = np.array(group.places)
                classes[part, places] = group.draw(component[part], uniform[part, 1 + places])
        return self.bins.decode(classes, uniform, self._details)

    def graph_given(self, ops: Ops, uniform: str, normal: str, given: Given) -> Sequence[str]:
        """The component from its posterior, the columns that are not given from the component."""
        evidence = _Evidence(ops, self.bins, given)
        spans = [evidence.span(group) for group in self.groups]
        component = self._write_component(ops, uniform)
        if self.weights.size > 1:
            logs = ops.constant(np.log(np.maximum(self.weights, _IMPOSSIBLE))[None], np.float32)
            for group, span in zip(self.groups, spans, strict=True):
                logs = ops.node("Add", logs, evidence.write(group, span))
            known = ops.slice(logs, 0, self.weights.size)
            posterior = ops.node("Unsqueeze", ops.draw(known, ops.slice(uniform, 0, 1)), _axis(ops))
            component = ops.node("Where", evidence.any, posterior, component)
        features: dict[int, str] = {}
        for group, span in zip(self.groups, spans, strict=True):
            u = evidence.within(group, span, component, self._uniforms(ops, uniform, group))
            classes = group.write_draw(ops, component, u)
            drawn = self.bins.write(ops, group.places, classes, uniform, self._details)
            features |= evidence.kept(drawn)
        return [features[place] for place in range(len(features))]

    def reference_given(
        self,
        uniform: Floats,
        normal: Floats,
        features: Doubles,
        mask: npt.NDArray[np.bool_],
        temperature: Floats,
        top_p: Floats,
    ) -> Sequence[Indices | Doubles]:
        """The same in numpy; there is no temperature."""
        drawn: list[Any] = [np.array(own) for own in self.reference(uniform, normal)]
        told = np.flatnonzero(mask.any(axis=1))
        for start in range(0, told.size, _FEW):
            rows = told[start : start + _FEW]
            for own, cells in zip(
                drawn, self._draw_given(uniform[rows], features[rows], mask[rows]), strict=True
            ):
                own[rows] = cells
        return [np.where(mask[:, j], features[:, j], own).astype(own.dtype) for j, own in enumerate(drawn)]

    def _draw_given(
        self, uniform: Floats, features: Doubles, mask: npt.NDArray[np.bool_]
    ) -> Sequence[Indices | Doubles]:
        """Features drawn given some of them; those given are drawn, too, and mean nothing."""
        logs = np.tile(np.log(np.maximum(self.weights, _IMPOSSIBLE)).astype(np.float32), (len(uniform), 1))
        spans = {}
        for group in self.groups:
            for row, place in enumerate(group.places):
                low, after, told = _classes_given(self.bins.columns[place], features, mask)
                spans[place] = np.where(told, after, self.bins.columns[place].size)
                table = group.table[row]
                logs[told] += np.log(np.maximum(table[after[told]] - table[low[told]], _IMPOSSIBLE))
        likely = np.exp((logs - logs.max(axis=1, keepdims=True)).astype(np.float64))
        ends = np.cumsum(likely, axis=1)
        component = (ends[:, :-1] <= uniform[:, :1] * ends[:, -1:]).sum(axis=1)
        classes = np.empty((len(uniform), len(self.bins.columns)), dtype=np.int64)
        for group in self.groups:
            places = np.array(group.places)
            upto = [group.table[row, spans[place], component] for row, place in enumerate(group.places)]
            classes[:, places] = group.draw(component, uniform[:, 1 + places] * np.stack(upto, axis=1))
        return self.bins.decode(classes, uniform, self._details)

    def _write_component(self, ops: Ops, uniform: str) -> str:
        """int64 [n, 1]."""
        u = ops.slice(uniform, 0, 1)
        if self.weights.size == 1:
            return cast(ops, ops.node("Less", u, u), INT64)
        index = write_locate(ops, cast(ops, flatten(ops, u), DOUBLE), cumulative(self.weights))
        return str(ops.node("Unsqueeze", index, _axis(ops)))

    @staticmethod
    def _uniforms(ops: Ops, uniform: str, group: Group) -> str:
        return str(ops.node("Gather", uniform, ops.constant(1 + np.array(group.places), np.int64), axis=1))


@dataclass(frozen=True)
class _Span:
    """The classes that what is given of columns allows: from `low` to before `after`, int64 [n, g]."""

    low: str
    after: str
    told: str
    """Whether anything is given of a column, bool [n, g]."""
    only_present: str = ""
    """Whether no more is given than that it is not null, bool [n, g]."""


class _Evidence:
    """What is given of a row, written into a graph."""

    def __init__(self, ops: Ops, bins: Bins, given: Given) -> None:
        self._ops, self._bins, self._given = ops, bins, given
        self._numbers = {column.feature for column in bins.columns if isinstance(column, NumberBins)}
        total = ops.node("ReduceSum", cast(ops, given.mask, FLOAT), _axis(ops), keepdims=1)
        self.any = ops.node("Greater", total, ops.constant(np.float32(0)))
        """Whether anything is given, bool [n, 1]."""

    def span(self, group: Group) -> _Span:
        """What is given of a group's columns."""
        ops = self._ops
        columns = [self._bins.columns[place] for place in group.places]
        x, known = self._both([column.feature for column in columns])
        numbers = [column for column in columns if isinstance(column, NumberBins)]
        if not numbers:
            tables = [column.table for column in columns if isinstance(column, ClassBins)]
            index = gather_all(ops, tables, cast(ops, x, INT64))
            return _Span(index, ops.node("Add", index, _one(ops)), known)
        index = write_locate_all(ops, x, [column.bounds for column in numbers])
        nullable = [column.encoding.nulls for column in numbers]
        if not any(nullable):
            return _Span(index, ops.node("Add", index, _one(ops)), known)
        before = [column.feature - column.encoding.nulls for column in numbers]
        present, marked = self._both(before)
        open_ = ops.node("And", marked, ops.node("Not", known))
        if not all(nullable):
            open_ = ops.node("And", open_, ops.constant(np.array([nullable])))
        present = ops.node("Greater", present, ops.constant(np.float64(0)))
        null, only = (ops.node("And", open_, x) for x in (ops.node("Not", present), present))
        last = ops.constant(np.array([[column.bins for column in numbers]]), np.int64)
        zero = ops.constant(np.array(0), np.int64)
        low = ops.node("Where", null, last, ops.node("Where", only, zero, index))
        after = ops.node("Where", only, last, ops.node("Add", low, _one(ops)))
        return _Span(low, after, ops.node("Or", known, open_), only)

    def write(self, group: Group, span: _Span) -> str:
        """log P(what is given of the group's columns | component), float32 [n, components]."""
        ops, total = self._ops, ""
        count, stride, components = group.table.shape
        table = ops.constant(group.table.reshape(count * stride, components))
        begins = ops.constant(np.arange(count)[None] * stride, np.int64)
        low, after = (ops.node("Add", own, begins) for own in (span.low, span.after))
        together = max(1, _HELD // components)
        for start in range(0, count, together):
            stop = min(start + together, count)
            rows = [ops.node("Gather", table, ops.slice(own, start, stop)) for own in (after, low)]
            share = ops.node("Max", ops.node("Sub", *rows), ops.constant(_IMPOSSIBLE))
            told = ops.node(
                "Unsqueeze", ops.slice(span.told, start, stop), ops.constant(np.array([2]), np.int64)
            )
            logs = ops.node("Where", told, ops.node("Log", share), ops.constant(np.float32(0)))
            some = ops.node("ReduceSum", logs, _axis(ops), keepdims=0)
            total = ops.node("Add", total, some) if total else some
        return total

    def within(self, group: Group, span: _Span, component: str, u: str) -> str:
        """Uniforms [n, g] that draw no null where a column is given as present."""
        if not span.only_present:
            return u
        bins = np.array([getattr(self._bins.columns[place], "bins", 0) for place in group.places])
        share = group.write_before(self._ops, bins, component)
        return str(self._ops.node("Where", span.only_present, self._ops.node("Mul", u, share), u))

    def _both(self, features: Sequence[int]) -> tuple[str, str]:
        """Columns of what is given, and whether they are, [n, g] each."""
        places = self._ops.constant(np.array(features), np.int64)
        features_of = self._ops.node("Gather", self._given.features, places, axis=1)
        return features_of, self._ops.node("Gather", self._given.mask, places, axis=1)

    def kept(self, drawn: dict[int, str]) -> dict[int, str]:
        """Features [n] of a group as given, else as drawn."""
        ops, places = self._ops, sorted(drawn)
        given, known = (split(ops, x, len(places)) for x in self._both(places))
        kept = {}
        for place, x, told in zip(places, given, known, strict=True):
            given_so = x if place in self._numbers else cast(ops, x, INT64)
            kept[place] = ops.node("Where", told, given_so, drawn[place])
        return kept


def _classes_given(
    column: ClassBins | NumberBins, features: Doubles, mask: npt.NDArray[np.bool_]
) -> tuple[Indices, Indices, npt.NDArray[np.bool_]]:
    """Classes that what is given of a column allows, `low` to before `after`, and where any is; [n] each."""
    cells, told = dict(enumerate(features.T)), mask[:, column.feature]
    if isinstance(column, ClassBins) or not column.encoding.nulls:
        index = column.encode(cells)
        return index, index + 1, told
    marked, null = mask[:, column.feature - 1] & ~told, features[:, column.feature - 1] == 0
    index = column.encode({**cells, column.feature - 1: ~(marked & null)})
    only = marked & ~null
    return np.where(only, 0, index), np.where(only, column.bins, index + 1), told | marked


def _axis(ops: Ops) -> str:
    return ops.constant(np.array([1]), np.int64)


def _one(ops: Ops) -> str:
    return ops.constant(np.array(1), np.int64)
