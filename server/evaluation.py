"""EvaluationService: evaluations as jobs, reports for custodians, and the policy that decides by them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import structlog

from evaluators.gate import State
from kohort.columns import encode_field
from kohort.problem import Problem
from kohort.v1 import evaluation_pb2, evaluation_pb2_grpc, release_pb2
from server import policies, validation
from server.context import principal, span
from server.evaluating import available
from server.evaluation_requests import budget, check_options, comparable, evaluation_spec, unavailable
from server.interceptors import Context
from server.pages import fill
from server.records import (
    DatasetRecord,
    JobKind,
    JobOptions,
    JobSpec,
    JobState,
    ModelRecord,
    Principal,
    SubjectSpec,
)
from server.reports import MEDIA_TYPES, Reports, entry
from server.settings import Settings
from server.store import Store
from server.threads import Threads
from server.watch import Watch

_MARGIN_SECONDS = 600.0
"""For reading tables and drawing rows, on top of the time budget."""
_REASON = range(10, 2001)
_FORMATS = {
    evaluation_pb2.REPORT_FORMAT_UNSPECIFIED: "html",
    evaluation_pb2.REPORT_FORMAT_HTML: "html",
    evaluation_pb2.REPORT_FORMAT_JSON: "json",
}
_log = structlog.get_logger(log="evaluation")


class EvaluationService(evaluation_pb2_grpc.EvaluationServiceServicer):
    """See evaluation.proto, which says what each call promises."""

    def __init__(
        self, settings: Settings, store: Store, threads: Threads, watch: Watch, reports: Reports
    ) -> None:
        self._settings = settings
        self._store = store
        self._threads = threads
        self._watch = watch
        self._reports = reports

    async def Evaluate(  # noqa: N802
        self, request: evaluation_pb2.EvaluateRequest, context: Context
    ) -> AsyncGenerator[evaluation_pb2.EvaluateResponse, None]:
        """Stores a job, follows it, and sends what it found."""
        who = principal()
        _check(request)
        fingerprint = validation.request_hash(request)
        job = await self._threads.run(
            self._store.requests.find, who.tenant, "evaluate", request.request_id, fingerprint
        )
        if job is None:
            if not available():
                raise unavailable()
            spec = await self._threads.run(self._spec, who, request)
            record, created = await self._threads.run(
                self._store.jobs.create,
                who,
                spec,
                request_id=request.request_id,
                request_hash=fingerprint,
                traceparent=span().context.header(),
            )
            job = record.id
            if created:
                _log.info("job queued", job=job)
        span().note({"kohort.job": f"jobs/{job}"})
        async with aclosing(self._watch.follow(who.tenant, job, 0)) as updates:
            async for update in updates:
                yield evaluation_pb2.EvaluateResponse(update=update)
        ended = await self._threads.run(self._store.jobs.get, who.tenant, job)
        if ended.state is JobState.SUCCEEDED:
            report = await self._threads.run(self._read, who.tenant, ended.report)
            yield evaluation_pb2.EvaluateResponse(report=report)

    async def GetReport(  # noqa: N802
        self, request: evaluation_pb2.GetReportRequest, context: Context
    ) -> evaluation_pb2.GetReportResponse:
        """One report."""
        report = validation.resource_id(request.name, "reports")
        message = await self._threads.run(self._read, principal().tenant, report)
        return evaluation_pb2.GetReportResponse(report=message)

    async def ListReports(  # noqa: N802
        self, request: evaluation_pb2.ListReportsRequest, context: Context
    ) -> evaluation_pb2.ListReportsResponse:
        """A page of reports."""
        tenant = principal().tenant
        model = validation.resource_id(request.model, "models", "model") if request.model else ""
        scope = f"reports {model}"
        after = validation.read_page_token(scope, request.page_token)
        reports, end = await self._threads.run(
            fill,
            lambda size: self._store.reports.list(tenant, model=model, page_size=size, after=after),
            entry,
            validation.page_size(request.page_size),
        )
        return evaluation_pb2.ListReportsResponse(
            reports=reports, next_page_token=validation.page_token(scope, end)
        )

    async def DownloadReport(  # noqa: N802
        self, request: evaluation_pb2.DownloadReportRequest, context: Context
    ) -> AsyncIterator[evaluation_pb2.DownloadReportResponse]:
        """A header, then the bytes of the file."""
        if request.format not in _FORMATS:
            raise Problem.at("INVALID_REQUEST", "format", "is not known")
        kind = _FORMATS[request.format]
        report = validation.resource_id(request.name, "reports")
        record = await self._threads.run(self._store.reports.get, principal().tenant, report)
        with await self._threads.run(self._reports.open, record, kind) as file:
            data = await self._threads.run(file.read)
        info = evaluation_pb2.ReportFile(
            size_bytes=len(data), sha256=hashlib.sha256(data).digest(), media_type=MEDIA_TYPES[kind]
        )
        yield evaluation_pb2.DownloadReportResponse(header=info)
        field, step = evaluation_pb2.DownloadReportResponse.DATA_FIELD_NUMBER, self._reports.chunk_bytes
        for start in range(0, len(data), step):
            yield encode_field(field, data[start : start + step])  # type: ignore[misc]  # see `Chain`

    async def DeleteReport(  # noqa: N802
        self, request: evaluation_pb2.DeleteReportRequest, context: Context
    ) -> evaluation_pb2.DeleteReportResponse:
        """Deletes a report."""
        report = validation.resource_id(request.name, "reports")
        await self._threads.run(self._reports.delete, principal().tenant, report)
        self._note("report deleted", report=report)
        return evaluation_pb2.DeleteReportResponse()

    async def GetReleasePolicy(  # noqa: N802
        self, request: evaluation_pb2.GetReleasePolicyRequest, context: Context
    ) -> evaluation_pb2.GetReleasePolicyResponse:
        """The policy in force."""
        stored = await self._threads.run(self._store.releases.policy, principal().tenant)
        return evaluation_pb2.GetReleasePolicyResponse(policy=policies.policy_to_proto(stored))

    async def UpdateReleasePolicy(  # noqa: N802
        self, request: evaluation_pb2.UpdateReleasePolicyRequest, context: Context
    ) -> evaluation_pb2.UpdateReleasePolicyResponse:
        """Another policy from now on."""
        if not request.reset and not request.HasField("policy"):
            raise Problem.at("INVALID_REQUEST", "policy", "must be given, unless the policy is reset")
        policy = None if request.reset else policies.policy_from_proto(request.policy)
        set_policy = self._store.releases.set_policy
        stored = await self._threads.run(set_policy, principal(), policy, request.policy.etag)
        self._note("release policy changed", etag=stored.etag)
        return evaluation_pb2.UpdateReleasePolicyResponse(policy=policies.policy_to_proto(stored))

    async def OverrideRelease(  # noqa: N802
        self, request: evaluation_pb2.OverrideReleaseRequest, context: Context
    ) -> evaluation_pb2.OverrideReleaseResponse:
        """A custodian's decision about one model."""
        model = validation.resource_id(request.model, "models", "model")
        reason = request.reason.strip()
        checks = validation.Checks()
        checks.require(len(reason) in _REASON, "reason", f"{_REASON.start} to {_REASON.stop - 1} characters")
        checks.require(request.state in _OVERRIDES, "state", "must be OPEN, OPEN_WITH_WARNING or LOCKED")
        checks.done()
        state = _OVERRIDES[request.state]
        standing = await self._threads.run(self._store.releases.override, principal(), model, state, reason)
        self._note("release overridden", model=model, state=state.value if state else "")
        return evaluation_pb2.OverrideReleaseResponse(release=policies.release(standing))

    def _note(self, event: str, **facts: str) -> None:
        # Who did it is in the access log under the same request id.
        _log.info(event, **facts)

    def _read(self, tenant: str, report: str) -> evaluation_pb2.Report:
        return self._reports.read(self._store.reports.get(tenant, report))

    def _spec(self, who: Principal, request: evaluation_pb2.EvaluateRequest) -> JobSpec:
        """The job that was asked for; blocking. Raises Problem."""
        if request.model:
            model = validation.resource_id(request.model, "models", "model")
            record = self._store.models.get(who.tenant, model)
            if record.dataset:
                return self._of_own_model(who, request, record)
            return self._of_others(who, request, record)
        return self._of_others(who, request, None)

    def _of_own_model(
        self, who: Principal, request: evaluation_pb2.EvaluateRequest, model: ModelRecord
    ) -> JobSpec:
        """The rows and the split of its own training."""
        checks = validation.Checks()
        own = request.dataset in ("", f"datasets/{model.dataset}")
        checks.require(own, "dataset", "must be empty: a model is compared with what it learned from")
        said = "must be empty: a model is compared with its own hold-out"
        checks.require(not request.holdout_dataset, "holdout_dataset", said)
        checks.done()
        dataset = self._store.datasets.get_live(who.tenant, model.dataset)
        trained = self._store.jobs.get(who.tenant, model.job).spec
        # The seed of the training: the same rows of each patient are looked at.
        return self._job(
            request, dataset, SubjectSpec(model.id), model, trained.options, trained.seed, trained
        )

    def _of_others(
        self, who: Principal, request: evaluation_pb2.EvaluateRequest, model: ModelRecord | None
    ) -> JobSpec:
        """Rows made elsewhere, or an imported model: the real rows are not split."""
        dataset = self._live(who, request.dataset, "dataset")
        held = (
            self._live(who, request.holdout_dataset, "holdout_dataset") if request.holdout_dataset else None
        )
        least = self._settings.min_patients_per_value
        if any(rows < least for rows in dataset.row_counts.values()):
            raise Problem.at("TOO_FEW_PATIENTS", "dataset", f"an evaluation needs at least {least} patients")
        if model is None:
            made = self._live(who, request.synthetic_dataset, "synthetic_dataset")
            comparable(dataset.schema, made.schema, "synthetic_dataset")
        else:
            made = None
            comparable(dataset.schema, model.schema, "model")
        if held is not None:
            comparable(dataset.schema, held.schema, "holdout_dataset")
        apart = [one.id for one in (dataset, held, made) if one is not None]
        if len(set(apart)) != len(apart):
            raise Problem.at("INVALID_REQUEST", "dataset", "a dataset cannot be compared with itself")
        subject = SubjectSpec(model.id if model else "", made.id if made else "", held.id if held else "")
        options = JobOptions(
            min_patients=least,
            max_rows_per_patient=self._settings.max_rows_per_patient,
            holdout=0.0,
            validation=0.0,
        )
        return self._job(request, dataset, subject, model, options, secrets.randbits(32))

    def _job(
        self,
        request: evaluation_pb2.EvaluateRequest,
        dataset: DatasetRecord,
        subject: SubjectSpec,
        model: ModelRecord | None,
        options: JobOptions,
        seed: int,
        trained: JobSpec | None = None,
    ) -> JobSpec:
        schema = dataset.schema if trained is None else trained.schema
        default = self._settings.evaluation_profile
        spec = evaluation_spec(
            request.options,
            self._settings,
            schema,
            seed,
            "options",
            # Who asks for an evaluation wants one, whatever trainings do by themselves.
            "standard" if default == "none" else default,
        )
        return JobSpec(
            dataset=dataset.id,
            trainer=model.trainer if model else "",
            parameters=dict(model.parameters) if model else {},
            schema=schema,
            seed=seed,
            max_runtime_s=min(budget(spec) + _MARGIN_SECONDS, self._settings.max_runtime_seconds),
            options=options,
            display_name=request.display_name,
            labels=dict(request.labels),
            kind=JobKind.EVALUATE,
            evaluation=spec,
            subject=subject,
        )

    def _live(self, who: Principal, name: str, field: str) -> DatasetRecord:
        return self._store.datasets.get_live(who.tenant, validation.resource_id(name, "datasets", field))


_OVERRIDES = {
    release_pb2.RELEASE_STATE_UNSPECIFIED: None,
    release_pb2.RELEASE_STATE_OPEN: State.OPEN,
    release_pb2.RELEASE_STATE_OPEN_WITH_WARNING: State.OPEN_WITH_WARNING,
    release_pb2.RELEASE_STATE_LOCKED: State.LOCKED,
}


def _check(request: evaluation_pb2.EvaluateRequest) -> None:
    checks = validation.Checks()
    checks.request_id(request.request_id)
    checks.describable(request.display_name, request.labels)
    said = "name a model or a dataset of synthetic rows"
    checks.require(bool(request.model or request.synthetic_dataset), "subject", said)
    check_options(checks, request.options, "options")
    none = request.options.profile == release_pb2.EVALUATION_PROFILE_NONE
    checks.require(not none, "options.profile", "must be STANDARD or FULL")
    checks.done()
