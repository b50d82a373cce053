from __future__ import annotations

import numpy as np
import pytest

from trainers.gaussians import fit_mixture


def log_likelihood(x: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> float:
    away = (x[:, None] - means) ** 2 / variances
    return float(np.log((np.exp(-away / 2) * weights / np.sqrt(2 * np.pi * variances)).sum(axis=1)).mean())


def test_finds_the_gaussians_that_points_were_drawn_from() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(-1.0, 0.1, 6_000), rng.normal(0.5, 0.3, 3_000), rng.normal(2, 0.05, 1_000)]
    )
    mixture, members = fit_mixture(x, 10)
    assert mixture.weights.sum() == pytest.approx(1.0)
    near = np.abs(mixture.means[:, None] - [-1.0, 0.5, 2.0]).argmin(axis=1)
    assert np.allclose(np.bincount(near, mixture.weights), [0.6, 0.3, 0.1], atol=0.03)
    truth = (np.array([0.6, 0.3, 0.1]), np.array([-1.0, 0.5, 2.0]), np.array([0.1, 0.3, 0.05]) ** 2)
    found = log_likelihood(x, mixture.weights, mixture.means, mixture.variances)
    assert found == pytest.approx(log_likelihood(x, *truth), abs=0.05)
    assert (mixture.means[members[:6_000]] < 0).mean() > 0.99


@pytest.mark.parametrize("draw", ["gamma", "integers", "zeros", "normal"])
def test_describes_points_as_well_as_a_fit_to_every_single_one(draw: str) -> None:
    from sklearn.mixture import BayesianGaussianMixture

    rng = np.random.default_rng(1)
    x = {
        "gamma": rng.gamma(0.8, size=4_000),
        "integers": rng.poisson(4.0, 4_000).astype(float),
        "zeros": np.where(rng.random(4_000) < 0.8, 0.0, rng.poisson(3.0, 4_000)),
        "normal": rng.normal(size=4_000),
    }[draw]
    x = (x - x.mean()) / x.std()
    mixture, _ = fit_mixture(x, 10)
    peer = BayesianGaussianMixture(
        n_components=10, weight_concentration_prior=0.001, max_iter=100, random_state=0, tol=1e-2
    ).fit(x[:, None])
    theirs = log_likelihood(x, peer.weights_, peer.means_[:, 0], peer.covariances_[:, 0, 0])
    assert log_likelihood(x, mixture.weights, mixture.means, mixture.variances) > theirs - 0.1


@pytest.mark.parametrize("x", [np.array([1.0]), np.array([-1.0, 1.0]), np.repeat([-1.0, 0.0, 2.0], 50)])
def test_few_values_are_components_of_their_own_at_most(x: np.ndarray) -> None:
    mixture, members = fit_mixture(x, 10)
    assert mixture.weights.size <= np.unique(x).size
    assert members.shape == x.shape
    assert (mixture.variances > 0).all()


def test_the_same_points_give_the_same_mixture_in_any_order() -> None:
    x = np.random.default_rng(2).normal(size=3_000)
    one, members = fit_mixture(x, 10)
    other, reversed_members = fit_mixture(x[::-1].copy(), 10)
    assert np.array_equal(one.means, other.means)
    assert np.array_equal(members, reversed_members[::-1])
