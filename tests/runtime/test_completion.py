"""Completion of partial rows: what is handed in comes back, the rest is filled given it."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.columns import Array, ContentDigest
from kohort.conditions import Condition, PartialRows, Rebalancing
from kohort.partial import cut
from kohort.problem import Problem
from kohort.programs import Draws, SampleSpec, check_spec
from kohort.rules import Order, Range
from kohort.schema import Storage
from tests.conditional_generator import JOINT, TABLE, toy_bundle

N = 1500
COLUMNS = [c.name for c in TABLE.columns if c.name != "id"]


@cache
def program():
    return toy_bundle().program()


def partial(columns, rows=N, first=0, holes=0.3, seed=1):
    """Rows of the model itself with holes punched into them."""
    rng = np.random.default_rng(seed)
    (whole, *more) = program().units(SampleSpec(99), 0, rows)
    arrays = {}
    for name in columns:
        array = Array.concat([whole.arrays[name], *(b.arrays[name] for b in more)])
        valid = array.is_valid() & (rng.random(rows) >= holes)
        arrays[name] = Array.make(array.storage, array.values, valid, array.dictionary)
    return PartialRows(arrays, first)


def complete(rows, draws=None, count=None, start=None, **more):
    spec = SampleSpec(5, partial=rows, **more)
    start = rows.first_unit if start is None else start
    batches = list(program().units(spec, start, rows.row_count if count is None else count, draws))
    return {name: Array.concat([b.arrays[name] for b in batches]) for name in batches[0].arrays}


@pytest.mark.parametrize("columns", [COLUMNS, ["sex"], ["bmi", "seen"], ["score", "smoker", "born"]])
def test_cells_handed_in_come_back_exactly_and_open_ones_are_filled(columns):
    rows = partial(columns)
    found = complete(rows)
    assert list(found) == [c.name for c in TABLE.columns]
    for name in columns:
        kept = rows.arrays[name].is_valid()
        before, after = rows.arrays[name].to_python(), found[name].to_python()
        assert [a for a, k in zip(after, kept, strict=True) if k] == [
            b for b, k in zip(before, kept, strict=True) if k
        ]
        assert found[name].is_valid().all()


def test_columns_that_are_absent_may_be_null_as_the_model_gives_them():
    found = complete(partial(["sex"]))
    assert 0.2 < 1 - found["bmi"].is_valid().mean() < 0.4


def test_what_is_filled_depends_on_what_is_given():
    rows = PartialRows({"outcome": Array.make(Storage.INT64, np.arange(8000) % 2)})
    women = complete(rows)["sex"].strings() == "F"
    for outcome in (0, 1):
        expected = JOINT[0, outcome] / JOINT[:, outcome].sum()
        assert women[outcome::2].mean() == pytest.approx(expected, abs=0.025)


def test_a_value_the_model_never_learned_is_kept_and_counted():
    texts = np.array(["F", "diverse", "M", "F"], dtype=object)
    rows = PartialRows(
        {
            "sex": Array.make(Storage.STRING, texts),
            "age": Array.make(Storage.INT64, [40, 41, 5, 117]),
            "bmi": Array.make(Storage.DECIMAL, [200, 0, 1, 9_999], [True, False, True, True]),
        }
    )
    draws = Draws()
    found = complete(rows, draws)
    assert found["sex"].to_python() == texts.tolist()
    assert found["age"].to_python() == [40, 41, 5, 117]
    cells = found["bmi"].to_python()
    assert (cells[0], *cells[2:]) == (200, 1, 9_999)
    assert draws.unlearned == 5


def test_keys_handed_in_come_back_and_open_ones_are_made():
    rows = PartialRows({"id": Array.make(Storage.INT64, [700, 0, 900], [True, False, True])}, first_unit=10)
    keys = complete(rows)["id"].to_python()
    assert (keys[0], keys[2]) == (700, 900)
    assert keys[1] == next(iter(program().units(SampleSpec(5), 11, 1))).arrays["id"].to_python()[0]


def test_conditions_and_constraints_hold_for_completed_rows():
    rows = partial(["sex", "bmi"])
    found = complete(rows, conditions=(Condition("age", minimum="40"), Condition("smoker", one_of=("no",))))
    assert found["age"].values.min() >= 40
    assert set(found["smoker"].to_python()) == {"no"}


@pytest.mark.parametrize("rule", [Range("age", maximum="50"), Order("age", "outcome")])
def test_rows_that_break_a_constraint_are_refused_by_column(rule):
    bundle = toy_bundle((rule,)).program()
    cells = {"age": [None, 51], "outcome": [1, 0]}
    there = {name: [cell is not None for cell in column] for name, column in cells.items()}
    rows = PartialRows(
        {
            name: Array.make(Storage.INT64, [cell or 0 for cell in column], there[name])
            for name, column in cells.items()
        }
    )
    with pytest.raises(Problem) as caught:
        list(bundle.units(SampleSpec(5, partial=rows), 0, 2))
    assert (caught.value.reason, caught.value.violations[0].field) == ("INVALID_REQUEST", f"{TABLE.name}.age")
    assert "51" not in str(caught.value)


def test_one_column_is_rebalanced_while_others_are_handed_in():
    found = complete(partial(["bmi"], 4000), rebalancing=Rebalancing("outcome", (("0", 1), ("1", 3))))
    assert found["outcome"].values.mean() == pytest.approx(0.75, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(
    first=st.sampled_from([0, 7, 1000, 5000]),
    cuts=st.lists(st.integers(1, N - 1), max_size=4),
)
def test_a_completion_resumed_anywhere_gives_the_same_bytes(first, cuts):
    rows = partial(["sex", "smoker", "bmi", "age"], first=first)
    spec = SampleSpec(5, partial=rows)
    whole, parts = ContentDigest(program().schema), ContentDigest(program().schema)
    for batch in program().units(spec, first, N):
        whole.add(batch)
    for low, high in itertools.pairwise(sorted({0, N, *cuts})):
        # As a client resumes: the rows that are left begin where the last ones ended.
        rest = SampleSpec(5, partial=cut(rows, low, N))
        for batch in program().units(rest, first + low, high - low):
            parts.add(batch)
    assert parts.digest() == whole.digest()


def test_a_column_of_cells_that_are_null_for_good_does_not_hold_the_rest_up():
    rows = PartialRows({"smoker": Array.make(Storage.STRING, [0] * 300, [False] * 300, ())})
    draws = Draws()
    found = complete(rows, draws, conditions=(Condition("smoker", is_null=True),))
    assert not found["smoker"].is_valid().any()
    assert draws.drawn == 300 * 32


@pytest.mark.parametrize(
    ("arrays", "more", "reason", "field"),
    [
        ({}, {}, "INVALID_REQUEST", "partial_rows"),
        ({"age": Array.make(Storage.INT64, [])}, {}, "INVALID_REQUEST", "partial_rows"),
        ({"no": Array.make(Storage.INT64, [1])}, {}, "UNKNOWN_COLUMN", "cohort.no"),
        ({"age": Array.make(Storage.DOUBLE, [1.0])}, {}, "INVALID_REQUEST", "cohort.age"),
        ({"score": Array.make(Storage.DOUBLE, [np.inf])}, {}, "INVALID_REQUEST", "cohort.score"),
        (
            {"age": Array.make(Storage.INT64, [40])},
            {"conditions": (Condition("age", minimum="41"),)},
            "INVALID_REQUEST",
            "cohort.age",
        ),
        (
            {"outcome": Array.make(Storage.INT64, [0])},
            {"rebalancing": Rebalancing("outcome", (("1", 1.0),))},
            "INVALID_REQUEST",
            "cohort.outcome",
        ),
    ],
)
def test_rows_that_make_no_sense_are_refused(arrays, more, reason, field):
    with pytest.raises(Problem) as caught:
        check_spec(program(), SampleSpec(5, partial=PartialRows(arrays), **more))
    assert (caught.value.reason, caught.value.violations[0].field) == (reason, field)


def test_units_beyond_the_rows_are_refused():
    rows = partial(["sex"], 10, first=5)
    for start, count in ((4, 3), (5, 11), (15, 1)):
        with pytest.raises(Problem, match="INVALID_REQUEST"):
            check_spec(program(), SampleSpec(5, partial=rows), start, count)


def test_a_model_by_rejection_refuses_to_complete():
    with pytest.raises(Problem) as caught:
        check_spec(toy_bundle(conditional=False).program(), SampleSpec(5, partial=partial(["sex"], 3)))
    assert caught.value.reason == "CONDITION_UNSUPPORTED"


def test_a_date_told_relative_to_another_is_given_where_that_is():
    made = toy_bundle(relative=True).program()
    born = Array.make(Storage.DATE, [0, 100, 0, 500], [True, True, False, True])
    died = Array.make(Storage.DATE, [9_000, 0, 12_000, 40_000], [True, False, True, True])
    draws = Draws()
    spec = SampleSpec(5, partial=PartialRows({"died": died, "born": born}))
    (found,) = made.units(spec, 0, 4, draws)
    lived = found.arrays["died"].values - found.arrays["born"].values
    assert found.arrays["died"].is_valid().all()
    assert (lived[0], lived[3]) == (9_000, 39_500)
    assert 100 <= lived[1] <= 30_000
    assert found.arrays["died"].values[2] == 12_000
    # One cell lies beyond all that was learned, one has no birth to be told from.
    assert draws.unlearned == 2


def test_a_date_told_relative_to_another_meets_conditions_by_rejection():
    made = toy_bundle(relative=True).program()
    spec = SampleSpec(5, conditions=(Condition("died", minimum="1990-01-01", maximum="2005-12-31"),))
    draws = Draws()
    (found, *_) = made.units(spec, 0, 500, draws)
    assert found.arrays["died"].is_valid().all()
    assert ((found.arrays["died"].values >= 7305) & (found.arrays["died"].values < 13149)).all()
    assert draws.drawn > 500
