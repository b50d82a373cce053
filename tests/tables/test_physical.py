from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage, TableSchema
from tables.facts import smallest_scale
from tables.infer import physicalise
from tables.tableset import Table

DAY = 86_400_000_000


def convert(array, source, target):
    raw = Table(TableSchema("t", (source,)), {"a": array})
    return physicalise(raw, TableSchema("t", (target,))).arrays["a"]


def col(storage, kind=Kind.UNSPECIFIED, **more):
    return Column("a", kind, storage, **more)


VALID = [True, False, True]


@pytest.mark.parametrize(
    ("values", "source", "target", "expected"),
    [
        ([1.0, 0, 2.0], col(Storage.DOUBLE), col(Storage.INT64), [1, None, 2]),
        ([1.5, 0, -2.25], col(Storage.DOUBLE), col(Storage.DECIMAL, scale=2), [150, None, -225]),
        ([1, 0, 2], col(Storage.INT64), col(Storage.DECIMAL, scale=3), [1000, None, 2000]),
        ([1, 0, 2], col(Storage.INT64), col(Storage.DOUBLE), [1.0, None, 2.0]),
        ([1, 0, 0], col(Storage.INT64), col(Storage.BOOL), [True, None, False]),
        ([1, 0, 27], col(Storage.INT64), col(Storage.STRING), ["1", None, "27"]),
        ([0.5, 0, 3.0], col(Storage.DOUBLE), col(Storage.STRING), ["0.5", None, "3"]),
        ([-5, 0, 1234], col(Storage.DECIMAL, scale=2), col(Storage.STRING), ["-0.05", None, "12.34"]),
        ([150, 0, 200], col(Storage.DECIMAL, scale=2), col(Storage.DECIMAL, scale=1), [15, None, 20]),
        ([100, 0, 200], col(Storage.DECIMAL, scale=2), col(Storage.INT64), [1, None, 2]),
        ([150, 0, 200], col(Storage.DECIMAL, scale=2), col(Storage.DOUBLE), [1.5, None, 2.0]),
        ([True, False, False], col(Storage.BOOL), col(Storage.INT64), [1, None, 0]),
        ([True, False, False], col(Storage.BOOL), col(Storage.STRING), ["true", None, "false"]),
        ([1, 0, -1], col(Storage.DATE), col(Storage.DATETIME), [DAY, None, -DAY]),
        ([DAY, 0, -DAY], col(Storage.DATETIME), col(Storage.DATE), [1, None, -1]),
        ([1, 0, 120_530], col(Storage.DATE), col(Storage.STRING), ["1970-01-02", None, "2300-01-01"]),
        (["1", "", "3"], col(Storage.STRING), col(Storage.INT64), [1, None, 3]),
        (["1.5", "", "3"], col(Storage.STRING), col(Storage.DECIMAL, scale=1), [15, None, 30]),
        (["2020-01-01", "", "2020-01-02"], col(Storage.STRING), col(Storage.DATE), [18262, None, 18263]),
        (["yes", "", "no"], col(Storage.STRING), col(Storage.BOOL, Kind.BOOLEAN), [True, None, False]),
        (["b", "", "a"], col(Storage.STRING), col(Storage.STRING), ["b", None, "a"]),
    ],
)
def test_cells_take_the_storage_asked_for(values, source, target, expected):
    array = convert(Array.make(source.storage, values, VALID), source, target)
    assert array.storage is target.storage
    assert array.to_python() == expected


@pytest.mark.parametrize(
    "storage", [Storage.BOOL, Storage.INT64, Storage.DOUBLE, Storage.DECIMAL, Storage.DATE]
)
def test_a_column_without_any_cell_is_of_every_storage(storage):
    nothing = Array.make(Storage.STRING, [0, 0], [False, False], dictionary=())
    assert convert(nothing, col(Storage.STRING), col(storage)).to_python() == [None, None]


@pytest.mark.parametrize(
    ("values", "source", "target", "reason", "row"),
    [
        ([0.0, 0.5], col(Storage.DOUBLE), col(Storage.INT64), "VALUE_NOT_OF_KIND", "row 2"),
        ([0.0, 1e19], col(Storage.DOUBLE), col(Storage.INT64), "VALUE_OUT_OF_BOUNDS", "row 2"),
        ([0.5, 0.25], col(Storage.DOUBLE), col(Storage.DECIMAL, scale=1), "VALUE_NOT_OF_KIND", "row 2"),
        ([0, 2**62], col(Storage.INT64), col(Storage.DECIMAL, scale=3), "VALUE_OUT_OF_BOUNDS", "row 2"),
        ([10, 15], col(Storage.DECIMAL, scale=1), col(Storage.INT64), "VALUE_NOT_OF_KIND", "row 2"),
        ([0, 2], col(Storage.INT64), col(Storage.BOOL), "VALUE_NOT_OF_KIND", "row 2"),
        ([0, 1], col(Storage.DATETIME), col(Storage.DATE), "VALUE_NOT_OF_KIND", "row 2"),
        ([0, 1], col(Storage.DATE), col(Storage.DURATION), "VALUE_NOT_OF_KIND", "date"),
        (["1", "x"], col(Storage.STRING), col(Storage.INT64), "MIXED_TYPES", "row 2"),
        ([0.5, float("-inf")], col(Storage.DOUBLE), col(Storage.DOUBLE), "VALUE_NOT_OF_KIND", "row 2"),
        ([0, 36_525], col(Storage.DATE), col(Storage.DATE, maximum=20_000), "VALUE_OUT_OF_BOUNDS", "row 2"),
        ([1, 25], col(Storage.DECIMAL), col(Storage.DECIMAL, maximum=2), "VALUE_OUT_OF_BOUNDS", "row 2"),
        ([1.5, 2.5], col(Storage.DOUBLE), col(Storage.DOUBLE, maximum=2), "VALUE_OUT_OF_BOUNDS", "row 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_row(values, source, target, reason, row):
    with pytest.raises(Problem) as raised:
        convert(Array.make(source.storage, values), source, target)
    assert raised.value.reason == reason
    assert raised.value.violations[0].field == "t.a"
    assert row in raised.value.message


def test_nulls_are_never_out_of_bounds():
    array = Array.make(Storage.INT64, [0, 50], [False, True])
    assert convert(array, col(Storage.INT64), col(Storage.INT64, minimum=10)).to_python() == [None, 50]


def test_columns_come_in_the_order_of_the_schema():
    arrays = {name: Array.make(Storage.INT64, [1]) for name in "ab"}
    raw = Table(TableSchema("t", (Column("a"), Column("b"))), arrays)
    schema = TableSchema("t", (Column("b", storage=Storage.INT64), Column("a", storage=Storage.INT64)))
    assert list(physicalise(raw, schema).arrays) == ["b", "a"]
    with pytest.raises(Problem, match="UNKNOWN_COLUMN"):
        physicalise(raw, TableSchema("t", schema.columns[:1]))
    with pytest.raises(Problem, match="MISSING_COLUMN"):
        physicalise(raw, TableSchema("t", (*schema.columns, Column("c", storage=Storage.INT64))))


def test_object_strings_become_dictionary_coded():
    array = convert(Array.make(Storage.STRING, ["b", "a", "b"]), col(Storage.STRING), col(Storage.STRING))
    assert array.dictionary == ("a", "b")
    assert array.values.tolist() == [1, 0, 1]


@given(st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=20), st.integers(0, 6))
def test_decimals_of_few_digits_are_exact(units, scale):
    numbers = np.array([unit / 10**scale for unit in units])
    found = smallest_scale(numbers)
    assert found is not None
    assert found <= scale
    array = convert(
        Array.make(Storage.DOUBLE, numbers), col(Storage.DOUBLE), col(Storage.DECIMAL, scale=scale)
    )
    assert array.values.tolist() == units
    assert np.array_equal(np.rint(numbers * 10**found) / 10**found, numbers)


@given(st.lists(st.integers(-(10**5), 10**5), min_size=1, max_size=20), st.integers(0, 2))
def test_decimals_survive_single_precision(units, scale):
    numbers = np.array([unit / 10**scale for unit in units], dtype=np.float32).astype(np.float64)
    array = convert(
        Array.make(Storage.DOUBLE, numbers), col(Storage.DOUBLE), col(Storage.DECIMAL, scale=scale)
    )
    assert array.values.tolist() == units
