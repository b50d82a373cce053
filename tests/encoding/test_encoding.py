"""A whole table: which columns, in which order, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.tableset import Table
from trainers.encoding import CategoryEncoding, Encoding, NumberEncoding


def table(*handlings):
    """Columns a, b and c (a category, numbers, numbers with nulls), handled so."""
    columns = (
        Column("a", Kind.CATEGORY, Storage.INT64, handlings[0]),
        Column("b", Kind.INTEGER, Storage.INT64, handlings[1]),
        Column("c", Kind.DECIMAL, Storage.DOUBLE, handlings[2]),
    )
    n = np.arange(100)
    arrays = {
        "a": Array.make(Storage.INT64, n % 3),
        "b": Array.make(Storage.INT64, n % 10),
        "c": Array.make(Storage.DOUBLE, n % 4 / 8, n % 5 != 0),
    }
    return Table(TableSchema("t", columns), arrays)


MODEL, DROP, REGENERATE = Handling.MODEL, Handling.DROP, Handling.REGENERATE


def test_features_follow_the_schema(fit, rng):
    whole = table(MODEL, MODEL, MODEL)
    encoding = fit(whole)
    assert [type(column) for column in encoding.columns] == [CategoryEncoding, NumberEncoding, NumberEncoding]
    assert [(f.column, f.role, f.size) for f in encoding.features] == [
        ("a", "value", 3),
        ("b", "value", None),
        ("c", "present", 2),
        ("c", "value", None),
    ]
    features = encoding.encode(whole, rng)
    assert [feature.dtype for feature in features] == [np.int64, np.float64, np.int64, np.float64]
    back = encoding.inverse(features)
    assert list(back) == ["a", "b", "c"]
    assert {name: array.to_python() for name, array in back.items()} == {
        name: array.to_python() for name, array in whole.arrays.items()
    }


def test_only_what_is_to_be_modelled(fit, rng):
    encoding = fit(table(DROP, MODEL, REGENERATE))
    assert [column.column for column in encoding.columns] == ["b"]
    assert len(encoding.encode(table(DROP, MODEL, REGENERATE), rng)) == 1


def test_state_is_json(fit):
    encoding = fit(table(MODEL, MODEL, MODEL))
    text = json.dumps(encoding.to_json(), allow_nan=False)
    assert Encoding.from_json(json.loads(text)).to_json() == encoding.to_json()


def test_refuses_a_table_without_a_column_to_model(fit):
    with pytest.raises(Problem) as refused:
        fit(table(DROP, REGENERATE, DROP))
    assert refused.value.reason == "NO_USABLE_COLUMNS"


def test_refuses_lists(fit):
    schema = TableSchema("t", (Column("codes", Kind.CODE_LIST, Storage.STRING_LIST, MODEL),))
    codes = Array.make(Storage.STRING_LIST, [0] * 10, None, ("A",), np.arange(11))
    with pytest.raises(Problem) as refused:
        fit(Table(schema, {"codes": codes}))
    assert refused.value.reason == "COLUMN_UNSUPPORTED"
    assert refused.value.violations[0].field == "t.codes"
