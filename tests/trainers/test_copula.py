from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporters.export import export
from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table


def ranks(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Spearman correlations; nulls at the bottom."""
    stacked = np.stack([np.nan_to_num(c, nan=np.nanmin(c) - 1) for c in columns.values()])
    order = np.stack([np.unique(c, return_inverse=True)[1] for c in stacked])
    starts = [np.cumsum(np.bincount(o)) - np.bincount(o) / 2 for o in order]
    return np.corrcoef(np.stack([s[o] for s, o in zip(starts, order, strict=True)]))


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second)[~np.eye(len(first), dtype=bool)].mean())


def test_heart_keeps_margins_and_correlations(fit: Any, heart: Table, draw: Any, floats: Any) -> None:
    real, drawn = floats(heart.arrays), floats(draw(fit("copula", heart), 20_000))
    for key in ("age", "trestbps", "chol", "thalach", "oldpeak"):
        levels = np.linspace(0.05, 0.95, 19)
        gap = np.abs(np.quantile(real[key], levels) - np.quantile(drawn[key], levels))
        assert gap.mean() < 0.05 * real[key].std(), key
    for key in ("sex", "cp", "num"):
        for value in np.unique(real[key]):
            assert abs(np.mean(real[key] == value) - np.mean(drawn[key] == value)) < 0.02, key
    rng = np.random.default_rng(0)
    alone = {key: rng.permutation(cells) for key, cells in real.items()}
    truth = ranks(real)
    assert distance(truth, ranks(drawn)) < 0.035
    assert distance(truth, ranks(drawn)) < distance(truth, ranks(alone)) / 4


def test_unordered_categories_keep_what_they_say_about_each_other(fit: Any, build: Any, draw: Any) -> None:
    """Two codes of nine values, each fixing a third of the other's, in no order."""
    rng = np.random.default_rng(2)
    n = 6_000
    group = rng.integers(0, 3, n)
    members = np.array([[0, 4, 8], [1, 5, 6], [2, 3, 7]])
    names = [f"c{i}" for i in range(9)]
    codes = [members[group, rng.integers(0, 3, n)] for _ in range(2)]
    arrays = {key: Array.make(Storage.STRING, c, None, names) for key, c in zip("ab", codes, strict=True)}
    table = build({key: (Kind.CODE, array) for key, array in arrays.items()})
    drawn = draw(fit("copula", table), n)
    home = np.argsort(members.ravel()) // 3
    a, b = (np.array([int(s[1:]) for s in drawn[key].strings()]) for key in "ab")
    assert np.mean(home[a] == home[b]) > 0.6  # alone 1/3, real 1


def test_correlations_come_from_cells_that_are_there(fit: Any, build: Any, draw: Any, floats: Any) -> None:
    rng = np.random.default_rng(6)
    n = 20_000
    x = rng.normal(size=n)
    y = 0.8 * x + 0.6 * rng.normal(size=n)
    cells = {
        "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, x, rng.random(n) < 0.5)),
        "y": (Kind.DECIMAL, Array.make(Storage.DOUBLE, y, rng.random(n) < 0.5)),
    }
    drawn = floats(draw(fit("copula", build(cells)), n))
    both = ~np.isnan(drawn["x"]) & ~np.isnan(drawn["y"])
    assert np.corrcoef(drawn["x"][both], drawn["y"][both])[0, 1] == pytest.approx(0.8, abs=0.03)


def test_missing_together_stays_missing_together(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(8)
    seen = rng.random(3_000) < 0.4
    cells = {k: (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=3_000), seen)) for k in "ab"}
    drawn = draw(fit("copula", build(cells)), 3_000)
    assert np.mean(drawn["a"].is_valid() == drawn["b"].is_valid()) > 0.93


def test_two_binary_columns_keep_their_table(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(1)
    a = rng.random(20_000) < 0.1
    b = np.where(a, rng.random(a.size) < 0.8, rng.random(a.size) < 0.15)
    cells = {k: (Kind.BOOLEAN, Array.make(Storage.BOOL, c)) for k, c in (("a", a), ("b", b))}
    drawn = draw(fit("copula", build(cells)), 20_000)
    found = drawn["b"].values[drawn["a"].values]
    assert found.mean() == pytest.approx(0.8, abs=0.04)


def test_more_columns_than_rows(fit: Any, build: Any, draw: Any, floats: Any) -> None:
    rng = np.random.default_rng(3)
    columns = {f"x{i}": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=30))) for i in range(60)}
    drawn = floats(draw(fit("copula", build(columns)), 4_000))
    # Thirty rows of noise: what is correlated by chance must not come out as structure.
    assert distance(np.corrcoef(np.stack([*drawn.values()])), np.eye(60)) < 0.03


def test_seeds_differ(fit: Any, heart: Table) -> None:
    first, second = (export(fit("copula", heart, seed=seed), heart.schema).graph for seed in (1, 2))
    assert first != second


def test_what_few_patients_have_both_of_correlates_nothing(fit: Any, build: Any) -> None:
    """Two columns that four patients have both of."""
    n = 400
    rng = np.random.default_rng(4)
    rows = np.arange(n)
    first, second = rows < 204, rows >= 200
    x = rng.normal(size=n)
    cells = {
        "a": (Kind.DECIMAL, Array.make(Storage.DOUBLE, x, first)),
        "b": (Kind.DECIMAL, Array.make(Storage.DOUBLE, x + 1, second)),
    }
    values = [j for j, f in enumerate(fit("copula", build(cells)).encoding.features) if f.role == "value"]
    for k, related in ((4, True), (5, False)):
        latents = fit("copula", build(cells), min_patients=k).factor
        assert bool(abs((latents.T @ latents)[values[0], values[1]]) > 0.02) is related


def test_many_columns_make_a_small_graph(fit: Any, build: Any) -> None:
    rng = np.random.default_rng(4)
    cells = {
        f"n{i}": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=50), rng.random(50) < 0.8))
        for i in range(300)
    }
    table = build(cells)
    assert export(fit("copula", table), table.schema).nodes < 15 * 300
