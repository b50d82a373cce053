"""Samples under conditions: every row honours them, and unit addressing still holds."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.batching import rebatch
from kohort.columns import Array, Batch, ContentDigest
from kohort.conditions import Condition, Rebalancing, bind, met
from kohort.problem import Problem
from kohort.programs import Draws, Program, SampleSpec, check_spec
from kohort.rules import Range
from tests.conditional_generator import JOINT, TABLE, toy_bundle
from tests.runtime import step_program

BLOCK = 1024


@cache
def program(native: bool = True, constraints=()) -> Program:
    return toy_bundle(constraints, conditional=native).program()


def rows(spec, start=0, count=3000, *, native=True, draws=None, constraints=()):
    """The cells of some units by column."""
    made = program(native, constraints)
    batches = list(made.units(spec, start, count, draws))
    return {name: Array.concat([b.arrays[name] for b in batches]) for name in batches[0].arrays}


def digest(spec, start, stop, native, size=(0, 1 << 20), edges=()):
    made = program(native)
    total = ContentDigest(made.schema)
    cuts = sorted({start, stop, *(e for e in edges if start < e < stop)})
    for low, high in itertools.pairwise(cuts):
        for batch in rebatch(made.units(spec, low, high - low), *size):
            total.add(batch)
    return total.digest()


def asked(*conditions, **more):
    return SampleSpec(5, conditions=conditions, **more)


OPERATORS = {
    "equal text": Condition("sex", one_of=("F",)),
    "equal text, nulls": Condition("smoker", one_of=("yes",)),
    "equal whole category": Condition("outcome", one_of=("1",)),
    "equal boolean": Condition("flag", one_of=("true",)),
    "equal integer": Condition("age", one_of=("40",)),
    "equal decimal": Condition("bmi", one_of=("24.7",)),
    "equal double": Condition("score", one_of=("0",)),
    "equal date": Condition("born", one_of=("1960-05-17",)),
    "set of texts": Condition("smoker", one_of=("yes", "former")),
    "set of integers": Condition("age", one_of=("40", "41", "63")),
    "set of decimals": Condition("bmi", one_of=("20.1", "33.3", "24.9")),
    "set of booleans": Condition("flag", one_of=("true", "false")),
    "set of categories": Condition("outcome", one_of=("0", "1")),
    "range of integers": Condition("age", minimum="35", maximum="45"),
    "range of categories": Condition("outcome", minimum="1"),
    "range of decimals": Condition("bmi", minimum="30.05"),
    "range of doubles": Condition("score", minimum="-0.5", maximum="1e-3"),
    "range of dates": Condition("born", minimum="1950-01-01", maximum="1999-12-31"),
    "range of times": Condition("seen", minimum="2001-09-20", maximum="2002-01-01"),
    "range of durations": Condition("stay", minimum="PT-30M", maximum="PT10H"),
    "null text": Condition("smoker", is_null=True),
    "null number": Condition("bmi", is_null=True),
    "not null text": Condition("smoker", is_null=False),
    "not null number": Condition("seen", is_null=False),
}
# By rejection these are met too rarely for a test.
RARE = ("equal decimal", "equal date", "set of decimals")


@pytest.mark.parametrize(
    ("name", "native"),
    [*itertools.product(OPERATORS, [True]), *itertools.product(sorted(set(OPERATORS) - set(RARE)), [False])],
)
def test_every_row_honours_the_condition(name, native):
    condition, draws = OPERATORS[name], Draws()
    found = rows(asked(condition), native=native, draws=draws)
    (test,) = bind([condition], program().schema)
    assert test.holds(found[condition.column]).all()
    assert len(found["id"]) == 3000
    if native and name != "not null text":
        assert draws.drawn == 3000
    # Nothing else is stuck at one cell.
    other = "age" if condition.column != "age" else "bmi"
    assert np.unique(found[other].values).size > 20


def test_nothing_asked_gives_the_rows_of_a_model_that_can_give_nothing():
    plain, other = rows(SampleSpec(5)), rows(SampleSpec(5), native=False)
    for name in plain:
        assert plain[name].to_python() == other[name].to_python()


@pytest.mark.parametrize("name", ["set of texts", "set of integers", "range of integers", "range of doubles"])
def test_drawing_from_the_marginal_and_rejecting_have_one_distribution(name):
    condition = OPERATORS[name]
    drawn = rows(asked(condition), count=8000)[condition.column]
    rejected = rows(asked(condition), count=8000, native=False)[condition.column]
    values = np.unique(np.concatenate([drawn.values, rejected.values]))
    if values.size > 50:  # a double: compare by tenths, the spike at 0 apart
        values = np.quantile(rejected.values[rejected.values != 0], np.linspace(0, 1, 11))
        for array in (drawn, rejected):
            assert abs((array.values == 0).mean() - (rejected.values == 0).mean()) < 0.02
        shares = [np.histogram(a.values[a.values != 0], values)[0] / 8000 for a in (drawn, rejected)]
    else:
        shares = [(a.values[:, None] == values).mean(axis=0) for a in (drawn, rejected)]
    assert np.abs(shares[0] - shares[1]).max() < 0.025


def test_a_gap_between_learned_values_stays_empty():
    ages = rows(asked(Condition("age", minimum="58", maximum="68")))["age"].values
    assert set(np.unique(ages)) == {58, 59, 60, 65, 66, 67, 68}


def test_what_is_given_moves_what_depends_on_it():
    by_sex = rows(asked(OPERATORS["equal text"]), count=8000)["outcome"].values.mean()
    assert by_sex == pytest.approx(JOINT[0, 1] / JOINT[0].sum(), abs=0.012)
    by_outcome = rows(asked(OPERATORS["equal whole category"]), count=8000)["sex"].strings() == "F"
    assert by_outcome.mean() == pytest.approx(JOINT[0, 1] / JOINT[:, 1].sum(), abs=0.015)


MANY = (
    OPERATORS["equal text"],
    OPERATORS["range of integers"],
    OPERATORS["set of texts"],
    OPERATORS["null number"],
)


@pytest.mark.parametrize("native", [True, False])
def test_many_conditions_hold_together(native):
    draws = Draws()
    found = rows(asked(*MANY), count=500, native=native, draws=draws)
    assert met(bind(MANY, program().schema), found).all()
    inside = 0.5 * 0.6  # what the range and the set leave, about
    expected = inside if native else inside * 0.45 * 0.3
    assert 500 / draws.drawn == pytest.approx(expected, rel=0.45)


def test_a_rare_range_is_drawn_from_its_marginal_even_beside_other_conditions():
    rare = Condition("born", minimum="1960-05-01", maximum="1960-05-31")
    draws = Draws()
    found = rows(asked(OPERATORS["equal text"], rare), count=500, draws=draws)
    assert draws.drawn == 500
    assert met(bind([rare], program().schema), found).all()


SPECS = {
    "rejected": asked(OPERATORS["range of integers"], OPERATORS["set of texts"]),
    "rarely accepted": asked(*MANY),
    "rebalanced": asked(OPERATORS["not null text"], rebalancing=Rebalancing("outcome", (("0", 1), ("1", 4)))),
}
TEMPERED = asked(OPERATORS["equal text"], temperature=2.0, top_p=0.9)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=12, deadline=None)
@given(
    start=st.integers(0, 2 * BLOCK),
    count=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 200), max_size=3),
    size=st.sampled_from([(0, 1 << 20), (7, 500), (50, 3000)]),
)
def test_any_cut_gives_the_same_bytes(name, native, start, count, cuts, size):
    spec, stop = SPECS[name], start + count
    whole = digest(spec, start, stop, native)
    assert digest(spec, start, stop, native, size, [start + cut for cut in cuts]) == whole


def test_a_tempered_sample_is_cut_alike():
    assert digest(TEMPERED, 900, 1200, native=True) == digest(
        TEMPERED, 900, 1200, True, (7, 500), [1000, 1024]
    )


def test_what_was_drawn_adds_up_however_it_is_cut():
    whole, parts = Draws(), Draws()
    rows(SPECS["rejected"], 100, 1500, draws=whole)
    for low, high in ((100, 130), (130, 1100), (1100, 1600)):
        rows(SPECS["rejected"], low, high - low, draws=parts)
    assert whole.drawn == parts.drawn > 1500


@pytest.mark.parametrize("native", [True, False])
def test_rebalancing_gives_the_shares(native):
    spec = asked(rebalancing=Rebalancing("outcome", (("0", 0.2), ("1", 0.8))))
    found = rows(spec, count=8000, native=native)
    assert found["outcome"].values.mean() == pytest.approx(0.8, abs=0.015)
    women = found["sex"].strings() == "F"
    for outcome in (0, 1):
        expected = JOINT[0, outcome] / JOINT[:, outcome].sum()
        assert women[found["outcome"].values == outcome].mean() == pytest.approx(expected, abs=0.04)


def test_rebalancing_draws_the_same_values_whether_given_or_rejected():
    spec = asked(rebalancing=Rebalancing("sex", (("F", 0.7), ("M", 0.3))))
    assert rows(spec)["sex"].to_python() == rows(spec, native=False)["sex"].to_python()


def test_temperature_flattens_and_top_p_narrows():
    cold, hot = (rows(asked(temperature=t))["outcome"].values.mean() for t in (0.3, 5.0))
    assert cold < 0.25 < 0.38 < hot
    narrow = rows(asked(top_p=0.3))
    assert set(narrow["smoker"].to_python()) == {"no"}


@pytest.mark.parametrize("native", [True, False])
def test_a_unit_that_is_not_met_ends_the_sample_after_the_units_before_it(native):
    draws, batches = Draws(), []
    spec = asked(OPERATORS["not null text"], max_attempts=2)  # one unit in a hundred fails
    with pytest.raises(Problem) as caught:
        batches.extend(rebatch(program(native).units(spec, 40, 2000, draws)))
    reached = sum(b.row_count for b in batches)
    assert caught.value.reason == "CONDITION_UNSATISFIED"
    assert caught.value.metadata == {"units_reached": str(reached), "next_unit": str(40 + reached)}
    assert 0 < reached < 2000
    assert batches[-1].next_unit == 40 + reached
    assert reached < draws.drawn < 2 * reached
    assert all(b.arrays["smoker"].is_valid().all() for b in batches)
    # The rows before it are those of a sample that stops there.
    assert digest(spec, 40, 40 + reached, native) == _digest_of(batches)


def _digest_of(batches: list[Batch]) -> bytes:
    total = ContentDigest(program().schema)
    for batch in batches:
        total.add(batch)
    return total.digest()


def test_whoever_leaves_stops_the_attempts():
    draws = Draws(stopped=True)
    never = asked(*MANY, max_attempts=100_000)
    assert list(program(False).units(never, 0, 5000, draws)) == []


def test_constraints_hold_in_every_row_of_a_plain_sample():
    constraints = (Range("age", minimum="30"), Range("bmi", maximum="40"))
    for native in (True, False):
        draws = Draws()
        found = rows(SampleSpec(5), native=native, draws=draws, constraints=constraints)
        assert found["age"].values.min() >= 30
        assert found["bmi"].values.max() <= 400
        assert draws.drawn > 3000


def test_a_constraint_and_a_condition_hold_together():
    constraints = (Range("age", maximum="50"),)
    found = rows(asked(Condition("age", minimum="45")), constraints=constraints)
    assert set(np.unique(found["age"].values)) == set(range(45, 51))


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        (asked(Condition("sex", one_of=("X",))), "INVALID_REQUEST", "cohort.sex"),
        (asked(Condition("smoker", one_of=("X", "Y"))), "INVALID_REQUEST", "cohort.smoker"),
        (asked(Condition("age", one_of=("17",))), "INVALID_REQUEST", "cohort.age"),
        (asked(Condition("age", minimum="91")), "INVALID_REQUEST", "cohort.age"),
        (asked(Condition("sex", is_null=True)), "INVALID_REQUEST", "cohort.sex"),
        (asked(Condition("id", one_of=("1",))), "CONDITION_UNSUPPORTED", "cohort.id"),
        (
            asked(Condition("sex", one_of=("F",)), Condition("sex", one_of=("M",))),
            "INVALID_REQUEST",
            "cohort.sex",
        ),
        (asked(rebalancing=Rebalancing("sex", (("F", 1), ("X", 1)))), "INVALID_REQUEST", "cohort.sex"),
        (
            asked(Condition("sex", one_of=("F",)), rebalancing=Rebalancing("sex", (("M", 1),))),
            "INVALID_REQUEST",
            "cohort.sex",
        ),
        (asked(temperature=0.05), "INVALID_REQUEST", "temperature"),
        (asked(top_p=0.0), "INVALID_REQUEST", "top_p"),
        (asked(top_p=float("nan")), "INVALID_REQUEST", "top_p"),
        (asked(max_attempts=0), "INVALID_REQUEST", "max_attempts"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_drawn(spec, reason, field):
    with pytest.raises(Problem) as caught:
        check_spec(program(), spec)
    assert (caught.value.reason, caught.value.violations[0].field) == (reason, field)
    assert "'X'" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "field"),
    [(asked(temperature=2.0), "temperature"), (asked(top_p=0.5), "top_p")],
)
def test_a_model_without_temperature_refuses_it(spec, field):
    with pytest.raises(Problem) as caught:
        check_spec(program(native=False), spec)
    assert (caught.value.reason, caught.value.violations[0].field) == ("CONDITION_UNSUPPORTED", field)


def test_a_model_by_rejection_refuses_texts_and_nulls_it_never_learned():
    for condition in (Condition("sex", one_of=("X",)), Condition("sex", is_null=True)):
        with pytest.raises(Problem) as caught:
            check_spec(program(native=False), asked(condition))
        assert caught.value.reason == "INVALID_REQUEST"


def test_other_programs_refuse_by_name():
    from kohort.bundle import read_bundle

    with pytest.raises(Problem) as caught:
        check_spec(read_bundle(step_program.step_bundle()).program(), asked(Condition("age", one_of=("4",))))
    assert caught.value.reason == "CONDITION_UNSUPPORTED"


def test_every_column_of_the_toy_is_asked_for():
    assert {c.column for c in OPERATORS.values()} == {c.name for c in TABLE.columns} - {"id"}
