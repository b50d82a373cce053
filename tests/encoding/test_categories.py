"""Columns of classes: what is kept, what is replaced, and the way back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kohort.problem import Problem
from kohort.schema import Kind, Storage
from trainers.encoding import CategoryEncoding, Encoding, Feature

CASES = {
    "bool": (Storage.BOOL, np.arange(60) % 3 == 0, None, Kind.BOOLEAN),
    "int": (Storage.INT64, np.array([3, -(2**62) - 1, 7] * 20), None, Kind.CATEGORY),
    "decimal": (Storage.DECIMAL, np.array([10**17 + 1, 5] * 30), None, Kind.CATEGORY),
    "double": (Storage.DOUBLE, np.array([0.1, -2.5, 3.0] * 20), None, Kind.CATEGORY),
    "date": (Storage.DATE, np.array([0, -700_000] * 30), None, Kind.CATEGORY),
    "string": (Storage.STRING, np.arange(60) % 3, ("é", "", "b\n"), Kind.CODE),
    "plain string": (Storage.STRING, np.array(["x", "", "中"] * 20, dtype=object), None, Kind.CATEGORY),
}


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_reverses_every_storage(one_column, fit, rng, case, nulls):
    storage, values, dictionary, kind = CASES[case]
    valid = np.arange(60) % 7 != 0 if nulls else None
    table = one_column(storage, values, valid, kind, dictionary)
    encoding = Encoding.from_json(json.loads(json.dumps(fit(table).to_json())))
    assert encoding.features == (Feature("x", "value", len(set(values.tolist())) + nulls),)
    features = encoding.encode(table, rng)
    back = encoding.inverse(features)["x"]
    assert features[0].dtype == np.int64
    assert back.storage is storage
    assert (back.dictionary is not None) == (storage is Storage.STRING)
    assert back.values.dtype == storage.dtype
    assert back.to_python() == table.arrays["x"].to_python()
    assert encoding == fit(table)


def test_frequencies_are_those_of_the_rows(one_column, fit):
    table = one_column(Storage.STRING, [0] * 30 + [1] * 10, [True] * 30 + [False] * 10, None, ("a", "b"))
    (column,) = fit(table).columns
    assert isinstance(column, CategoryEncoding)
    assert column.values == ("a",)
    assert column.nulls
    assert column.frequencies == pytest.approx((0.75, 0.25))


def test_classes_are_in_an_order_that_no_row_decides(one_column, fit):
    codes = [2, 0, 1] * 10
    words = one_column(Storage.STRING, codes, None, None, ("b", "c", "a"))
    levels = ("low", "mid", "high")
    ordinal = one_column(Storage.STRING, codes, None, Kind.ORDINAL, ("high", "low", "mid"), levels=levels)
    assert fit(words).columns[0].values == ("a", "b", "c")
    assert fit(ordinal).columns[0].values == levels


def test_counts_patients_and_not_rows(one_column, fit):
    # "b" has many rows of four patients, "a" few rows of five.
    values = [0] * 5 + [1] * 40
    patients = [1, 2, 3, 4, 5] + [6, 7, 8, 9] * 10
    table = one_column(Storage.STRING, values, None, None, ("a", "b"), patients)
    assert fit(table).columns[0].values == ("a",)
    assert fit(table, 4).columns[0].values == ("a", "b")


def test_rare_values_are_drawn_anew_by_frequency(one_column, fit, rng):
    values = np.repeat([0, 1, 2, 3, 4], [3000, 1000, 4, 4, 4])
    table = one_column(Storage.STRING, values, None, None, ("a", "b", "r1", "r2", "r3"))
    encoding = fit(table)
    assert encoding.columns[0].values == ("a", "b")
    (finding,) = encoding.findings
    assert (finding.reason, finding.table, finding.column) == ("RARE_VALUES_PROTECTED", "t", "x")
    assert "3 rare values" in finding.message
    rare = np.concatenate([encoding.encode(table, rng)[0][-12:] for _ in range(50)])
    assert set(rare) == {0, 1}
    assert (rare == 0).mean() == pytest.approx(0.75, abs=0.1)


def test_rare_nulls_become_values(one_column, fit, rng):
    table = one_column(Storage.BOOL, np.zeros(100, bool), np.arange(100) >= 4)
    encoding = fit(table)
    assert encoding.features[0].size == 1
    assert "rare nulls" in encoding.findings[0].message
    assert encoding.inverse(encoding.encode(table, rng))["x"].is_valid().all()


def test_encodes_a_table_it_was_not_fitted_on(one_column, fit, rng):
    encoding = fit(one_column(Storage.STRING, [0, 1] * 10, None, None, ("a", "b")))
    other = one_column(Storage.STRING, [0, 1, 2], None, None, ("b", "new", "a"))
    index = encoding.encode(other, rng)[0]
    assert index[0] == 1
    assert index[2] == 0
    assert index[1] in (0, 1)
    empty = one_column(Storage.STRING, [0, 0], [False, False], None, ())
    assert set(encoding.encode(empty, rng)[0]) <= {0, 1}


def test_refuses_a_column_without_a_supported_value(one_column, fit):
    unique = one_column(Storage.STRING, np.arange(50), None, None, tuple(map(str, range(50))))
    with pytest.raises(Problem) as refused:
        fit(unique)
    assert refused.value.reason == "COLUMN_UNSUPPORTED"
    assert refused.value.violations[0].field == "t.x"
    with pytest.raises(Problem):
        fit(one_column(Storage.STRING, [0] * 20, [False] * 20, None, ("a",)))
