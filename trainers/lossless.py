"""Whether a generator in whole numbers gives the distributions that it gives in floating point.

Both turn the same noise into `UNITS` units. Every class's share, every number's
mean, variance and distribution and every pair's rank correlation must lie as
close together as those of two samples of that size from one generator do: who
draws so many units cannot tell which it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kohort.schema import Finding
from trainers.base import Doubles, Floats, Generator, Hooks

UNITS = 65_536
"""How many units are compared, of tables of at most 128 features."""

_CELLS = UNITS * 128
"""Cells of wider tables, for the memory's sake: fewer units, down to one batch."""

_MEASURED = 4_096
"""How many others the scales are measured on."""

ERRORS = 4.0
"""Standard errors by which a share or correlation may differ; of 16,000 one lies beyond by chance."""

KOLMOGOROV = 2.3
"""The same for the largest distance of two distribution functions, in its own unit."""

_BATCH = 8_192

Features = Sequence[npt.NDArray[Any]]


class Quantisable(Generator, Protocol):
    """A generator whose network can compute in whole numbers."""

    def in_integers(self, uniform: Floats, normal: Floats) -> Generator:
        """The same in whole numbers; scales are measured on the noise of some units."""


def at_precision(generator: Quantisable, precision: str, seed: int, hooks: Hooks) -> Generator:
    """The generator in the arithmetic that the parameter `precision` asks for, or as it is, with a warning.

    A model that took hours is worth more than its speed: it is published in
    float32, and the finding that says so goes into the job, the manifest and the card.
    """
    if precision == "float32":
        return generator
    rng = np.random.default_rng([seed & (2**64 - 1), UNITS])
    reduced = generator.in_integers(*_noise(generator, _MEASURED, rng))
    exact, near = [], []
    units = min(UNITS, _CELLS // len(generator.encoding.features))
    for _ in range(max(1, units // _BATCH)):
        hooks.check()
        noise = _noise(generator, _BATCH, rng)
        exact.append(generator.reference(*noise))
        near.append(reduced.reference(*noise))
    apart = departures(_joined(exact), _joined(near))
    if not apart:
        return reduced
    names = dict.fromkeys(generator.encoding.features[place].column for place in sorted(apart))
    hooks.warn(
        Finding(
            "PRECISION_KEPT",
            f"published in float32: in int8 the distributions of {', '.join(names)} would not be the same",
        )
    )
    return generator


def departures(exact: Features, near: Features) -> dict[int, float]:
    """The features of n units each whose distributions differ, and how far, in units of what is allowed."""
    n = len(exact[0])
    found: dict[int, float] = {}
    for place, (a, b) in enumerate(zip(exact, near, strict=True)):
        if a.dtype == np.int64:
            found[place] = _classes(a, b) / ERRORS
        else:
            found[place] = max(_numbers(a, b) / KOLMOGOROV, _moments(a, b) / ERRORS)
    between = np.abs(_correlations(exact) - _correlations(near)).max(axis=1) / np.sqrt(2 / n) / ERRORS
    return {place: max(far, between[place]) for place, far in found.items() if max(far, between[place]) > 1}


def _classes(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """The largest difference of a class's shares, in standard errors of two samples."""
    size = int(max(a.max(), b.max())) + 1
    one, two = (np.bincount(x.astype(np.int64), minlength=size) for x in (a, b))
    # The variance of a difference of two counts; a class that one or two units have decides nothing.
    both = (one + two) / 2
    spread = np.sqrt(np.maximum(2 * both * (1 - both / len(a)), 2))
    return float((np.abs(one - two) / spread).max())


def _numbers(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """The statistic of Kolmogorov and Smirnov: the largest distance, times √(n/2)."""
    points = np.sort(np.concatenate([a, b]))
    steps = [np.searchsorted(np.sort(x), points, side="right") for x in (a, b)]
    return float(np.abs(steps[0] - steps[1]).max() / np.sqrt(2 * len(a)))


def _moments(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """How far mean and variance lie apart, in standard errors of two samples."""
    centre, far = a.mean(), 0.0
    for power in (1, 2):
        one, two = (a - centre) ** power, (b - centre) ** power
        error = np.sqrt((one.var() + two.var()) / len(a))
        far = max(far, abs(one.mean() - two.mean()) / max(error, 1e-300))
    return float(far)


def _correlations(features: Features) -> Doubles:
    """Of the ranks of all pairs of features, [F, F]; 0 where a feature is constant."""
    ranks = np.empty((len(features), len(features[0])))
    for place, x in enumerate(features):
        values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - counts / 2
        centred = middle[inverse] - middle[inverse].mean()
        ranks[place] = centred / max(np.sqrt(centred @ centred), 1e-300) if values.size > 1 else 0.0
    correlations: Doubles = ranks @ ranks.T
    return correlations


def _noise(generator: Generator, units: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    uniform = (rng.integers(0, 1 << 23, (units, generator.noise.uniforms)) + 0.5) * 2.0**-23
    return uniform.astype(np.float32), rng.standard_normal((units, generator.noise.normals), np.float32)


def _joined(parts: Sequence[Features]) -> list[npt.NDArray[Any]]:
    return [np.concatenate(some) for some in zip(*parts, strict=True)]
