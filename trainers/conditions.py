"""The conditional vector and training-by-sampling (Xu et al., 2019, arXiv 1907.00503, section 4.3).

A generator is asked for one class of one discrete column at a time. While
training, the column is drawn evenly and the class by the logarithm of its
frequency, so that rare classes are met often enough to be learned; the real
row beside it is drawn among the rows of that class. For sampling, classes are
drawn by their plain frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Indices
from trainers.heads import Classes, Layout
from trainers.search import cumulative, locate


@dataclass(frozen=True, eq=False)
class Conditions:
    """Every class of every discrete column that has two or more, numbered 0..width-1."""

    outputs: Indices
    """The network's output that stands for each condition, [width]."""
    training_edges: Doubles
    """Edges that cut (0, 1) by how often training asks for each."""
    sampling_edges: Doubles
    """Edges that cut (0, 1) by how often sampling asks for each."""

    @property
    def width(self) -> int:
        """How many there are; 0 in a table without discrete columns."""
        return self.outputs.size

    @classmethod
    def of(
        cls,
        layout: Layout,
        ones: npt.NDArray[np.int32],
        weights: Doubles | None = None,
        *,
        log_frequency: bool,
    ) -> Conditions:
        """The conditions of training rows encoded by `Layout.encode`; rows count 1, or `weights` [n]."""
        each = None if weights is None else np.repeat(weights, ones.shape[1])
        counts = np.bincount(ones.reshape(-1), each, minlength=layout.width)
        outputs, training, sampling = [], [], []
        for head in layout.heads:
            if isinstance(head.content, Classes) and head.size > 1:
                span = np.arange(head.start, head.start + head.size)
                rows = counts[span].astype(np.float64)
                asked = np.log1p(rows) if log_frequency else rows
                outputs.append(span)
                training.append(asked / asked.sum())
                sampling.append(rows / rows.sum())
        if not outputs:
            return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        edges = [cumulative(np.concatenate(shares)) for shares in (training, sampling)]
        return cls(np.concatenate(outputs), *edges)

    def ask(self, uniform: npt.NDArray[np.floating]) -> Indices:
        """Conditions for sampling, drawn at uniforms [n]; int64 [n]."""
        return locate(uniform, self.sampling_edges)


@dataclass(frozen=True, eq=False)
class RowSampler:
    """Draws conditions and real rows that meet them."""

    conditions: Conditions
    total: int
    """Rows of the training table."""
    order: npt.NDArray[np.int32]
    """Row numbers sorted by condition, one discrete column after another."""
    first: Indices
    """Where each condition's rows begin in `order`, [width]."""
    count: Indices
    """How many they are, [width]."""
    weights: Doubles | None = None
    """What each row counts, [total]; None: the same."""
    upto: Doubles | None = None
    """The weights of `order`, summed up to and with each."""

    @classmethod
    def of(
        cls,
        conditions: Conditions,
        layout: Layout,
        ones: npt.NDArray[np.int32],
        weights: Doubles | None = None,
    ) -> RowSampler:
        """A sampler over training rows encoded by `Layout.encode`; rows count 1, or `weights` [n]."""
        asked = set(conditions.outputs.tolist())
        places = [place for place, head in enumerate(layout.heads) if head.start in asked]
        orders = [np.argsort(ones[:, place], kind="stable").astype(np.int32) for place in places]
        count = np.bincount(ones[:, places].reshape(-1), minlength=layout.width)[conditions.outputs]
        first = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64)[: count.size]
        order = np.concatenate(orders) if orders else np.zeros(0, np.int32)
        upto = None if weights is None else np.cumsum(weights[order])
        return cls(conditions, ones.shape[0], order, first, count, weights, upto)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Conditions [size] (empty without discrete columns) and a real row for each [size]."""
        if not self.conditions.width:
            if self.weights is not None:
                return np.zeros(0, np.int64), locate(rng.random(size), cumulative(self.weights))
            return np.zeros(0, np.int64), rng.integers(0, self.total, size)
        asked = locate(rng.random(size), self.conditions.training_edges)
        if self.upto is not None:
            first, last = self.first[asked], self.first[asked] + self.count[asked] - 1
            start = np.where(first > 0, self.upto[first - 1], 0.0)
            place = np.searchsorted(self.upto, start + rng.random(size) * (self.upto[last] - start), "right")
            return asked, self.order[np.clip(place, first, last)].astype(np.int64)
        within = (rng.random(size) * self.count[asked]).astype(np.int64)
        return asked, self.order[self.first[asked] + within].astype(np.int64)
