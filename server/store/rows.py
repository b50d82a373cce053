"""Rows of the database to records and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from kohort.schema import Finding, Schema, SchemaOverrides
from server.records import (
    Alert,
    AlertAction,
    DatasetRecord,
    EvaluationSpec,
    EventRecord,
    JobKind,
    JobOptions,
    JobRecord,
    JobSpec,
    JobState,
    ModelRecord,
    ReportRecord,
    SubjectSpec,
)

Row = sa.RowMapping


def spec_to_json(spec: JobSpec) -> dict[str, Any]:
    """What the `spec` column of a job holds."""
    return {
        "parameters": dict(spec.parameters),
        "schema": spec.schema.to_json(),
        "overrides": spec.overrides.to_json(),
        "seed": spec.seed,
        "options": asdict(spec.options),
        "display_name": spec.display_name,
        "labels": dict(spec.labels),
        "kind": spec.kind.value,
        "evaluation": asdict(spec.evaluation),
        "alerts": [asdict(alert) for alert in spec.alerts],
        "subject": None if spec.subject is None else asdict(spec.subject),
    }


def _spec(row: Row) -> JobSpec:
    value = row["spec"]
    return JobSpec(
        dataset=row["dataset"],
        trainer=row["trainer"],
        parameters=value["parameters"],
        schema=Schema.from_json(value["schema"]),
        overrides=SchemaOverrides.from_json(value["overrides"]),
        seed=value["seed"],
        options=JobOptions(**value["options"]),
        device_filter=row["device_filter"],
        max_runtime_s=row["max_runtime_s"],
        display_name=value["display_name"],
        labels=value["labels"],
        # Jobs from before there were evaluations have none of these.
        kind=JobKind(value.get("kind", JobKind.TRAIN)),
        evaluation=_evaluation(value.get("evaluation", {})),
        alerts=tuple(Alert(**a | {"action": AlertAction(a["action"])}) for a in value.get("alerts", ())),
        subject=SubjectSpec(**value["subject"]) if value.get("subject") else None,
    )


def _evaluation(value: dict[str, Any]) -> EvaluationSpec:
    known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return EvaluationSpec(**known)


def job(row: Row) -> JobRecord:
    """A job."""
    same = (
        "id", "tenant", "principal", "phase", "attempt", "device", "progress", "error", "model",
        "report", "create_time", "start_time", "end_time", "update_time", "last_sequence", "oldest_sequence",
        "run_seconds", "attempt_time", "traceparent",
    )  # fmt: skip
    return JobRecord(spec=_spec(row), state=JobState(row["state"]), **{name: row[name] for name in same})


def event(row: Row) -> EventRecord:
    """An event."""
    return EventRecord(row["job"], row["sequence"], row["time"], row["attempt"], row["kind"], row["payload"])


def findings_to_json(findings: tuple[Finding, ...]) -> list[dict[str, str]]:
    """What a `findings` column holds."""
    return [finding.to_json() for finding in findings]


def dataset(row: Row) -> DatasetRecord:
    """A dataset."""
    same = (
        "id", "tenant", "principal", "display_name", "labels", "row_counts", "size_bytes", "create_time",
        "expire_time", "delete_after_training", "delete_time", "blob_prefix", "lineage_key",
    )  # fmt: skip
    return DatasetRecord(
        schema=Schema.from_json(row["schema"]),
        findings=tuple(Finding(**f) for f in row["findings"]),
        digest=bytes(row["digest"]),
        **{name: row[name] for name in same},
    )


def model(row: Row) -> ModelRecord:
    """A model."""
    same = (
        "id", "tenant", "principal", "display_name", "labels", "trainer", "parameters", "job", "dataset",
        "size_bytes", "program", "unit", "verified", "privacy", "create_time", "blob_key",
        "abilities",
    )  # fmt: skip
    return ModelRecord(
        schema=Schema.from_json(row["schema"]),
        findings=tuple(Finding(**f) for f in row["findings"]),
        content_digest=bytes(row["content_digest"]),
        bundle_digest=bytes(row["bundle_digest"]),
        **{name: row[name] for name in same},
    )


def report(row: Row) -> ReportRecord:
    """A report."""
    same = (
        "id", "tenant", "principal", "model", "synthetic_dataset", "dataset", "holdout_dataset", "job",
        "display_name", "labels", "overview", "evidence", "json_key", "html_key", "create_time", "size_bytes",
    )  # fmt: skip
    return ReportRecord(**{name: row[name] for name in same})
