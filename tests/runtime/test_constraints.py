"""Which rows keep a constraint, and which constraints a schema can have."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from kohort.columns import Array
from kohort.constraints import check_constraints, holds, range_of
from kohort.problem import Problem
from kohort.rules import Allowed, Combination, OneHot, Order, Range, Unique, constraint_from_json
from kohort.schema import Column, Handling, Kind, Schema, SchemaOverrides, Storage, TableOverride, TableSchema

MODEL = Handling.MODEL
COLUMNS = (
    Column("n", Kind.INTEGER, Storage.INT64, MODEL),
    Column("m", Kind.INTEGER, Storage.INT64, MODEL),
    Column("d1", Kind.DECIMAL, Storage.DECIMAL, MODEL, scale=1),
    Column("d3", Kind.DECIMAL, Storage.DECIMAL, MODEL, scale=3),
    Column("x", Kind.DECIMAL, Storage.DOUBLE, MODEL),
    Column("day", Kind.DATE, Storage.DATE, MODEL),
    Column("at", Kind.DATETIME, Storage.DATETIME, MODEL),
    Column("zoned", Kind.DATETIME, Storage.DATETIME, MODEL, time_zone="UTC"),
    Column("s", Kind.CATEGORY, Storage.STRING, MODEL),
    Column("t", Kind.CATEGORY, Storage.STRING, MODEL),
    Column("p", Kind.BOOLEAN, Storage.BOOL, MODEL),
    Column("q", Kind.INTEGER, Storage.INT64, MODEL),
    Column("key", Kind.ID, Storage.INT64, Handling.REGENERATE),
    Column("note", Kind.TEXT, Storage.STRING, Handling.DROP),
)
TABLE = TableSchema("t", COLUMNS)
EVERY = (
    Range("n", "0", "9"),
    Order("d1", "d3", True),
    Combination(("s", "t")),
    Unique(("key", "n")),
    OneHot(("p", "q")),
    Allowed("s", ("a", "b")),
)


def kept(*rules, **arrays):
    return holds(rules, TABLE, arrays).tolist()


def ints(values, valid=None, storage=Storage.INT64):
    return Array.make(storage, values, valid)


def test_a_range_includes_its_ends_and_ignores_nulls():
    array = ints([-1, 0, 9, 10, 99], [True, True, True, True, False])
    assert kept(Range("n", "0", "9"), n=array) == [False, True, True, False, True]
    assert kept(Range("n", "-0.5"), n=array) == [False, True, True, True, True]
    assert kept(Range("d1", maximum="1.25"), d1=ints([12, 13], storage=Storage.DECIMAL)) == [True, False]
    days = ints([0, 365], storage=Storage.DATE)
    assert kept(Range("day", "1970-01-02"), day=days) == [False, True]
    assert kept(Range("x", "0.1"), x=Array.make(Storage.DOUBLE, [0.1, 0.09])) == [True, False]


def test_whole_numbers_are_compared_whole():
    big = 2**62
    low, high = ints([big, big + 1, big]), ints([big + 1, big, big])
    assert kept(Order("n", "m"), n=low, m=high) == [True, False, True]
    assert kept(Order("n", "m", True), n=low, m=high) == [True, False, False]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("low", "high"), [("d1", "d3"), ("d3", "d1")])
def test_decimals_of_different_scales_are_compared_exactly(low, high, strict):
    rng = np.random.default_rng(0)
    scales = {"d1": 1, "d3": 3}
    cells = {n: rng.integers(-300, 300, 2000) * (100 if n == "d3" else 1) for n in scales}
    cells["d3"] += rng.integers(-1, 2, 2000)
    arrays = {n: ints(c, storage=Storage.DECIMAL) for n, c in cells.items()}
    a, b = (cells[n].astype(object) * 10 ** (3 - scales[n]) for n in (low, high))
    assert kept(Order(low, high, strict), **arrays) == list(a < b if strict else a <= b)


def test_exactly_one_is_hot():
    flags = Array.make(Storage.BOOL, [True, True, False, False, False], [True, True, True, True, False])
    assert kept(OneHot(("p", "q")), p=flags, q=ints([0, 1, 1, 0, 0])) == [True, False, True, False, True]
    assert kept(OneHot(("p", "q")), p=flags, q=ints([0, 0, 2, 1, 0])) == [True, True, False, True, True]


@pytest.mark.parametrize("dictionary", [("b", "a", "c"), None])
def test_allowed_texts(dictionary):
    values = [0, 1, 2, 0] if dictionary else ["b", "a", "c", ""]
    array = Array.make(Storage.STRING, values, [True, True, True, False], dictionary)
    assert kept(Allowed("s", ("a", "b")), s=array) == [True, True, False, True]


def test_allowed_numbers_and_dates():
    assert kept(Allowed("d1", ("1.5", "2")), d1=ints([15, 20, 16], storage=Storage.DECIMAL)) == [
        True,
        True,
        False,
    ]
    assert kept(Allowed("day", ("1970-01-02",)), day=ints([1, 2], storage=Storage.DATE)) == [True, False]


def test_what_no_single_row_can_break_counts_as_kept():
    texts = Array.make(Storage.STRING, [0, 0], None, ("a",))
    assert kept(Combination(("s", "t")), Unique(("key",)), s=texts, t=texts, key=ints([1, 1])) == [True, True]


def test_several_ranges_leave_what_all_leave():
    assert range_of([Range("n", "0", "9"), Range("n", "3"), Range("m", "5", "5")], COLUMNS[0]) == (3, 9)


def test_constraints_are_json():
    schema = Schema((replace(TABLE, constraints=EVERY),))
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    overrides = SchemaOverrides(tables=(TableOverride("t", constraints=EVERY),))
    assert SchemaOverrides.from_json(json.loads(json.dumps(overrides.to_json()))) == overrides


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"range": {"column": "n"}, "order": {}},
        {"nonsense": {}},
        {"range": {"column": 5}},
        {"one_hot": {"columns": "ab"}},
        {"order": {"low": "a", "high": "b", "strict": 1}},
        {"allowed": {"column": "a", "values": [1]}},
        {"unique": {"columns": ["a"], "more": "b"}},
    ],
)
def test_other_json_is_refused(value):
    with pytest.raises((TypeError, ValueError, KeyError)):
        constraint_from_json(value)


def test_these_can_be_kept():
    check_constraints(replace(TABLE, constraints=EVERY))


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (Range("absent", "1"), "t.absent"),
        (Range("s", "1"), "t.s"),
        (Range("n"), "t.n"),
        (Range("n", "2", "1"), "t.n"),
        (Range("n", "abc"), "t.n"),
        (Range("note", "1"), "t.note"),
        (Range("key", "1"), "t.key"),
        (Order("n", "n"), "t.n"),
        (Order("n", "d1"), "t.n"),
        (Order("at", "zoned"), "t.at"),
        (Order("s", "t"), "t.s"),
        (Combination(("s",)), "t.s"),
        (Combination(("s", "n")), "t.n"),
        (Combination(()), "t"),
        (OneHot(("p", "s")), "t.s"),
        (OneHot(("p",)), "t.p"),
        (Allowed("s", ()), "t.s"),
        (Allowed("d1", ("1.25",)), "t.d1"),
        (Unique(("n",)), "t.n"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(rule, field):
    with pytest.raises(Problem) as refused:
        check_constraints(replace(TABLE, constraints=(rule,)))
    assert refused.value.reason == "INVALID_SCHEMA"
    assert refused.value.violations[0].field == field


def test_contradicting_orders_are_refused():
    with pytest.raises(Problem):
        check_constraints(replace(TABLE, constraints=(Order("n", "m"), Order("m", "n"))))


def test_a_value_is_in_no_refusal():
    with pytest.raises(Problem) as refused:
        check_constraints(replace(TABLE, constraints=(Allowed("n", ("Zebra",)),)))
    assert "Zebra" not in str(refused.value) + refused.value.violations[0].description
