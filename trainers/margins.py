"""How one feature is read from a standard normal: the margins of a Gaussian copula.

A feature is a non-decreasing function of a latent z ~ N(0, 1). It is flat
where many z mean one cell (every class of a discrete feature, every spike of a
continuous one) and follows z elsewhere. What data tell about z is its mean
over the cell, the *score*: E[z | z in the flat piece], or z itself.

With scores s_i and s_j of two features and a latent correlation ρ, Mehler's
formula gives Cov(s_i, s_j) = Σ_m ρ^m a_im a_jm, where a_im are the Hermite
coefficients of the score function. Both are known in closed form, so the
latent correlation that explains the scores' is found by solving a polynomial
(for two binary columns that is the tetrachoric correlation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from trainers.base import Doubles
from trainers.numbers import NumberEncoding
from trainers.search import cumulative

REACH = 6.0
"""Latents beyond ±REACH count as ±REACH: the noise scheme gives none (|z| < 5.8)."""

TERMS = 24
"""Hermite coefficients kept: beyond, ρ^m a_im a_jm is below the noise of any table."""


@dataclass(frozen=True, eq=False)
class Margin:
    """One feature's function of z, in flat pieces: [starts_p, stops_p) has score scores_p."""

    starts: Doubles
    stops: Doubles
    scores: Doubles
    follows: bool
    """Whether the feature follows z outside the flat pieces; else they cover the line."""

    @classmethod
    def of_pieces(cls, starts: Doubles, stops: Doubles, follows: bool) -> Margin:
        """The margin whose flat pieces lie between those latents, each [p]."""
        mass = np.maximum(ndtr(stops) - ndtr(starts), np.finfo(float).tiny)
        return cls(starts, stops, (density(starts) - density(stops)) / mass, follows)

    @classmethod
    def discrete(cls, shares: npt.ArrayLike) -> Margin:
        """One flat piece per class, in order of the classes' shares [k]."""
        cuts = ndtri(cumulative(shares))
        return cls.of_pieces(np.append(-np.inf, cuts), np.append(cuts, np.inf), follows=False)

    @classmethod
    def continuous(cls, encoding: NumberEncoding) -> Margin:
        """Follows z but for the spikes of the quantile function."""
        u, x = encoding.knots_u, encoding.knots_x
        spikes = np.flatnonzero((np.diff(x) == 0) & (np.diff(u) > 0))
        return cls.of_pieces(ndtri(u[spikes]), ndtri(u[spikes + 1]), follows=True)

    @property
    def cuts(self) -> Doubles:
        """Discrete: the latents between neighbouring classes, [k-1]."""
        return self.starts[1:]

    def score(self, z: Doubles) -> Doubles:
        """Scores of latents z [n] of a feature that follows z."""
        if not self.starts.size:
            return z
        piece = np.maximum(np.searchsorted(self.starts, z, side="right") - 1, 0)
        inside = (z >= self.starts[piece]) & (z < self.stops[piece])
        return np.where(inside, self.scores[piece], z)

    @property
    def variance(self) -> float:
        """Of the scores: 1 less what the flat pieces hide of z."""
        mass, second = ndtr(self.stops) - ndtr(self.starts), _second_moments(self.starts, self.stops)
        return float(max(0.0, 1.0 - (second - mass * self.scores**2).sum()))

    def hermite(self) -> Doubles:
        """Coefficients a_1..a_TERMS of the score function in normalised Hermite polynomials."""
        from_pieces: Doubles = self.scores @ _steps(self.starts, self.stops, TERMS)
        if not self.follows:
            return from_pieces
        identity = np.zeros(TERMS)
        identity[0] = 1.0
        inside: Doubles = _ramps(self.starts, self.stops, TERMS).sum(axis=0)
        return identity - inside + from_pieces


def density(z: npt.ArrayLike) -> Doubles:
    """The standard normal density; 0 at infinity."""
    result: Doubles = np.exp(-0.5 * np.square(np.asarray(z, dtype=np.float64))) / np.sqrt(2 * np.pi)
    return result


def knots(encoding: NumberEncoding) -> tuple[Doubles, Doubles]:
    """Quantile function of a column over the latent: z [m] and x [m], both non-decreasing.

    x(z) = quantile(Φ(z)) holds at every knot of the quantile function and at
    every eighth of z; between, it is linear in z. Nothing in it needs Φ of a
    single precision z, which would blur the tails.
    """
    at_knots = np.clip(ndtri(encoding.knots_u), -REACH, REACH)
    grid = np.linspace(-REACH, REACH, int(16 * REACH) + 1)
    z = np.concatenate([at_knots, grid])
    x = np.concatenate([encoding.knots_x, encoding.quantile(ndtr(grid))])
    order = np.lexsort((x, z))
    return z[order], np.maximum.accumulate(x[order])


def latent_correlations(correlations: Doubles, margins: list[Margin]) -> Doubles:
    """The latent correlations [F, F] that explain correlations of scores [F, F], by bisection."""
    deviations = np.sqrt([margin.variance for margin in margins])
    coefficients = np.stack([margin.hermite() for margin in margins])
    covariances = correlations * np.outer(deviations, deviations)
    low, high = np.full_like(covariances, -1.0), np.full_like(covariances, 1.0)
    for _ in range(30):
        middle = (low + high) / 2
        value = np.zeros_like(middle)
        for column in coefficients.T[::-1]:
            value = middle * (value + np.outer(column, column))
        above = value > covariances
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    result: Doubles = (low + high) / 2
    return result


def _second_moments(starts: Doubles, stops: Doubles) -> Doubles:
    """∫ z² φ over each piece, [p]."""
    first, last = (np.where(np.isfinite(z), z, 0.0) * density(z) for z in (starts, stops))
    result: Doubles = ndtr(stops) - ndtr(starts) + first - last
    return result


def _steps(starts: Doubles, stops: Doubles, terms: int) -> Doubles:
    """∫ h_m φ over each piece for m = 1..terms, [p, terms]; h_m = He_m / √m!."""
    return _edge_terms(starts, terms) - _edge_terms(stops, terms)


def _ramps(starts: Doubles, stops: Doubles, terms: int) -> Doubles:
    """∫ z h_m φ over each piece, [p, terms]: z h_m = √(m+1) h_{m+1} + √m h_{m-1}."""
    mass = (ndtr(stops) - ndtr(starts))[:, None]
    whole = np.concatenate([mass, _steps(starts, stops, terms + 1)], axis=1)
    m = np.arange(1, terms + 1)
    result: Doubles = np.sqrt(m + 1) * whole[:, 2:] + np.sqrt(m) * whole[:, :-2]
    return result


def _edge_terms(z: Doubles, terms: int) -> Doubles:
    """h_{m-1}(z) φ(z) / √m for m = 1..terms, [p, terms]; 0 at infinity."""
    finite = np.where(np.isfinite(z), z, 0.0)
    previous, current = np.zeros_like(finite), density(z)
    columns = []
    for m in range(1, terms + 1):
        columns.append(current / np.sqrt(m))
        previous, current = current, (finite * current - np.sqrt(m - 1) * previous) / np.sqrt(m)
    return np.stack(columns, axis=1)
