"""All metrics of one synthetic table, and those of real rows in its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks import quality_metrics as metrics
from benchmarks.quality_tables import PATIENT, SPECS, Columns, canonical, prepared

SUPPORT = 5
"""Patients that a rare category needs in order to count."""

C2ST_ROWS = 1000
"""Hold-outs of fewer rows are told apart from several blocks of the sample, not from one."""


def _subjects(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    if PATIENT not in frame:
        return np.arange(len(frame), dtype=np.int64)
    return pd.factorize(frame[PATIENT])[0].astype(np.int64)


class Judge:
    """The real side of one table and seed."""

    def __init__(self, table: str, seed: int, data: Path) -> None:
        self.spec, self.seed = SPECS[table], seed
        raw = [pd.read_parquet(path) for path in prepared(table, seed, data)]
        columns = Columns.of(self.spec.read())
        self.columns = columns
        self.train, self.holdout = (canonical(frame, columns) for frame in raw)
        self.train_subjects, self.holdout_subjects = map(_subjects, raw)
        self._real = data / f"{table}_{seed}_real.json"

    def score(self, synthetic: pd.DataFrame) -> dict[str, float]:
        """The metrics of a sample; it should have as many rows as the training part."""
        return self._score(canonical(synthetic, self.columns), None)

    def real(self) -> dict[str, float]:
        """The same of the training rows: what a perfect generator that copies nothing would reach."""
        if not self._real.exists():
            found = self._score(self.train, self.train_subjects)
            # These two compare with the training rows, where real rows can be held-out ones only.
            found["identical"] = metrics.identical_share(self.train, self.holdout)
            found["rare_recall"] = metrics.rare_recall(self.train, self.holdout, self.train_subjects, SUPPORT)
            found["dcr_share"] = 0.5
            self._real.write_text(json.dumps(found))
        real: dict[str, float] = json.loads(self._real.read_text())
        return real

    def _score(self, other: pd.DataFrame, subjects: npt.NDArray[np.int64] | None) -> dict[str, float]:
        train, holdout = self.train, self.holdout
        size = len(holdout)
        parts = list(metrics.blocks(len(other), size))

        def mean(measure: Any, slices: list[slice]) -> float:
            return float(np.mean([measure(part) for part in slices]))

        def told(part: slice) -> float:
            own = None if subjects is None else subjects[part]
            return metrics.c2st_auc(train, holdout, other.iloc[part], self.holdout_subjects, own, self.seed)

        nulls = [name for name in train if train[name].isna().any()]
        outcomes = (self.spec.outcome(other), self.spec.outcome(holdout))
        return {
            "marginal": mean(lambda p: metrics.marginal_error(train, holdout, other.iloc[p]), parts),
            "pairwise": mean(lambda p: metrics.pairwise_error(train, holdout, other.iloc[p]), parts),
            "c2st": mean(told, parts if size < C2ST_ROWS else parts[:1]),
            "tstr": metrics.predictive_auc(train, holdout, other, outcomes, self.spec.excluded, self.seed),
            "missing": metrics.missingness_error(holdout, other, nulls),
            "rare_recall": metrics.rare_recall(train, other, self.train_subjects, SUPPORT),
            "identical": metrics.identical_share(train, other),
            "dcr_share": metrics.dcr_share(train, holdout, other, self.seed),
        }


def beside(scores: Mapping[str, float], real: Mapping[str, float]) -> str:
    """A table of values for people."""
    lines = [f"{'':12} {'synthetic':>10} {'real':>10}"]
    lines += [f"{name:12} {value:10.4f} {real[name]:10.4f}" for name, value in scores.items()]
    return "\n".join(lines)
