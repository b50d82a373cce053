"""Every operation of the SDK, written once; `Client` and `AsyncClient` run them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kohort import evaluationwire, messages, wire
from kohort.calls import DEFAULT, METHODS, Timeout, call, follow, timeout_of
from kohort.conditions import PartialRows
from kohort.config import Retry, Timeouts
from kohort.downloads import DownloadState
from kohort.effects import END, Emit, Offload, Open, Operation, Read, Sleep
from kohort.errors import IntegrityError, RpcError, from_problem
from kohort.evaluation import ReportInfo
from kohort.jobrequests import Subject, evaluate_request
from kohort.partial import Rows, pieces, read_partial
from kohort.problem import Problem
from kohort.release import EvaluationOptions, Release, ReleasePolicy, ReleaseState, ReleaseWarning
from kohort.resources import Capabilities, DatasetInfo, Inferred, JobInfo, JobState, ModelInfo, Provenance
from kohort.retry import Attempts
from kohort.sampling import SampleState
from kohort.schema import Schema, SchemaOverrides
from kohort.uploads import (
    Data,
    Upload,
    UploadOptions,
    dataset_name,
    prepare,
    prepare_import,
)
from kohort.v1 import capabilities_pb2, dataset_pb2, evaluation_pb2, sampling_pb2, training_pb2
from kohort.watching import WatchState
from kohort.wishes import Asked, Limits, spec_of

_PAGE = 100


class Operations:
    """The operations under one client's settings."""

    def __init__(self, retry: Retry, timeouts: Timeouts) -> None:
        self.retry = retry
        self.timeouts = timeouts
        self._warned: set[str] = set()

    def _call(self, name: str, request: Any, timeout: Timeout) -> Operation[Any]:
        return call(name, request, self.retry, timeout_of(timeout, self.timeouts.call))

    def capabilities(self, timeout: Timeout = DEFAULT) -> Operation[Capabilities]:
        """GetCapabilities."""
        request = capabilities_pb2.GetCapabilitiesRequest()
        return messages.capabilities((yield from self._call("GetCapabilities", request, timeout)))

    # Datasets

    def upload(self, data: Data, options: UploadOptions, timeout: Timeout) -> Operation[DatasetInfo]:
        """UploadDataset."""
        answer = yield from self._send("UploadDataset", partial(prepare, data, options), timeout)
        return messages.dataset(answer.dataset)

    def _send(self, name: str, make: Callable[[], Upload], timeout: Timeout) -> Operation[Any]:
        upload: Upload = yield Offload(make)
        return (
            yield from call(name, upload.messages, self.retry, timeout_of(timeout, self.timeouts.transfer))
        )

    def infer(
        self, dataset: str, overrides: SchemaOverrides | None, timeout: Timeout = DEFAULT
    ) -> Operation[Inferred]:
        """InferSchema."""
        request = dataset_pb2.InferSchemaRequest(dataset=dataset)
        if overrides is not None:
            request.schema_overrides.CopyFrom(wire.overrides_to_proto(overrides))
        answer = yield from self._call("InferSchema", request, timeout)
        findings = tuple(wire.finding_from_proto(f) for f in answer.findings)
        return Inferred(wire.schema_from_proto(answer.schema), findings)

    def dataset(self, name: str, timeout: Timeout = DEFAULT) -> Operation[DatasetInfo]:
        """GetDataset."""
        request = dataset_pb2.GetDatasetRequest(name=name)
        return messages.dataset((yield from self._call("GetDataset", request, timeout)).dataset)

    def datasets(self, timeout: Timeout = DEFAULT) -> Operation[None]:
        """ListDatasets, every page; emits DatasetInfo."""
        request = dataset_pb2.ListDatasetsRequest(page_size=_PAGE)
        yield from self._pages(
            "ListDatasets", request, lambda page: map(messages.dataset, page.datasets), timeout
        )

    def delete_dataset(self, name: str, timeout: Timeout = DEFAULT) -> Operation[tuple[str, ...]]:
        """DeleteDataset; the names of the models made from it."""
        request = dataset_pb2.DeleteDatasetRequest(name=name)
        return tuple((yield from self._call("DeleteDataset", request, timeout)).models)

    def _pages(
        self, name: str, request: Any, read: Callable[[Any], Iterable[Any]], timeout: Timeout
    ) -> Operation[None]:
        while True:
            page = yield from self._call(name, request, timeout)
            for item in read(page):
                yield Emit(item)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    # Jobs

    def train(self, request: training_pb2.TrainRequest, timeout: Timeout) -> Operation[JobInfo]:
        """Train, until the job is stored."""
        return (yield from self._first_job("Train", request, timeout))

    def evaluate(
        self,
        subject: Subject,
        options: EvaluationOptions,
        display_name: str,
        labels: Mapping[str, str] | None,
        request_id: str | None,
        timeout: Timeout,
    ) -> Operation[JobInfo]:
        """UploadDataset of what is not there yet, then Evaluate, until the job is stored."""
        names = {role: dataset_name(data) for role, data in subject.datasets.items()}
        for role in [role for role, name in names.items() if not name]:
            key = "" if role == "synthetic" else subject.subject_key
            said = UploadOptions(subject.table, subject_key=key, display_name=display_name)
            names[role] = (yield from self.upload(subject.datasets[role], said, DEFAULT)).name
        request = evaluate_request(
            subject.model, names, options, display_name=display_name, labels=labels, request_id=request_id
        )
        return (yield from self._first_job("Evaluate", request, timeout))

    def cancel(self, name: str, timeout: Timeout = DEFAULT) -> Operation[JobInfo]:
        """Cancel, until the stop is noted."""
        return (yield from self._first_job("Cancel", training_pb2.CancelRequest(job=name), timeout))

    def _first_job(self, name: str, request: Any, timeout: Timeout) -> Operation[JobInfo]:
        """The job that a stream of updates begins with; the stream is then left."""
        attempts = Attempts(self.retry, timeout_of(timeout, self.timeouts.call))
        while True:
            try:
                yield Open(METHODS[name], request, attempts.remaining())
                while (message := (yield Read())) is not END:
                    if message.update.HasField("job"):
                        return messages.job(message.update.job)
                    if name == "Evaluate" and message.HasField("report"):
                        return (yield from self.job(message.report.job))
                raise IntegrityError(f"{name} ended without naming a job")
            except RpcError as error:
                yield Sleep(attempts.wait_after(error))

    def job(self, name: str, timeout: Timeout = DEFAULT) -> Operation[JobInfo]:
        """GetJob."""
        request = training_pb2.GetJobRequest(name=name)
        return messages.job((yield from self._call("GetJob", request, timeout)).job)

    def jobs(self, states: Iterable[JobState | str], timeout: Timeout = DEFAULT) -> Operation[None]:
        """ListJobs, every page; emits JobInfo."""
        numbers = [messages.job_state_number(JobState(s)) for s in states]
        request = training_pb2.ListJobsRequest(page_size=_PAGE, states=numbers)
        yield from self._pages("ListJobs", request, lambda page: map(messages.job, page.jobs), timeout)

    def watch(self, name: str, after_sequence: int = 0, timeout: float | None = None) -> Operation[None]:
        """Status until the job is over; emits JobUpdate."""
        yield from follow(WatchState(name, after_sequence), self.retry, timeout)

    # Models

    def model(self, name: str, timeout: Timeout = DEFAULT) -> Operation[ModelInfo]:
        """GetModel."""
        request = sampling_pb2.GetModelRequest(name=name)
        return messages.model((yield from self._call("GetModel", request, timeout)).model)

    def models(self, timeout: Timeout = DEFAULT) -> Operation[None]:
        """ListModels, every page; emits ModelInfo."""
        request = sampling_pb2.ListModelsRequest(page_size=_PAGE)
        yield from self._pages("ListModels", request, lambda page: map(messages.model, page.models), timeout)

    def delete_model(self, name: str, timeout: Timeout = DEFAULT) -> Operation[None]:
        """DeleteModel."""
        yield from self._call("DeleteModel", sampling_pb2.DeleteModelRequest(name=name), timeout)

    def sample(self, model: str, asked: Asked, timeout: Timeout) -> Operation[None]:
        """Sample; emits SampleBatch."""
        state = SampleState(model, asked, told=self._warn)
        yield from follow(state, self.retry, timeout_of(timeout, self.timeouts.transfer))

    def complete(
        self, model: str, rows: Rows, seed: int | None, start: int, limits: Limits, timeout: Timeout
    ) -> Operation[None]:
        """Sample with partial rows, a request for each few MiB of them; emits SampleBatch."""
        schema = (yield from self.model(model)).schema
        given: PartialRows = yield Offload(partial(_read_rows, rows, schema, start))
        spec = spec_of(seed or 0, **limits)
        attempts = Attempts(self.retry, timeout_of(timeout, self.timeouts.transfer))
        state: SampleState | None = None
        for piece in pieces(given, lambda some: wire.partial_rows_to_proto(some).ByteSize()):
            asked = Asked(replace(spec, partial=piece), piece.row_count, seed, piece.first_unit)
            state = SampleState(model, asked, state, given.row_count, self._warn)
            yield from follow(state, self.retry, None, attempts)

    def download(
        self, name: str, path: Path, progress: Callable[[int, int], None] | None, timeout: Timeout
    ) -> Operation[Path]:
        """DownloadModel into a file."""
        request = sampling_pb2.DownloadModelRequest(name=name)
        return (yield from self._store("DownloadModel", request, path, progress, timeout))

    def _store(
        self,
        name: str,
        request: Any,
        path: Path,
        progress: Callable[[int, int], None] | None,
        timeout: Timeout,
    ) -> Operation[Path]:
        with DownloadState(name, request, path, progress) as state:
            yield from follow(state, self.retry, timeout_of(timeout, self.timeouts.transfer))
        return path

    def import_model(
        self,
        path: str | Path,
        display_name: str,
        labels: Mapping[str, str] | None,
        request_id: str | None,
        timeout: Timeout,
    ) -> Operation[ModelInfo]:
        """ImportModel."""
        make = partial(prepare_import, path, display_name, labels, request_id)
        answer = yield from self._send("ImportModel", make, timeout)
        return messages.model(answer.model)

    def _warn(self, told: Provenance) -> None:
        """Says once of each model that it breaks a rule which only warns."""
        if told.release_state is ReleaseState.OPEN_WITH_WARNING and told.model not in self._warned:
            self._warned.add(told.model)
            said = f"{told.model} breaks a rule of the release policy; its `info.release` says which"
            warnings.warn(said, ReleaseWarning, stacklevel=2)

    # Reports and releases

    def report(self, name: str, timeout: Timeout = DEFAULT) -> Operation[ReportInfo]:
        """GetReport."""
        request = evaluation_pb2.GetReportRequest(name=name)
        answer = yield from self._call("GetReport", request, timeout)
        return evaluationwire.report_from_proto(answer.report)

    def reports(self, model: str, timeout: Timeout = DEFAULT) -> Operation[None]:
        """ListReports, every page; emits ReportInfo."""
        request = evaluation_pb2.ListReportsRequest(page_size=_PAGE, model=model)
        yield from self._pages(
            "ListReports", request, lambda page: map(evaluationwire.report_from_proto, page.reports), timeout
        )

    def download_report(
        self,
        name: str,
        path: Path,
        said: str,
        progress: Callable[[int, int], None] | None,
        timeout: Timeout,
    ) -> Operation[Path]:
        """DownloadReport into a file; raises ValueError for a format that there is not."""
        if said not in ("html", "json"):
            raise ValueError(f"a report is stored as html or json, not as {said!r}")
        number = evaluation_pb2.ReportFormat.Value(f"REPORT_FORMAT_{said.upper()}")
        request = evaluation_pb2.DownloadReportRequest(name=name, format=number)
        return (yield from self._store("DownloadReport", request, path, progress, timeout))

    def delete_report(self, name: str, timeout: Timeout = DEFAULT) -> Operation[None]:
        """DeleteReport."""
        yield from self._call("DeleteReport", evaluation_pb2.DeleteReportRequest(name=name), timeout)

    def release_policy(self, timeout: Timeout = DEFAULT) -> Operation[ReleasePolicy]:
        """GetReleasePolicy."""
        request = evaluation_pb2.GetReleasePolicyRequest()
        answer = yield from self._call("GetReleasePolicy", request, timeout)
        return evaluationwire.policy_from_proto(answer.policy)

    def update_release_policy(
        self, policy: ReleasePolicy | None, timeout: Timeout = DEFAULT
    ) -> Operation[ReleasePolicy]:
        """UpdateReleasePolicy; None takes the server's defaults."""
        request = evaluation_pb2.UpdateReleasePolicyRequest(reset=policy is None)
        if policy is not None:
            request.policy.CopyFrom(evaluationwire.policy_to_proto(policy))
        answer = yield from self._call("UpdateReleasePolicy", request, timeout)
        return evaluationwire.policy_from_proto(answer.policy)

    def override_release(
        self, model: str, state: ReleaseState | str | None, reason: str, timeout: Timeout = DEFAULT
    ) -> Operation[Release]:
        """OverrideRelease; None takes an override back."""
        wanted = ReleaseState.UNSPECIFIED if state is None else ReleaseState(state)
        request = evaluation_pb2.OverrideReleaseRequest(
            model=model, state=evaluationwire.STATES.to(wanted), reason=reason
        )
        answer = yield from self._call("OverrideRelease", request, timeout)
        return evaluationwire.release_from_proto(answer.release)


def _read_rows(rows: Rows, schema: Schema, start: int) -> PartialRows:
    try:
        return read_partial(rows, schema, start)
    except Problem as problem:
        raise from_problem(problem) from problem
