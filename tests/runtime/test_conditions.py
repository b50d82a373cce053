"""Conditions read against columns and tested on cells."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.conditions import Condition, Rebalancing, bind, bind_shares, met
from kohort.csvio import cell_texts
from kohort.problem import Problem
from kohort.schema import Column, Handling, Schema, Storage, TableSchema
from tests.runtime.parts import ALL, all_storages

SCALARS = [s for s in Storage if s not in (Storage.UNSPECIFIED, Storage.STRING_LIST)]
SCHEMA = Schema((ALL,))


def passing(condition, arrays):
    return met(bind([condition], SCHEMA), arrays)


@pytest.mark.parametrize("storage", SCALARS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), picks=st.lists(st.integers(0, 39), min_size=1, max_size=5))
def test_every_test_says_what_python_says(storage, seed, picks):
    arrays = all_storages(40, seed)
    name, array = storage.value, arrays[storage.value]
    column, cells = ALL.column(storage.value), arrays[storage.value].to_python()
    texts = cell_texts(column, array)
    sound = [i for i in picks if cells[i] is not None and texts[i] not in ("NaT", "nan", "inf", "-inf")]
    null = [cell is None for cell in cells]
    assert passing(Condition(name, is_null=True), arrays).tolist() == null
    assert passing(Condition(name, is_null=False), arrays).tolist() == [not n for n in null]
    if not sound:
        return
    wanted = {cells[i] for i in sound}
    found = passing(Condition(name, one_of=tuple(texts[i] for i in sound)), arrays)
    assert found.tolist() == [cell is not None and cell in wanted for cell in cells]
    if storage in (Storage.STRING, Storage.BOOL):
        return
    low, high = min(wanted), max(wanted)
    bounds = {cells[i]: texts[i] for i in sound}
    for least, most in ((low, high), (low, None), (None, high)):
        condition = Condition(name, minimum=bounds.get(least), maximum=bounds.get(most))
        inside = [
            c is not None and (least is None or c >= least) and (most is None or c <= most) for c in cells
        ]
        assert passing(condition, arrays).tolist() == inside


def test_strings_are_found_with_and_without_a_dictionary():
    plain = Array.make(Storage.STRING, ["a", "", "b"], [True, False, True])
    coded = Array.make(Storage.STRING, [1, 0, 0], [True, False, True], ("b", "a"))
    empty = Array.make(Storage.STRING, [0, 0], [False, False], ())
    (test,) = bind([Condition("string", one_of=("a", "c"))], SCHEMA)
    assert test.holds(plain).tolist() == test.holds(coded).tolist() == [True, False, False]
    assert test.holds(empty).tolist() == [False, False]


@pytest.mark.parametrize(
    ("condition", "reason", "field"),
    [
        (Condition("nothing", one_of=("1",)), "UNKNOWN_COLUMN", "all.nothing"),
        (Condition("int64", one_of=("1",), table="no"), "UNKNOWN_TABLE", "no"),
        (Condition("int64"), "INVALID_REQUEST", "all.int64"),
        (Condition("int64", one_of=()), "INVALID_REQUEST", "all.int64"),
        (Condition("int64", one_of=("1",), is_null=True), "INVALID_REQUEST", "all.int64"),
        (Condition("int64", one_of=("classified",)), "INVALID_REQUEST", "all.int64"),
        (Condition("int64", minimum="2", maximum="1"), "INVALID_REQUEST", "all.int64"),
        (Condition("string", minimum="a"), "INVALID_REQUEST", "all.string"),
        (Condition("bool", maximum="true"), "INVALID_REQUEST", "all.bool"),
        (Condition("string_list", one_of=("a",)), "CONDITION_UNSUPPORTED", "all.string_list"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused_by_column(condition, reason, field):
    with pytest.raises(Problem) as caught:
        bind([condition], SCHEMA)
    assert (caught.value.reason, caught.value.violations[0].field) == (reason, field)
    assert "classified" not in str(caught.value)


def test_fresh_columns_cannot_be_asked_for():
    table = TableSchema("t", (Column("id", storage=Storage.INT64, handling=Handling.REGENERATE),))
    with pytest.raises(Problem) as caught:
        bind([Condition("id", one_of=("1",))], Schema((table,)))
    assert caught.value.reason == "CONDITION_UNSUPPORTED"


def test_shares_are_divided_by_their_sum():
    column, cells, shares = bind_shares(Rebalancing("int64", (("0", 3.0), ("1", 0.0), ("2", 1.0))), SCHEMA)
    assert (column.name, cells, shares.tolist()) == ("int64", (0, 2), [0.75, 0.25])


@pytest.mark.parametrize(
    "shares",
    [
        (),
        (("1", 0.0),),
        (("1", -1.0),),
        (("1", float("nan")),),
        (("1", float("inf")),),
        (("1", 1.0), ("01", 1.0)),
    ],
)
def test_shares_that_make_no_sense_are_refused(shares):
    with pytest.raises(Problem) as caught:
        bind_shares(Rebalancing("int64", shares), SCHEMA)
    assert caught.value.reason == "INVALID_REQUEST"
