"""What may be evaluated against what, and how; what Train may be asked to evaluate and watch."""

from __future__ import annotations

import dataclasses
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from kohort.v1 import dataset_pb2, release_pb2, sampling_pb2, training_pb2
from server.records import JobOptions
from tests.core.support import SCHEMA, evidence_with
from tests.server.conftest import fails
from tests.server.reported import House


def table(*columns: Column) -> Schema:
    return Schema((TableSchema("heart", columns),))


AGE = Column("age", Kind.INTEGER, Storage.INT64, Handling.MODEL)
SEX = Column("sex", Kind.CATEGORY, Storage.STRING, Handling.MODEL)
NAME = Column("name", Kind.TEXT, Storage.STRING, Handling.DROP)


async def test_a_model_trained_here_is_compared_with_its_own_rows(house: House) -> None:
    real = house.dataset()
    model, _ = house.model(evidence_with(), real)
    stream = house.evaluate(model=model, dataset=real)
    assert (await stream.read()).update.job.dataset == real
    stream.cancel()
    for fields, field in (
        ({"dataset": house.dataset()}, "dataset"),
        ({"holdout_dataset": house.dataset()}, "holdout_dataset"),
    ):
        failed = await fails(house.evaluate(model=model, **fields))
        assert (failed.reason, failed.fields) == ("INVALID_REQUEST", (field,))
    other, _ = house.model(evidence_with())
    own = await house.stubs.sampling.GetModel(sampling_pb2.GetModelRequest(name=other), **house.ann("viewer"))
    request = dataset_pb2.DeleteDatasetRequest(name=own.model.dataset)
    await house.stubs.datasets.DeleteDataset(request, **house.ann("custodian"))
    assert (await fails(house.evaluate(model=other))).reason == "DATASET_EXPIRED"


async def test_rows_made_elsewhere_are_compared_with_the_whole_of_the_real_ones(house: House) -> None:
    real, made, held = (house.dataset(schema=table(AGE, SEX), row_counts={"heart": 9}) for _ in range(3))
    stream = house.evaluate(synthetic_dataset=made, dataset=real, holdout_dataset=held)
    assert (await stream.read()).update.job.dataset == real
    record = house.worker.claim()
    assert record.spec.options == JobOptions(holdout=0.0, validation=0.0)
    assert record.spec.subject
    assert f"datasets/{record.spec.subject.synthetic_dataset}" == made
    name = f"reports/{house.worker.evaluate(record, evidence_with())}"
    report = await house.report(name)
    assert (report.synthetic_dataset, report.dataset, report.holdout_dataset) == (made, real, held)
    assert report.model == ""


async def test_an_imported_model_names_its_real_rows(house: House) -> None:
    model, _ = house.model(None)
    store = house.worker.store
    record = store.models.get("a", model.removeprefix("models/"))
    imported = dataclasses.replace(record, id="imported", dataset="", job="", blob_key="models/a/imported/x")
    store.models.create(imported)
    failed = await fails(house.evaluate(model="models/imported"))
    assert (failed.reason, failed.fields) == ("INVALID_REQUEST", ("dataset",))
    real = house.dataset(schema=table(AGE), row_counts={"heart": 9})
    stream = house.evaluate(model="models/imported", dataset=real)
    assert (await stream.read()).update.job.trainer == "slow"
    stream.cancel()
    unlike = house.dataset(schema=table(AGE, dataclasses.replace(SEX, name="city")), row_counts={"heart": 9})
    failed = await fails(house.evaluate(model="models/imported", dataset=unlike))
    assert (failed.reason, failed.fields) == ("SCHEMAS_DIFFER", ("model.city",))


async def test_tables_that_cannot_be_compared_are_refused(house: House) -> None:
    real = house.dataset(schema=table(AGE, SEX, NAME), row_counts={"heart": 9})
    text_age = dataclasses.replace(AGE, kind=Kind.CATEGORY, storage=Storage.STRING)
    for columns, field in (((AGE,), "sex"), ((text_age, SEX), "age")):
        made = house.dataset(schema=table(*columns), row_counts={"heart": 9})
        failed = await fails(house.evaluate(synthetic_dataset=made, dataset=real))
        assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SCHEMAS_DIFFER")
        assert failed.fields == (f"synthetic_dataset.{field}",)
    empty_age = dataclasses.replace(text_age, handling=Handling.DROP, handling_reason="ALL_NULL")
    made = house.dataset(schema=table(empty_age, SEX), row_counts={"heart": 9})
    failed = await fails(
        house.evaluate(synthetic_dataset=made, dataset=real, holdout_dataset=house.dataset())
    )
    assert failed.fields == ("holdout_dataset.sex",)
    failed = await fails(house.evaluate(synthetic_dataset=real, dataset=real))
    assert (failed.reason, failed.fields) == ("INVALID_REQUEST", ("dataset",))
    few = house.dataset(schema=table(AGE), row_counts={"heart": 4})
    failed = await fails(house.evaluate(synthetic_dataset=made, dataset=few))
    assert failed.reason == "TOO_FEW_PATIENTS"


@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ({"targets": ["weight"]}, "UNKNOWN_COLUMN", "options.targets"),
        ({"quasi_identifiers": ["age", "weight"]}, "UNKNOWN_COLUMN", "options.quasi_identifiers"),
        ({"protected": ["age"] * 2}, "INVALID_REQUEST", "options.protected"),
        ({"targets": list("abcdef")}, "INVALID_REQUEST", "options.targets"),
        ({"seed": -1}, "INVALID_REQUEST", "options.seed"),
        ({"profile": 77}, "INVALID_REQUEST", "options.profile"),
        ({"profile": 1}, "INVALID_REQUEST", "options.profile"),
        ({"time_budget": duration_pb2.Duration(seconds=0)}, "INVALID_REQUEST", "options.time_budget"),
    ],
)
async def test_options_that_make_no_sense_are_refused(
    house: House, options: dict[str, Any], reason: str, field: str
) -> None:
    model, _ = house.model(evidence_with())
    given = release_pb2.EvaluationOptions(**options)
    failed = await fails(house.evaluate(model=model, options=given))
    assert (failed.reason, failed.fields) == (reason, (field,))
    assert (await fails(house.evaluate())).fields == ("subject",)


async def test_options_are_kept_and_bounded(house: House) -> None:
    model, _ = house.model(evidence_with())
    options = release_pb2.EvaluationOptions(
        profile=release_pb2.EVALUATION_PROFILE_FULL,
        targets=["age"],
        seed=5,
        time_budget=duration_pb2.Duration(seconds=100_000),
    )
    stream = house.evaluate(model=model, options=options)
    job = (await stream.read()).update.job
    stream.cancel()
    assert job.max_runtime.seconds == 7200 + 600
    spec = house.worker.claim().spec.evaluation
    assert (spec.profile, spec.targets, spec.seed, spec.seconds) == ("FULL", ("age",), 5, 7200.0)


async def train(house: House, **fields: Any) -> Any:
    dataset = house.dataset(schema=SCHEMA, row_counts={"heart": 100})
    request = training_pb2.TrainRequest(dataset=dataset, trainer="copula", seed=3, **fields)
    stream = house.stubs.training.Train(request, **house.ann("trainer"))
    await stream.read()
    stream.cancel()
    return house.worker.claim().spec


async def test_train_keeps_how_to_evaluate_and_what_to_watch(house: House) -> None:
    plain = await train(house)
    assert (plain.evaluation.profile, plain.alerts) == ("NONE", ())
    stop = release_pb2.Alert(
        metric="membership_inference_attack_success",
        threshold=0.7,
        action=release_pb2.ALERT_ACTION_STOP_TRAINING,
    )
    below = release_pb2.Alert(
        metric="loss", threshold=-1.5, below=True, action=release_pb2.ALERT_ACTION_NOTIFY
    )
    options = release_pb2.EvaluationOptions(
        profile=release_pb2.EVALUATION_PROFILE_STANDARD, protected=["age"]
    )
    spec = await train(house, evaluation=options, alerts=[stop, below])
    assert (spec.evaluation.profile, spec.evaluation.protected, spec.evaluation.seed) == (
        "STANDARD", ("age",), 3
    )  # fmt: skip
    assert [(a.metric, a.threshold, a.below, a.action) for a in spec.alerts] == [
        ("membership_inference_attack_success", 0.7, False, "STOP_TRAINING"),
        ("loss", -1.5, True, "NOTIFY"),
    ]


async def test_train_refuses_what_cannot_be_watched(house: House) -> None:
    notify = release_pb2.ALERT_ACTION_NOTIFY
    attack = release_pb2.Alert(metric="membership_inference_attack_success", threshold=1, action=notify)
    loss = release_pb2.Alert(metric="loss", threshold=1, action=notify)
    for fields, field in (
        ({"alerts": [loss] * 17}, "alerts"),
        ({"alerts": [loss, release_pb2.Alert(metric="loss", threshold=1)]}, "alerts[1].action"),
        ({"alerts": [release_pb2.Alert(threshold=1, action=notify)]}, "alerts[0].metric"),
        (
            {"alerts": [release_pb2.Alert(metric="loss", threshold=float("inf"), action=notify)]},
            "alerts[0].threshold",
        ),
        ({"alerts": [attack], "validation_fraction": 0.0}, "validation_fraction"),
    ):
        failed = await fails(train(house, **fields))
        assert (failed.reason, failed.fields) == ("INVALID_REQUEST", (field,))
    unknown = release_pb2.EvaluationOptions(sensitive=["weight"])
    failed = await fails(train(house, evaluation=unknown))
    assert (failed.reason, failed.fields) == ("UNKNOWN_COLUMN", ("evaluation.sensitive",))
    assert "'weight'" in str(failed)
