"""What every trainer of single rows begins with: one table, its encoding, its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tables.statistics import StatisticsSource
from trainers.base import FitRequest, Hooks
from trainers.encoding import Encoding
from trainers.features import Feature


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """The training rows as features of an encoding."""

    encoding: Encoding
    features: list[npt.NDArray[Any]]
    """Per feature of the encoding int64 or float64 [n]."""
    known: list[npt.NDArray[np.bool_] | None]
    """Per feature where its cell is not null, [n]; None: everywhere, or null is a class of its own."""
    subjects: npt.NDArray[np.int64]
    """Per row the number of its patient, [n]."""
    weights: npt.NDArray[np.float64]
    """What each row counts, [n], 1 on average; all 1 unless patients count equally."""
    validation: list[npt.NDArray[Any]]
    """The rows for early stopping and calibration, encoded likewise; [m] each, m may be 0."""

    @property
    def layout(self) -> tuple[Feature, ...]:
        """What the features are."""
        return self.encoding.features


def encode_rows(request: FitRequest, hooks: Hooks, rng: np.random.Generator) -> EncodedRows:
    """Fits the encoding of the only table and encodes its training rows; warns of what the encoding changes.

    Raises:
        Problem: MULTI_TABLE_UNSUPPORTED, and what `Encoding.fit` raises.
    """
    table = request.train.single()
    subjects = table.subjects()
    hooks.phase("encoding")
    weights = np.ones(subjects.size)
    if request.equal_patients:
        weights = 1.0 / np.bincount(subjects)[subjects]
        weights /= weights.mean()
    encoding = Encoding.fit(
        table, StatisticsSource(), request.min_patients, weights if request.equal_patients else None
    )
    for finding in encoding.findings:
        hooks.warn(finding)
    hooks.check()
    features = encoding.encode(table, rng)
    hooks.check()
    none = [feature[:0] for feature in features]
    validation = encoding.encode(request.validation.single(), rng) if request.validation.tables else none
    hooks.check()
    known: list[npt.NDArray[np.bool_] | None] = []
    layout = encoding.features
    for i, feature in enumerate(layout):
        paired = i > 0 and layout[i - 1].role == "present" and feature.role == "value"
        known.append(features[i - 1] == 1 if paired else None)
    return EncodedRows(encoding, features, known, subjects, weights, validation)
