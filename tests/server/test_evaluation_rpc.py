"""Evaluations over the wire; the test itself plays the worker."""

from __future__ import annotations

import asyncio
import dataclasses

import grpc
import pytest

from evaluators.gate import State
from kohort.v1 import release_pb2, training_pb2
from server import observer
from server.records import JobKind, Principal, SubjectSpec
from tests.core.support import eventually, evidence_with
from tests.server.conftest import collect, fails
from tests.server.reported import BAD, House
from tests.server.test_metrics_page import scrape

UUID = "31234567-89ab-4cde-8f01-23456789abcd"
STATE = training_pb2.JobState


async def test_an_evaluation_is_followed_and_ends_with_its_report(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = aiter(house.evaluate(model=model, display_name="Again", labels={"k": "v"}))
    job = (await anext(stream)).update.job
    assert (job.kind, job.display_name, job.state) == (
        training_pb2.JOB_KIND_EVALUATE, "Again", STATE.JOB_STATE_QUEUED
    )  # fmt: skip
    record = house.worker.claim()
    assert record.spec.kind is JobKind.EVALUATE
    assert record.spec.subject == SubjectSpec(model.removeprefix("models/"))
    assert (record.spec.evaluation.profile, record.spec.evaluation.seconds) == ("STANDARD", None)
    assert record.spec.seed == record.spec.evaluation.seed == 7, "the split of its own training"
    house.worker.store.leases.phase(record.id, 1, "w", "evaluating")
    report = house.worker.evaluate(record, evidence_with(**BAD))
    messages = [message async for message in stream]
    done, last = messages[-2].update.job, messages[-1]
    assert (done.state, done.report, done.model) == (STATE.JOB_STATE_SUCCEEDED, f"reports/{report}", "")
    assert last.WhichOneof("message") == "report"
    assert last.report == await house.report(f"reports/{report}")
    assert (last.report.model, last.report.job) == (model, job.name)
    assert (last.report.display_name, dict(last.report.labels)) == ("Again", {"k": "v"})
    assert (await house.release(model)).state == release_pb2.RELEASE_STATE_LOCKED


async def test_a_failed_evaluation_ends_without_a_report(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = aiter(house.evaluate(model=model))
    await anext(stream)
    record = house.worker.claim()
    house.worker.store.leases.fail(record.id, 1, "w", "EVALUATION_FAILED", "evaluation raised ValueError")
    last = [message async for message in stream][-1]
    assert last.update.job.error.reason == "EVALUATION_FAILED"
    assert (await house.release(model)).state == release_pb2.RELEASE_STATE_OPEN, "the older report stands"


async def test_repeating_evaluate_attaches_and_gives_the_report_again(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = aiter(house.evaluate(model=model, request_id=UUID))
    job = (await anext(stream)).update.job.name
    record = house.worker.claim()
    house.worker.evaluate(record, evidence_with())
    again = await collect(house.evaluate(model=model, request_id=UUID))
    assert again[0].update.job.name == job
    assert again[-1].report.job == job
    failed = await fails(house.evaluate(model=model, request_id=UUID, display_name="Other"))
    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_evaluations_are_limited_by_the_day(house: House) -> None:
    model, _ = house.model(evidence_with())
    for _ in range(3):
        stream = aiter(house.evaluate(model=model))
        await anext(stream)
        house.worker.evaluate(house.worker.claim(), evidence_with())
    failed = await fails(house.evaluate("admin", model=model))
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_EVALUATIONS")
    assert failed.retry_after
    assert failed.retry_after > 23 * 3600
    other, _ = house.model(evidence_with())
    assert (await anext(aiter(house.evaluate(model=other)))).update.HasField("job")


async def test_a_custodian_cancels_evaluations_and_a_trainer_trainings(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = house.evaluate(model=model)
    job = (await stream.read()).update.job.name
    request = training_pb2.CancelRequest(job=job)
    failed = await fails(house.stubs.training.Cancel(request, **house.ann("trainer")))
    assert failed.reason == "PERMISSION_DENIED"
    ended = await collect(house.stubs.training.Cancel(request, **house.ann("custodian")))
    assert ended[-1].update.job.state == STATE.JOB_STATE_CANCELLED
    spec = house.worker.store.jobs.get("a", job.removeprefix("jobs/")).spec
    training = dataclasses.replace(spec, kind=JobKind.TRAIN, subject=None)
    other, _ = house.worker.store.jobs.create(Principal("a", "x"), training)
    failed = await fails(
        house.stubs.training.Cancel(
            training_pb2.CancelRequest(job=f"jobs/{other.id}"), **house.ann("custodian")
        )
    )
    assert failed.reason == "PERMISSION_DENIED"


async def test_evaluations_and_releases_are_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "CENSUS_SECONDS", 0.0)
    model, _ = house.model(evidence_with(column_similarity=0.95))
    other, _ = house.model(evidence_with(column_similarity=0.7, **BAD))
    house.worker.store.releases.override(
        Principal("a", "custodian-a"), other.removeprefix("models/"), State.OPEN, "it is by design"
    )
    stream = aiter(house.evaluate(model=model))
    await anext(stream)
    record = house.worker.claim()
    house.worker.store.leases.phase(record.id, 1, "w", "evaluating")
    house.worker.evaluate(record, evidence_with(column_similarity=0.9, **BAD))
    _ = [message async for message in stream]
    counted = {
        'kohort_evaluations_total{outcome="SUCCEEDED",profile="STANDARD"}': "1.0",
        "kohort_evaluation_seconds_count": "1.0",
        'kohort_release_state{state="OPEN"}': "1.0",
        'kohort_release_state{state="LOCKED"}': "1.0",
    }

    async def told() -> dict[str, str] | None:
        found = await asyncio.to_thread(scrape, house.server.metrics_port)
        return found if counted.items() <= found.items() else None

    lines = await eventually(told, str(counted))
    assert lines['kohort_evaluation_headline{metric="column_similarity"}'] == "0.7"
    assert lines['kohort_evaluation_headline{metric="membership_inference_auc"}'] == "0.9"
    assert lines['kohort_evaluation_headline{metric="dcr_share"}'] == "NaN"
    assert lines['kohort_jobs_ended_total{outcome="SUCCEEDED",trainer="slow"}'] == "2.0"
    assert not [line for line in lines if 'trainer=""' in line]


async def test_a_server_without_the_libraries_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = house.model(evidence_with())
    monkeypatch.setattr("server.evaluation.available", lambda: False)
    failed = await fails(house.evaluate(model=model))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION, "EVALUATION_UNAVAILABLE"
    )  # fmt: skip
