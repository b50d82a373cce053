"""From a claimed job to what its child needs to know, and from what the child made to what is published."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kohort.schema import Finding, Schema
from server.blobs import BlobStore
from server.checkpointing import Checkpoints
from server.layout import DataDir
from server.lineage import load_key, split_salt
from server.protocol import REPORT_HTML, REPORT_JSON, ChildSpec
from server.records import JobKind, JobRecord, ModelRecord, ReportRecord, SubjectSpec
from server.store import Store

if TYPE_CHECKING:
    from server.worker import WorkerConfig

EVALUATION_ENTRY = "server.run_evaluation:run_evaluation"
_EPOCHS = 1000
"""Epochs whose losses go into a report, at most: the last ones."""


def child_spec(
    config: WorkerConfig,
    store: Store,
    blobs: BlobStore,
    folders: DataDir,
    checkpoints: Checkpoints,
    job: JobRecord,
    fit_until: float,
    run_until: float,
) -> ChildSpec:
    """What the child of this attempt is to do.

    Raises:
        BlobMissingError: bytes that it needs are gone.
        Problem: a record that it needs is gone, or the store does not answer.
        OSError: the disk cannot be written.
    """
    scratch = folders.open_scratch(job.id, job.attempt)
    spec, subject = job.spec, job.spec.subject or SubjectSpec()

    def tables(dataset: str, name: str) -> str:
        record = store.datasets.get(job.tenant, dataset)
        return str(blobs.materialise(record.blob_prefix, scratch / name))

    dataset = store.datasets.get(job.tenant, spec.dataset)
    training = spec.kind is JobKind.TRAIN
    more: dict[str, Any] = {}
    called = spec.display_name
    if subject.model:
        model = store.models.get(job.tenant, subject.model)
        called = called or model.display_name
        prefix, _, bundle = model.blob_key.rpartition("/")
        more["model_bundle"] = str(blobs.materialise(prefix, scratch / "model") / bundle)
        more["losses"] = _losses(store, job.tenant, model.job)
    if subject.synthetic_dataset:
        more["synthetic_folder"] = tables(subject.synthetic_dataset, "synthetic")
    if subject.holdout_dataset:
        more["holdout_folder"] = tables(subject.holdout_dataset, "holdout")
    model_id = uuid.uuid4().hex if training else ""
    return ChildSpec(
        parent=os.getpid(),
        entry=config.entry if training else EVALUATION_ENTRY,
        slot=config.slot,
        # A child sees its own GPU alone, under number 0.
        device="cuda:0" if config.slot.startswith("cuda") else "cpu",
        lock_folder=str(folders.slots),
        job=job.id,
        attempt=job.attempt,
        model=model_id,
        tenant=job.tenant,
        dataset=spec.dataset,
        dataset_digest=dataset.digest.hex(),
        split_salt=split_salt(load_key(folders.patient_key), dataset.digest).hex(),
        dataset_folder=str(blobs.materialise(dataset.blob_prefix, scratch / "dataset")),
        bundle=str(scratch / "bundle.kohort"),
        checkpoints=str(checkpoints.open(job.id, job.attempt)),
        trainer=spec.trainer,
        parameters=dict(spec.parameters),
        schema=spec.schema.to_json(),
        seed=spec.seed,
        options=asdict(spec.options),
        fit_until=fit_until,
        run_until=run_until,
        signing_key_file=config.signing_key_file,
        alive_s=min(config.heartbeat_s, config.silence_s / 4),
        threads=config.threads,
        evaluation=asdict(spec.evaluation),
        alerts=[asdict(alert) for alert in spec.alerts],
        policy=store.releases.policy(job.tenant).policy.to_json(),
        report=uuid.uuid4().hex,
        report_folder=str(scratch / "report"),
        about=_about(job, model_id) | {"display_name": called},
        findings=[finding.to_json() for finding in dataset.findings],
        **more,
    )


def _about(job: JobRecord, model: str) -> dict[str, Any]:
    """What the report says of itself; names as the contract writes them."""
    spec, subject = job.spec, job.spec.subject or SubjectSpec()
    named = {
        "model": ("models", subject.model or model),
        "synthetic_dataset": ("datasets", subject.synthetic_dataset),
        "dataset": ("datasets", spec.dataset),
        "holdout_dataset": ("datasets", subject.holdout_dataset),
        "job": ("jobs", job.id),
    }
    about: dict[str, Any] = {key: f"{kind}/{name}" for key, (kind, name) in named.items() if name}
    return about | {"labels": dict(spec.labels)}


def _losses(store: Store, tenant: str, job: str) -> list[dict[str, float]]:
    """Per epoch the step and losses of a training, as far as its events are kept."""
    if not job:
        return []
    found: dict[int, dict[str, float]] = {}
    after, phase = 0, ""
    while events := store.jobs.events(tenant, job, after):
        after = events[-1].sequence
        for event in events:
            if event.kind == "phase":
                phase = event.payload["phase"]
            elif event.kind == "progress" and phase not in ("evaluating", ""):
                step = int(event.payload["step"])
                found[step] = {"step": step, **event.payload["losses"]}
    return [found[step] for step in sorted(found)][-_EPOCHS:]


def model_record(job: JobRecord, spec: ChildSpec, key: str, result: Mapping[str, Any]) -> ModelRecord:
    """The model that a training made."""
    return ModelRecord(
        id=spec.model,
        tenant=job.tenant,
        principal=job.principal,
        display_name=job.spec.display_name,
        labels=job.spec.labels,
        schema=Schema.from_json(result["schema"]),
        trainer=result["trainer"],
        parameters=result["parameters"],
        job=job.id,
        dataset=job.spec.dataset,
        content_digest=bytes.fromhex(result["content_digest"]),
        bundle_digest=bytes.fromhex(result["bundle_digest"]),
        size_bytes=result["size_bytes"],
        program=result["program"],
        unit=result["unit"],
        verified=result["verified"],
        privacy=result["privacy"],
        findings=tuple(Finding(**f) for f in result["findings"]),
        create_time=0.0,
        blob_key=key,
        abilities=result["abilities"],
    )


def report_record(
    job: JobRecord, spec: ChildSpec, keys: Mapping[str, str], report: Mapping[str, Any]
) -> ReportRecord:
    """The report that an evaluation made; `keys`: its blobs by file."""
    subject = job.spec.subject or SubjectSpec()
    return ReportRecord(
        id=spec.report,
        tenant=job.tenant,
        principal=job.principal,
        model=subject.model or spec.model,
        synthetic_dataset=subject.synthetic_dataset,
        dataset=job.spec.dataset,
        holdout_dataset=subject.holdout_dataset,
        job=job.id,
        display_name=job.spec.display_name,
        labels=job.spec.labels,
        overview=report["overview"],
        evidence=report["evidence"],
        json_key=keys[REPORT_JSON],
        html_key=keys[REPORT_HTML],
        create_time=0.0,
        size_bytes=sum((Path(spec.report_folder) / name).stat().st_size for name in keys),
    )
