"""Adversarial random forests: seconds on a CPU, and any columns given.

The forest (`trainers.forests`) is grown on classes of columns (`trainers.bins`);
its leaves, each of at least k patients, are the components of a mixture of
products (`trainers.mixture`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from trainers.base import (
    MODELLED,
    NATIVE,
    Doubles,
    FitRequest,
    Generator,
    Hooks,
    Indices,
    Parameter,
    ParameterType,
    TrainerInfo,
)
from trainers.bins import Bins, ClassBins, NumberBins
from trainers.forests import Places, Settings, grow, leaf_shares, order, prune
from trainers.mixture import MixtureGenerator
from trainers.rows import EncodedRows, encode_rows

_CATEGORIES = 64
"""Categories of a column that leaves tell apart."""

_CELLS = 16_000_000
"""Numbers in all leaves' tables together: 64 MB of a bundle."""

_LEAVES = 8_192
"""Leaves of all trees together: what is given of a row is compared with each."""

_FEWEST, _FINE = 5, 10
"""Where leaves are bounded, fewer trees of leaves of about 10 rows are better than more of coarser ones."""

_PARAMETERS = (
    Parameter("num_trees", ParameterType.INTEGER, 30, "Trees of the forest.", 1, 500),
    Parameter(
        "delta",
        ParameterType.NUMBER,
        0.0,
        "How far above one half the forest's accuracy may be when rounds end.",
        0,
        0.5,
    ),
    Parameter("max_iters", ParameterType.INTEGER, 10, "Rounds at most.", 1, 100),
    Parameter(
        "min_node_size", ParameterType.INTEGER, 5, "Patients of a leaf; never fewer than k.", 2, 10_000
    ),
    Parameter(
        "early_stop", ParameterType.BOOLEAN, True, "Whether rounds end when the accuracy no longer falls."
    ),
    Parameter(
        "smoothing",
        ParameterType.NUMBER,
        2.0,
        "How many rows the surroundings of a leaf weigh beside its own.",
        0.1,
        1_000,
    ),
)


class ArfTrainer:
    """Grows an adversarial random forest and reads densities off its leaves."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="arf",
        display_name="Adversarial random forest",
        description=(
            "A random forest that learns to tell patients from made-up rows; its leaves then give new ones. "
            "Trains in seconds on a CPU, honours any conditions exactly and completes rows. "
            "For tables of hundreds to some thousands of patients, where time is short or torch is not "
            "installed; rare classes of large tables come out less well."
        ),
        reference="Watson, Blesch, Kapar, Wright, AISTATS 2023, PMLR 206, arXiv 2205.09435",
        parameters=_PARAMETERS,
        kinds=MODELLED,
        conditions=NATIVE,
        imputation=True,
        rebalancing=True,
        data_dependent_stop=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Rounds of forests, then the shares of every leaf."""
        given = dict(request.parameters)
        smoothing = float(given.pop("smoothing"))
        settings = Settings(**given)
        rng = np.random.default_rng(request.seed)
        rows = encode_rows(request, hooks, rng)
        bins = Bins.of(rows, _resolution(rows), _CATEGORIES)
        classes = bins.encode(rows.features)
        hooks.phase("growing")
        orders = _places(bins, classes)
        points: Places = np.stack(
            [own[classes[:, j]] for j, own in enumerate(orders)], axis=1, dtype=np.float32
        )
        trees = grow(points, settings, hooks, rng)

        hooks.phase("counting")
        leaves = min(_LEAVES, _CELLS // int(bins.sizes.sum()))
        trees = trees[: max(_FEWEST, leaves * _FINE // rows.subjects.size)]
        fair = -(-rows.subjects.size * len(trees) // max(1, leaves))
        least = max(request.min_patients, settings.min_node_size, fair)
        weights: list[Doubles] = []
        shares: list[Doubles] = []
        for tree in trees:
            hooks.check()
            pruned = prune(tree, points, rows.subjects, least)
            weight, share = leaf_shares(pruned, classes, orders, rows.weights, smoothing)
            weights.append(weight / len(trees))
            shares.append(share.astype(np.float32))
        ends = np.cumsum(bins.sizes)[:-1]
        return MixtureGenerator.of(
            rows.encoding, bins, np.concatenate(weights), np.split(np.concatenate(shares), ends, axis=1)
        )


def _resolution(rows: EncodedRows) -> int:
    """Bins of a number."""
    return int(np.clip(rows.subjects.size // 15, 8, 40))


def _places(bins: Bins, classes: npt.NDArray[np.int32]) -> list[Indices]:
    """Per column the place of each class among the ways to cut it; null first, so that it can be cut off."""
    places, unordered = [], []
    for j, column in enumerate(bins.columns):
        nulls = isinstance(column, NumberBins) and column.encoding.nulls
        places.append((np.arange(column.size) + nulls) % column.size)
        unordered += [j] if isinstance(column, ClassBins) else []
    return order(classes, places, unordered)
