"""Messages of the contract → the plain values of `kohort.resources`."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from typing import Any

from kohort import evaluationwire, wire
from kohort import resources as r
from kohort.v1 import capabilities_pb2, dataset_pb2, sampling_pb2, training_pb2

_KINDS = wire.EnumMap(r.JobKind, training_pb2.JobKind, "JOB_KIND_")


def job(message: training_pb2.Job) -> r.JobInfo:
    """A job."""
    return r.JobInfo(
        name=message.name,
        display_name=message.display_name,
        labels=dict(message.labels),
        state=job_state(message.state),
        phase=message.phase,
        attempt=message.attempt,
        dataset=message.dataset,
        trainer=message.trainer,
        parameters=wire.struct_from_proto(message.parameters),
        schema=wire.schema_from_proto(message.schema),
        seed=message.seed,
        progress=progress(message.progress) if message.HasField("progress") else None,
        queue_position=message.queue_position if message.HasField("queue_position") else None,
        eta=_seconds(message, "eta"),
        error=_failure(message.error) if message.HasField("error") else None,
        model=message.model,
        create_time=_time(message, "create_time"),
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        update_time=_time(message, "update_time"),
        device=message.device,
        max_runtime=_seconds(message, "max_runtime"),
        kind=_KINDS.read(message.kind),
        report=message.report,
    )


def job_state(number: int) -> r.JobState:
    """A state; one that is not known counts as unspecified."""
    try:
        name = training_pb2.JobState.Name(number)  # type: ignore[arg-type]
    except ValueError:
        return r.JobState.UNSPECIFIED
    return r.JobState(name.removeprefix("JOB_STATE_").lower())


def job_state_number(state: r.JobState) -> Any:
    """The number of a state."""
    return training_pb2.JobState.Value(f"JOB_STATE_{state.name}")


def progress(message: training_pb2.Progress) -> r.Progress:
    """Progress."""
    return r.Progress(
        step=message.step,
        total_steps=message.total_steps,
        losses=dict(message.losses),
        rows_per_second=message.rows_per_second,
        eta=_seconds(message, "eta"),
        gradient_norm=message.gradient_norm,
    )


def event(message: training_pb2.JobEvent) -> r.JobEvent:
    """An event."""
    detail: Any = None
    match message.WhichOneof("detail"):
        case "state_changed":
            changed = message.state_changed
            detail = r.StateChanged(job_state(changed.state), changed.message)
        case "phase_started":
            detail = r.PhaseStarted(message.phase_started.phase)
        case "progress":
            detail = progress(message.progress)
        case "warning":
            detail = wire.finding_from_proto(message.warning)
    return r.JobEvent(message.sequence, _time(message, "time"), message.attempt, detail)


def dataset(message: dataset_pb2.Dataset) -> r.DatasetInfo:
    """A dataset."""
    return r.DatasetInfo(
        name=message.name,
        display_name=message.display_name,
        labels=dict(message.labels),
        schema=wire.schema_from_proto(message.schema),
        findings=tuple(wire.finding_from_proto(f) for f in message.findings),
        row_counts=dict(message.row_counts),
        size_bytes=message.size_bytes,
        digest=message.digest.hex(),
        create_time=_time(message, "create_time"),
        expire_time=_time(message, "expire_time"),
        delete_after_training=message.delete_after_training,
        delete_time=_time(message, "delete_time"),
    )


def model(message: sampling_pb2.Model) -> r.ModelInfo:
    """A model."""
    return r.ModelInfo(
        name=message.name,
        display_name=message.display_name,
        labels=dict(message.labels),
        schema=wire.schema_from_proto(message.schema),
        trainer=message.trainer,
        parameters=wire.struct_from_proto(message.parameters),
        job=message.job,
        dataset=message.dataset,
        content_digest=message.content_digest.hex(),
        bundle_digest=message.bundle_digest.hex(),
        size_bytes=message.size_bytes,
        program=message.program,
        unit=message.unit,
        verified=message.verified,
        privacy=privacy(message.privacy),
        findings=tuple(wire.finding_from_proto(f) for f in message.findings),
        create_time=_time(message, "create_time"),
        abilities=abilities(message.abilities) if message.HasField("abilities") else None,
        release=evaluationwire.release_from_proto(message.release) if message.HasField("release") else None,
    )


def abilities(message: sampling_pb2.ModelAbilities) -> r.Abilities:
    """What a model can do."""
    native = dict.fromkeys(message.native_conditions, "native")
    return r.Abilities(
        conditions=native | dict.fromkeys(message.rejection_conditions, "rejection"),
        imputation=message.imputation,
        rebalancing=message.rebalancing,
        temperature=message.temperature,
        training_rows=message.training_rows,
        training_patients=message.training_patients,
    )


def privacy(message: sampling_pb2.PrivacyStatement) -> r.Privacy:
    """A privacy statement."""
    return r.Privacy(
        differentially_private=message.differentially_private,
        epsilon=message.epsilon if message.HasField("epsilon") else None,
        delta=message.delta if message.HasField("delta") else None,
        min_patients_per_value=message.min_patients_per_value,
        statement=message.statement,
    )


def provenance(message: sampling_pb2.SampleHeader) -> r.Provenance:
    """Where a sample comes from."""
    return r.Provenance(
        model=message.model,
        content_digest=message.content_digest.hex(),
        seed=message.seed,
        start_unit=message.start_unit,
        unit_count=message.unit_count,
        runtime_fingerprint=message.runtime_fingerprint,
        privacy=privacy(message.privacy),
        synthetic=message.synthetic,
        release_state=evaluationwire.STATES.read(message.release_state),
    )


def capabilities(message: capabilities_pb2.GetCapabilitiesResponse) -> r.Capabilities:
    """Capabilities."""
    limits = {f.name: getattr(message.limits, f.name) for f in message.limits.DESCRIPTOR.fields}
    return r.Capabilities(
        api_version=message.api_version,
        server_version=message.server_version,
        trainers=tuple(_trainer(t) for t in message.trainers),
        default_trainer=message.default_trainer,
        limits=r.Limits(**{k: v for k, v in limits.items() if k in r.Limits.__dataclass_fields__}),
        upload_formats=tuple(
            _enum_name(dataset_pb2.UploadFormat, f, "UPLOAD_FORMAT_") for f in message.upload_formats
        ),
        sample_formats=tuple(
            _enum_name(sampling_pb2.SampleFormat, f, "SAMPLE_FORMAT_") for f in message.sample_formats
        ),
        devices=tuple(r.Device(d.name, d.kind, d.available) for d in message.devices),
        programs=tuple(message.programs),
        multi_table=message.multi_table,
        tenant=message.caller.tenant,
        roles=tuple(message.caller.roles),
        signing_key=b64encode(message.signing_key).decode(),
    )


def _trainer(message: capabilities_pb2.TrainerInfo) -> r.TrainerInfo:
    return r.TrainerInfo(
        name=message.name,
        display_name=message.display_name,
        description=message.description,
        reference=message.reference,
        parameters=tuple(_parameter(p) for p in message.parameters),
        kinds=tuple(wire.KINDS.read(k) for k in message.kinds),
        conditions={
            operator: _enum_name(capabilities_pb2.ConditionSupport, support, "CONDITION_SUPPORT_")
            for operator, support in message.conditions.items()
        },
        imputation=message.imputation,
        rebalancing=message.rebalancing,
        temperature=message.temperature,
        differential_privacy=message.differential_privacy,
        gpu=message.gpu,
        resumable=message.resumable,
        licence_note=message.licence_note,
    )


def _parameter(message: capabilities_pb2.ParameterInfo) -> r.Parameter:
    return r.Parameter(
        name=message.name,
        type=_enum_name(capabilities_pb2.ParameterType, message.type, "PARAMETER_TYPE_"),
        description=message.description,
        default=wire.value_from_proto(message.default_value),
        minimum=message.minimum if message.HasField("minimum") else None,
        maximum=message.maximum if message.HasField("maximum") else None,
        choices=tuple(message.choices),
    )


def _failure(message: training_pb2.JobError) -> r.JobFailure:
    return r.JobFailure(message.reason, message.message, message.column)


def _enum_name(enum: Any, number: int, prefix: str) -> str:
    try:
        name: str = enum.Name(number)
    except ValueError:
        return "unspecified"
    return name.removeprefix(prefix).lower()


def _time(message: Any, field: str) -> datetime | None:
    return wire.timestamp_from_proto(getattr(message, field)) if message.HasField(field) else None


def _seconds(message: Any, field: str) -> float | None:
    return wire.duration_from_proto(getattr(message, field)) if message.HasField(field) else None
