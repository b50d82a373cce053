"""The Gaussian copula: seconds of training, no network.

Every feature is a function of a latent normal (`trainers.margins`), and the
latents are correlated. Fitting reads the latent correlations off the data;
sampling multiplies noise by their Cholesky factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import ndtri

from trainers.base import (
    MODELLED,
    REJECTION,
    Doubles,
    FitRequest,
    Floats,
    Generator,
    Hooks,
    Indices,
    Noise,
    Ops,
    Progress,
    TrainerInfo,
)
from trainers.encoding import CategoryEncoding, Encoding, NumberEncoding
from trainers.margins import Margin, knots, latent_correlations
from trainers.rows import EncodedRows, encode_rows
from trainers.search import (
    DOUBLE,
    cast,
    gather_all,
    locate,
    split,
    write_interpolate_all,
    write_locate_all,
    write_within,
)

_ROWS = 100_000
"""Rows that correlations are read off: more would move them by less than 0.003."""

_CELLS = 20_000_000
"""Scores held at once, of all features together: bounds memory for tables of many columns."""

_TOGETHER = 64
"""Columns that a graph reads together: their cells fit a core's cache."""

_SWEEPS = 2
"""Rounds of ordering unordered categories by one another."""


@dataclass(frozen=True, eq=False)
class _Class:
    """A discrete feature: `order` [k] holds the class at each place along the latent."""

    margin: Margin
    order: Indices

    @property
    def kind(self) -> tuple[str, int]:
        """Equal for readings that cost the same."""
        return "class", int(self.order.size).bit_length()

    @staticmethod
    def write(ops: Ops, readings: Sequence[_Class], z: str) -> str:
        place = write_locate_all(ops, z, [reading.margin.cuts for reading in readings])
        return gather_all(ops, [reading.order for reading in readings], place)

    def read(self, z: Doubles) -> Indices:
        return self.order[locate(z, self.margin.cuts)]


@dataclass(frozen=True, eq=False)
class _Number:
    """A continuous feature: its quantile function over the latent."""

    margin: Margin
    z: Doubles
    x: Doubles

    @property
    def kind(self) -> tuple[str, int]:
        """Equal for readings that cost the same."""
        return "number", int(self.z.size).bit_length()

    @staticmethod
    def write(ops: Ops, readings: Sequence[_Number], z: str) -> str:
        z = write_within(ops, z, [r.z[0] for r in readings], [r.z[-1] for r in readings])
        return write_interpolate_all(ops, z, [(r.z, r.x) for r in readings])

    def read(self, z: Doubles) -> Doubles:
        result: Doubles = np.interp(z, self.z, self.x)
        return result


_Reading = _Class | _Number


@dataclass(frozen=True, eq=False)
class CopulaGenerator:
    """Correlated latents, one per feature, each read by its margin."""

    encoding: Encoding
    factor: Doubles
    """The upper Cholesky factor of the latent correlations, [F, F]: latents are noise @ factor."""
    readings: tuple[_Reading, ...]

    @property
    def noise(self) -> Noise:
        """One normal per feature."""
        return Noise(uniforms=0, normals=len(self.readings))

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """In float64 throughout: single precision would blur the tails and the class edges."""
        latents = ops.node("MatMul", cast(ops, normal, DOUBLE), ops.constant(self.factor, np.float64))
        features = [""] * len(self.readings)
        for places in self._batches():
            z = ops.node("Gather", latents, ops.constant(np.array(places), np.int64), axis=1)
            some = [self.readings[place] for place in places]
            classes = [reading for reading in some if isinstance(reading, _Class)]
            numbers = [reading for reading in some if isinstance(reading, _Number)]
            cells = _Class.write(ops, classes, z) if classes else _Number.write(ops, numbers, z)
            for place, column in zip(places, split(ops, cells, len(places)), strict=True):
                features[place] = column
        return features

    def _batches(self) -> Iterator[list[int]]:
        """Readings of one kind and of about as many pieces, which are written together."""
        order = sorted(range(len(self.readings)), key=lambda place: self.readings[place].kind)
        for _, same in groupby(order, key=lambda place: self.readings[place].kind):
            places = list(same)
            yield from (places[i : i + _TOGETHER] for i in range(0, len(places), _TOGETHER))

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same in numpy."""
        latents = normal.astype(np.float64) @ self.factor
        return [reading.read(latents[:, j]) for j, reading in enumerate(self.readings)]


class CopulaTrainer:
    """Fits a Gaussian copula."""

    info: ClassVar[TrainerInfo] = TrainerInfo(
        name="copula",
        display_name="Gaussian copula",
        description=(
            "Keeps every column's distribution and the correlation of every pair, nothing finer. Trains in "
            "seconds on a CPU and samples fast. For a first look, and where torch is not installed."
        ),
        reference="Nelsen, An Introduction to Copulas, 2006; Olsson, Psychometrika 44, 1979",
        parameters=(),
        kinds=MODELLED,
        conditions=REJECTION,
        rebalancing=True,
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Margins from the encoding, latent correlations from at most 100,000 training rows."""
        rng = np.random.default_rng(request.seed)
        rows = encode_rows(request, hooks, rng)
        hooks.phase("correlating")
        total, most = rows.subjects.size, min(_ROWS, _CELLS // len(rows.features))
        chosen = np.sort(rng.choice(total, most, replace=False)) if total > most else np.arange(total)
        readings, correlations = _fit(rows, chosen, request.min_patients, hooks, rng)
        factor: Doubles = np.linalg.cholesky(correlations).T.astype(np.float64)
        hooks.progress(Progress(1, 1))
        return CopulaGenerator(rows.encoding, factor, tuple(readings))


def _fit(
    rows: EncodedRows, chosen: Indices, min_patients: int, hooks: Hooks, rng: np.random.Generator
) -> tuple[list[_Reading], Doubles]:
    """The reading of every feature and the latent correlations [F, F]."""
    counts = rows.weights[chosen]
    scores = np.zeros((chosen.size, len(rows.features)))
    known = np.ones_like(scores)
    readings: list[_Reading | None] = []
    unordered: list[tuple[int, Indices, Doubles]] = []
    j = 0
    for column in rows.encoding.columns:
        for feature in column.features:
            hooks.check()
            cells, mask = rows.features[j][chosen], rows.known[j]
            if feature.size is None:
                assert isinstance(column, NumberEncoding)
                margin = Margin.continuous(column)
                readings.append(_Number(margin, *knots(column)))
                scores[:, j] = margin.score(ndtri(column.rank(cells, rng)))
            else:
                shares = np.bincount(rows.features[j], rows.weights, feature.size) / rows.subjects.size
                readings.append(_ordered(shares, np.arange(feature.size)))
                if _has_order(column):
                    scores[:, j] = _score(readings[-1], cells)
                else:
                    unordered.append((j, cells, shares))
            if mask is not None:
                known[:, j] = mask[chosen]
            j += 1
    scores *= known
    for _ in range(_SWEEPS):
        for j, cells, shares in unordered:
            hooks.check()
            scores[:, j] = 0.0
            readings[j] = _ordered(shares, _places(cells, shares.size, scores, known, counts))
            scores[:, j] = _score(readings[j], cells)
    fitted = [reading for reading in readings if reading is not None]
    supported = _supported(known, rows.subjects[chosen], min_patients)
    margins = [reading.margin for reading in fitted]
    return fitted, _correlations(scores, known, supported, counts, margins)


def _has_order(column: CategoryEncoding | NumberEncoding) -> bool:
    return isinstance(column, NumberEncoding) or column.size <= 2


def _ordered(shares: Doubles, order: Indices) -> _Class:
    """A class feature whose classes lie along the latent in that order."""
    # A class that no training row has keeps a sliver, so that cuts stay apart and finite.
    weights = np.maximum(shares[order], 1e-9)
    return _Class(Margin.discrete(weights), order)


def _score(reading: _Reading | None, cells: Indices) -> Doubles:
    assert isinstance(reading, _Class)
    by_class = np.empty(reading.order.size)
    by_class[reading.order] = reading.margin.scores
    return by_class[cells]


def _places(cells: Indices, size: int, scores: Doubles, known: Doubles, counts: Doubles) -> Indices:
    """Classes ordered by what tells them apart: the first axis of the class means of all other scores.

    The correspondence analysis of one column against the rest (Greenacre, 1984); rows count `counts` [n].
    """
    rows = np.arange(cells.size)
    members = csr_array((counts, (cells, rows)), shape=(size, cells.size))
    present = members @ known
    means = np.divide(members @ scores, present, out=np.zeros_like(present), where=present > 0)
    weights = np.sqrt(np.bincount(cells, counts, size) / counts.sum())
    axes, strengths, _ = np.linalg.svd((means - weights**2 @ means) * weights[:, None], full_matrices=False)
    if not strengths.size or strengths[0] < 1e-12:
        return np.arange(size)
    position = np.divide(axes[:, 0], weights, out=np.zeros(size), where=weights > 0)
    # An axis has no direction of its own: let the heaviest class lie on its positive side.
    return np.argsort(position * np.sign(position[np.argmax(weights)] or 1.0), kind="stable")


def _supported(known: Doubles, subjects: Indices, min_patients: int) -> npt.NDArray[np.bool_]:
    """The pairs of features that at least k patients have cells of both for, [F, F]."""
    # Rows of one patient weigh 1 together, so a sum of weights is never more than the patients behind it.
    weights = 1.0 / np.bincount(subjects)[subjects]
    patients = known.T @ (known * weights[:, None])
    enough: npt.NDArray[np.bool_] = patients >= min_patients - 1e-6
    return enough


def _correlations(
    scores: Doubles,
    known: Doubles,
    supported: npt.NDArray[np.bool_],
    counts: Doubles,
    margins: list[Margin],
) -> Doubles:
    """Latent correlations [F, F] of scores with gaps: pairwise, then shrunk, then made positive definite.

    Rows count `counts` [n]. What too few patients have both of counts as uncorrelated.
    """
    weighted = known * counts[:, None]
    # Rows of unequal weight tell as much as fewer of equal weight would (Kish, 1965).
    pairs = np.maximum((weighted.T @ known) ** 2 / np.maximum(weighted.T @ weighted, 1e-9), 1.0)
    present = weighted.sum(axis=0)
    means = np.divide(counts @ scores, present, out=np.zeros_like(present), where=present > 0)
    centred = (scores - means) * known
    # The variances of the very rows that a pair shares: what is missing may not be like the rest.
    squares = (centred**2).T @ weighted
    spread = np.sqrt(squares * squares.T)
    products = centred.T @ (centred * counts[:, None])
    measured = np.divide(products, spread, out=np.zeros_like(spread), where=spread > 1e-9)
    latent = latent_correlations(measured, margins)
    np.fill_diagonal(latent, 0.0)
    latent[(spread <= 1e-9) | ~supported] = 0.0
    # Shrinking by the share of noise in what was measured (Schäfer and Strimmer, 2005).
    noise = ((1.0 - latent**2) ** 2 / pairs)[~np.eye(len(margins), dtype=bool)].sum()
    signal = (latent**2).sum()
    latent *= max(0.0, 1.0 - noise / signal) if signal > 0 else 0.0
    np.fill_diagonal(latent, 1.0)
    values, vectors = np.linalg.eigh(latent)
    repaired = (vectors * np.maximum(values, 1e-4)) @ vectors.T
    scale = np.sqrt(np.diag(repaired))
    result: Doubles = repaired / np.outer(scale, scale)
    return result
