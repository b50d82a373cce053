from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import eval_hermitenorm, gammaln, ndtr, ndtri

from kohort.schema import Storage
from trainers.margins import TERMS, Margin, density, knots, latent_correlations
from trainers.numbers import NumberEncoding


def encoding(u: list[float], x: list[float]) -> NumberEncoding:
    return NumberEncoding("x", Storage.DOUBLE, 0, 0, x[0], x[-1], np.array(u), np.array(x), False)


SPIKED = encoding([0, 0.3, 0.6, 0.8, 0.8, 1], [0, 0, 2, 3, 5, 9])
"""A spike of 30 % at 0 and a gap between 3 and 5."""


def by_integration(score: object, m: int, edges: np.ndarray) -> float:
    def integrand(z: float) -> float:
        hermite = eval_hermitenorm(m, z) / np.exp(0.5 * gammaln(m + 1))
        return float(score(np.array([z]))[0] * hermite * density(z))  # type: ignore[operator]

    points = np.concatenate([[-9.0], edges[np.isfinite(edges)], [9.0]])
    return sum(quad(integrand, a, b, limit=200)[0] for a, b in pairwise(points))


@pytest.mark.parametrize("m", [1, 2, 5, 12])
def test_hermite_coefficients_equal_their_integrals(m: int) -> None:
    discrete = Margin.discrete([0.5, 0.2, 0.3])
    edges = np.append(discrete.starts, discrete.stops[-1:])

    def classes(z: np.ndarray) -> np.ndarray:
        return discrete.scores[np.searchsorted(discrete.cuts, z, side="right")]

    assert discrete.hermite()[m - 1] == pytest.approx(by_integration(classes, m, edges), abs=1e-7)
    spiked = Margin.continuous(SPIKED)
    edges = np.unique(np.concatenate([spiked.starts, spiked.stops]))
    assert spiked.hermite()[m - 1] == pytest.approx(by_integration(spiked.score, m, edges), abs=1e-7)


def test_a_plain_number_follows_its_latent() -> None:
    plain = Margin.continuous(encoding([0, 0.5, 1], [0, 1, 9]))
    z = np.linspace(-4, 4, 9)
    assert plain.score(z).tolist() == z.tolist()
    assert plain.hermite().tolist() == [1.0] + [0.0] * (TERMS - 1)


@pytest.mark.parametrize("rho", [-0.8, -0.3, 0.0, 0.4, 0.9])
def test_latent_correlations_are_found_behind_classes_and_spikes(rho: float) -> None:
    rng = np.random.default_rng(4)
    n = 400_000
    first = rng.normal(size=n)
    second = rho * first + np.sqrt(1 - rho**2) * rng.normal(size=n)
    margins = [Margin.discrete([0.7, 0.3]), Margin.discrete([0.1, 0.5, 0.4]), Margin.continuous(SPIKED)]

    def scores(margin: Margin, z: np.ndarray) -> np.ndarray:
        if margin.follows:
            return margin.score(z)
        return margin.scores[np.searchsorted(margin.cuts, z, side="right")]

    for a in margins:
        for b in margins:
            measured = np.corrcoef(scores(a, first), scores(b, second))
            assert np.var(scores(a, first)) == pytest.approx(a.variance, abs=0.01)
            found = latent_correlations(measured, [a, b])[0, 1]
            # Classes alone tell little of a strong correlation; truncation shows there.
            assert found == pytest.approx(rho, abs=0.03 if abs(rho) > 0.8 else 0.01)


def test_knots_are_the_quantile_function_over_the_latent() -> None:
    z, x = knots(SPIKED)
    assert (np.diff(z) >= 0).all()
    assert (np.diff(x) >= 0).all()
    assert z[0] == -z[-1] == -6.0
    probe = np.random.default_rng(0).normal(size=20_000)
    found = np.interp(probe, z, x)
    wanted = SPIKED.quantile(ndtr(probe))
    assert np.abs(found - wanted).max() < 0.01
    spike = probe < ndtri(0.3)
    assert (found[spike] == 0).all()
    assert not ((found > 3.001) & (found < 4.999)).any()


def test_unequal_shares_that_are_nearly_nothing_stay_finite() -> None:
    margin = Margin.discrete([1e-9, 1 - 2e-9, 1e-9])
    assert np.isfinite(margin.scores).all()
    assert np.isfinite(margin.hermite()).all()
    assert (np.diff(margin.cuts) > 0).all()
