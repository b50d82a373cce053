from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporters.export import export
from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table


def test_keeps_margins_and_no_relation(fit: Any, heart: Table, draw: Any, floats: Any) -> None:
    real, drawn = floats(heart.arrays), floats(draw(fit("independent", heart), 20_000))
    for key in ("age", "chol", "thalach", "oldpeak"):
        levels = np.linspace(0.05, 0.95, 19)
        gap = np.abs(np.quantile(real[key], levels) - np.quantile(drawn[key], levels))
        assert gap.mean() < 0.05 * real[key].std(), key
    for value in np.unique(real["num"]):
        assert np.mean(drawn["num"] == value) == pytest.approx(np.mean(real["num"] == value), abs=0.02)
    assert abs(np.corrcoef(real["age"], real["thalach"])[0, 1]) > 0.35
    assert abs(np.corrcoef(drawn["age"], drawn["thalach"])[0, 1]) < 0.03


def test_spikes_come_back_at_their_share(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random(2_000) < 0.4, 0.0, rng.gamma(2.0, size=2_000))
    table = build({"x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, x))})
    drawn = draw(fit("independent", table), 20_000)["x"].values
    assert np.mean(drawn == 0.0) == pytest.approx(np.mean(x == 0.0), abs=0.01)


def test_given_cells_change_nothing_else(fit: Any, heart: Table, noise: Any) -> None:
    generator = fit("independent", heart)
    uniform, normal = noise(generator, 500)
    free = generator.reference(uniform, normal)
    features, mask = np.zeros((500, len(free))), np.zeros((500, len(free)), dtype=bool)
    features[:, 0], mask[:, 0] = free[0][::-1], True
    ones = np.ones((500, 1), np.float32)
    made = generator.reference_given(uniform, normal, features, mask, ones, ones)
    assert np.array_equal(made[0], free[0][::-1])
    assert all(np.array_equal(a, b) for a, b in zip(made[1:], free[1:], strict=True))


def test_many_columns_make_a_small_graph(fit: Any, build: Any) -> None:
    rng = np.random.default_rng(4)
    cells = {
        f"n{i}": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=50), rng.random(50) < 0.8))
        for i in range(300)
    }
    table = build(cells)
    assert export(fit("independent", table), table.schema).nodes < 40 * 300
