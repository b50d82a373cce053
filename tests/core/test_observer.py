"""What the events of jobs become as metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.metrics import Metrics
from server.observer import Observer
from server.records import JobRecord
from server.store import Store
from server.threads import Threads
from tests.core.support import add_dataset, add_job


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
