"""Conditions, shares and rows to complete over a real server: honoured, or refused before a row is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from kohort.bundle import read_bundle
from kohort.conditions import Condition
from kohort.programs import SampleSpec
from kohort.v1 import sampling_pb2, table_pb2
from server.asked import Asked
from server.encoders import ColumnsEncoder
from server.identities import create_token
from server.modelcache import Loaded
from server.sampler import Production
from tests.runtime import parts
from tests.runtime.step_program import step_bundle
from tests.server.conftest import Start, Stubs, breaks, collect, fails
from tests.server.test_sampling_rpc import cells, decode

LEARNED = {"training": {"rows": 400, "patients": 300}}


def bundle(**lineage: Any) -> bytes:
    """The handmade bundle, which says how much it learned from."""
    return parts.bundle_bytes(parts.manifest(lineage=lineage or LEARNED))


def one_of(column: str, *values: str) -> sampling_pb2.Condition:
    return sampling_pb2.Condition(column=column, one_of=sampling_pb2.ValueSet(values=values))


def ranged(column: str, low: str | None = None, high: str | None = None) -> sampling_pb2.Condition:
    return sampling_pb2.Condition(column=column, range=sampling_pb2.ValueRange(minimum=low, maximum=high))


def is_null(column: str, null: bool) -> sampling_pb2.Condition:
    return sampling_pb2.Condition(column=column, is_null=null)


FEMALE_OF_MIDDLE_AGE = [one_of("sex", "female"), ranged("age", "30", "50"), is_null("smoker", False)]


def asking(model: str, count: int = 0, **more: Any) -> sampling_pb2.SampleRequest:
    return sampling_pb2.SampleRequest(model=model, unit_count=count, **{"seed": 7, **more})


async def sample(stubs: Stubs, model: str, count: int = 0, **more: Any) -> list[Any]:
    return await collect(stubs.sampling.Sample(asking(model, count, **more)))


@pytest.fixture
async def model(stubs: Stubs) -> str:
    return (await stubs.import_model(bundle())).name


async def test_every_row_meets_the_conditions(stubs: Stubs, model: str) -> None:
    messages = await sample(stubs, model, 700, conditions=FEMALE_OF_MIDDLE_AGE)
    found = cells(*decode(messages))
    assert set(found["people.sex"]) == {"female"}
    assert all(30 <= age <= 50 for age in found["people.age"])
    assert None not in found["people.smoker"]
    trailer = messages[-1].trailer
    assert trailer.unit_count == len(found["people.sex"]) == 700
    assert trailer.drawn_units > 2 * 700
    assert trailer.acceptance_rate == pytest.approx(700 / trailer.drawn_units)


async def test_nothing_is_rejected_where_nothing_is_asked(start: Start) -> None:
    server, stubs = await start()
    name = (await stubs.import_model(bundle())).name
    trailer = (await sample(stubs, name, 300))[-1].trailer
    assert (trailer.drawn_units, trailer.acceptance_rate) == (300, 1.0)
    trailer = (await sample(stubs, name, 0))[-1].trailer
    assert (trailer.drawn_units, trailer.acceptance_rate) == (0, 1.0)
    drawn = (await sample(stubs, name, 200, conditions=[one_of("sex", "male")]))[-1].trailer.drawn_units
    assert server.metrics.sample_units._value.get() == 500
    assert server.metrics.sample_drawn_units._value.get() == 300 + drawn


async def test_the_server_and_the_bundle_agree_under_conditions(stubs: Stubs, model: str) -> None:
    schema, batches = decode(await sample(stubs, model, 300, start_unit=90, conditions=FEMALE_OF_MIDDLE_AGE))
    spec = SampleSpec(
        7,
        conditions=(
            Condition("sex", one_of=("female",)),
            Condition("age", minimum="30", maximum="50"),
            Condition("smoker", is_null=False),
        ),
    )
    program = read_bundle(bundle()).program()
    assert cells(schema, batches) == cells(schema, list(program.units(spec, 90, 300)))


async def test_a_conditional_stream_resumes_where_it_was(stubs: Stubs, model: str) -> None:
    more = {"conditions": FEMALE_OF_MIDDLE_AGE, "max_batch_rows": 60}
    schema, whole = decode(await sample(stubs, model, 500, **more))
    first: list[Any] = []
    stream = stubs.sampling.Sample(asking(model, 500, **more))
    async for message in stream:
        first.append(message)
        if message.WhichOneof("part") == "batch" and message.batch.next_unit >= 180:
            stream.cancel()
            break
    resumed = first[-1].batch.next_unit
    assert 180 <= resumed < 500
    rest = await sample(
        stubs,
        model,
        500 - resumed,
        start_unit=resumed,
        runtime_fingerprint=first[0].header.runtime_fingerprint,
        **more,
    )
    expected = {name: column[resumed:] for name, column in cells(schema, whole).items()}
    assert cells(*decode(rest)) == expected


async def test_shares_are_drawn_as_asked(stubs: Stubs, model: str) -> None:
    shares = sampling_pb2.Rebalancing(column="sex", shares={"female": 3, "male": 1})
    messages = await sample(stubs, model, 2000, rebalancing=shares)
    sexes = cells(*decode(messages))["people.sex"]
    assert set(sexes) == {"female", "male"}
    assert sexes.count("female") / 2000 == pytest.approx(0.75, abs=0.04)


async def test_units_may_be_asked_for_by_training_rows(stubs: Stubs, model: str) -> None:
    messages = await sample(stubs, model, augmentation_factor=1.5, start_unit=10)
    header = messages[0].header
    assert (header.start_unit, header.unit_count) == (10, 600)
    assert messages[-1].trailer.row_counts == {"people": 600}
    explicit = await sample(stubs, model, 600, start_unit=10)
    assert messages[-1].trailer.digest == explicit[-1].trailer.digest
    assert (await sample(stubs, model, augmentation_factor=1e-9))[0].header.unit_count == 1


async def test_a_model_that_does_not_say_its_rows_has_no_factor(stubs: Stubs) -> None:
    for lineage in ({"dataset": "d"}, {"training": {"rows": "many"}}, {"training": {"rows": -4}}):
        name = (await stubs.import_model(bundle(**lineage))).name
        failed = await fails(stubs.sampling.Sample(asking(name, augmentation_factor=2.0)))
        assert (failed.reason, failed.fields) == ("INVALID_REQUEST", ("augmentation_factor",))


async def test_what_could_be_drawn_is_sent_before_it_fails(stubs: Stubs, model: str) -> None:
    stream = stubs.sampling.Sample(
        asking(model, 5000, conditions=[ranged("age", "30", "70")], max_attempts=3, max_batch_rows=10)
    )
    received, failed = await breaks(stream)
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONDITION_UNSATISFIED")
    batches = [m.batch for m in received if m.WhichOneof("part") == "batch"]
    reached = sum(batch.row_count for batch in batches)
    assert 0 < reached < 5000
    assert failed.metadata["units_reached"] == str(reached)
    assert str(reached) in failed.message
    assert batches[-1].next_unit == reached
    assert received[-1].WhichOneof("part") != "trailer"


REFUSED = [
    ({"conditions": [one_of("height", "1")]}, "UNKNOWN_COLUMN", "height"),
    ({"conditions": [one_of("notes", "1")]}, "UNKNOWN_COLUMN", "notes"),
    ({"conditions": [one_of("id", "1")]}, "CONDITION_UNSUPPORTED", "id"),
    ({"conditions": [one_of("sex")]}, "INVALID_REQUEST", "sex"),
    ({"conditions": [one_of("age", "secret")]}, "INVALID_REQUEST", "age"),
    ({"conditions": [ranged("sex", "a", "b")]}, "INVALID_REQUEST", "sex"),
    ({"conditions": [ranged("age", "9", "8")]}, "INVALID_REQUEST", "age"),
    ({"conditions": [ranged("age")]}, "INVALID_REQUEST", ""),
    ({"conditions": [sampling_pb2.Condition(column="age")]}, "INVALID_REQUEST", ""),
    ({"conditions": [one_of("sex", "male")] * 257}, "LIMIT_EXCEEDED", "conditions"),
    ({"conditions": [one_of("age", *map(str, range(10_001)))]}, "LIMIT_EXCEEDED", "conditions"),
    ({"rebalancing": sampling_pb2.Rebalancing(column="sex")}, "INVALID_REQUEST", ""),
    (
        {"rebalancing": sampling_pb2.Rebalancing(column="sex", shares={"male": -1})},
        "INVALID_REQUEST",
        "",
    ),
    (
        {"rebalancing": sampling_pb2.Rebalancing(column="age", shares={str(i): 1 for i in range(1001)})},
        "LIMIT_EXCEEDED",
        "rebalancing.shares",
    ),
    ({"temperature": 0.5}, "CONDITION_UNSUPPORTED", "temperature"),
    ({"temperature": 9.0}, "INVALID_REQUEST", "temperature"),
    ({"top_p": 0.0}, "INVALID_REQUEST", "top_p"),
    ({"max_attempts": -1}, "INVALID_REQUEST", "max_attempts"),
    ({"max_attempts": 100_001}, "INVALID_REQUEST", "max_attempts"),
    ({"augmentation_factor": 0.0, "unit_count": 0}, "INVALID_REQUEST", "augmentation_factor"),
    ({"augmentation_factor": 1001.0, "unit_count": 0}, "INVALID_REQUEST", "augmentation_factor"),
    ({"augmentation_factor": float("nan"), "unit_count": 0}, "INVALID_REQUEST", "augmentation_factor"),
    ({"augmentation_factor": 2.0, "unit_count": 5}, "INVALID_REQUEST", "augmentation_factor"),
]


@pytest.mark.parametrize(("more", "reason", "field"), REFUSED)
async def test_what_is_wrong_is_refused_before_anything_is_sent(
    stubs: Stubs, model: str, more: dict[str, Any], reason: str, field: str
) -> None:
    request = asking(model, **{"count": 5, **{k: v for k, v in more.items() if k != "unit_count"}})
    request.unit_count = more.get("unit_count", 5)
    received, failed = await breaks(stubs.sampling.Sample(request))
    assert failed.reason == reason, failed
    assert any(field in name for name in failed.fields), failed
    assert "secret" not in failed.message + "".join(failed.fields)
    assert not received


async def test_too_many_units_are_refused_however_they_are_asked_for(start: Start) -> None:
    _, stubs = await start(max_units=500)
    name = (await stubs.import_model(bundle())).name
    failed = await fails(stubs.sampling.Sample(asking(name, augmentation_factor=1.3)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert failed.fields == ("augmentation_factor",)


async def test_a_cohort_of_an_import_is_estimated_by_the_model(start: Start) -> None:
    server, stubs = await start()
    name = (await stubs.import_model(bundle())).name
    few = [ranged("age", "60", "60"), one_of("sex", "female")]  # about 2 of 300
    failed = await fails(stubs.sampling.Sample(asking(name, 5, conditions=few)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "COHORT_TOO_SMALL")
    assert failed.fields == ("conditions",)
    assert "5 of the training patients" in failed.message
    shares = sampling_pb2.Rebalancing(column="sex", shares={"male": 1, "female": 1})
    failed = await fails(
        stubs.sampling.Sample(asking(name, 5, conditions=[ranged("age", "60", "60")], rebalancing=shares))
    )
    assert (failed.reason, failed.fields) == ("COHORT_TOO_SMALL", ("rebalancing.shares",))
    assert server.metrics.cohorts_refused._value.get() == 2
    await sample(stubs, name, 5, conditions=[one_of("sex", "female")])


async def test_a_verdict_is_kept(start: Start) -> None:
    server, stubs = await start()
    name = (await stubs.import_model(bundle())).name
    counted = server.metrics.cohort_checks.labels("estimated")._value
    for _ in range(3):
        await sample(stubs, name, 5, conditions=FEMALE_OF_MIDDLE_AGE)
        await sample(stubs, name, 5, conditions=FEMALE_OF_MIDDLE_AGE[::-1])
    assert counted.get() == 1
    other = (await stubs.import_model(bundle())).name
    await sample(stubs, other, 5, conditions=FEMALE_OF_MIDDLE_AGE)
    assert counted.get() == 2


async def test_a_model_that_names_no_patients_takes_no_conditions(stubs: Stubs) -> None:
    name = (await stubs.import_model(bundle(dataset="d"))).name
    failed = await fails(stubs.sampling.Sample(asking(name, 5, conditions=[one_of("sex", "female")])))
    assert failed.reason == "COHORT_TOO_SMALL"


async def test_a_program_without_conditions_refuses_them(stubs: Stubs) -> None:
    model = await stubs.import_model(step_bundle())
    assert not model.abilities.rejection_conditions
    condition = sampling_pb2.Condition(table="patients", column="age", is_null=False)
    failed = await fails(stubs.sampling.Sample(asking(model.name, 5, conditions=[condition])))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONDITION_UNSUPPORTED")


async def test_a_model_says_what_it_can_do(stubs: Stubs) -> None:
    abilities = (await stubs.import_model(bundle())).abilities
    assert set(abilities.rejection_conditions) == {"equals", "one_of", "range", "is_null"}
    assert not abilities.native_conditions
    assert (abilities.rebalancing, abilities.imputation, abilities.temperature) == (True, False, False)
    assert (abilities.training_rows, abilities.training_patients) == (400, 300)


async def test_rows_are_completed_for_those_alone_who_may_see_data(start: Start, tmp_path: Any) -> None:
    file = tmp_path / "tokens.json"
    tokens = {role: create_token(file, "a", role, [role]) for role in ("generator", "trainer", "custodian")}
    _, stubs = await start(tokens_file=file)
    rows = sampling_pb2.PartialRows(columns=["age"], batch=table_pb2.RecordBatch(table="people", row_count=1))
    reasons = {}
    for role, token in tokens.items():
        metadata = (("authorization", f"Bearer {token}"),)
        request = sampling_pb2.SampleRequest(model="models/none", partial_rows=rows)
        reasons[role] = (await fails(stubs.sampling.Sample(request, metadata=metadata))).reason
    assert reasons == {
        "generator": "PERMISSION_DENIED",
        "trainer": "MODEL_NOT_FOUND",
        "custodian": "MODEL_NOT_FOUND",
    }


async def test_a_client_that_leaves_ends_a_draw_without_end() -> None:
    loaded = Loaded(read_bundle(bundle()).program(), b"", {})
    nobody = SampleSpec(1, (Condition("age", one_of=("17",)),), max_attempts=100_000)
    production = Production(loaded, ColumnsEncoder(loaded.program, {}), Asked(nobody, 0, 64))
    drawing = asyncio.create_task(asyncio.to_thread(production.step))
    await asyncio.sleep(0.3)
    assert not drawing.done()
    production.stop()
    async with asyncio.timeout(60):
        await drawing
    assert production.step() == []
