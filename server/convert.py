"""Stored records as messages of the contract. Schemas and rows are the work of `kohort.wire`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from kohort import wire
from kohort.schema import Finding
from kohort.v1 import capabilities_pb2, dataset_pb2, sampling_pb2, training_pb2
from server import policies
from server.records import DatasetRecord, EventRecord, JobOutlook, JobRecord, ModelRecord
from server.store.releases import Standing
from trainers.base import Parameter, TrainerInfo


def dataset(record: DatasetRecord) -> dataset_pb2.Dataset:
    """A dataset or its tombstone."""
    message = dataset_pb2.Dataset(
        name=f"datasets/{record.id}",
        display_name=record.display_name,
        labels=dict(record.labels),
        schema=wire.schema_to_proto(record.schema),
        findings=map(wire.finding_to_proto, record.findings),
        row_counts=dict(record.row_counts),
        size_bytes=record.size_bytes,
        digest=record.digest,
        create_time=wire.timestamp_to_proto(record.create_time),
        expire_time=wire.timestamp_to_proto(record.expire_time),
        delete_after_training=record.delete_after_training,
    )
    if record.delete_time is not None:
        message.delete_time.CopyFrom(wire.timestamp_to_proto(record.delete_time))
    return message


def job(record: JobRecord, outlook: JobOutlook) -> training_pb2.Job:
    """A job as it is now."""
    spec = record.spec
    message = training_pb2.Job(
        name=f"jobs/{record.id}",
        display_name=spec.display_name,
        labels=dict(spec.labels),
        state=training_pb2.JobState.Value(f"JOB_STATE_{record.state}"),
        phase=record.phase,
        attempt=record.attempt,
        dataset=f"datasets/{spec.dataset}",
        trainer=spec.trainer,
        parameters=wire.struct_to_proto(spec.parameters),
        schema=wire.schema_to_proto(spec.schema),
        seed=spec.seed,
        queue_position=outlook.queue_position,
        model=f"models/{record.model}" if record.model else "",
        create_time=wire.timestamp_to_proto(record.create_time),
        update_time=wire.timestamp_to_proto(record.update_time),
        device=record.device,
        max_runtime=wire.duration_to_proto(spec.max_runtime_s),
        kind=training_pb2.JobKind.Value(f"JOB_KIND_{spec.kind}"),
        report=f"reports/{record.report}" if record.report else "",
    )
    if record.progress is not None:
        message.progress.CopyFrom(progress(record.progress))
    if outlook.eta_s is not None:
        message.eta.CopyFrom(wire.duration_to_proto(outlook.eta_s))
    if record.error is not None:
        message.error.CopyFrom(
            training_pb2.JobError(
                reason=record.error.get("reason", ""),
                message=record.error.get("message", ""),
                column=record.error.get("column", ""),
            )
        )
    if record.start_time is not None:
        message.start_time.CopyFrom(wire.timestamp_to_proto(record.start_time))
    if record.end_time is not None:
        message.end_time.CopyFrom(wire.timestamp_to_proto(record.end_time))
    return message


def progress(payload: Mapping[str, Any]) -> training_pb2.Progress:
    """How far fitting is."""
    message = training_pb2.Progress(
        step=payload.get("step", 0),
        total_steps=payload.get("total_steps", 0),
        losses=payload.get("losses") or {},
        rows_per_second=payload.get("rows_per_second") or 0.0,
        gradient_norm=payload.get("gradient_norm") or 0.0,
    )
    if payload.get("eta_s") is not None:
        message.eta.CopyFrom(wire.duration_to_proto(payload["eta_s"]))
    return message


def event(record: EventRecord) -> training_pb2.JobEvent:
    """One entry of a job's history."""
    message = training_pb2.JobEvent(
        sequence=record.sequence, time=wire.timestamp_to_proto(record.time), attempt=record.attempt
    )
    payload = record.payload
    match record.kind:
        case "state":
            message.state_changed.CopyFrom(
                training_pb2.StateChanged(
                    state=training_pb2.JobState.Value(f"JOB_STATE_{payload['state']}"),
                    message=payload.get("message", ""),
                )
            )
        case "phase":
            message.phase_started.CopyFrom(training_pb2.PhaseStarted(phase=payload["phase"]))
        case "progress":
            message.progress.CopyFrom(progress(payload))
        case "warning":
            message.warning.CopyFrom(wire.finding_to_proto(Finding(**payload)))
    return message


def model(record: ModelRecord, standing: Standing) -> sampling_pb2.Model:
    """A published generator, and what its release is decided by."""
    return sampling_pb2.Model(
        name=f"models/{record.id}",
        display_name=record.display_name,
        labels=dict(record.labels),
        schema=wire.schema_to_proto(record.schema),
        trainer=record.trainer,
        parameters=wire.struct_to_proto(record.parameters),
        job=f"jobs/{record.job}" if record.job else "",
        dataset=f"datasets/{record.dataset}" if record.dataset else "",
        content_digest=record.content_digest,
        bundle_digest=record.bundle_digest,
        size_bytes=record.size_bytes,
        program=record.program,
        unit=record.unit,
        verified=record.verified,
        privacy=privacy(record.privacy),
        findings=map(wire.finding_to_proto, record.findings),
        create_time=wire.timestamp_to_proto(record.create_time),
        abilities=None if record.abilities is None else abilities(record.abilities),
        release=policies.release(standing),
    )


def abilities(noted: Mapping[str, Any]) -> sampling_pb2.ModelAbilities:
    """What may be asked of a model, see `server.abilities`."""
    conditions = noted["conditions"].items()
    return sampling_pb2.ModelAbilities(
        native_conditions=[operator for operator, how in conditions if how == "native"],
        rejection_conditions=[operator for operator, how in conditions if how == "rejection"],
        **{name: noted[name] for name in noted if name != "conditions"},
    )


def privacy(statement: Mapping[str, Any]) -> sampling_pb2.PrivacyStatement:
    """What a bundle's manifest promises about privacy."""
    return sampling_pb2.PrivacyStatement(
        differentially_private=bool(statement.get("differentially_private", False)),
        epsilon=statement.get("epsilon"),
        delta=statement.get("delta"),
        min_patients_per_value=int(statement.get("min_patients_per_value") or 0),
        statement=str(statement.get("statement", "")),
    )


def trainer(info: TrainerInfo) -> capabilities_pb2.TrainerInfo:
    """What a trainer declares."""
    return capabilities_pb2.TrainerInfo(
        name=info.name,
        display_name=info.display_name,
        description=info.description,
        reference=info.reference,
        parameters=map(parameter, info.parameters),
        kinds=sorted(wire.KINDS.to(kind) for kind in info.kinds),
        conditions={
            operator: capabilities_pb2.ConditionSupport.Value(f"CONDITION_SUPPORT_{support.name}")
            for operator, support in info.conditions.items()
        },
        imputation=info.imputation,
        rebalancing=info.rebalancing,
        temperature=info.temperature,
        differential_privacy=info.differential_privacy,
        gpu=info.gpu,
        resumable=info.resumable,
        licence_note=info.licence_note,
    )


def parameter(declared: Parameter) -> capabilities_pb2.ParameterInfo:
    """One parameter of a trainer."""
    default = struct_pb2.Struct()
    value = declared.default
    default.update({"value": list(value) if isinstance(value, tuple) else value})
    return capabilities_pb2.ParameterInfo(
        name=declared.name,
        type=capabilities_pb2.ParameterType.Value(f"PARAMETER_TYPE_{declared.type.name}"),
        description=declared.description,
        default_value=default.fields["value"],
        minimum=declared.minimum,
        maximum=declared.maximum,
        choices=declared.choices,
    )
