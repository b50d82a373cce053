"""Forests that learn to tell rows from rows whose columns were drawn apart.

Watson, Blesch, Kapar and Wright, AISTATS 2023 (arXiv 2205.09435): synthetic
rows start as products of the marginals, then as products of the marginals in
the leaves; when a forest can tell them no longer, columns are about independent
within its leaves.

Rows are places: whole numbers in the order in which trees may cut a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from trainers.base import Doubles, Hooks, Indices, Progress

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

Places = npt.NDArray[np.float32]

_SWEEPS = 2
"""Rounds of ordering unordered categories by one another."""

_ROWS = 50_000
"""Rows that a tree is grown on; all rows are counted in its leaves."""


@dataclass(frozen=True)
class Settings:
    """How forests are grown; named as users of arf know them."""

    num_trees: int
    delta: float
    max_iters: int
    min_node_size: int
    early_stop: bool


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree whose leaves hold enough patients. Nodes are numbered from the root 0, parents first."""

    parent: Indices
    """[nodes], -1 for the root."""
    column: Indices
    """The column that led here from the parent."""
    cut: Indices
    """The last place of that column on the left side."""
    left: npt.NDArray[np.bool_]
    """Whether this is the left side."""
    leaf: Indices
    """Of every row the node it ends in, [n]."""


def grow(
    places: Places, settings: Settings, hooks: Hooks, rng: np.random.Generator
) -> list[DecisionTreeClassifier]:
    """The forest whose leaves give rows that the next forest could not tell from places [n, columns]."""
    made = np.stack([rng.permutation(column) for column in places.T], axis=1)
    trees, accuracy = _round(places, made, settings, hooks, rng)
    step = 0
    while True:
        step += 1
        last = step == settings.max_iters or accuracy <= 0.5 + settings.delta
        if not last:
            following, found = _round(places, _from_leaves(places, trees, rng), settings, hooks, rng)
            last = found <= 0.5 + settings.delta or (settings.early_stop and found >= accuracy)
        hooks.progress(Progress(step, step if last else settings.max_iters, {"accuracy": accuracy}))
        if last:
            return trees
        trees, accuracy = following, found


def prune(tree: DecisionTreeClassifier, places: Places, subjects: Indices, least: int) -> Tree:
    """The tree without splits that leave fewer than `least` patients on a side."""
    inner = tree.tree_
    path = csr_array(tree.decision_path(places), dtype=np.int32)
    members = csr_array((np.ones(subjects.size, np.int32), (subjects, np.arange(subjects.size))))
    patients = np.bincount((members @ path).indices, minlength=inner.node_count)
    number = np.full(inner.node_count, -1)
    number[0] = 0
    ends = np.zeros(inner.node_count, dtype=np.int64)
    rows: list[tuple[int, int, int, bool]] = [(-1, -1, 0, False)]
    # Parents come before their children in scikit-learn's order.
    for node in range(inner.node_count):
        sides = (int(inner.children_left[node]), int(inner.children_right[node]))
        alive = number[node] >= 0
        if alive:
            ends[node] = number[node]
        if sides[0] < 0:
            continue
        kept = alive and min(patients[side] for side in sides) >= least
        for side, left in zip(sides, (True, False), strict=True):
            ends[side] = ends[node]
            if kept:
                number[side] = len(rows)
                rows.append(
                    (int(number[node]), int(inner.feature[node]), int(np.floor(inner.threshold[node])), left)
                )
    parent, column, cut, left_side = (np.array(part) for part in zip(*rows, strict=True))
    return Tree(parent, column, cut, left_side, ends[tree.apply(places)])


def _round(
    places: Places, made: Places, settings: Settings, hooks: Hooks, rng: np.random.Generator
) -> tuple[list[DecisionTreeClassifier], float]:
    """A forest, and how often the trees that did not see a row name its kind."""
    from sklearn.tree import DecisionTreeClassifier

    rows = np.concatenate([places, made])
    real = np.arange(rows.shape[0]) < places.shape[0]
    votes = np.zeros((rows.shape[0], 2))
    trees = []
    for _ in range(settings.num_trees):
        hooks.check()
        drawn = rng.integers(0, rows.shape[0], min(rows.shape[0], 2 * _ROWS))
        tree = DecisionTreeClassifier(
            min_samples_leaf=settings.min_node_size,
            max_features="sqrt",
            random_state=int(rng.integers(2**31)),
        )
        tree.fit(rows[drawn], real[drawn])
        trees.append(tree)
        unseen = np.ones(rows.shape[0], dtype=np.bool_)
        unseen[drawn] = False
        shares = tree.predict_proba(rows[unseen])
        if shares.shape[1] == 2:
            votes[unseen] += shares
    judged = votes.sum(axis=1) > 0
    right = (votes[:, 1] > votes[:, 0]) == real
    return trees, float(right[judged].mean()) if judged.any() else 0.5


def _from_leaves(places: Places, trees: list[DecisionTreeClassifier], rng: np.random.Generator) -> Places:
    """As many rows, of random leaves, each column from another row of the leaf; [n, columns]."""
    n = places.shape[0]
    chosen = rng.integers(0, len(trees), n)
    made = np.empty_like(places)
    for place, tree in enumerate(trees):
        mine = np.flatnonzero(chosen == place)
        leaf = tree.apply(places)
        order = np.argsort(leaf, kind="stable")
        counts = np.bincount(leaf)
        begins = np.cumsum(counts) - counts
        own = leaf[rng.integers(0, n, mine.size)]
        for j in range(places.shape[1]):
            within = (rng.random(mine.size) * counts[own]).astype(np.int64)
            made[mine, j] = places[order[begins[own] + within], j]
    return made


def leaf_shares(
    tree: Tree, classes: npt.NDArray[np.int32], places: list[Indices], weights: Doubles, prior: float
) -> tuple[Doubles, Doubles]:
    """What each leaf says of every column's classes.

    A node's shares are its rows', pulled towards its parent's with the weight of
    `prior` rows: those of the parent that the cut leaves possible. So a leaf of
    a few rows is never their plain histogram.

    Args:
        classes: of the rows, [n, columns].
        places: per column the place of each class.
        weights: of the rows, [n].

    Returns:
        The leaves' shares of the rows [leaves], and [leaves, classes of all columns].
    """
    sizes = [own.size for own in places]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    nodes = tree.parent.size
    counts = np.zeros((nodes, int(starts[-1])))
    for j, start in enumerate(starts[:-1]):
        np.add.at(counts, (tree.leaf, start + classes[:, j]), weights)
    total = np.bincount(tree.leaf, weights, minlength=nodes)
    for node in range(nodes - 1, 0, -1):
        counts[tree.parent[node]] += counts[node]
        total[tree.parent[node]] += total[node]
    shares = counts
    shares[0] /= total[0]
    for node in range(1, nodes):
        before = shares[tree.parent[node]].copy()
        j = tree.column[node]
        own = slice(starts[j], starts[j + 1])
        possible = (places[j] <= tree.cut[node]) == tree.left[node]
        inside = before[own] * possible
        if inside.sum() > 0:
            before[own] = inside / inside.sum()
        shares[node] = (shares[node] + prior * before) / (total[node] + prior)
    inner = np.zeros(nodes, dtype=np.bool_)
    inner[tree.parent[1:]] = True
    leaves = np.flatnonzero(~inner)
    return total[leaves] / total[0], shares[leaves]


def order(classes: npt.NDArray[np.int32], places: list[Indices], unordered: list[int]) -> list[Indices]:
    """Places of the classes such that classes of an unordered column lie beside those that are alike.

    A cut then parts a column where it matters: classes are ordered by the first axis of the means of all
    other columns, that is by a correspondence analysis of one column against the rest (Greenacre, 1984).
    """
    places = list(places)
    scores = np.stack([_standard(own[classes[:, j]]) for j, own in enumerate(places)], axis=1)
    for _ in range(_SWEEPS):
        for j in unordered:
            size = places[j].size
            if size < 3:
                continue
            rows = np.arange(classes.shape[0])
            members = csr_array((np.ones(rows.size), (classes[:, j], rows)), shape=(size, rows.size))
            counts = np.maximum(np.bincount(classes[:, j], minlength=size), 1)
            scores[:, j] = 0.0
            means = (members @ scores) / counts[:, None]
            weights = np.sqrt(counts / rows.size)[:, None]
            axes = np.linalg.svd(weights * (means - scores.mean(axis=0)), full_matrices=False)[0]
            # An axis has no direction of its own: let the heaviest class lie on its positive side.
            along = axes[:, 0] / weights[:, 0] * np.sign(axes[np.argmax(counts), 0] or 1.0)
            places[j] = np.argsort(np.argsort(along, kind="stable"), kind="stable")
            scores[:, j] = _standard(places[j][classes[:, j]])
    return places


def _standard(x: Indices) -> Doubles:
    spread = x.std()
    centred: Doubles = (x - x.mean()) / (spread if spread > 0 else 1.0)
    return centred
