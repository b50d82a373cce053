"""Evaluations and reports over the wire; the test itself plays the worker."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, json_format

from evaluators.gate import State
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from kohort.v1 import dataset_pb2, evaluation_pb2, release_pb2, sampling_pb2, training_pb2
from server import observer
from server.records import JobKind, JobOptions, Principal, SubjectSpec
from server.reports import MAX_MESSAGE_BYTES
from tests.core.support import SCHEMA, evidence_with
from tests.server.conftest import Start, collect, fails
from tests.server.reported import BAD, House, report_message
from tests.server.test_metrics_page import scrape

UUID = "31234567-89ab-4cde-8f01-23456789abcd"
STATE = training_pb2.JobState
ANSWERS = ("custodian", "admin")


def evaluate(house: House, role: str = "custodian", tenant: str = "a", **fields: Any) -> Any:
    request = evaluation_pb2.EvaluateRequest(**fields)
    return house.stubs.evaluation.Evaluate(request, **house.ann(role, tenant))


async def get(house: House, name: str, role: str = "custodian", tenant: str = "a") -> Any:
    request = evaluation_pb2.GetReportRequest(name=name)
    return (await house.stubs.evaluation.GetReport(request, **house.ann(role, tenant))).report


def table(*columns: Column) -> Schema:
    return Schema((TableSchema("heart", columns),))


AGE = Column("age", Kind.INTEGER, Storage.INT64, Handling.MODEL)
SEX = Column("sex", Kind.CATEGORY, Storage.STRING, Handling.MODEL)
NAME = Column("name", Kind.TEXT, Storage.STRING, Handling.DROP)


async def test_an_evaluation_is_followed_and_ends_with_its_report(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = aiter(evaluate(house, model=model, display_name="Again", labels={"k": "v"}))
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
    assert last.report == await get(house, f"reports/{report}")
    assert (last.report.model, last.report.job) == (model, job.name)
    assert (last.report.display_name, dict(last.report.labels)) == ("Again", {"k": "v"})
    assert (await house.release(model)).state == release_pb2.RELEASE_STATE_LOCKED


async def test_a_report_comes_back_as_it_was_written(house: House) -> None:
    _, name = house.model(evidence_with())
    report = await get(house, name)
    assert report.HasField("create_time")
    for field in ("name", "model", "dataset", "job"):
        assert getattr(report, field).startswith(field if field != "name" else "report")
    for field in ("name", "model", "dataset", "job", "create_time"):
        report.ClearField(field)
    wrote = report_message()
    assert json_format.MessageToDict(report) == json_format.MessageToDict(wrote)


async def test_a_failed_evaluation_ends_without_a_report(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = aiter(evaluate(house, model=model))
    await anext(stream)
    record = house.worker.claim()
    house.worker.store.leases.fail(record.id, 1, "w", "EVALUATION_FAILED", "evaluation raised ValueError")
    last = [message async for message in stream][-1]
    assert last.update.job.error.reason == "EVALUATION_FAILED"
    assert (await house.release(model)).state == release_pb2.RELEASE_STATE_OPEN, "the older report stands"


async def test_repeating_evaluate_attaches_and_gives_the_report_again(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = aiter(evaluate(house, model=model, request_id=UUID))
    job = (await anext(stream)).update.job.name
    record = house.worker.claim()
    house.worker.evaluate(record, evidence_with())
    again = await collect(evaluate(house, model=model, request_id=UUID))
    assert again[0].update.job.name == job
    assert again[-1].report.job == job
    failed = await fails(evaluate(house, model=model, request_id=UUID, display_name="Other"))
    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_evaluations_are_limited_by_the_day(house: House) -> None:
    model, _ = house.model(evidence_with())
    for _ in range(3):
        stream = aiter(evaluate(house, model=model))
        await anext(stream)
        house.worker.evaluate(house.worker.claim(), evidence_with())
    failed = await fails(evaluate(house, "admin", model=model))
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_EVALUATIONS")
    assert failed.retry_after
    assert failed.retry_after > 23 * 3600
    other, _ = house.model(evidence_with())
    assert (await anext(aiter(evaluate(house, model=other)))).update.HasField("job")


async def test_reports_are_for_those_who_answer_for_the_data(house: House) -> None:
    model, name = house.model(evidence_with())
    calls = house.stubs.evaluation
    asked = (
        (calls.Evaluate, evaluation_pb2.EvaluateRequest(model=model)),
        (calls.GetReport, evaluation_pb2.GetReportRequest(name=name)),
        (calls.ListReports, evaluation_pb2.ListReportsRequest()),
        (calls.DownloadReport, evaluation_pb2.DownloadReportRequest(name=name)),
        (calls.DeleteReport, evaluation_pb2.DeleteReportRequest(name=name)),
        (calls.UpdateReleasePolicy, evaluation_pb2.UpdateReleasePolicyRequest(reset=True)),
        (calls.OverrideRelease, evaluation_pb2.OverrideReleaseRequest(model=model)),
    )
    for role in ("viewer", "generator", "trainer"):
        for call, request in asked:
            failed = await fails(call(request, **house.ann(role)))
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"
            ), (role, type(request))  # fmt: skip
        await calls.GetReleasePolicy(evaluation_pb2.GetReleasePolicyRequest(), **house.ann(role))
        assert (await house.release(model, role)).report == name
    for role in ANSWERS:
        assert (await get(house, name, role)).name == name


async def test_another_tenant_sees_nothing(house: House) -> None:
    model, name = house.model(evidence_with())
    real = house.dataset()
    calls, theirs = house.stubs.evaluation, house.ann("admin", "b")
    for call, reason in (
        (calls.GetReport(evaluation_pb2.GetReportRequest(name=name), **theirs), "REPORT"),
        (calls.DownloadReport(evaluation_pb2.DownloadReportRequest(name=name), **theirs), "REPORT"),
        (calls.DeleteReport(evaluation_pb2.DeleteReportRequest(name=name), **theirs), "REPORT"),
        (evaluate(house, "admin", "b", model=model), "MODEL"),
        (evaluate(house, "admin", "b", synthetic_dataset=real, dataset=real), "DATASET"),
    ):
        failed = await fails(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, f"{reason}_NOT_FOUND")
    listed = await calls.ListReports(evaluation_pb2.ListReportsRequest(), **theirs)
    assert listed.reports == []
    assert (await get(house, name)).name == name


async def test_reports_are_listed_newest_first_without_their_values(house: House) -> None:
    model, first = house.model(evidence_with())
    other, second = house.model(evidence_with())
    calls, ours = house.stubs.evaluation, house.ann("custodian")
    page = await calls.ListReports(evaluation_pb2.ListReportsRequest(page_size=1), **ours)
    assert [report.name for report in page.reports] == [second]
    report = page.reports[0]
    assert (report.model, report.counts.training_rows, len(report.summary)) == (other, 200, 3)
    assert not report.metrics
    assert not report.figures
    assert not report.definitions
    token = page.next_page_token
    rest = await calls.ListReports(evaluation_pb2.ListReportsRequest(page_token=token), **ours)
    assert ([report.name for report in rest.reports], rest.next_page_token) == ([first], "")
    one = await calls.ListReports(evaluation_pb2.ListReportsRequest(model=model), **ours)
    assert [report.name for report in one.reports] == [first]
    failed = await fails(
        calls.ListReports(evaluation_pb2.ListReportsRequest(model=model, page_token=token), **ours)
    )
    assert failed.reason == "INVALID_PAGE_TOKEN"


async def test_a_report_travels_as_a_file(house: House) -> None:
    _, name = house.model(evidence_with())
    for format, media, begin in (
        (evaluation_pb2.REPORT_FORMAT_UNSPECIFIED, "text/html; charset=utf-8", b"<!doctype html>"),
        (evaluation_pb2.REPORT_FORMAT_JSON, "application/json", b'{"format": 1'),
    ):
        request = evaluation_pb2.DownloadReportRequest(name=name, format=format)
        header, *parts = await collect(
            house.stubs.evaluation.DownloadReport(request, **house.ann("custodian"))
        )
        data = b"".join(part.data for part in parts)
        assert data.startswith(begin)
        assert header.header.media_type == media
        assert header.header.size_bytes == len(data)
        assert header.header.sha256 == hashlib.sha256(data).digest()
    request = evaluation_pb2.DownloadReportRequest(name=name, format=9)  # type: ignore[arg-type]
    failed = await fails(house.stubs.evaluation.DownloadReport(request, **house.ann("custodian")))
    assert failed.fields == ("format",)


async def test_a_report_longer_than_a_message_leaves_its_largest_figures_to_the_file(house: House) -> None:
    model, _ = house.model(evidence_with())
    await anext(aiter(evaluate(house, model=model)))
    message = report_message()
    for i in range(3):
        figure = message.figures.add(name=f"large:{i}")
        figure.series.add(name="s", y=[0.1] * 200_000)
    assert message.ByteSize() > MAX_MESSAGE_BYTES
    name = f"reports/{house.worker.evaluate(house.worker.claim(), evidence_with(), message)}"
    report = await get(house, name)
    assert report.ByteSize() <= MAX_MESSAGE_BYTES
    assert report.figures[0].name == "marginal:age"
    assert len(report.figures) == 3
    assert report.left_out[-1].part == "figures"
    request = evaluation_pb2.DownloadReportRequest(name=name, format=evaluation_pb2.REPORT_FORMAT_JSON)
    _, *parts = await collect(house.stubs.evaluation.DownloadReport(request, **house.ann("admin")))
    assert b"".join(part.data for part in parts).count(b"large:") == 3


async def test_a_deleted_report_no_longer_counts(house: House) -> None:
    model, name = house.model(evidence_with(**BAD))
    request = evaluation_pb2.DeleteReportRequest(name=name)
    await house.stubs.evaluation.DeleteReport(request, **house.ann("custodian"))
    failed = await fails(house.stubs.evaluation.DeleteReport(request, **house.ann("custodian")))
    assert failed.reason == "REPORT_NOT_FOUND"
    assert list(house.worker.blobs.list("reports")) == []
    assert (await house.release(model)).state == release_pb2.RELEASE_STATE_INCONCLUSIVE


async def test_reports_go_with_their_model(house: House) -> None:
    model, name = house.model(evidence_with())
    _, other = house.model(evidence_with())
    request = sampling_pb2.DeleteModelRequest(name=model)
    await house.stubs.sampling.DeleteModel(request, **house.ann("custodian"))
    assert (await fails(get(house, name))).reason == "REPORT_NOT_FOUND"
    assert (await get(house, other)).name == other
    assert len(list(house.worker.blobs.list("reports"))) == 2


async def test_a_model_trained_here_is_compared_with_its_own_rows(house: House) -> None:
    real = house.dataset()
    model, _ = house.model(evidence_with(), real)
    stream = evaluate(house, model=model, dataset=real)
    assert (await stream.read()).update.job.dataset == real
    stream.cancel()
    for fields, field in (
        ({"dataset": house.dataset()}, "dataset"),
        ({"holdout_dataset": house.dataset()}, "holdout_dataset"),
    ):
        failed = await fails(evaluate(house, model=model, **fields))
        assert (failed.reason, failed.fields) == ("INVALID_REQUEST", (field,))
    other, _ = house.model(evidence_with())
    own = await house.stubs.sampling.GetModel(sampling_pb2.GetModelRequest(name=other), **house.ann("viewer"))
    request = dataset_pb2.DeleteDatasetRequest(name=own.model.dataset)
    await house.stubs.datasets.DeleteDataset(request, **house.ann("custodian"))
    assert (await fails(evaluate(house, model=other))).reason == "DATASET_EXPIRED"


async def test_rows_made_elsewhere_are_compared_with_the_whole_of_the_real_ones(house: House) -> None:
    real, made, held = (house.dataset(schema=table(AGE, SEX), row_counts={"heart": 9}) for _ in range(3))
    stream = evaluate(house, synthetic_dataset=made, dataset=real, holdout_dataset=held)
    assert (await stream.read()).update.job.dataset == real
    record = house.worker.claim()
    assert record.spec.options == JobOptions(holdout=0.0, validation=0.0)
    assert record.spec.subject
    assert f"datasets/{record.spec.subject.synthetic_dataset}" == made
    name = f"reports/{house.worker.evaluate(record, evidence_with())}"
    report = await get(house, name)
    assert (report.synthetic_dataset, report.dataset, report.holdout_dataset) == (made, real, held)
    assert report.model == ""


async def test_an_imported_model_names_its_real_rows(house: House) -> None:
    model, _ = house.model(None)
    store = house.worker.store
    record = store.models.get("a", model.removeprefix("models/"))
    imported = dataclasses.replace(record, id="imported", dataset="", job="", blob_key="models/a/imported/x")
    store.models.create(imported)
    failed = await fails(evaluate(house, model="models/imported"))
    assert (failed.reason, failed.fields) == ("INVALID_REQUEST", ("dataset",))
    real = house.dataset(schema=table(AGE), row_counts={"heart": 9})
    stream = evaluate(house, model="models/imported", dataset=real)
    assert (await stream.read()).update.job.trainer == "slow"
    stream.cancel()
    unlike = house.dataset(schema=table(AGE, dataclasses.replace(SEX, name="city")), row_counts={"heart": 9})
    failed = await fails(evaluate(house, model="models/imported", dataset=unlike))
    assert (failed.reason, failed.fields) == ("SCHEMAS_DIFFER", ("model.city",))


async def test_tables_that_cannot_be_compared_are_refused(house: House) -> None:
    real = house.dataset(schema=table(AGE, SEX, NAME), row_counts={"heart": 9})
    text_age = dataclasses.replace(AGE, kind=Kind.CATEGORY, storage=Storage.STRING)
    for columns, field in (((AGE,), "sex"), ((text_age, SEX), "age")):
        made = house.dataset(schema=table(*columns), row_counts={"heart": 9})
        failed = await fails(evaluate(house, synthetic_dataset=made, dataset=real))
        assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SCHEMAS_DIFFER")
        assert failed.fields == (f"synthetic_dataset.{field}",)
    empty_age = dataclasses.replace(text_age, handling=Handling.DROP, handling_reason="ALL_NULL")
    made = house.dataset(schema=table(empty_age, SEX), row_counts={"heart": 9})
    failed = await fails(
        evaluate(house, synthetic_dataset=made, dataset=real, holdout_dataset=house.dataset())
    )
    assert failed.fields == ("holdout_dataset.sex",)
    failed = await fails(evaluate(house, synthetic_dataset=real, dataset=real))
    assert (failed.reason, failed.fields) == ("INVALID_REQUEST", ("dataset",))
    few = house.dataset(schema=table(AGE), row_counts={"heart": 4})
    failed = await fails(evaluate(house, synthetic_dataset=made, dataset=few))
    assert failed.reason == "TOO_FEW_PATIENTS"


@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ({"targets": ["weight"]}, "UNKNOWN_COLUMN", "options.targets"),
        ({"quasi_identifiers": ["age", "weight"]}, "UNKNOWN_COLUMN", "options.quasi_identifiers"),
        ({"protected": ["age"] * 2}, "INVALID_REQUEST", "options.protected"),
        ({"targets": list("abcdef")}, "INVALID_REQUEST", "options.targets"),
        ({"seed": -1}, "INVALID_REQUEST", "options.seed"),
        ({"profile": 77}, "INVALID_REQUEST", "options.profile"),
        ({"profile": 1}, "INVALID_REQUEST", "options.profile"),
        ({"time_budget": duration_pb2.Duration(seconds=0)}, "INVALID_REQUEST", "options.time_budget"),
    ],
)
async def test_options_that_make_no_sense_are_refused(
    house: House, options: dict[str, Any], reason: str, field: str
) -> None:
    model, _ = house.model(evidence_with())
    given = release_pb2.EvaluationOptions(**options)
    failed = await fails(evaluate(house, model=model, options=given))
    assert (failed.reason, failed.fields) == (reason, (field,))
    assert (await fails(evaluate(house))).fields == ("subject",)


async def test_options_are_kept_and_bounded(house: House) -> None:
    model, _ = house.model(evidence_with())
    options = release_pb2.EvaluationOptions(
        profile=release_pb2.EVALUATION_PROFILE_FULL,
        targets=["age"],
        seed=5,
        time_budget=duration_pb2.Duration(seconds=100_000),
    )
    stream = evaluate(house, model=model, options=options)
    job = (await stream.read()).update.job
    stream.cancel()
    assert job.max_runtime.seconds == 7200 + 600
    spec = house.worker.claim().spec.evaluation
    assert (spec.profile, spec.targets, spec.seed, spec.seconds) == ("FULL", ("age",), 5, 7200.0)


async def test_a_custodian_cancels_evaluations_and_a_trainer_trainings(house: House) -> None:
    model, _ = house.model(evidence_with())
    stream = evaluate(house, model=model)
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
    stream = aiter(evaluate(house, model=model))
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
    for _ in range(200):
        lines = scrape(house.server.metrics_port)
        if {name: lines[name] for name in counted} == counted:
            break
        await asyncio.sleep(0.1)
    assert {name: lines[name] for name in counted} == counted
    assert lines['kohort_evaluation_headline{metric="column_similarity"}'] == "0.7"
    assert lines['kohort_evaluation_headline{metric="membership_inference_auc"}'] == "0.9"
    assert lines['kohort_evaluation_headline{metric="dcr_share"}'] == "NaN"
    assert lines['kohort_jobs_ended_total{outcome="SUCCEEDED",trainer="slow"}'] == "2.0"
    assert not [line for line in lines if 'trainer=""' in line]


async def test_a_server_without_the_libraries_says_so(
    start: Start, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = house.model(evidence_with())
    monkeypatch.setattr("server.evaluation.available", lambda: False)
    failed = await fails(evaluate(house, model=model))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION, "EVALUATION_UNAVAILABLE"
    )  # fmt: skip


async def train(house: House, **fields: Any) -> Any:
    dataset = house.dataset(schema=SCHEMA, row_counts={"heart": 100})
    request = training_pb2.TrainRequest(dataset=dataset, trainer="copula", seed=3, **fields)
    stream = house.stubs.training.Train(request, **house.ann("trainer"))
    await stream.read()
    stream.cancel()
    return house.worker.claim().spec


async def test_train_keeps_how_to_evaluate_and_what_to_watch(house: House) -> None:
    plain = await train(house)
    assert (plain.evaluation.profile, plain.alerts) == ("NONE", ())
    stop = release_pb2.Alert(
        metric="membership_inference_attack_success",
        threshold=0.7,
        action=release_pb2.ALERT_ACTION_STOP_TRAINING,
    )
    below = release_pb2.Alert(
        metric="loss", threshold=-1.5, below=True, action=release_pb2.ALERT_ACTION_NOTIFY
    )
    options = release_pb2.EvaluationOptions(
        profile=release_pb2.EVALUATION_PROFILE_STANDARD, protected=["age"]
    )
    spec = await train(house, evaluation=options, alerts=[stop, below])
    assert (spec.evaluation.profile, spec.evaluation.protected, spec.evaluation.seed) == (
        "STANDARD", ("age",), 3
    )  # fmt: skip
    assert [(a.metric, a.threshold, a.below, a.action) for a in spec.alerts] == [
        ("membership_inference_attack_success", 0.7, False, "STOP_TRAINING"),
        ("loss", -1.5, True, "NOTIFY"),
    ]


async def test_train_refuses_what_cannot_be_watched(house: House) -> None:
    notify = release_pb2.ALERT_ACTION_NOTIFY
    attack = release_pb2.Alert(metric="membership_inference_attack_success", threshold=1, action=notify)
    loss = release_pb2.Alert(metric="loss", threshold=1, action=notify)
    for fields, field in (
        ({"alerts": [loss] * 17}, "alerts"),
        ({"alerts": [loss, release_pb2.Alert(metric="loss", threshold=1)]}, "alerts[1].action"),
        ({"alerts": [release_pb2.Alert(threshold=1, action=notify)]}, "alerts[0].metric"),
        (
            {"alerts": [release_pb2.Alert(metric="loss", threshold=float("inf"), action=notify)]},
            "alerts[0].threshold",
        ),
        ({"alerts": [attack], "validation_fraction": 0.0}, "validation_fraction"),
    ):
        failed = await fails(train(house, **fields))
        assert (failed.reason, failed.fields) == ("INVALID_REQUEST", (field,))
    unknown = release_pb2.EvaluationOptions(sensitive=["weight"])
    failed = await fails(train(house, evaluation=unknown))
    assert (failed.reason, failed.fields) == ("UNKNOWN_COLUMN", ("evaluation.sensitive",))
