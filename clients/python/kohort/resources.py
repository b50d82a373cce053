"""What the server keeps and says, as plain values: jobs and their events, datasets, models, capabilities.

Field names are those of the contract, which documents them; absent values are
None, times are in UTC, lengths of time in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from kohort.release import Release, ReleaseState
from kohort.schema import Finding, Kind, Schema


class JobState(StrEnum):
    """Where a job stands (`JobState` of the contract)."""

    UNSPECIFIED = "unspecified"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class JobKind(StrEnum):
    """What a job does (`JobKind` of the contract)."""

    UNSPECIFIED = "unspecified"
    TRAIN = "train"
    EVALUATE = "evaluate"


@dataclass(frozen=True)
class Progress:
    """How far fitting is: `step` of `total_steps` (0 when unknown), the last losses by name."""

    step: int
    total_steps: int
    losses: Mapping[str, float]
    rows_per_second: float
    eta: float | None
    gradient_norm: float = 0.0
    """Of the last epoch, on average over its steps; 0 where the trainer has none."""


@dataclass(frozen=True)
class JobFailure:
    """Why a job failed."""

    reason: str
    message: str
    column: str


@dataclass(frozen=True)
class JobInfo:
    """A job at one moment (`Job` of the contract)."""

    name: str
    display_name: str
    labels: Mapping[str, str]
    state: JobState
    phase: str
    attempt: int
    dataset: str
    trainer: str
    parameters: Mapping[str, Any]
    schema: Schema
    seed: int
    progress: Progress | None
    queue_position: int | None
    eta: float | None
    error: JobFailure | None
    model: str
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    update_time: datetime | None
    device: str
    max_runtime: float | None
    kind: JobKind = JobKind.TRAIN
    report: str = ""
    """"reports/{id}" where the model, or what else, was evaluated."""


@dataclass(frozen=True)
class StateChanged:
    """The state changed."""

    state: JobState
    message: str


@dataclass(frozen=True)
class PhaseStarted:
    """A step of a running job began."""

    phase: str


@dataclass(frozen=True)
class JobEvent:
    """One entry of a job's history; `detail` is None for a kind that this SDK does not know yet."""

    sequence: int
    time: datetime | None
    attempt: int
    detail: StateChanged | PhaseStarted | Progress | Finding | None


@dataclass(frozen=True)
class DatasetInfo:
    """Tables handed in (`Dataset` of the contract)."""

    name: str
    display_name: str
    labels: Mapping[str, str]
    schema: Schema
    findings: tuple[Finding, ...]
    row_counts: Mapping[str, int]
    size_bytes: int
    digest: str
    create_time: datetime | None
    expire_time: datetime | None
    delete_after_training: bool
    delete_time: datetime | None


@dataclass(frozen=True)
class Inferred:
    """The schema that training would use, and what a person should look at first."""

    schema: Schema
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Privacy:
    """What is promised about the patients behind a model (`PrivacyStatement`)."""

    differentially_private: bool
    epsilon: float | None
    delta: float | None
    min_patients_per_value: int
    statement: str


@dataclass(frozen=True)
class Abilities:
    """What a sample may ask of a model (`ModelAbilities`)."""

    conditions: Mapping[str, str]
    """"native" or "rejection" by operator; an operator that is not here is refused."""
    imputation: bool
    rebalancing: bool
    temperature: bool
    training_rows: int
    """What `augmentation_factor` multiplies; 0 where the bundle does not say."""
    training_patients: int
    """0 where the bundle does not say."""


@dataclass(frozen=True)
class ModelInfo:
    """A published generator (`Model` of the contract); digests in hexadecimal."""

    name: str
    display_name: str
    labels: Mapping[str, str]
    schema: Schema
    trainer: str
    parameters: Mapping[str, Any]
    job: str
    dataset: str
    content_digest: str
    bundle_digest: str
    size_bytes: int
    program: str
    unit: str
    verified: bool
    privacy: Privacy
    findings: tuple[Finding, ...]
    create_time: datetime | None
    abilities: Abilities | None = None
    """None from a server that does not say."""
    release: Release | None = None
    """Whether its rows may leave, when it was read; None from a server that does not say."""


@dataclass(frozen=True)
class Provenance:
    """Where rows come from: true of every sample, and written beside every file of one."""

    model: str
    content_digest: str
    seed: int
    start_unit: int
    unit_count: int
    runtime_fingerprint: str
    privacy: Privacy
    synthetic: bool = True
    release_state: ReleaseState = ReleaseState.UNSPECIFIED
    """What the release policy said of the model; UNSPECIFIED of a bundle that no server was asked about."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a trainer (`ParameterInfo`)."""

    name: str
    type: str
    description: str
    default: Any
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]


@dataclass(frozen=True)
class TrainerInfo:
    """An algorithm of the server (`TrainerInfo`)."""

    name: str
    display_name: str
    description: str
    reference: str
    parameters: tuple[Parameter, ...]
    kinds: tuple[Kind, ...]
    conditions: Mapping[str, str]
    imputation: bool
    rebalancing: bool
    temperature: bool
    differential_privacy: bool
    gpu: bool
    resumable: bool
    licence_note: str


@dataclass(frozen=True)
class Limits:
    """What the server refuses beyond (`Limits`)."""

    max_message_bytes: int
    max_upload_bytes: int
    max_rows: int
    max_columns: int
    max_units: int
    max_queued_jobs: int
    max_jobs_per_principal: int
    max_bundle_bytes: int


@dataclass(frozen=True)
class Device:
    """A slot that runs one job at a time."""

    name: str
    kind: str
    available: bool


@dataclass(frozen=True)
class Capabilities:
    """What the server can do (`GetCapabilitiesResponse`)."""

    api_version: str
    server_version: str
    trainers: tuple[TrainerInfo, ...]
    default_trainer: str
    limits: Limits
    upload_formats: tuple[str, ...]
    sample_formats: tuple[str, ...]
    devices: tuple[Device, ...]
    programs: tuple[str, ...]
    multi_table: bool
    tenant: str
    roles: tuple[str, ...]
    signing_key: str
    """In base64: give it to `kohort.load(trusted_keys=...)` to check this server's bundles."""


def to_json(value: Any) -> Any:
    """Any of the values above as a JSON value."""
    if isinstance(value, Schema):
        return value.to_json()
    if is_dataclass(value):
        found = {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__, **found} if isinstance(value, _TAGGED) else found
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such numbers
    if isinstance(value, Mapping):
        return {k: to_json(v) for k, v in value.items()}
    return [to_json(v) for v in value] if isinstance(value, tuple | list) else value


_TAGGED = (StateChanged, PhaseStarted, Progress, Finding)
