"""What the outputs of a tabular generator network mean.

A generator network gives `width` numbers per row: one tanh per continuous
feature, then one softmax per feature (its classes, or its modes). Softmaxes of
equal size lie side by side, so that a whole group of them is one reshape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Floats, Indices, Ops
from trainers.modes import Modes, write_modes
from trainers.search import (
    COLUMNWISE,
    DOUBLE,
    INT64,
    cast,
    cumulative,
    flatten,
    gather,
    locate,
    split,
    write_locate,
)

WIDEST = 4_096
"""Outputs of the network for all classes together; a last layer of that width is about 20 MB."""


@dataclass(frozen=True, eq=False)
class Classes:
    """A discrete feature as a softmax.

    Of more categories than `limit`, only the most frequent are classes of
    their own; the last class stands for the rest, which are drawn by their
    frequencies. That bounds the network whatever the column.
    """

    named: Indices
    """Category of each class that stands for one."""
    rest: Indices
    """Categories that share the last class."""
    rest_edges: Doubles
    """Edges that cut (0, 1) by the frequencies of the rest."""

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64] | Doubles, limit: int) -> Classes:
        """Classes of a feature whose category i has counts[i] rows, or rows of that weight."""
        if counts.size <= limit:
            return cls(np.arange(counts.size), np.zeros(0, np.int64), np.zeros(0))
        order = np.argsort(-counts, kind="stable")
        rest = np.sort(order[limit - 1 :])
        return cls(np.sort(order[: limit - 1]), rest, cumulative(np.maximum(counts[rest], 1e-9)))

    @property
    def size(self) -> int:
        """How many classes."""
        return self.named.size + bool(self.rest.size)

    @property
    def uniforms(self) -> int:
        """Uniforms that a draw takes."""
        return 1 + bool(self.rest.size)

    def encode(self, categories: Indices) -> Indices:
        """Class of every category [n]."""
        table = np.full(self.named.size + self.rest.size, self.named.size, dtype=np.int64)
        table[self.named] = np.arange(self.named.size)
        return table[categories]

    def decode(self, index: Indices, uniform: Floats) -> Indices:
        """Category of every class [n]; `uniform` [n, uniforms] has drawn the class with its first column."""
        if not self.rest.size:
            return self.named[index]
        drawn = self.rest[locate(uniform[:, 1], self.rest_edges)]
        return np.where(index == self.named.size, drawn, np.append(self.named, 0)[index])

    def write(self, ops: Ops, index: str, uniform: str) -> str:
        """`decode` as a graph."""
        if not self.rest.size:
            return index
        u = cast(ops, flatten(ops, ops.slice(uniform, 1, 2)), DOUBLE)
        drawn = gather(ops, self.rest, write_locate(ops, u, self.rest_edges))
        named = gather(ops, np.append(self.named, 0), index)
        is_rest = ops.node("Equal", index, ops.constant(np.array(self.named.size), np.int64))
        return str(ops.node("Where", is_rest, drawn, named))


@dataclass(frozen=True, eq=False)
class Head:
    """The outputs of one feature: a softmax at [start, start + size), and a tanh at `alpha` if continuous."""

    feature: int
    start: int
    alpha: int | None
    content: Classes | Modes

    @property
    def size(self) -> int:
        """Width of the softmax."""
        return self.content.size

    @property
    def uniforms(self) -> int:
        """Uniforms that a draw takes."""
        return self.content.uniforms if isinstance(self.content, Classes) else 1


@dataclass(frozen=True, eq=False)
class Group:
    """`count` softmaxes of `size` classes each, from output `start` on."""

    start: int
    count: int
    size: int


@dataclass(frozen=True, eq=False)
class Layout:
    """All heads, in the order of their softmaxes."""

    heads: tuple[Head, ...]

    @classmethod
    def of(cls, contents: Sequence[Classes | Modes] | Mapping[int, Classes | Modes]) -> Layout:
        """The layout of features whose outputs mean `contents`: of all, or of those numbered."""
        if not isinstance(contents, Mapping):
            contents = dict(enumerate(contents))
        tanhs = [i for i, content in contents.items() if isinstance(content, Modes)]
        alphas = {feature: place for place, feature in enumerate(tanhs)}
        heads, start = [], len(tanhs)
        for i in sorted(contents, key=lambda i: contents[i].size):
            heads.append(Head(i, start, alphas.get(i), contents[i]))
            start += contents[i].size
        return cls(tuple(heads))

    @property
    def tanhs(self) -> int:
        """How many outputs are tanhs; they come first."""
        return sum(head.alpha is not None for head in self.heads)

    @property
    def width(self) -> int:
        """Outputs."""
        return self.tanhs + sum(head.size for head in self.heads)

    @property
    def groups(self) -> Iterator[Group]:
        """Softmaxes of equal size together, in order."""
        for size, same in groupby(self.heads, key=lambda head: head.size):
            heads = list(same)
            yield Group(heads[0].start, len(heads), size)

    @property
    def uniforms(self) -> int:
        """Uniforms that the draws of all heads take."""
        return sum(head.uniforms for head in self.heads)

    def write(self, ops: Ops, outputs: str, uniform: str, first: int = 0, spread: str = "") -> dict[int, str]:
        """The features of network outputs [n, width] as a graph, by feature number.

        `first` is the first column of `uniform` that is drawn with; `spread` [n, tanhs] is added to the
        tanhs, within ±1, where there is one.

        Turned once, so that rows are what the operators run along; softmaxes of equal size are drawn
        together.
        """
        draws = list(self._draws(first))
        few = [draw for draw in draws if draw[0].size <= COLUMNWISE]
        index: dict[int, str] = {}
        for head, place in draws[len(few) :]:
            logits = ops.slice(outputs, head.start, head.start + head.size)
            index[head.feature] = ops.draw(logits, ops.slice(uniform, place, place + 1))
        features: dict[int, str] = {}
        if few:
            stop = few[-1][0].start + few[-1][0].size
            turned = outputs if stop == self.width else ops.slice(outputs, 0, stop)
            turned = ops.node("Transpose", turned, perm=[1, 0])
            uniforms = ops.node("Transpose", uniform, perm=[1, 0])
            same = groupby(few, key=lambda draw: draw[0].size)
            drawn = [_write_group(ops, turned, uniforms, [*group]) for _, group in same]
            rows = cast(ops, drawn[0] if len(drawn) == 1 else ops.node("Concat", *drawn, axis=0), INT64)
            if self.tanhs:
                features |= self._write_numbers(ops, turned, rows, spread)
            if len(features) < len(few):
                parts = split(ops, rows, len(few), axis=0)
                index |= zip((head.feature for head, _ in few), parts, strict=True)
        for head, place in draws:
            if isinstance(head.content, Classes):
                u = ops.slice(uniform, place, place + head.uniforms) if head.uniforms > 1 else ""
                features[head.feature] = head.content.write(ops, index[head.feature], u)
        return features

    def _write_numbers(self, ops: Ops, turned: str, rows: str, spread: str) -> dict[int, str]:
        """The continuous features of outputs [width, n], their modes among the draws int64 [few heads, n]."""
        places = [place for place, head in enumerate(self.heads) if head.alpha is not None]
        contents = [head.content for head in self.heads if isinstance(head.content, Modes)]
        alphas = [head.alpha for head in self.heads if head.alpha is not None]
        alpha = ops.node("Tanh", _rows(ops, turned, alphas))
        if spread:
            moved = ops.node("Transpose", spread, perm=[1, 0])
            ends = (ops.constant(np.array(end), np.float32) for end in (-1.0, 1.0))
            alpha = ops.node("Clip", ops.node("Add", alpha, _rows(ops, moved, alphas)), *ends)
        cells = write_modes(ops, contents, alpha, _rows(ops, rows, places))
        features = [self.heads[place].feature for place in places]
        return dict(zip(features, split(ops, cells, len(places), axis=0), strict=True))

    def read(
        self, outputs: Floats, uniform: Floats, first: int = 0, spread: Floats | None = None
    ) -> dict[int, Indices | Doubles]:
        """`write` in numpy."""
        features: dict[int, Indices | Doubles] = {}
        for head, place in self._draws(first):
            u = uniform[:, place : place + head.uniforms]
            index = _draw(outputs[:, head.start : head.start + head.size], u[:, 0])
            if isinstance(head.content, Classes):
                features[head.feature] = head.content.decode(index, u)
                continue
            assert head.alpha is not None
            alpha = np.tanh(outputs[:, head.alpha])
            if spread is not None:
                alpha = np.clip(alpha + spread[:, head.alpha], -1.0, 1.0)
            features[head.feature] = head.content.decode(alpha, index)
        return features

    def _draws(self, first: int) -> Iterator[tuple[Head, int]]:
        """Every head with its first uniform."""
        for head in self.heads:
            yield head, first
            first += head.uniforms

    def encode(
        self, features: Sequence[npt.NDArray[np.generic]], rng: np.random.Generator
    ) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Training rows: tanhs float32 [n, tanhs], and per head the output that is 1, int32 [n, heads]."""
        n = len(features[0])
        alphas = np.zeros((n, self.tanhs), dtype=np.float32)
        ones = np.empty((n, len(self.heads)), dtype=np.int32)
        for place, head in enumerate(self.heads):
            cells = features[head.feature]
            if isinstance(head.content, Classes):
                index = head.content.encode(cells.astype(np.int64))
            else:
                alphas[:, head.alpha], index = head.content.encode(cells.astype(np.float64), rng)
            ones[:, place] = head.start + index
        return alphas, ones


def class_limit(sizes: Sequence[int], wished: int) -> int:
    """The most classes a feature may have so that all features of `sizes` categories fit a network."""
    limit = wished
    while limit > 8 and sum(min(size, limit) for size in sizes) > WIDEST:
        limit //= 2
    return limit


def _write_group(ops: Ops, outputs: str, uniforms: str, draws: Sequence[tuple[Head, int]]) -> str:
    """Softmaxes of equal size at outputs [width, n] and uniforms [U, n] → int32 [draws, n]."""
    size = draws[0][0].size
    starts = np.array([head.start for head, _ in draws])
    # By class, then by head.
    logits = _rows(ops, outputs, np.arange(size)[:, None] + starts)
    logits = ops.node("Reshape", logits, _shape(ops, size))
    own = ops.node("Reshape", _rows(ops, uniforms, [place for _, place in draws]), _shape(ops, 1))
    return str(ops.node("Reshape", ops.draw_columns(logits, own, size), _shape(ops, len(draws))))


def _rows(ops: Ops, x: str, places: npt.ArrayLike) -> str:
    """Rows of x [m, n] → [*places, n]; not a slice, which ONNX Runtime would put before a transposition."""
    return str(ops.node("Gather", x, ops.constant(places, np.int64), axis=0))


def _shape(ops: Ops, rows: int) -> str:
    """The shape [rows, n]."""
    return ops.constant(np.array([rows, -1]), np.int64)


def _draw(logits: Floats, uniform: Floats) -> Indices:
    """Category by inverse CDF of softmax(logits [n, k]) at uniform [n]; int64 [n]."""
    weights = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    ends = np.cumsum(weights, axis=1)
    passed = ends[:, :-1] <= uniform[:, None].astype(np.float64) * ends[:, -1:]
    index: Indices = passed.sum(axis=1, dtype=np.int64)
    return index
