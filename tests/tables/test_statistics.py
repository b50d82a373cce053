"""Facts that may be published: each supported by k patients, and close to the data all the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Storage, TableSchema
from tables.statistics import StatisticsSource
from tables.tableset import Table

SOURCE = StatisticsSource()
K = 5


def table(values, storage, patients, valid=None):
    arrays = {"a": Array.make(storage, values, valid), "p": Array.make(Storage.INT64, patients)}
    columns = tuple(Column(n, storage=a.storage) for n, a in arrays.items())
    return Table(TableSchema("t", columns, subject_key="p"), arrays)


def at(quantiles, u):
    return np.interp(u, quantiles.u, quantiles.x)


def test_counts_are_of_patients():
    made = table(["x", "x", "y", "", "x"], Storage.STRING, [1, 1, 1, 2, 3], [True, True, True, False, True])
    counts = SOURCE.category_counts(made.arrays["a"], made.subjects())
    assert counts == {"x": (2, 3.0), "y": (1, 1.0), None: (1, 1.0)}


def test_counts_of_numbers():
    made = table([5, 5, -1], Storage.INT64, [1, 1, 2])
    assert SOURCE.category_counts(made.arrays["a"], made.subjects()) == {-1: (1, 1.0), 5: (1, 2.0)}
    weighted = SOURCE.category_counts(made.arrays["a"], made.subjects(), np.array([0.5, 0.5, 1.0]))
    assert weighted == {-1: (1, 1.0), 5: (1, 1.0)}


def test_rows_of_several_columns_are_counted_together():
    made = table(["x", "x", "y", "", "x"], Storage.STRING, [1, 1, 1, 2, 3], [True, True, True, False, True])
    arrays = [made.arrays["a"], Array.make(Storage.INT64, [7, 7, 7, 7, 8])]
    counts = SOURCE.combination_counts(arrays, made.subjects())
    assert counts == {("x", 7): (1, 2.0), ("x", 8): (1, 1.0), ("y", 7): (1, 1.0), (None, 7): (1, 1.0)}


def test_quantiles_follow_weights():
    values, alone = np.arange(1000.0), np.arange(1000)
    weights = np.where(values < 500, 3.0, 1.0)
    q = SOURCE.quantile_points(values, alone, K, weights=weights)
    assert at(q, 0.75) == pytest.approx(500, abs=8)
    assert at(q, 0.5) == pytest.approx(1000 / 3, abs=8)


def test_bounds_do_not_follow_fewer_than_k_patients():
    values, alone = np.arange(1000.0), np.arange(1000)
    low, high = SOURCE.bounds(values, alone, K)
    assert (low, high) == (6.0, 993.0)
    planted = np.concatenate([values, [1e12] * (K - 1)])
    assert SOURCE.bounds(planted, np.arange(planted.size), K)[1] == 997.0
    # Many rows of one patient support nothing either.
    planted = np.concatenate([values, [1e12] * 500])
    assert SOURCE.bounds(planted, np.concatenate([alone, [7000] * 500]), K)[1] < 1000


def test_bounds_reach_shared_values():
    values = np.concatenate([np.arange(100.0), [500.0] * K])
    assert SOURCE.bounds(values, np.arange(values.size), K)[1] == 500.0


@given(
    st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 25)), min_size=1, max_size=300),
    st.integers(2, 6),
    st.sampled_from([8, 16, 64]),
    st.sampled_from([0.0, 1.0]),
)
def test_points_are_a_quantile_function_of_supported_values(pairs, k, max_points, step):
    values = np.array([v for v, _ in pairs], dtype=np.float64)
    patients = np.array([p for _, p in pairs], dtype=np.int64)
    if np.unique(patients).size < k:
        with pytest.raises(Problem, match="COLUMN_UNSUPPORTED"):
            SOURCE.quantile_points(values, patients, k, max_points, step)
        return
    q = SOURCE.quantile_points(values, patients, k, max_points, step)
    assert q.u[0] == 0
    assert q.u[-1] == 1
    assert q.u.size == q.x.size
    assert (np.diff(q.u) >= 0).all()
    assert (np.diff(q.x) >= 0).all()
    assert values.min() <= q.x[0] <= q.x[-1] <= values.max()
    assert (q.x[0], q.x[-1]) == SOURCE.bounds(values, patients, k, step)
    if step:
        assert (q.x == np.rint(q.x)).all()


@given(st.integers(0, 10**6))
def test_one_patient_moves_no_point_far(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=200)
    patients = np.arange(200) // 2
    planted = values.copy()
    planted[:2] = 1e9
    for cells in (values, planted):
        q = SOURCE.quantile_points(cells, patients, K)
        assert np.abs(q.x).max() < 5
        assert not np.isin(q.x, cells).any()  # no cell as it is: none is shared


@pytest.mark.parametrize("repeats", [1, 4])
def test_points_follow_the_data(repeats):
    rng = np.random.default_rng(5)
    values = np.concatenate([np.zeros(3000), rng.lognormal(3, 1, 9000), np.full(1200, 40.0)])
    rng.shuffle(values)
    patients = np.arange(values.size) // repeats
    q = SOURCE.quantile_points(values, patients, K)
    u = (np.arange(values.size) + 0.5) / values.size
    assert q.u.size < 400
    assert np.abs(at(q, u) - np.sort(values)).mean() < 0.02 * values.std()
    drawn = at(q, u)
    assert (drawn == 0).mean() == pytest.approx(3000 / values.size, abs=0.002)
    assert (drawn == 40).mean() == pytest.approx(1200 / values.size, abs=0.002)


def test_few_shared_values_come_back_at_their_shares():
    values = np.repeat([1.0, 2.0, 3.0, 7.0], [50, 30, 15, 5])
    q = SOURCE.quantile_points(values, np.arange(100), K, step=1.0)
    drawn = np.rint(at(q, (np.arange(1000) + 0.5) / 1000))
    shares = {v: (drawn == v).mean() for v in (1, 2, 3, 7)}
    assert shares == pytest.approx({1: 0.5, 2: 0.3, 3: 0.15, 7: 0.05}, abs=0.005)


def test_rows_too_few_to_stand_alone_join_the_nearest_spike():
    values = np.concatenate([np.full(50, 10.0), [11.0, 12.0, 17.0], np.full(47, 20.0)])
    q = SOURCE.quantile_points(values, np.arange(100), K, step=1.0)
    assert set(q.x.tolist()) == {10.0, 20.0}
    assert at(q, [0.515]) == 10
    assert at(q, [0.525]) == 20


def test_a_common_step_overlooks_few_patients():
    cells = np.arange(0, 100_000, 1000)
    cells[:3] += 7
    steps = (1000, 100, 10)
    assert SOURCE.common_step(cells, np.arange(100), K, steps) == 1000
    assert SOURCE.common_step(cells, np.arange(100), 3, steps) == 1
