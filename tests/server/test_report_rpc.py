"""Reports over the wire: for custodians of their tenant, whole or as files, and gone when deleted."""

from __future__ import annotations

import hashlib

import grpc
from google.protobuf import json_format

from kohort.v1 import evaluation_pb2, release_pb2, sampling_pb2
from server.reports import MAX_MESSAGE_BYTES
from tests.core.support import evidence_with
from tests.server.conftest import collect, fails
from tests.server.reported import BAD, House, report_message

ANSWERS = ("custodian", "admin")


async def test_a_report_comes_back_as_it_was_written(house: House) -> None:
    _, name = house.model(evidence_with())
    report = await house.report(name)
    assert report.HasField("create_time")
    for field in ("name", "model", "dataset", "job"):
        assert getattr(report, field).startswith(field if field != "name" else "report")
    for field in ("name", "model", "dataset", "job", "create_time"):
        report.ClearField(field)
    wrote = report_message()
    assert json_format.MessageToDict(report) == json_format.MessageToDict(wrote)


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
        assert (await house.report(name, role)).name == name


async def test_another_tenant_sees_nothing(house: House) -> None:
    model, name = house.model(evidence_with())
    real = house.dataset()
    calls, theirs = house.stubs.evaluation, house.ann("admin", "b")
    for call, reason in (
        (calls.GetReport(evaluation_pb2.GetReportRequest(name=name), **theirs), "REPORT"),
        (calls.DownloadReport(evaluation_pb2.DownloadReportRequest(name=name), **theirs), "REPORT"),
        (calls.DeleteReport(evaluation_pb2.DeleteReportRequest(name=name), **theirs), "REPORT"),
        (house.evaluate("admin", "b", model=model), "MODEL"),
        (house.evaluate("admin", "b", synthetic_dataset=real, dataset=real), "DATASET"),
    ):
        failed = await fails(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, f"{reason}_NOT_FOUND")
    listed = await calls.ListReports(evaluation_pb2.ListReportsRequest(), **theirs)
    assert listed.reports == []
    assert (await house.report(name)).name == name


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
    await anext(aiter(house.evaluate(model=model)))
    message = report_message()
    for i in range(3):
        figure = message.figures.add(name=f"large:{i}")
        figure.series.add(name="s", y=[0.1] * 200_000)
    assert message.ByteSize() > MAX_MESSAGE_BYTES
    name = f"reports/{house.worker.evaluate(house.worker.claim(), evidence_with(), message)}"
    report = await house.report(name)
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
    assert (await fails(house.report(name))).reason == "REPORT_NOT_FOUND"
    assert (await house.report(other)).name == other
    assert len(list(house.worker.blobs.list("reports"))) == 2
