"""TrainingService: requests become stored jobs, stored jobs become streams."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from kohort import wire
from kohort.problem import Problem
from kohort.schema import Handling, Schema
from kohort.v1 import training_pb2, training_pb2_grpc
from server import convert, validation
from server.auth import authorise_cancel
from server.context import principal, span
from server.evaluation_requests import alerts_of, check_alerts, check_options, evaluation_spec
from server.interceptors import Context
from server.pages import fill
from server.records import DatasetRecord, JobOptions, JobRecord, JobSpec, JobState, Principal
from server.schemas import Schemas
from server.settings import Settings
from server.store import Store
from server.threads import Threads
from server.watch import Watch
from trainers import registry
from trainers.base import TrainerInfo

_log = structlog.get_logger(log="training")


class TrainingService(training_pb2_grpc.TrainingServiceServicer):
    """See training.proto, which says what each call promises."""

    def __init__(
        self, settings: Settings, store: Store, threads: Threads, watch: Watch, schemas: Schemas
    ) -> None:
        self._settings = settings
        self._store = store
        self._threads = threads
        self._watch = watch
        self._schemas = schemas

    async def Train(  # noqa: N802
        self, request: training_pb2.TrainRequest, context: Context
    ) -> AsyncGenerator[training_pb2.TrainResponse, None]:
        """Stores a job, then follows it."""
        who = principal()
        _check(request)
        fingerprint = validation.request_hash(request)
        # A repeat must find its job even where the same request would be refused by now.
        job = await self._threads.run(
            self._store.requests.find, who.tenant, "train", request.request_id, fingerprint
        )
        if job is None:
            spec = await self._spec(who, request)
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
                yield training_pb2.TrainResponse(update=update)

    async def Status(  # noqa: N802
        self, request: training_pb2.StatusRequest, context: Context
    ) -> AsyncGenerator[training_pb2.StatusResponse, None]:
        """Follows a job."""
        job = validation.resource_id(request.job, "jobs", "job")
        if request.after_sequence < 0:
            raise Problem.at("INVALID_REQUEST", "after_sequence", "must not be negative")
        tenant = principal().tenant
        async with aclosing(self._watch.follow(tenant, job, request.after_sequence)) as updates:
            async for update in updates:
                yield training_pb2.StatusResponse(update=update)

    async def Cancel(  # noqa: N802
        self, request: training_pb2.CancelRequest, context: Context
    ) -> AsyncGenerator[training_pb2.CancelResponse, None]:
        """Asks a job to stop, then follows it."""
        job = validation.resource_id(request.job, "jobs", "job")
        tenant = principal().tenant
        authorise_cancel(principal(), await self._threads.run(self._store.jobs.get, tenant, job))
        record = await self._threads.run(self._store.jobs.request_cancel, tenant, job)
        self._watch.wake(job)
        async with aclosing(self._watch.follow(tenant, job, record.last_sequence)) as updates:
            async for update in updates:
                yield training_pb2.CancelResponse(update=update)

    async def GetJob(  # noqa: N802
        self, request: training_pb2.GetJobRequest, context: Context
    ) -> training_pb2.GetJobResponse:
        """One job."""
        job = validation.resource_id(request.name, "jobs")
        record = await self._threads.run(self._store.jobs.get, principal().tenant, job)
        return training_pb2.GetJobResponse(job=await self._threads.run(self._message, record))

    async def ListJobs(  # noqa: N802
        self, request: training_pb2.ListJobsRequest, context: Context
    ) -> training_pb2.ListJobsResponse:
        """A page of jobs."""
        states = [_state(number) for number in request.states]
        scope = "jobs " + " ".join(sorted(set(states)))
        after = validation.read_page_token(scope, request.page_token)
        jobs, end = await self._threads.run(
            self._page, principal().tenant, states, validation.page_size(request.page_size), after
        )
        return training_pb2.ListJobsResponse(jobs=jobs, next_page_token=validation.page_token(scope, end))

    def _page(
        self, tenant: str, states: Sequence[JobState], size: int, after: int | None
    ) -> tuple[list[training_pb2.Job], int | None]:
        jobs, slots = self._store.jobs, self._slots()
        return fill(
            lambda size: jobs.list(tenant, states=states, page_size=size, after=after),
            lambda record: convert.job(record, jobs.outlook(record, slots)),
            size,
        )

    def _message(self, record: JobRecord) -> training_pb2.Job:
        return convert.job(record, self._store.jobs.outlook(record, self._slots()))

    def _slots(self) -> int:
        return max(1, len(self._store.workers.live(self._settings.lease_seconds)))

    async def _spec(self, who: Principal, request: training_pb2.TrainRequest) -> JobSpec:
        dataset = await self._threads.run(
            self._store.datasets.get_live,
            who.tenant,
            validation.resource_id(request.dataset, "datasets", "dataset"),
        )
        if len(dataset.schema.tables) != 1:
            raise Problem("MULTI_TABLE_UNSUPPORTED", "this server trains one table at a time")
        name = request.trainer or registry.default_trainer()
        info = registry.trainer(name).info
        parameters = info.resolve(wire.struct_from_proto(request.parameters))
        await self._check_device(request.device)
        overrides = wire.overrides_from_proto(request.schema_overrides)
        options = self._options(request)
        _check_patients(dataset, options.min_patients)
        schema = await self._schemas.trainable(dataset, overrides, options.min_patients)
        _check_kinds(schema, info)
        cap = self._settings.max_runtime_seconds
        asked = wire.duration_from_proto(request.max_runtime) if request.HasField("max_runtime") else cap
        seed = request.seed if request.HasField("seed") else secrets.randbits(32)
        profile = self._settings.evaluation_profile
        evaluation = evaluation_spec(request.evaluation, self._settings, schema, seed, "evaluation", profile)
        return JobSpec(
            dataset=dataset.id,
            trainer=name,
            parameters=_plain(parameters),
            schema=schema,
            seed=seed,
            max_runtime_s=min(asked, cap),
            overrides=overrides,
            options=options,
            device_filter=request.device,
            display_name=request.display_name,
            labels=dict(request.labels),
            evaluation=evaluation,
            alerts=alerts_of(request.alerts, options),
        )

    def _options(self, request: training_pb2.TrainRequest) -> JobOptions:
        return JobOptions(
            min_patients=request.min_patients_per_value or self._settings.min_patients_per_value,
            max_rows_per_patient=request.max_rows_per_patient or self._settings.max_rows_per_patient,
            holdout=request.holdout_fraction if request.HasField("holdout_fraction") else 0.2,
            validation=request.validation_fraction if request.HasField("validation_fraction") else 0.1,
            equal_patients=request.weight_patients_equally,
        )

    async def _check_device(self, device: str) -> None:
        if not device:
            return
        live = await self._threads.run(self._store.workers.live, self._settings.lease_seconds)
        slots = {worker.slot for worker in live} | set(self._settings.offered())
        if device not in slots | {slot.partition(":")[0] for slot in slots}:
            raise Problem.at("UNKNOWN_DEVICE", "device", "no worker has such a device; see GetCapabilities")


def _check(request: training_pb2.TrainRequest) -> None:
    checks = validation.Checks()
    checks.request_id(request.request_id)
    checks.describable(request.display_name, request.labels)
    checks.require(request.seed >= 0, "seed", "must not be negative")
    k = request.min_patients_per_value
    checks.require(k == 0 or 2 <= k <= 1_000_000, "min_patients_per_value", "must be at least 2")
    checks.require(request.max_rows_per_patient >= 0, "max_rows_per_patient", "must not be negative")
    for field in ("holdout_fraction", "validation_fraction"):
        # Written so that NaN fails.
        checks.require(0 <= getattr(request, field) <= 0.5, field, "must lie between 0 and 0.5")
    if request.HasField("max_runtime"):
        seconds = wire.duration_from_proto(request.max_runtime)
        checks.require(seconds > 0, "max_runtime", "must be positive")
    check_options(checks, request.evaluation, "evaluation")
    check_alerts(checks, request.alerts)
    checks.done()


def _check_patients(dataset: DatasetRecord, min_patients: int) -> None:
    """Refuses early what has fewer rows than patients are needed; the job itself counts patients."""
    for table, rows in dataset.row_counts.items():
        if rows < min_patients:
            raise Problem.at("TOO_FEW_PATIENTS", table, f"training needs at least {min_patients} patients")


def _check_kinds(schema: Schema, info: TrainerInfo) -> None:
    """Refuses early what the trainer says it cannot model."""
    for table in schema:
        for column in table.columns:
            if column.handling is Handling.MODEL and column.kind not in info.kinds:
                where = f"{table.name}.{column.name}"
                said = f"{info.name} cannot model a column of kind {column.kind}; drop it"
                raise Problem.at("COLUMN_UNSUPPORTED", where, said)


def _state(number: int) -> JobState:
    try:
        return JobState(training_pb2.JobState.Name(number).removeprefix("JOB_STATE_"))  # type: ignore[arg-type]
    except ValueError as error:
        raise Problem.at("INVALID_REQUEST", "states", "must be states of a job") from error


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
