"""Conditions, completion and their refusals, on both clients and from the command line."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from fake_parts import CODE, ROWS, Fault

import kohort
from kohort import Condition, wire
from kohort.cli.limits import limits
from kohort.schema import Schema
from kohort.v1 import sampling_pb2
from kohort.wishes import spec_of


def sent(fake):
    return fake.requests("Sample")[-1]


def test_python_values_travel_as_text(client, fake):
    client.sample(
        "models/one",
        5,
        conditions={
            "sex": "F",
            "age": (60, 80),
            "born": (None, date(1960, 1, 1)),
            "smoker": ["yes", "former"],
            "bmi": None,
            ("rows", "key"): {3},
            "flag": True,
            "score": Condition("", is_null=False),
        },
        rebalance={"outcome": {1: 0.5, 0: 0.5}},
        temperature=1.5,
        top_p=0.9,
        max_attempts=7,
    )
    request = sent(fake)
    told = {c.column: c for c in request.conditions}
    assert list(told["sex"].one_of.values) == ["F"]
    assert (told["age"].range.minimum, told["age"].range.maximum) == ("60", "80")
    assert told["born"].range.maximum == "1960-01-01"
    assert not told["born"].range.HasField("minimum")
    assert list(told["smoker"].one_of.values) == ["yes", "former"]
    assert told["bmi"].is_null is True
    assert told["score"].WhichOneof("test") == "is_null"
    assert told["score"].is_null is False
    assert (told["key"].table, list(told["key"].one_of.values)) == ("rows", ["3"])
    assert list(told["flag"].one_of.values) == ["true"]
    assert (request.rebalancing.column, dict(request.rebalancing.shares)) == ("outcome", {"0": 0.5, "1": 0.5})
    assert (request.temperature, request.top_p, request.max_attempts) == (1.5, 0.9, 7)


def test_a_plain_sample_asks_for_nothing_more(client, fake):
    client.sample("models/one", 5)
    assert {f.name for f, _ in sent(fake).ListFields()} == {"model", "unit_count", "format"}


def test_a_resumed_sample_asks_for_the_same(client, fake):
    fake.fail("Sample", Fault(after=3), Fault(after=3))
    frame = client.sample("models/one", 35, conditions={"sex": ["f"]}, rebalance={"bmi": {1: 1}}, top_p=0.5)
    assert len(frame) == 35
    first, *later = fake.requests("Sample")
    assert len(later) == 2
    for request in later:
        assert request.conditions == first.conditions
        assert (request.rebalancing, request.top_p) == (first.rebalancing, first.top_p)
        assert request.seed == fake.seed


def test_the_share_that_was_kept_is_told(client, fake):
    fake.drawn_per_unit = 4
    assert client.sample("models/one", 35).attrs["kohort"]["acceptance_rate"] == 0.25
    *_, last = client.sample_batches("models/one", 35)
    assert (last.tally.units, last.tally.drawn) == (35, 140)


def test_so_many_per_training_row(client, fake):
    fake.training_rows = 12
    fake.fail("Sample", Fault(after=4))
    assert len(client.sample("models/one", augmentation_factor=2.5)) == 30
    first, second = fake.requests("Sample")
    assert (first.augmentation_factor, first.unit_count) == (2.5, 0)
    assert (second.HasField("augmentation_factor"), second.start_unit + second.unit_count) == (False, 30)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, ValueError),
        ({"n": 5, "augmentation_factor": 1.0}, ValueError),
        ({"n": 0}, ValueError),
        ({"n": 5, "conditions": {"age": (1, 2, 3)}}, ValueError),
        ({"n": 5, "conditions": {"age": (None, None)}}, ValueError),
        ({"n": 5, "conditions": {"age": []}}, ValueError),
        ({"n": 5, "conditions": {"age": ["a", None]}}, TypeError),
        ({"n": 5, "rebalance": {"a": {1: 1}, "b": {1: 1}}}, ValueError),
        ({"n": 5, "colour": "red"}, TypeError),
    ],
)
def test_what_makes_no_sense_is_refused_here(client, fake, given, error):
    with pytest.raises(error):
        client.sample("models/one", **given)
    assert not fake.calls


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": None}, "top_p"),
        ({"conditions": 5}, "conditions"),
        ({"conditions": ["age"]}, "conditions"),
        ({"conditions": {"age": object()}}, "age"),
        ({"conditions": {"age": float("nan")}}, "age"),
        ({"conditions": {"age": (object(), None)}}, "age"),
        ({"rebalance": {"sex": 1}}, "rebalance"),
        ({"rebalance": {"sex": {"F": "half"}}}, "sex"),
    ],
)
def test_values_of_wrong_types_are_refused_by_name(client, fake, given, field):
    with pytest.raises(TypeError, match=f"^{field}: "):
        client.sample("models/one", 5, **given)
    assert not fake.calls


@pytest.mark.parametrize(
    ("reason", "code", "error"),
    [
        ("CONDITION_UNSUPPORTED", CODE.INVALID_ARGUMENT, kohort.ConditionUnsupported),
        ("COHORT_TOO_SMALL", CODE.FAILED_PRECONDITION, kohort.CohortTooSmall),
    ],
)
def test_refusals_have_types_of_their_own(client, fake, reason, code, error):
    fake.fail("Sample", Fault(code, reason=reason))
    with pytest.raises(error) as caught:
        client.sample("models/one", 5, conditions={"sex": "f"})
    assert caught.value.reason == reason


def test_what_could_not_be_met_says_how_far_it_came(client, fake):
    fault = Fault(
        CODE.FAILED_PRECONDITION, reason="CONDITION_UNSATISFIED", after=4, metadata={"units_reached": "20"}
    )
    fake.fail("Sample", fault)
    batches = client.sample_batches("models/one", 35, seed=1)
    assert [len(next(batches)) for _ in range(2)] == [10, 10]
    with pytest.raises(kohort.ConditionUnsatisfied) as caught:
        next(batches)
    assert caught.value.units_reached == 20
    assert len(fake.requests("Sample")) == 1


# Completion


def rows(n):
    return pd.DataFrame({"sex": ["f", None] * (n // 2), "bmi": np.where(np.arange(n) % 3, np.nan, 20.5)})


def test_a_frame_is_completed(client, fake):
    frame = client.complete("models/one", rows(30), seed=4)
    assert list(frame.columns) == ["key", "sex", "bmi"]
    assert frame["sex"].tolist()[::2] == ["f"] * 15
    assert (frame["bmi"].to_numpy()[::3] == 20.5).all()
    assert frame.attrs["kohort"]["unit_count"] == 30
    assert (sent(fake).unit_count, sent(fake).partial_rows.batch.row_count) == (30, 30)


def test_a_completion_resumes_with_the_rows_that_are_left(client, fake):
    fake.fail("Sample", Fault(after=3), Fault(after=2))
    frame = client.complete("models/one", rows(40), start=100)
    assert frame["sex"].tolist()[::2] == ["f"] * 20
    requests = fake.requests("Sample")
    assert [r.start_unit for r in requests] == [100, 110, 110]
    assert [r.partial_rows.batch.row_count for r in requests] == [40, 30, 30]


def test_large_tables_travel_in_several_requests(client, fake, monkeypatch):
    monkeypatch.setattr("kohort.partial.MAX_MESSAGE", 400)
    frame = client.complete("models/one", rows(200), conditions=[Condition("sex", is_null=False)])
    requests = fake.requests("Sample")
    assert len(requests) > 2
    assert all(r.partial_rows.ByteSize() <= 400 for r in requests)
    assert all(len(r.conditions) == 1 for r in requests)
    ends = [r.start_unit + r.unit_count for r in requests]
    assert [0, *ends] == [r.start_unit for r in requests] + [200]
    # One seed and one runtime for all.
    assert {r.seed for r in requests[1:]} == {fake.seed}
    assert {r.runtime_fingerprint for r in requests[1:]} == {fake.fingerprint}
    assert frame["sex"].tolist()[::2] == ["f"] * 100
    about = frame.attrs["kohort"]
    assert (about["start_unit"], about["unit_count"], about["acceptance_rate"]) == (0, 200, 1.0)


def test_a_csv_file_is_completed(client, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('bmi,sex\r\n20.5,\r\n,"m"\r\n')
    frame = client.complete("models/one", path)
    assert frame["bmi"].iloc[0] == 20.5
    assert frame["sex"].iloc[1] == "m"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pd.DataFrame({"colour": ["red"]}), "UNKNOWN_COLUMN"),
        (pd.DataFrame({"bmi": ["heavy"]}), "INVALID_REQUEST"),
        (pd.DataFrame({"bmi": [20.55]}), "INVALID_REQUEST"),
    ],
)
def test_rows_that_the_model_cannot_hold_are_refused_here(client, fake, table, reason):
    with pytest.raises(kohort.InvalidRequest) as caught:
        client.complete("models/one", table)
    assert caught.value.reason == reason
    assert "heavy" not in str(caught.value)
    assert not fake.requests("Sample")


# The wire


def test_requests_read_back_as_they_were_written():
    spec = spec_of(
        3,
        conditions={"sex": ["f"], "bmi": (None, 30), "key": (2, None)},
        rebalance={"sex": {"f": 1.0, "m": 3.0}},
        temperature=0.5,
        top_p=0.5,
        max_attempts=9,
    )
    request = sampling_pb2.SampleRequest()
    wire.sample_spec_to_proto(spec, request)
    assert wire.sample_spec_from_proto(request, Schema((ROWS,)), 3) == spec


def test_partial_rows_read_back_as_they_were_written():
    from kohort.partial import read_partial

    given = read_partial(rows(10), Schema((ROWS,)), 7)
    request = sampling_pb2.SampleRequest(start_unit=7, partial_rows=wire.partial_rows_to_proto(given))
    read = wire.sample_spec_from_proto(request, Schema((ROWS,)), 3).partial
    assert read.first_unit == 7
    assert {n: a.to_python() for n, a in read.arrays.items()} == {
        n: a.to_python() for n, a in given.arrays.items()
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.conditions.add(column="sex"), "conditions[0]"),
        (lambda r: r.conditions.add(column="sex").range.SetInParent(), "conditions[0]"),
        (lambda r: r.partial_rows.SetInParent(), "partial_rows.columns"),
        (lambda r: r.partial_rows.columns.extend(["sex", "sex"]), "partial_rows.columns"),
        (lambda r: r.partial_rows.columns.append("sex"), "partial_rows.batch"),
        (lambda r: setattr(r, "temperature", 9.0), "temperature"),
        (lambda r: setattr(r, "max_attempts", -1), "max_attempts"),
    ],
)
def test_requests_that_say_nothing_sound_are_refused_by_field(change, field):
    request = sampling_pb2.SampleRequest()
    change(request)
    with pytest.raises(kohort.Problem) as caught:
        wire.sample_spec_from_proto(request, Schema((ROWS,)), 3)
    assert (caught.value.reason, caught.value.violations[0].field) == ("INVALID_REQUEST", field)


# The command


def test_options_say_the_same():
    said = limits(
        [
            *("age=60..80", "age=..80", "sex=F", "smoker=yes,former", 'ward=["A, left"]', "stay=PT1H.."),
            "decade=[70-80)",
        ],
        ["bmi"],
        ["score"],
        "outcome=1:0.5,0:1.5",
        1.0,
        1.0,
        1000,
    )
    assert list(said["conditions"]) == [
        Condition("age", minimum="60", maximum="80"),
        Condition("age", maximum="80"),
        Condition("sex", one_of=("F",)),
        Condition("smoker", one_of=("yes", "former")),
        Condition("ward", one_of=("A, left",)),
        Condition("stay", minimum="PT1H"),
        Condition("decade", one_of=("[70-80)",)),
        Condition("bmi", is_null=True),
        Condition("score", is_null=False),
    ]
    assert said["rebalance"] == {"outcome": {"1": 0.5, "0": 1.5}}


@pytest.mark.parametrize("where", ["age", "=3", "age=..", "ward=[1]", "ward=[oops]"])
def test_options_that_make_no_sense_are_refused(where):
    import typer

    with pytest.raises(typer.BadParameter):
        limits([where], None, None, None, 1.0, 1.0, 1000)


@pytest.mark.parametrize("shares", ["outcome", "outcome=1", "outcome=1:x", "=1:1"])
def test_shares_that_make_no_sense_are_refused(shares):
    import typer

    with pytest.raises(typer.BadParameter):
        limits(None, None, None, shares, 1.0, 1.0, 1000)
