"""What is compared with what, and how sure a comparison is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from evaluators.case import Case
from evaluators.frame import Frame, joined
from evaluators.intervals import LEVEL
from evaluators.results import Interval
from tables.statistics import patients_per_code
from trainers.base import Doubles, Indices

BLOCKS = 20
"""Groups of patients that are left out in turn."""


@dataclass(frozen=True, eq=False)
class Side:
    """Rows, and for each the group of patients that it is in."""

    frame: Frame
    block: Indices
    """[n], from 0."""
    blocks: int

    @classmethod
    def of(cls, frame: Frame, rng: np.random.Generator) -> Side:
        """With its patients dealt at random into groups of one size."""
        blocks = max(1, min(BLOCKS, frame.patients))
        patients, own = np.unique(frame.subjects, return_inverse=True)
        return cls(frame, rng.permutation(len(patients))[own] % blocks, blocks)

    def counts(self, codes: Indices, size: int) -> Doubles:
        """Rows per group and code, [blocks, size]; codes [n] below 0 do not count."""
        cells = self.block * size + codes
        if codes.size and codes.min() < 0:
            cells = cells[codes >= 0]
        return np.bincount(cells, minlength=self.blocks * size).reshape(self.blocks, size).astype(np.float64)

    @cached_property
    def rows(self) -> Doubles:
        """Per group its rows, [blocks]."""
        return np.bincount(self.block, minlength=self.blocks).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Sides:
    """Real rows, and what stands beside them: synthetic rows, and real rows of other patients.

    Distances between samples shrink with their sizes; `synthetic` and
    `baseline` are of one size, so their distances from `reference` compare.
    """

    reference: Side
    synthetic: Side
    baseline: Side | None

    @classmethod
    def of(cls, case: Case, part: str, rows: int) -> Sides:
        """Of a case, at most so many rows of each."""
        rng = case.rng(part)
        most = min([rows, len(case.synthetic), *([len(case.baseline)] if case.baseline is not None else [])])
        return cls(
            Side.of(case.reference.sample(rows, rng), rng),
            Side.of(case.synthetic.sample(most, rng), rng),
            None if case.baseline is None else Side.of(case.baseline.sample(most, rng), rng),
        )

    def __iter__(self) -> Iterator[Side]:
        yield self.reference
        yield from self.others

    @property
    def others(self) -> tuple[Side, ...]:
        """The synthetic rows, then the baseline where there is one."""
        return (self.synthetic,) if self.baseline is None else (self.synthetic, self.baseline)


def without(counts: Doubles) -> Doubles:
    """Of counts per group [blocks, ...] those that are left without each group in turn."""
    left: Doubles = counts.sum(axis=0) - counts
    return left


def stacked(counts: Doubles) -> Doubles:
    """Of counts per group [blocks, ...] the whole, then what each group leaves, [1 + blocks, ...]."""
    return np.concatenate([counts.sum(axis=0, keepdims=True), without(counts)])


def jackknife(
    value: float, deleted: Sequence[Doubles], low: float = 0.0, high: float = 1.0, level: float = LEVEL
) -> Interval | None:
    """The interval of a statistic of independent samples, from its values without each group of patients.

    The delete-a-group jackknife (Shao and Wu 1989): unlike bootstrap samples,
    samples with a group left out hold no rows twice, so distances between them
    are not larger than the one between the samples themselves. Clipped to
    [low, high]. None where a sample is of fewer than two patients.

    Args:
        value: of all rows.
        deleted: per sample the values without each of its groups, [blocks].
        low: the least possible.
        high: the largest possible.
        level: of the interval.
    """
    if not np.isfinite(value) or any(len(values) < 2 for values in deleted):
        return None
    variance = sum(float(np.var(values)) * (len(values) - 1) for values in deleted)
    freedom = min(len(values) for values in deleted) - 1
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * float(np.sqrt(variance))
    return Interval(max(low, value - half), min(high, value + half), "jackknife", level)


def patients_of(codes: Indices, subjects: Indices, size: int) -> Indices:
    """Distinct patients per code, [size]; codes [n] below 0 do not count."""
    held = codes >= 0
    return patients_per_code(codes[held], subjects[held], size)


def real_rows(case: Case, rows: int, rng: np.random.Generator) -> Frame:
    """Training rows and held-out ones, at most so many of each, as patients of their own."""
    train = case.train.sample(rows, rng)
    return train if case.holdout is None else joined(train, case.holdout.sample(rows, rng))
