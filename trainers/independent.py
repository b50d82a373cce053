"""Every column by itself: the floor that all other models must beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from trainers.base import MODELLED, NATIVE, Doubles, FitRequest, Generator, Hooks, Progress, TrainerInfo
from trainers.bins import Bins
from trainers.mixture import MixtureGenerator
from trainers.rows import encode_rows

_BINS = 128
"""Intervals of a number: they only matter where patients weigh differently."""

_CATEGORIES = 1 << 20


class IndependentTrainer:
    """Learns the distribution of each column."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="independent",
        display_name="Independent columns",
        description=(
            "Keeps every column's distribution and nothing of how columns relate. A floor to compare with, "
            "and enough for test data. Trains in a second."
        ),
        reference="Patki, Wedge, Veeramachaneni, DSAA 2016 (the baseline without covariances)",
        parameters=(),
        kinds=MODELLED,
        conditions=NATIVE,
        imputation=True,
        rebalancing=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Shares of every column's classes."""
        rows = encode_rows(request, hooks, np.random.default_rng(request.seed))
        hooks.phase("counting")
        bins = Bins.of(rows, _BINS, _CATEGORIES)
        classes = bins.encode(rows.features)
        shares: list[Doubles] = []
        for place, size in enumerate(bins.sizes):
            hooks.check()
            counts = np.bincount(classes[:, place], rows.weights, minlength=size)
            shares.append(counts[None] / counts.sum())
        hooks.progress(Progress(1, 1))
        return MixtureGenerator.of(rows.encoding, bins, np.ones(1), shares)
