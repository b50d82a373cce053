"""Columns of numbers and times: exact in int64, ranks, spikes, gaps and bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.problem import Problem
from kohort.schema import Storage
from trainers.encoding import Encoding, Feature, NumberEncoding

YEAR_1, YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999
DAY = 86_400_000_000


def five_each(values):
    """Every value of five patients, so that all are supported."""
    return np.repeat(np.asarray(values), 5)


CASES = {
    "int": (Storage.INT64, five_each(range(-20, 30)), 1),
    "hundreds": (Storage.INT64, five_each(range(-2000, 3000, 100)), 100),
    "beyond 2^53": (Storage.INT64, five_each(2**62 + np.arange(1, 60, 3)), 1),
    "negative and large": (Storage.INT64, five_each(-(2**60) - np.arange(0, 70, 7)), 1),
    "decimal": (Storage.DECIMAL, five_each(10**17 + np.arange(0, 400, 13)), 1),
    "double": (Storage.DOUBLE, five_each([0.1, 1 / 3, -1e-300, 2.5e17, 7.0]), 0),
    "date": (Storage.DATE, five_each([-719_162, 0, 19_000, 2_932_896]), 1),
    "days": (Storage.DATETIME, five_each(DAY * np.array([-719_162, 0, 19_000, 2_932_896])), DAY),
    "8,000 years": (Storage.DATETIME, five_each([YEAR_1, 10**6, YEAR_9999 // 10**6 * 10**6]), 10**6),
    "microseconds": (Storage.DATETIME, five_each(1_700_000_000_000_000 + np.arange(0, 99, 7)), 1),
    "far microseconds": (Storage.DATETIME, five_each(YEAR_9999 - np.arange(0, 99, 7)), 1),
    "duration": (Storage.DURATION, five_each([-3_600_000_000, 0, 60_000_000]), 60_000_000),
    "constant": (Storage.INT64, np.full(30, 7), 1),
    "constant 0": (Storage.DECIMAL, np.zeros(30, np.int64), 1),
}  # fmt: skip


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_reverses_supported_values_exactly(one_column, fit, rng, case, nulls):
    storage, values, step = CASES[case]
    valid = np.arange(values.size) % 5 > 1 if nulls else None
    if nulls:  # so that five patients are left for every value
        values, valid = np.tile(values, 2), np.concatenate([valid, np.ones(values.size, bool)])
    table = one_column(storage, values, valid)
    encoding = Encoding.from_json(json.loads(json.dumps(fit(table).to_json())))
    (column,) = encoding.columns
    assert isinstance(column, NumberEncoding)
    assert column.step == step
    assert encoding.features == ((Feature("x", "present", 2),) if nulls else ()) + (
        Feature("x", "value", None),
    )
    features = encoding.encode(table, rng)
    back = encoding.inverse(features)["x"]
    assert back.storage is storage
    assert back.values.dtype == storage.dtype
    assert back.to_python() == table.arrays["x"].to_python()
    # By way of ranks too: that is what a copula sees.
    x = features[-1]
    drawn = column.inverse([features[0], column.quantile(column.rank(x, rng))])
    assert drawn.to_python() == back.to_python()


def test_all_of_int64(one_column, fit, rng):
    values = np.concatenate([five_each([-(2**63), 2**63 - 1, 0]), rng.integers(-(2**63), 2**63 - 1, 500)])
    table = one_column(Storage.INT64, values)
    encoding = fit(table)
    back = encoding.inverse(encoding.encode(table, rng))["x"].values
    # Of the ends a four-millionth of the range is cut off, and steps are what float64 can tell apart.
    assert encoding.columns[0].step == 10**4
    error = [abs(int(a) - int(b)) for a, b in zip(values, back, strict=True)]
    assert max(error) <= 2**41 + 10**4


def test_every_century_of_datetimes(one_column, fit, rng):
    values = rng.integers(YEAR_1, YEAR_9999, 3000)
    encoding = fit(one_column(Storage.DATETIME, values))
    (column,) = encoding.columns
    inside = values[(values > column.base) & (values < column.base + column.step * int(column.hi))]
    table = one_column(Storage.DATETIME, inside)
    back = encoding.inverse(encoding.encode(table, rng))["x"].values
    assert np.abs(back - inside).max() <= 500  # milliseconds, where microseconds take 59 bits
    assert column.step == 1000


def test_one_far_cell_coarsens_nothing(one_column, fit, rng):
    values = np.append(rng.integers(0, 100, 1000), [2**63 - 1, -(2**63)])
    (column,) = fit(one_column(Storage.INT64, values)).columns
    assert column.step == 1
    assert column.base >= 0
    assert column.base + column.hi <= 100


def test_one_odd_cell_does_not_change_the_step(one_column, fit, rng):
    days = DAY * rng.integers(19_000, 20_000, 1000)
    days[3] += 1
    assert fit(one_column(Storage.DATETIME, days)).columns[0].step == DAY
    days[:5] += np.arange(1, 6)
    assert fit(one_column(Storage.DATETIME, days)).columns[0].step == 1


def test_spikes_come_back_at_their_share_and_nothing_lies_in_gaps(one_column, fit, rng):
    values = np.where(rng.random(5000) < 0.3, 0.0, rng.uniform(100.0, 200.0, 5000))
    (column,) = fit(one_column(Storage.DOUBLE, values)).columns
    drawn = column.quantile(rng.random(20_000))
    assert (drawn == 0.0).mean() == pytest.approx(0.3, abs=0.02)
    between = (drawn > 0.0) & (drawn < 99.0)
    assert between.mean() < 0.001
    assert np.quantile(drawn[drawn > 0], [0.1, 0.5, 0.9]) == pytest.approx([110, 150, 190], abs=3)


def test_ranks_are_uniform(one_column, fit, rng):
    for storage, values in (
        (Storage.INT64, rng.poisson(3, 4000)),
        (Storage.INT64, rng.integers(0, 10**6, 4000)),
        (Storage.DOUBLE, np.where(rng.random(4000) < 0.5, 1.0, rng.normal(size=4000))),
    ):
        table = one_column(storage, values)
        encoding = fit(table)
        (column,) = encoding.columns
        u = column.rank(encoding.encode(table, rng)[-1], rng)
        assert ((u > 0) & (u < 1)).all()
        counts = np.histogram(u, 20, (0, 1))[0]
        assert np.abs(counts - 200).max() < 60


def test_nulls_hide_a_coordinate_of_the_column(one_column, fit, rng):
    table = one_column(Storage.INT64, np.arange(1000) % 50 + 100, np.arange(1000) % 2 == 0)
    encoding = fit(table)
    present, x = encoding.encode(table, rng)
    assert present.tolist() == [1, 0] * 500
    (column,) = encoding.columns
    assert x.min() >= column.lo
    assert x.max() <= column.hi
    assert (x == np.rint(x)).all()
    assert np.unique(x[1::2]).size > 20
    back = encoding.inverse([present, x])["x"]
    assert not back.values[1::2].any()


def test_rare_nulls_become_values(one_column, fit, rng):
    table = one_column(Storage.DATE, np.arange(100) % 10, np.arange(100) >= 4)
    encoding = fit(table)
    assert [feature.role for feature in encoding.features] == ["value"]
    assert "nulls of fewer than 5 patients" in encoding.findings[0].message
    assert encoding.inverse(encoding.encode(table, rng))["x"].is_valid().all()


def test_doubles_without_bounds(one_column, fit, rng):
    values = np.concatenate([five_each([np.inf, -np.inf, 1e308, -1e308, 0.0]), rng.normal(size=100)])
    table = one_column(Storage.DOUBLE, values)
    encoding = fit(table)
    (column,) = encoding.columns
    assert np.isfinite(column.knots_x).all()
    assert np.isfinite(column.quantile(rng.random(1000))).all()
    assert np.isfinite(encoding.inverse(encoding.encode(table, rng))["x"].values).all()


def test_refuses_numbers_of_too_few_patients(one_column, fit):
    table = one_column(Storage.INT64, np.arange(100), patients=np.arange(100) % 4)
    with pytest.raises(Problem) as refused:
        fit(table)
    assert refused.value.reason == "COLUMN_UNSUPPORTED"
    assert refused.value.violations[0].field == "t.x"


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), min_size=10, max_size=60),
    storage=st.sampled_from([Storage.INT64, Storage.DATETIME, Storage.DURATION, Storage.DECIMAL]),
    scale=st.sampled_from([1, 1, 1000, 2**40, 2**62]),
)
def test_any_integers_stay_inside_and_near(values, storage, scale):
    from kohort.columns import Array
    from kohort.schema import Column, Handling, Kind, TableSchema
    from tables.statistics import StatisticsSource
    from tables.tableset import Table

    cells = np.array([v // scale for v in values], dtype=np.int64)
    schema = TableSchema("t", (Column("x", Kind.INTEGER, storage, Handling.MODEL),))
    encoding = Encoding.fit(Table(schema, {"x": Array.make(storage, cells)}), StatisticsSource(), 2)
    (column,) = encoding.columns
    rng = np.random.default_rng(0)
    low, high = column.base + column.step * int(column.lo), column.base + column.step * int(column.hi)
    assert -(2**63) <= low <= high < 2**63
    x = encoding.encode(Table(schema, {"x": Array.make(storage, cells)}), rng)[0]
    back = encoding.inverse([x])["x"].values
    for cell, found in zip(cells.tolist(), back.tolist(), strict=True):
        clipped = min(max(cell, low), high)
        assert abs(found - clipped) <= column.step // 2
    u = column.rank(x, rng)
    assert ((u > 0) & (u < 1)).all()
    drawn = column.quantile(np.linspace(0, 1, 101))
    assert drawn.min() >= column.lo
    assert drawn.max() <= column.hi
    assert (np.diff(drawn) >= 0).all()
    assert (np.diff(column.knots_u) >= 0).all()
    assert (np.diff(column.knots_x) >= 0).all()
