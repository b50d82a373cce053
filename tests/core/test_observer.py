"""What the events of jobs become as metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import server.observer
from evaluators.gate import DEFAULT_RULES, Policy, State
from evaluators.headlines import HEADLINES, HIGHER_IS_BETTER
from evaluators.registry import definitions
from evaluators.results import Direction
from kohort.schema import Finding
from server.metrics import BLOB_KINDS, FAILURES, RELEASE_STATES, Metrics
from server.observer import Observer
from server.records import EvaluationSpec, JobRecord, SubjectSpec
from server.store import Store
from server.store.schema import jobs
from server.threads import Threads
from tests.core.support import (
    ADA,
    add_dataset,
    add_job,
    evaluation_of,
    evidence_with,
    model_of,
    report_of,
    until,
)


@pytest.fixture
def threads() -> Iterator[Threads]:
    found = Threads("test", 1)
    yield found
    found.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["slow"], "1", ["cpu:0"])


def report(store: Store, job: JobRecord, step: int, **fields: Any) -> None:
    values = {"step": step, "total_steps": 9, "losses": {}, "rows_per_second": 0.0, "eta_s": None}
    store.leases.progress(job.id, 1, "w", values | fields)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, {"trainer": "slow", **labels})
    assert found is not None
    return found


async def test_reports_of_running_jobs_become_gauges(
    store: Store, threads: Threads, metrics: Metrics
) -> None:
    observer = Observer(store, threads, metrics, 60)
    await observer.look()
    dataset = add_dataset(store)
    first, second = (add_job(store, dataset, parameters={"n": n}) for n in (1, 2))
    for slot in ("cpu:0", "cpu:1"):
        assert store.leases.claim("w", slot, "cpu", 30)
    for job in (first, second):
        store.leases.phase(job.id, 1, "w", "fitting")
    losses = {"loss": 0.5, "validation": 0.7, "of my own": 9.0}
    report(store, first, 1, losses=losses, gradient_norm=2.5, rows_per_second=100.0, eta_s=30.0)
    report(store, second, 3, rows_per_second=50.0, eta_s=90.0, gradient_norm=1.5)
    await observer.look()
    assert value(metrics, "kohort_train_loss", loss="loss") == 0.5
    assert value(metrics, "kohort_train_loss", loss="validation") == 0.7
    assert value(metrics, "kohort_train_loss", loss="other") == 9.0
    assert value(metrics, "kohort_train_gradient_norm") == 1.5
    assert value(metrics, "kohort_train_rows_per_second") == 150.0
    assert value(metrics, "kohort_train_eta_seconds") == pytest.approx(90, abs=1)
    assert value(metrics, "kohort_train_epochs_total") == 4
    store.leases.fail(second.id, 1, "w", "TRAINING_FAILED", "")
    store.leases.phase(first.id, 1, "w", "exporting")
    await observer.look()
    assert value(metrics, "kohort_train_rows_per_second") == 0.0
    assert value(metrics, "kohort_train_eta_seconds") == 0.0
    assert value(metrics, "kohort_train_loss", loss="loss") == 0.5, "the latest stays"


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


async def test_an_evaluation_is_no_epoch_and_ends_as_its_report_says(
    store: Store, threads: Threads, metrics: Metrics
) -> None:
    observer = Observer(store, threads, metrics, 60)
    await observer.look()
    spec = EvaluationSpec("STANDARD")
    for worker, found in (("w", True), ("w", False)):
        job = add_job(store, evaluation=spec)
        store.leases.claim(worker, "cpu:0", "cpu", 30)
        store.leases.phase(job.id, 1, "w", "fitting")
        report(store, job, 3, losses={"loss": 0.5})
        store.leases.phase(job.id, 1, "w", "evaluating")
        report(store, job, 15, losses={"loss": 9.0})
        model = model_of(job)
        store.leases.publish(job.id, 1, "w", model, report_of(job, model.id) if found else None)
    alone = evaluation_of(store, SubjectSpec(model.id), evaluation=spec)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    store.leases.fail(alone.id, 1, "w", "EVALUATION_FAILED", "")
    store.jobs.request_cancel("north", evaluation_of(store, SubjectSpec(model.id), evaluation=spec).id)
    await observer.look()
    assert value(metrics, "kohort_train_epochs_total") == 6
    assert value(metrics, "kohort_train_loss", loss="loss") == 0.5
    assert value(metrics, "kohort_jobs_ended_total", outcome="SUCCEEDED") == 2
    assert value(metrics, "kohort_jobs_ended_total", outcome="FAILED") == 0, "it was no training"
    ended = {
        outcome: counted(metrics, "kohort_evaluations_total", profile="STANDARD", outcome=outcome)
        for outcome in ("SUCCEEDED", "FAILED", "CANCELLED")
    }
    assert ended == {"SUCCEEDED": 1, "FAILED": 2, "CANCELLED": 1}
    assert counted(metrics, "kohort_evaluation_seconds_count") == 2


async def test_failures_are_counted_by_a_reason_that_is_known(
    store: Store, threads: Threads, metrics: Metrics
) -> None:
    observer = Observer(store, threads, metrics, 60)
    await observer.look()
    dataset = add_dataset(store)
    for reason in ("TRAINING_DIVERGED", "NO_USABLE_COLUMNS", "of my own", "TRAINING_DIVERGED"):
        job = add_job(store, dataset)
        store.leases.claim("w", "cpu:0", "cpu", 30)
        store.leases.fail(job.id, 1, "w", reason, "")
    store.jobs.request_cancel("north", add_job(store, dataset).id)
    await observer.look()
    found = {
        reason: count
        for reason in FAILURES
        if (count := counted(metrics, "kohort_jobs_failed_total", reason=reason))
    }
    assert found == {"TRAINING_DIVERGED": 2, "NO_USABLE_COLUMNS": 1, "OTHER": 1}


async def test_the_job_that_waits_longest_waits_since_it_was_queued_last(
    store: Store, threads: Threads, metrics: Metrics
) -> None:
    observer = Observer(store, threads, metrics, 60)

    async def waited() -> float:
        await observer.look()
        return counted(metrics, "kohort_job_oldest_queued_seconds")

    assert await waited() == 0
    job = add_job(store)
    with store._database.write() as connection:
        connection.execute(sa.update(jobs).values(create_time=1e9, update_time=jobs.c.update_time - 100))
    assert 100 <= await waited() < 200
    store.leases.claim("w", "cpu:0", "cpu", 30)
    assert await waited() == 0
    store.leases.give_back(job.id, 1, "w", lost=True, message="")
    given_back = store.now()
    until(lambda: store.now() > given_back, "the clock to tick")
    assert 0 < await waited() < 100


async def test_what_is_stored_is_weighed_by_its_records(
    store: Store, threads: Threads, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.observer, "SIZES_SECONDS", 0.0)
    observer = Observer(store, threads, metrics, 60)

    async def sizes() -> dict[str, float]:
        await observer.look()
        return {kind: counted(metrics, "kohort_blob_bytes", kind=kind) for kind in BLOB_KINDS}

    assert await sizes() == {"datasets": 0, "models": 0, "reports": 0}
    assert counted(metrics, "kohort_database_bytes") > 10_000
    dataset = add_dataset(store, size_bytes=1000)
    add_dataset(store, size_bytes=200, tenant="south")
    job = add_job(store, dataset)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    model = model_of(job, size_bytes=30)
    store.leases.publish(job.id, 1, "w", model, report_of(job, model.id, size_bytes=4))
    assert await sizes() == {"datasets": 1200, "models": 30, "reports": 4}
    store.datasets.delete("north", dataset)
    store.reports.withdraw("north", dataset)
    assert await sizes() == {"datasets": 1200, "models": 30, "reports": 0}, "the tables are still there"
    store.datasets.purged(dataset)
    assert await sizes() == {"datasets": 200, "models": 30, "reports": 0}


async def test_alerts_are_counted_by_what_they_do(store: Store, threads: Threads, metrics: Metrics) -> None:
    observer = Observer(store, threads, metrics, 60)
    await observer.look()
    job = add_job(store)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    for said in ("loss is above 3", "the attack succeeds"):
        store.leases.warning(job.id, 1, "w", Finding("ALERT_RAISED", said))
    store.leases.fail(job.id, 1, "w", "ALERT_STOPPED_TRAINING", "the attack succeeds")
    await observer.look()
    assert counted(metrics, "kohort_alerts_raised_total", action="NOTIFY") == 1
    assert counted(metrics, "kohort_alerts_raised_total", action="STOP_TRAINING") == 1


async def test_releases_are_counted_by_policy_report_and_override(
    store: Store, threads: Threads, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.observer, "CENSUS_SECONDS", 0.0)
    observer = Observer(store, threads, metrics, 60)
    models = []
    for lows in ({}, {"inference_risk": 0.5}, {"inference_risk": 0.3}):
        job = add_job(store)
        store.leases.claim("w", "cpu:0", "cpu", 30)
        models.append(model_of(job))
        report_made = report_of(job, models[-1].id, evidence_with(**lows))
        store.leases.publish(job.id, 1, "w", models[-1], report_made)

    async def states() -> dict[str, float]:
        await observer.look()
        return {
            state: counted(metrics, "kohort_release_state", state=state)
            for state in RELEASE_STATES
            if counted(metrics, "kohort_release_state", state=state)
        }

    # Nobody has looked: a zero would be a claim.
    assert all(math.isnan(counted(metrics, "kohort_release_state", state=state)) for state in RELEASE_STATES)
    assert await states() == {"OPEN": 1, "LOCKED": 2}
    assert counted(metrics, "kohort_evaluation_headline", metric="inference_risk") == 0.5
    store.releases.override(ADA, models[1].id, State.OPEN_WITH_WARNING, "by design")
    assert await states() == {"OPEN": 1, "LOCKED": 1, "OPEN_WITH_WARNING": 1}
    store.releases.set_policy(ADA, Policy(rules=()))
    assert await states() == {"OPEN": 2, "OPEN_WITH_WARNING": 1}
    store.models.delete("north", models[1].id)
    store.reports.withdraw("north", models[2].dataset)
    assert await states() == {"OPEN": 2}
    assert counted(metrics, "kohort_evaluation_headline", metric="inference_risk") == 0.3
    assert math.isnan(counted(metrics, "kohort_evaluation_headline", metric="utility_ratio"))


def test_the_worst_of_a_headline_metric_is_on_the_side_that_its_definition_calls_worse() -> None:
    known = definitions()
    named = {name for names in HEADLINES.values() for name in names}
    assert {rule.metric for rule in DEFAULT_RULES} <= named
    for family, names in HEADLINES.items():
        assert {known[name].family.name for name in names} == {family}
    # Of those with a target, what is above is the worse: told apart, favoured, lost.
    assert {name for name in named if known[name].direction is Direction.HIGHER} == HIGHER_IS_BETTER
