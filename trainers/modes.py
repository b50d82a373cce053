"""Mode-specific normalisation of numbers (Xu et al., 2019, arXiv 1907.00503, section 4.2).

A column's values are read as a mixture of Gaussians. A value c becomes the
mode it was drawn into and where it lies in it: α = (c − μ) / 4σ, so that a
generator can give it as a category and a tanh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Floats, Indices, Ops
from trainers.gaussians import fit_mixture
from trainers.search import DOUBLE, cast, gather_all

MOST = 10
"""Modes a column may have."""

_LIGHTEST = 0.005
"""A mode of a smaller share of the rows is none."""

_ROWS = 65_536
"""Rows that modes are fitted on; the fit gains nothing from more."""

_NARROWEST = 1e-300
"""Deviations are at least this: the smallest doubles have no inverse."""

_CHUNK = 65_536


@dataclass(frozen=True, eq=False)
class Modes:
    """The Gaussians of one column, in its coordinate: each of at least k patients."""

    weights: Doubles
    means: Doubles
    deviations: Doubles

    @property
    def size(self) -> int:
        """How many there are."""
        return self.means.size

    @classmethod
    def fit(cls, x: Doubles, subjects: npt.NDArray[np.int64], min_patients: int, seed: int) -> Modes:
        """Fits a variational mixture to coordinates x [n] of patients [n]; as many modes as the data bear.

        A Dirichlet process prior empties the modes that are not needed; those
        that fewer than `min_patients` patients belong to are dropped. In what is
        kept of a mode every patient of it weighs the same, however many rows
        are theirs: else a mode could be where one patient is.
        """
        # Within ±1 no square leaves the doubles, however large, small or far from zero the numbers are.
        low, high = float(x.min()), float(x.max())
        middle, half = low / 2 + high / 2, high / 2 - low / 2
        if half == 0.0:
            return cls(np.ones(1), np.array([low]), np.array([max(1e-9 * abs(low), _NARROWEST)]))
        standard = (x - middle) / half
        centre, scale = _moments(standard, subjects)
        rng = np.random.default_rng(seed)
        chosen = rng.choice(x.size, _ROWS, replace=False) if x.size > _ROWS else np.arange(x.size)
        points, owners = (standard[chosen] - centre) / scale, subjects[chosen]
        mixture, members = fit_mixture(points, MOST)
        patients = np.unique(np.stack([members, owners]), axis=1)[0]
        supported = np.bincount(patients, minlength=mixture.weights.size) >= min_patients
        kept = np.flatnonzero(supported & (mixture.weights >= _LIGHTEST))
        if not kept.size:
            return cls(np.ones(1), np.array([middle + half * centre]), np.array([half * scale]))
        weights = mixture.weights[kept]
        moments = [_moments(points[members == mode], owners[members == mode]) for mode in kept]
        means, deviations = (np.array(part) for part in zip(*moments, strict=True))
        # Neighbours overlap: a mode is wider than the points nearest to it are apart.
        widths = np.maximum(deviations, np.sqrt(mixture.variances[kept]))
        widths = np.maximum(half * scale * widths, _NARROWEST)
        return cls(weights / weights.sum(), middle + half * (centre + scale * means), widths)

    def encode(self, x: Doubles, rng: np.random.Generator) -> tuple[Floats, Indices]:
        """α within ±0.99 (float32 [n]) and the mode (int64 [n]), drawn by how likely each mode makes x."""
        drawn = rng.random(x.size)
        mode = np.empty(x.size, dtype=np.int64)
        for start in range(0, x.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            standard = (x[part, None] - self.means) / self.deviations
            likely = np.log(self.weights / self.deviations) - 0.5 * standard**2
            shares = np.cumsum(np.exp(likely - likely.max(axis=1, keepdims=True)), axis=1)
            mode[part] = (shares[:, :-1] <= drawn[part, None] * shares[:, -1:]).sum(axis=1)
        alpha = (x - self.means[mode]) / (4.0 * self.deviations[mode])
        return np.clip(alpha, -0.99, 0.99).astype(np.float32), mode

    def decode(self, alpha: Floats, mode: Indices) -> Doubles:
        """The coordinates: μ + 4σα, float64 [n]."""
        result: Doubles = self.means[mode] + 4.0 * self.deviations[mode] * alpha.astype(np.float64)
        return result


def write_modes(ops: Ops, modes: Sequence[Modes], alpha: str, mode: str) -> str:
    """`Modes.decode` as a graph, row j by modes[j]: α float32 and mode int64 [g, n] → float64 [g, n]."""
    widths = gather_all(ops, [4.0 * own.deviations for own in modes], mode, axis=0)
    means = gather_all(ops, [own.means for own in modes], mode, axis=0)
    return str(ops.node("Add", means, ops.node("Mul", widths, cast(ops, alpha, DOUBLE))))


def _moments(x: Doubles, subjects: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation of x [n] of patients [n], who weigh the same whatever rows they have."""
    _, patient, rows = np.unique(subjects, return_inverse=True, return_counts=True)
    weights = 1.0 / rows[patient]
    mean = float(np.average(x, weights=weights))
    return mean, float(np.sqrt(np.average((x - mean) ** 2, weights=weights)))
