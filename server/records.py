"""What the stores hold, as frozen values: the words that services, workers and stores share.

Times are seconds since 1970-01-01 UTC by the database's clock. Every record
belongs to one tenant; what another tenant asks for is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from kohort.schema import Finding, Schema, SchemaOverrides


@dataclass(frozen=True)
class Principal:
    """Who calls: a name within a tenant, and what it may do."""

    tenant: str
    name: str
    roles: frozenset[str] = frozenset()


class JobState(StrEnum):
    """Where a job stands (`JobState` of the contract, without its prefix)."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """Whether nothing comes after it."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
ACTIVE = frozenset(JobState) - TERMINAL
HELD = ACTIVE - {JobState.QUEUED}
"""A worker holds the job; in any other state the job names the one that had it last."""


@dataclass(frozen=True)
class JobOptions:
    """How the data of a job is prepared, whatever the trainer."""

    min_patients: int = 5
    """Values that fewer patients share are never learned as such."""
    max_rows_per_patient: int = 16
    """At most so many rows of one patient are learned."""
    holdout: float = 0.2
    """Share of the patients kept aside for evaluation alone."""
    validation: float = 0.1
    """Share of the patients for early stopping and calibration."""
    equal_patients: bool = False
    """Whether every patient counts the same, however many rows are theirs."""


class JobKind(StrEnum):
    """What a job does (`JobKind`)."""

    TRAIN = "TRAIN"
    EVALUATE = "EVALUATE"


class AlertAction(StrEnum):
    """What an alert does (`AlertAction`)."""

    NOTIFY = "NOTIFY"
    STOP_TRAINING = "STOP_TRAINING"


@dataclass(frozen=True)
class Alert:
    """Something to do when a metric passes a threshold while a model is trained (`Alert`)."""

    metric: str
    threshold: float
    below: bool
    action: AlertAction


@dataclass(frozen=True)
class EvaluationSpec:
    """How to evaluate (`EvaluationOptions`); profile NONE: not at all."""

    profile: str = "NONE"
    """A name of `EvaluationProfile` without its prefix; never UNSPECIFIED."""
    targets: tuple[str, ...] = ()
    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    seed: int = 0
    seconds: float | None = None
    """The time budget; None: that of the profile."""


@dataclass(frozen=True)
class SubjectSpec:
    """What an EVALUATE job looks at, beside the real rows, `JobSpec.dataset`: a model, or a dataset."""

    model: str = ""
    synthetic_dataset: str = ""
    holdout_dataset: str = ""
    """Empty: the hold-out of the model's own training, or none."""


@dataclass(frozen=True)
class JobSpec:
    """What is to be trained on what: a checked request with every default filled in.

    Of an EVALUATE job `trainer` and `parameters` are those of the model, if
    there is one, `schema` is what the real rows mean, and `options` say how
    they were split.
    """

    dataset: str
    trainer: str
    parameters: Mapping[str, Any]
    schema: Schema
    """The effective schema."""
    seed: int
    max_runtime_s: float
    overrides: SchemaOverrides = field(default_factory=SchemaOverrides)
    options: JobOptions = field(default_factory=JobOptions)
    device_filter: str = ""
    """A device kind (``cuda``), a slot (``cuda:1``), or empty for any."""
    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    kind: JobKind = JobKind.TRAIN
    evaluation: EvaluationSpec = field(default_factory=EvaluationSpec)
    alerts: tuple[Alert, ...] = ()
    subject: SubjectSpec | None = None
    """Of an EVALUATE job."""


@dataclass(frozen=True)
class JobRecord:
    """One run of work."""

    id: str
    tenant: str
    principal: str
    spec: JobSpec
    state: JobState
    phase: str
    attempt: int
    """Counts the workers that took it, from 1; 0 while none has."""
    device: str
    """The slot that runs or ran it."""
    progress: Mapping[str, Any] | None
    """The latest: `step`, `total_steps`, `losses`, `rows_per_second`, `gradient_norm`, `eta_s` (or None)."""
    error: Mapping[str, str] | None
    """FAILED: `reason`, `message`, `column`."""
    model: str
    """SUCCEEDED: the id of the model, else empty."""
    create_time: float
    start_time: float | None
    end_time: float | None
    update_time: float
    last_sequence: int
    """The sequence of the latest event."""
    oldest_sequence: int
    """The oldest event that is kept."""
    run_seconds: float
    """How long earlier attempts ran, together."""
    attempt_time: float | None
    """When the present attempt began."""
    report: str = ""
    """SUCCEEDED: the id of the report, else empty."""
    traceparent: str | None = None
    """Where in a trace it was asked for (`server.tracing`); None for one from before there were traces."""


@dataclass(frozen=True)
class TakenJob:
    """A job that was taken from its worker."""

    job: JobRecord
    """As it was."""
    state: JobState
    """As it is now."""


@dataclass(frozen=True)
class EventRecord:
    """One entry of a job's history; `sequence` grows by one within a job.

    `payload` by `kind`: ``state`` {state, message}, ``phase`` {phase},
    ``progress`` as `JobRecord.progress`, ``warning`` a `Finding` as JSON.
    """

    job: str
    sequence: int
    time: float
    attempt: int
    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class JobOutlook:
    """What waits ahead of a job: both None where there is nothing to say."""

    queue_position: int | None
    eta_s: float | None


@dataclass(frozen=True)
class DatasetRecord:
    """Tables handed in, or the tombstone that is left of them (`delete_time` is set)."""

    id: str
    tenant: str
    principal: str
    display_name: str
    labels: Mapping[str, str]
    schema: Schema
    findings: tuple[Finding, ...]
    row_counts: Mapping[str, int]
    size_bytes: int
    digest: bytes
    create_time: float
    expire_time: float
    delete_after_training: bool
    delete_time: float | None
    blob_prefix: str
    """Where the canonical tables are."""
    lineage_key: str
    """Where the keyed patient hashes are; empty without a subject key. They outlive the tables."""


@dataclass(frozen=True)
class ModelRecord:
    """A published generator. `job` and `dataset` are empty for an import."""

    id: str
    tenant: str
    principal: str
    display_name: str
    labels: Mapping[str, str]
    schema: Schema
    trainer: str
    parameters: Mapping[str, Any]
    job: str
    dataset: str
    content_digest: bytes
    bundle_digest: bytes
    size_bytes: int
    program: str
    unit: str
    verified: bool
    privacy: Mapping[str, Any]
    findings: tuple[Finding, ...]
    create_time: float
    blob_key: str
    abilities: Mapping[str, Any] | None = None
    """What may be asked of it, see `server.abilities`; None where it was published before that was noted."""


@dataclass(frozen=True)
class ReportRecord:
    """An evaluation. Its files are blobs; what the gate needs to decide again stays here."""

    id: str
    tenant: str
    principal: str
    model: str
    """Empty for rows made elsewhere."""
    synthetic_dataset: str
    dataset: str
    holdout_dataset: str
    job: str
    display_name: str
    labels: Mapping[str, str]
    overview: Mapping[str, Any]
    """`Report` in JSON without definitions, metrics, figures and what this record says otherwise."""
    evidence: Mapping[str, Any]
    """`evaluators.gate.Evidence` as JSON."""
    json_key: str
    """The blob of `Report` as JSON."""
    html_key: str
    create_time: float
    size_bytes: int | None = None
    """Of both blobs; None where it was published before that was noted."""


@dataclass(frozen=True)
class WorkerRecord:
    """A process that runs jobs on one slot."""

    id: str
    slot: str
    kind: str
    host: str
    start_time: float
    seen_time: float


RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class Page(Generic[RecordT]):
    """A stretch of a list, newest first; `next` continues it, None ends it."""

    items: tuple[RecordT, ...]
    next: int | None


class LeaseLost(Exception):
    """The job is no longer this worker's: the attempt must stop and may publish nothing."""
