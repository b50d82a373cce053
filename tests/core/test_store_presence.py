"""Which workers are there, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from server.records import JobState, LeaseLost
from server.store import Store
from server.store.schema import jobs, workers
from tests.core.support import add_job

Q, R = JobState.QUEUED, JobState.RUNNING


def silent_for_days(store: Store) -> None:
    """No worker was heard of for two days."""
    with store._database.write() as connection:
        connection.execute(sa.update(workers).values(seen_time=workers.c.seen_time - 2 * 86400))


def test_presence(store: Store) -> None:
    store.workers.register("a", "cpu:1", "cpu", "host")
    store.workers.register("b", "cpu:0", "cpu", "host")
    assert [w.slot for w in store.workers.live(30)] == ["cpu:0", "cpu:1"]
    assert store.workers.live(0) == []
    assert store.workers.beat("a")
    store.workers.leave("b")
    assert not store.workers.beat("b")
    assert [w.id for w in store.workers.live(30)] == ["a"]
    assert store.workers.forget_dead() == 0


def test_who_is_dismissed_is_not_known(store: Store) -> None:
    for worker in ("a", "b", "c"):
        store.workers.register(worker, "cpu:0", "cpu", "host")
    store.workers.dismiss(["a", "c", "never known"])
    store.workers.dismiss([])
    assert [store.workers.beat(worker) for worker in ("a", "b", "c")] == [False, True, False]


def test_a_worker_that_was_forgotten_is_known_again_and_holds_nothing(store: Store) -> None:
    """Paused, or cut off from the database, for more than a day; its job is another's since then."""
    presence = ("a", "cpu:1", "cpu", "host")
    store.workers.register(*presence)
    job = add_job(store)
    assert store.leases.claim("a", "cpu:1", "cpu", 30)
    silent_for_days(store)
    assert store.workers.forget_dead() == 0, "it holds a job"
    with store._database.write() as connection:
        connection.execute(sa.update(jobs).values(lease_until=store.now() - 1))
    assert [(taken.job.id, taken.state) for taken in store.leases.requeue_expired()] == [(job.id, Q)]
    assert store.leases.claim("b", "cpu:0", "cpu", 30)
    assert store.workers.forget_dead() == 1
    assert not store.workers.beat("a")
    store.workers.register(*presence)
    assert store.workers.beat("a")
    with pytest.raises(LeaseLost):
        store.leases.heartbeat(job.id, 1, "a", 30)
    assert store.leases.recover("a") == []
    now = store.jobs.get("north", job.id)
    assert (now.state, now.attempt, now.device) == (R, 2, "cpu:0")


def test_a_dead_worker_is_forgotten_though_a_job_that_is_over_names_it(store: Store) -> None:
    store.workers.register("a", "cpu:0", "cpu", "host")
    job = add_job(store)
    assert store.leases.claim("a", "cpu:0", "cpu", 30)
    store.leases.fail(job.id, 1, "a", "TRAINING_FAILED", "")
    silent_for_days(store)
    assert store.workers.forget_dead() == 1
