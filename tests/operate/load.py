"""A short load that makes every metric move: uploads, trainings, evaluations, samples, mistakes, refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import kohort
from kohort.conditions import Condition
from kohort.v1 import sampling_pb2, sampling_pb2_grpc
from tests.core.support import until
from tests.operate.stack import Stack

HEART = Path(__file__).resolve().parents[1] / "data" / "heart.csv"
JOBS = {"SUCCEEDED": 3, "FAILED": 1, "CANCELLED": 1}
"""How the trainings of one round end."""
REPORT = kohort.EvaluationOptions(targets=("num",), protected=("sex",), quasi_identifiers=("age", "sex"))
MODELS = 4
"""Made by the trainings that succeed, and one imported."""


def drive(stack: Stack) -> None:
    """One round; returns when its jobs are over."""
    with stack.client() as client:
        dataset = uploads(client, stack.folder)
        jobs = start(client, dataset)
        mistakes(stack, client, dataset)
        copula = jobs.pop("copula").result()
        samples(stack, client, copula)
        refusals(client, copula)
        ends(stack, client, jobs)
        tidy(client, stack.folder, copula)


def uploads(client: kohort.Client, folder: Path) -> str:
    """Every format; the name of one of the datasets."""
    heart = pd.read_csv(HEART)
    heart.to_parquet(folder / "heart.parquet")
    heart[:50].to_excel(folder / "heart.xlsx", index=False)
    for file in (HEART, folder / "heart.parquet", folder / "heart.xlsx"):
        client.upload(file, table="heart")
    dataset = client.upload(heart, table="heart")
    client.infer_schema(dataset)
    return dataset.name


def start(client: kohort.Client, dataset: str) -> dict[str, kohort.Job]:
    """A model to sample from, one with losses and an evaluation, one that fails, and one to cancel."""
    told = kohort.Alert("loss", 1e6, below=True, action=kohort.AlertAction.NOTIFY)
    fatal = kohort.Alert("loss", 0.3, below=True, action=kohort.AlertAction.STOP_TRAINING)
    return {
        "copula": client.train(dataset, "copula", seed=1, evaluation="none"),
        "argn": client.train(dataset, "argn", seed=1, epochs=5, evaluation=REPORT, alerts=[told]),
        "fails": client.train(dataset, "slow", seed=1, steps=100, evaluation="none", alerts=[fatal]),
        "cancelled": client.train(dataset, "slow", seed=1, steps=10_000, evaluation="none"),
        "slow": client.train(dataset, "slow", seed=1, steps=20, evaluation="none"),
    }


def mistakes(stack: Stack, client: kohort.Client, dataset: str) -> None:
    """Calls that end with other codes than OK."""
    for _ in range(3):
        with pytest.raises(kohort.NotFound):
            client.model("models/ffffffffffffffffffffffffffffffff")
        with pytest.raises(kohort.InvalidRequest):
            client.train(dataset, "no such trainer")
    with stack.client("viewer") as viewer, pytest.raises(kohort.PermissionDenied):
        viewer.update_release_policy(None)
    with stack.client("kohort_000000000000_nobody") as nobody, pytest.raises(kohort.Unauthenticated):
        list(nobody.jobs())


def samples(stack: Stack, client: kohort.Client, model: kohort.Model) -> None:
    """Every format, from a model that is not loaded yet and one that is; with conditions that reject some."""
    for wanted in ("COLUMNS", "ARROW", "CSV"):
        request = sampling_pb2.SampleRequest(
            model=model.name,
            unit_count=5000,
            seed=1,
            format=sampling_pb2.SampleFormat.Value(f"SAMPLE_FORMAT_{wanted}"),
        )
        with stack.channel() as channel:
            stub = sampling_pb2_grpc.SamplingServiceStub(channel)
            assert list(stub.Sample(request, metadata=stack.metadata))
    for seed in range(3):
        client.sample(model, 2000, seed=seed, conditions=[Condition("sex", one_of=("0",))])


def refusals(client: kohort.Client, model: kohort.Model) -> None:
    """A group that is too small, and a model that is locked."""
    few = [Condition("age", minimum="76"), Condition("sex", one_of=("0",))]
    with policy(client, kohort.ReleasePolicy(rules=())), pytest.raises(kohort.CohortTooSmall):
        client.sample(model, 10, seed=1, conditions=few)
    closed = kohort.ReleasePolicy(rules=(), require_report=True)
    with policy(client, closed), pytest.raises(kohort.ModelLocked):
        client.sample(model, 10, seed=1)


@contextlib.contextmanager
def policy(client: kohort.Client, wanted: kohort.ReleasePolicy) -> Iterator[None]:
    """Under another release policy."""
    client.update_release_policy(wanted)
    try:
        yield
    finally:
        client.update_release_policy(None)


def ends(stack: Stack, client: kohort.Client, jobs: dict[str, kohort.Job]) -> None:
    """Waits for the jobs, and cancels the one that is for that."""
    with pytest.raises(kohort.JobFailed) as failed:
        jobs["fails"].result()
    assert failed.value.reason == "ALERT_STOPPED_TRAINING"
    next(event for event in jobs["cancelled"].events() if isinstance(event.detail, kohort.Progress))
    # These are told only while a training runs: one that was never scraped has left nothing.
    training = "count(kohort_train_rows_per_second > 0) and count(kohort_train_eta_seconds > 0)"
    until(lambda: stack.query(training), "a training to be scraped", say=stack.logs)
    jobs["cancelled"].cancel()
    with pytest.raises(kohort.JobCancelled):
        jobs["cancelled"].result()
    jobs["slow"].result()
    with policy(client, kohort.ReleasePolicy(rules=())):  # its report may lock it: 303 rows, split at random
        client.complete(jobs["argn"].result(), pd.read_csv(HEART)[["age", "sex"]][:20], seed=1)


def tidy(client: kohort.Client, folder: Path, model: kohort.Model) -> None:
    """What remains of the contract: bundles and lists."""
    client.import_model(client.download(model, folder / "model.kohort"))
    for listed in (client.jobs(), client.datasets(), client.reports(), client.models()):
        assert list(listed)
    client.capabilities()


@contextlib.contextmanager
def longer(stack: Stack) -> Iterator[None]:
    """Beside what is done in it: trainings whose losses can be seen to fall, and a large sample."""
    with stack.client() as client:
        dataset = client.upload(pd.read_csv(HEART), table="heart")
        first = client.train(dataset, "independent", seed=1, evaluation="none").result()
        jobs = [
            client.train(dataset, "wgan-gp", seed=1, epochs=300, evaluation="none"),
            client.train(dataset, "argn", seed=1, epochs=150, patience=0, evaluation="none"),
        ]
        for job in jobs:
            next(event for event in job.events() if isinstance(event.detail, kohort.Progress))
        for _ in client.sample_batches(first, 2_000_000, seed=1):
            pass
        yield
        for job in jobs:
            job.wait()
