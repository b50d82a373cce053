from __future__ import annotations

import numpy as np
import pytest

from trainers.modes import Modes


def test_two_modes_are_found_and_values_come_back() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-20, 1, 700), rng.normal(30, 2, 300)])
    modes = Modes.fit(x, np.arange(x.size), 5, seed=1)
    assert 2 <= modes.size <= 4
    alpha, mode = modes.encode(x, rng)
    assert alpha.dtype == np.float32
    assert np.abs(alpha).max() <= np.float32(0.99)
    assert np.abs(modes.decode(alpha, mode) - x).max() < 1e-4
    low = modes.means[mode] < 0
    assert (low == (x < 0)).all()


def test_a_mode_of_too_few_patients_is_dropped() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 500), rng.normal(50, 0.1, 100)])
    of_many = np.arange(600)
    of_one = np.where(x > 40, 500, of_many)
    assert Modes.fit(x, of_many, 5, seed=1).means.max() > 40
    assert Modes.fit(x, of_one, 5, seed=1).means.max() < 10


@pytest.mark.parametrize("x", [np.full(20, 7.0), np.array([3.0]), np.array([1.0, 2.0])])
def test_few_or_equal_values(x: np.ndarray) -> None:
    modes = Modes.fit(x, np.arange(x.size), 5, seed=1)
    assert modes.size == 1
    assert (modes.deviations > 0).all()
    alpha, mode = modes.encode(x, np.random.default_rng(0))
    assert np.allclose(modes.decode(alpha, mode), x, atol=1e-5)


@pytest.mark.parametrize("rows", range(124, 150, 5))
def test_neighbours_across_a_gap_do_not_make_one_patient_s_values_a_mode(rows: int) -> None:
    """Some of the groups that the fit takes hold the last of one side and the first of the other."""
    rng = np.random.default_rng(0)
    sides = [rng.normal(-3.0, 0.3, 10_000), rng.normal(3.0, 0.3, 10_000)]
    x = np.concatenate([*sides, rng.normal(0.0, 0.01, rows)])
    patients = np.concatenate([np.arange(20_000) // 4, np.full(rows, 10_000)])
    assert (np.abs(Modes.fit(x, patients, 5, 0).means) > 2.0).all()


def test_far_from_zero_nothing_is_lost() -> None:
    x = 1e15 + np.arange(1000.0)
    modes = Modes.fit(x, np.arange(x.size), 5, seed=1)
    alpha, mode = modes.encode(x, np.random.default_rng(0))
    assert np.abs(modes.decode(alpha, mode) - x).max() < 1.0


def test_the_mode_is_drawn_by_how_likely_it_is() -> None:
    modes = Modes(np.array([0.8, 0.2]), np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    _, mode = modes.encode(np.zeros(20_000), np.random.default_rng(0))
    assert mode.mean() == pytest.approx(0.2, abs=0.01)


def test_one_seed_is_one_fit() -> None:
    x = np.random.default_rng(0).gamma(1.0, size=20_000)
    fits = [Modes.fit(x, np.arange(x.size), 5, seed=seed) for seed in (3, 3)]
    assert fits[0].means.tolist() == fits[1].means.tolist()


def test_a_mode_is_not_where_one_patient_of_many_rows_is() -> None:
    """Six patients around 50, one of them with 300 equal rows."""
    rng = np.random.default_rng(0)
    few = 50 + np.array([-2.0, -1.5, -1.0, 1.5, 2.0])
    x = np.concatenate([rng.normal(0, 1, 500), few, np.full(300, 50.7)])
    subjects = np.concatenate([np.arange(505), np.full(300, 505)])
    modes = Modes.fit(x, subjects, 5, seed=1)
    near = modes.means > 40
    assert near.sum() <= 1
    assert (np.abs(modes.means[near] - 50.7) > 0.3).all()
    assert (modes.deviations[near] > 1.0).all()


@pytest.mark.parametrize("unit", [5e-324 * 1000, 1e-300, 1e-12, 1e200, 1e289])
def test_any_magnitude_is_normalised(unit: float) -> None:
    x = np.random.default_rng(0).normal(size=500) * unit
    with np.errstate(all="raise", under="ignore"):
        modes = Modes.fit(x, np.arange(500), 5, seed=1)
        alpha, mode = modes.encode(x, np.random.default_rng(0))
        assert np.isfinite(modes.decode(alpha, mode)).all()
    if unit > 1e-299:
        assert np.unique(alpha).size > 400
