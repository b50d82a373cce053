"""The real work of a child: a real table becomes a bundle that can be sampled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kohort.bundle import read_bundle
from kohort.programs import SampleSpec
from kohort.schema import Handling, SchemaOverrides
from server.blobs import dataset_prefix, put_tree
from server.parsing import Bounds, Upload, infer_schema, parse_upload
from server.records import JobOptions, JobRecord, JobState
from server.worker import WorkerConfig
from tests.core.support import ADA, add_dataset, spec_for
from tests.core.workers import Bench
from trainers.registry import trainer

HEART = Path(__file__).parents[1] / "data" / "heart.csv"
ENTRY = WorkerConfig.__dataclass_fields__["entry"].default


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOHORT_TRAINERS", "slow=tests.core.slow_trainer:SlowTrainer")


def submit(bench: Bench, name: str, *, min_patients: int = 5, **parameters: Any) -> JobRecord:
    """A job on the heart table."""
    folder = bench.folders.root / "parsed"
    parsed = parse_upload(Upload("csv", {"heart": HEART}, folder), Bounds())
    prefix = dataset_prefix("north", "heart")
    put_tree(bench.blobs, prefix, folder)
    dataset = add_dataset(bench.store, schema=parsed.schema, digest=parsed.digest, blob_prefix=prefix)
    schema = infer_schema(folder, SchemaOverrides(), min_patients, Bounds(), trainable=True).schema
    columns = tuple(
        replace(c, handling=Handling.DROP) if c.name == "thal" else c for c in schema.tables[0].columns
    )
    schema = replace(schema, tables=(schema.tables[0].with_columns(columns),))
    spec = spec_for(
        dataset,
        trainer=name,
        parameters=trainer(name).info.resolve(parameters),
        schema=schema,
        options=JobOptions(min_patients=min_patients),
        display_name="Heart",
        labels={"a": "b"},
    )
    return bench.store.jobs.create(ADA, spec)[0]


def test_a_table_becomes_a_model(bench: Bench) -> None:
    job = submit(bench, "copula")
    bench.worker(entry=ENTRY)
    done = bench.ended(job)
    assert done.state is JobState.SUCCEEDED, (done.error, bench.said())
    model = bench.store.models.get("north", done.model)
    with bench.blobs.open(model.blob_key) as file:
        bundle = read_bundle(file.read())
    assert bundle.manifest.content_digest == model.content_digest
    assert (model.display_name, model.labels, model.trainer) == ("Heart", {"a": "b"}, "copula")
    assert "thal" in [c.name for c in bundle.manifest.schema.tables[0].columns]
    assert "thal" not in [c.name for c in model.schema.tables[0].columns], "what its samples look like"
    lineage = bundle.manifest.lineage
    assert (lineage["job"], lineage["attempt"], lineage["dataset"]) == (job.id, 1, job.spec.dataset)
    assert lineage["split"]["holdout"] == 0.2
    assert "salt" not in lineage["split"], "with the salt, a patient's key would tell the patient's side"
    assert model.privacy["differentially_private"] is False
    assert model.privacy["min_patients_per_value"] == 5
    assert "NO_DIFFERENTIAL_PRIVACY" in {f.reason for f in model.findings}
    phases = [e.payload["phase"] for e in bench.store.jobs.events("north", job.id, 0) if e.kind == "phase"]
    assert done.progress is not None
    assert done.progress["rows_per_second"] > 0, "without epochs, too"
    assert phases[:2] == ["preparing", "fitting"]  # then stages that the trainer names
    assert phases[-3:] == ["exporting", "verifying", "publishing"]
    batches = list(bundle.program().units(SampleSpec(1), 0, 200))
    ages = np.concatenate([batch.arrays["age"].values for batch in batches])
    assert len(ages) == 200
    assert 25 < np.median(ages) < 80


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint(bench: Bench) -> None:
    """Also: while it trains, the child has imported no transport, no database, no protobuf."""
    job = submit(bench, "slow", steps=10, hold=5)
    worker = bench.worker(entry=ENTRY)
    bench.steps(job, 3)
    (child,) = psutil.Process(worker.pid).children()
    child.kill()
    done = bench.ended(job)
    assert done.state is JobState.SUCCEEDED, (done.error, bench.said())
    assert done.attempt == 2
    steps = [e.payload["step"] for e in bench.store.jobs.events("north", job.id, 0) if e.kind == "progress"]
    assert steps == sorted(set(steps)), "no step was done twice"


@pytest.mark.slow
def test_too_few_patients_fail_the_job(bench: Bench) -> None:
    job = submit(bench, "copula", min_patients=290)
    bench.worker(entry=ENTRY)
    failed = bench.ended(job)
    assert failed.error is not None
    assert failed.error["reason"] == "TOO_FEW_PATIENTS"
