"""Learning which columns depend on which: the structure of a Bayesian network.

A search begins with the tree of Chow and Liu (1968) and climbs: an arc is
added, removed or turned round as long as the score rises (Heckerman, Geiger
and Chickering, 1995). Scores are K2 (Cooper and Herskovits, 1992), BDeu, BIC and AIC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.special import gammaln, xlogy

from trainers.base import Doubles, Hooks, Indices

Classes = npt.NDArray[np.int32]

_CANDIDATES = 12
"""Columns that one may depend on: those it says most about."""

_SUPPORT = 10.0
"""A sample size that BDeu's prior is worth."""


@dataclass(frozen=True)
class Settings:
    """How a structure is searched for."""

    search: str
    """`tree_search` or `hillclimb`."""
    score: str
    max_indegree: int
    changes: int
    """Arcs changed at most beyond the tree."""
    cells: int
    """Numbers in the table of one column at most."""


def learn(classes: Classes, sizes: Indices, settings: Settings, hooks: Hooks) -> list[tuple[int, ...]]:
    """Parents of every column, those that say most about it first; there is no cycle.

    Args:
        classes: rows [n, columns].
        sizes: how many classes every column has.
    """
    shared = _information(classes, sizes, hooks)
    parents = _tree(shared, sizes, classes.shape[0], settings.cells)
    if settings.search == "hillclimb":
        _Climb(classes, sizes, shared, settings, parents).run(hooks)
    return [tuple(sorted(own, key=lambda u: (-shared[u, v], u))) for v, own in enumerate(parents)]


def in_order(parents: list[tuple[int, ...]]) -> list[int]:
    """How many arcs lead to each column at most, one after another."""
    depth = [-1] * len(parents)
    for root in range(len(parents)):
        stack = [root]
        while stack:
            open_ = [u for u in parents[stack[-1]] if depth[u] < 0]
            if open_:
                stack += open_
            else:
                v = stack.pop()
                depth[v] = 1 + max((depth[u] for u in parents[v]), default=-1)
    return depth


def _information(classes: Classes, sizes: Indices, hooks: Hooks) -> Doubles:
    """Mutual information of every pair in nats, [columns, columns]."""
    n, count = classes.shape
    shared = np.zeros((count, count))
    columns = [np.ascontiguousarray(column, dtype=np.int64) for column in classes.T]
    for j in range(count):
        hooks.check()
        for i in range(j):
            table = np.bincount(columns[i] * sizes[j] + columns[j], minlength=sizes[i] * sizes[j])
            both = table.reshape(sizes[i], sizes[j]) / n
            apart = np.outer(both.sum(axis=1), both.sum(axis=0))
            shared[i, j] = shared[j, i] = xlogy(
                both, np.where(both > 0, both / np.maximum(apart, 1e-300), 1)
            ).sum()
    return shared


def _tree(shared: Doubles, sizes: Indices, rows: int, cells: int) -> list[set[int]]:
    """The tree of most information, or several where columns share no more than chance would."""
    free = np.outer(sizes - 1, sizes - 1)
    gains = shared - 0.5 * free * np.log(max(rows, 2)) / rows
    allowed = np.outer(sizes, sizes) <= cells
    usable = np.where((gains > 0) & allowed, shared, 0.0)
    forest = minimum_spanning_tree(csr_array(-np.triu(usable, 1)))
    both = csr_array(forest + forest.T)
    parents: list[set[int]] = [set() for _ in sizes]
    count, member = connected_components(both, directed=False)
    for tree in range(count):
        columns = np.flatnonzero(member == tree)
        root = columns[np.argmax(shared[columns].sum(axis=1))]
        order, above = breadth_first_order(both, root, directed=False)
        for column in order[1:]:
            parents[column].add(int(above[column]))
    return parents


class _Climb:
    """A search that always takes the best change."""

    def __init__(
        self, classes: Classes, sizes: Indices, shared: Doubles, settings: Settings, parents: list[set[int]]
    ) -> None:
        self._columns = [np.ascontiguousarray(column, dtype=np.int64) for column in classes.T]
        self._sizes, self._settings, self._parents = sizes, settings, parents
        ranked = np.argsort(-shared, axis=1, kind="stable")
        self._near = [[int(u) for u in row if u != v][:_CANDIDATES] for v, row in enumerate(ranked)]
        self._scores: dict[tuple[int, frozenset[int]], float] = {}
        self._gains: list[dict[tuple[int, bool], float]] = [{} for _ in parents]

    def run(self, hooks: Hooks) -> None:
        """Changes the parents until no change is better."""
        for v in range(len(self._parents)):
            hooks.check()
            self._weigh(v)
        for _ in range(self._settings.changes):
            hooks.check()
            best = max(self._changes(), default=None, key=lambda change: (change[0], -change[1], -change[2]))
            if best is None:
                return
            _, u, v, kind = best
            if kind == "add":
                self._parents[v].add(u)
            else:
                self._parents[v].remove(u)
            if kind == "turn":
                self._parents[u].add(v)
                self._weigh(u)
            self._weigh(v)

    def _changes(self) -> Iterator[tuple[float, int, int, str]]:
        """Every better structure one change away: by how much, the arc u → v, and what happens to it."""
        for v, gains in enumerate(self._gains):
            for (u, added), gain in gains.items():
                if added:
                    if gain > 1e-9 and not self._leads(v, u):
                        yield gain, u, v, "add"
                    continue
                if gain > 1e-9:
                    yield gain, u, v, "remove"
                turned = self._gains[u].get((v, True))
                if turned is not None and gain + turned > 1e-9 and not self._leads(u, v, but=(u, v)):
                    yield gain + turned, u, v, "turn"

    def _leads(self, start: int, end: int, but: tuple[int, int] = (-1, -1)) -> bool:
        """Whether arcs lead from `start` to `end`, without the arc `but`."""
        stack, seen = [end], {end}
        while stack:
            v = stack.pop()
            for u in self._parents[v]:
                if (u, v) == but or u in seen:
                    continue
                if u == start:
                    return True
                seen.add(u)
                stack.append(u)
        return False

    def _weigh(self, v: int) -> None:
        """What each change of a column's parents gains."""
        own = frozenset(self._parents[v])
        now, gains = self._score(v, own), {}
        for u in own:
            gains[u, False] = self._score(v, own - {u}) - now
        if len(own) < self._settings.max_indegree:
            for u in self._near[v]:
                if u not in own and self._cells(v, own | {u}) <= self._settings.cells:
                    gains[u, True] = self._score(v, own | {u}) - now
        self._gains[v] = gains

    def _cells(self, v: int, parents: frozenset[int]) -> int:
        return int(np.prod([float(self._sizes[u]) for u in (v, *parents)]))

    def _score(self, v: int, parents: frozenset[int]) -> float:
        key = (v, parents)
        if key not in self._scores:
            config, rows = np.zeros_like(self._columns[v]), 1
            for u in sorted(parents):
                config, rows = config * self._sizes[u] + self._columns[u], rows * int(self._sizes[u])
            size = int(self._sizes[v])
            counts = np.bincount(config * size + self._columns[v], minlength=rows * size)
            self._scores[key] = SCORES[self._settings.score](counts.reshape(rows, size))
        return self._scores[key]


def _k2(counts: Indices) -> float:
    rows, size = counts.sum(axis=1), counts.shape[1]
    rows = rows[rows > 0]
    return float((gammaln(size) - gammaln(rows + size)).sum() + gammaln(counts[counts > 0] + 1).sum())


def _bdeu(counts: Indices) -> float:
    each = _SUPPORT / counts.shape[0]
    rows, cells = counts.sum(axis=1), counts[counts > 0]
    rows, cell = rows[rows > 0], each / counts.shape[1]
    between = (gammaln(each) - gammaln(rows + each)).sum()
    return float(between + (gammaln(cells + cell) - gammaln(cell)).sum())


def _bic(counts: Indices) -> float:
    return _penalised(counts, 0.5 * float(np.log(max(int(counts.sum()), 2))))


def _aic(counts: Indices) -> float:
    return _penalised(counts, 1.0)


def _penalised(counts: Indices, price: float) -> float:
    """The logarithm of the likelihood, less a price for each parameter."""
    rows = counts.sum(axis=1)
    cells = counts[counts > 0]
    likely = xlogy(cells, cells).sum() - xlogy(rows, rows).sum()
    # Configurations that never were have no parameters to be charged for.
    free = int((rows > 0).sum()) * (counts.shape[1] - 1)
    return float(likely - price * free)


SCORES: dict[str, Callable[[Indices], float]] = {"k2": _k2, "bdeu": _bdeu, "bic": _bic, "aic": _aic}
"""Of the counts [configurations of parents, classes]; higher is better."""
