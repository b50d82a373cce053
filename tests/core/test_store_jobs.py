"""Jobs as their owners see them, on both databases."""

from __future__ import annotations

import dataclasses
import time

import pytest
import sqlalchemy as sa

from kohort.problem import Problem
from kohort.schema import ColumnOverride, Kind, SchemaOverrides
from server.records import JobOptions, JobState
from server.store import Store
from server.store.schema import jobs, requests
from tests.core.support import ADA, BOB, EVE, add_dataset, add_job, spec_for, states_of

Q, R, C, X = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING, JobState.CANCELLED


def reason_of(error: pytest.ExceptionInfo[Problem]) -> str:
    return error.value.reason


def test_a_job_comes_back_as_it_was_given(store: Store) -> None:
    spec = spec_for(
        add_dataset(store),
        parameters={"epochs": 300, "layers": [64, 32], "rate": 0.1, "on": True, "name": "é"},
        overrides=SchemaOverrides((ColumnOverride("age", kind=Kind.CATEGORY, levels=("a", "b")),)),
        options=JobOptions(3, 4, 0.25, 0.0),
        seed=-(2**63),
        device_filter="cuda",
        display_name="Hjärta",
        labels={"ward": "4"},
    )
    record, created = store.jobs.create(ADA, spec)
    assert created
    assert store.jobs.get("north", record.id) == record
    assert record.spec == spec
    assert (record.state, record.attempt, record.last_sequence, record.oldest_sequence) == (Q, 0, 1, 1)
    assert record.start_time is record.end_time is record.progress is record.error is None
    assert record.create_time == pytest.approx(time.time(), abs=60)
    assert states_of(store, record) == [Q]


def test_what_another_tenant_owns_is_not_found(store: Store) -> None:
    job = add_job(store)
    for call in (store.jobs.get, store.jobs.request_cancel):
        with pytest.raises(Problem) as error:
            call("south", job.id)
        assert reason_of(error) == "JOB_NOT_FOUND"
    with pytest.raises(Problem) as error:
        store.jobs.events("south", job.id, 0)
    assert reason_of(error) == "JOB_NOT_FOUND"
    with pytest.raises(Problem) as error:
        store.jobs.create(EVE, spec_for(job.spec.dataset))
    assert reason_of(error) == "DATASET_NOT_FOUND"
    assert store.jobs.list("south").items == ()
    assert store.jobs.get("north", job.id).state is Q


def test_a_repeated_request_attaches(store: Store) -> None:
    dataset = add_dataset(store)
    first, created = store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"x")
    again, created_again = store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"x")
    assert (created, created_again) == (True, False)
    assert again == first
    with pytest.raises(Problem) as error:
        store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"y")
    assert reason_of(error) == "REQUEST_ID_REUSED"
    assert store.requests.find("north", "train", "r", b"x") == first.id
    assert store.requests.find("north", "upload", "r", b"x") is None
    assert store.requests.find("south", "train", "r", b"x") is None
    assert len(store.jobs.list("north").items) == 1


def test_a_repeat_attaches_even_when_nothing_more_is_taken(store: Store) -> None:
    dataset = add_dataset(store)
    first, _ = store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"x")
    for _ in range(9):
        add_job(store, dataset)
    assert store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"x")[0].id == first.id


def test_a_request_id_is_forgotten_after_a_day(store: Store) -> None:
    dataset = add_dataset(store)
    first, _ = store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"x")
    assert store.requests.forget_expired() == 0
    with store._database.write() as connection:
        row = connection.execute(sa.select(requests.c.expire_time)).one()
        assert row.expire_time == pytest.approx(store.now() + 86400, abs=60)
        connection.execute(sa.update(requests).values(expire_time=store.now() - 1))
    second, created = store.jobs.create(ADA, spec_for(dataset), request_id="r", request_hash=b"other")
    assert created
    assert second.id != first.id
    assert store.requests.forget_expired() == 0, "the new one is not old"


def test_caps(store: Store) -> None:
    dataset = add_dataset(store)
    for _ in range(10):
        add_job(store, dataset)
    with pytest.raises(Problem) as error:
        add_job(store, dataset)
    assert reason_of(error) == "TOO_MANY_JOBS"
    assert error.value.retry_after
    for _ in range(10):
        add_job(store, dataset, BOB)
    south = add_dataset(store, tenant="south")
    with pytest.raises(Problem) as error:
        add_job(store, south, EVE)
    assert reason_of(error) == "QUEUE_FULL"
    assert error.value.retry_after
    store.jobs.request_cancel("north", store.jobs.list("north").items[0].id)
    add_job(store, south, EVE)


def test_no_job_without_bytes(store: Store) -> None:
    for dataset, reason in (
        ("nothing", "DATASET_NOT_FOUND"),
        (add_dataset(store, ttl=-1), "DATASET_EXPIRED"),
        (add_dataset(store), "DATASET_EXPIRED"),
    ):
        if reason == "DATASET_EXPIRED":
            store.datasets.delete("north", dataset)
        with pytest.raises(Problem) as error:
            add_job(store, dataset)
        assert reason_of(error) == reason
    assert store.jobs.list("north").items == ()


def test_lists_page_newest_first(store: Store) -> None:
    dataset = add_dataset(store)
    made = [add_job(store, dataset).id for _ in range(5)]
    add_job(store, principal=EVE)
    store.jobs.request_cancel("north", made[1])
    seen, after = [], None
    while True:
        page = store.jobs.list("north", page_size=2, after=after)
        seen += [job.id for job in page.items]
        assert len(page.items) <= 2
        if page.next is None:
            break
        after = page.next
    assert seen == made[::-1]
    cancelled = store.jobs.list("north", states=[X])
    assert [job.id for job in cancelled.items] == [made[1]]
    assert store.jobs.counts() == dict.fromkeys(JobState, 0) | {Q: 5, X: 1}


def test_cancel_of_a_waiting_job_is_at_once_and_may_be_repeated(store: Store) -> None:
    job = add_job(store)
    cancelled = store.jobs.request_cancel("north", job.id)
    assert cancelled.state is X
    assert cancelled.end_time is not None
    assert store.jobs.request_cancel("north", job.id) == cancelled
    assert store.leases.claim("w", "cpu:0", "cpu", 30) is None
    assert states_of(store, job) == [Q, X]


def test_cancel_of_a_running_job_tells_its_worker(store: Store) -> None:
    job = add_job(store)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    assert store.leases.heartbeat(job.id, 1, "w", 30) is False
    assert store.jobs.request_cancel("north", job.id).state is C
    once = store.jobs.request_cancel("north", job.id)
    assert once.last_sequence == 3, "asking again says nothing new"
    assert store.leases.heartbeat(job.id, 1, "w", 30) is True
    store.leases.cancelled(job.id, 1, "w")
    assert states_of(store, job) == [Q, R, C, X]


def test_events_are_read_by_cursor_and_compacted(store: Store) -> None:
    job = add_job(store)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    for step in range(1, 9):
        progress = {
            "step": step,
            "total_steps": 8,
            "losses": {"g": 0.5},
            "rows_per_second": 1.0,
            "eta_s": None,
        }
        store.leases.progress(job.id, 1, "w", progress)
    assert [e.sequence for e in store.jobs.events("north", job.id, 0, 4)] == [1, 2, 3, 4]
    assert [e.sequence for e in store.jobs.events("north", job.id, 8)] == [9, 10]
    assert store.jobs.events("north", job.id, 10) == []
    assert store.jobs.sequences([job.id, "nothing"]) == {job.id: 10}
    assert store.jobs.compact_events(4) == 6
    assert store.jobs.compact_events(4) == 0
    with pytest.raises(Problem) as error:
        store.jobs.events("north", job.id, 0)
    assert reason_of(error) == "EVENTS_COMPACTED"
    assert error.value.metadata == {"oldest": "7"}
    assert [e.sequence for e in store.jobs.events("north", job.id, 6)] == [7, 8, 9, 10]
    record = store.jobs.get("north", job.id)
    assert record.progress is not None
    assert record.progress["step"] == 8
    assert (record.oldest_sequence, record.last_sequence) == (7, 10)


def test_the_tail_of_all_events(store: Store) -> None:
    add_job(store)
    start = store.jobs.last_event_number()
    second = add_job(store, trainer="copula")
    (number, trainer, event), *rest = store.jobs.tail(start)
    assert (trainer, event.job, event.kind, rest) == ("copula", second.id, "state", [])
    assert store.jobs.tail(number) == []


def test_outlook(store: Store) -> None:
    dataset = add_dataset(store)
    first, second, third = (add_job(store, dataset) for _ in range(3))
    assert store.jobs.outlook(third) == (dataclasses.replace(store.jobs.outlook(first), queue_position=2))
    assert store.jobs.outlook(first).eta_s is None, "nothing is known of this trainer yet"
    store.leases.claim("w", "cpu:0", "cpu", 30)
    assert store.jobs.outlook(second).queue_position == 0
    with store._database.write() as connection:
        values = {"state": "SUCCEEDED", "attempt_time": 1000.0, "end_time": 1060.0, "run_seconds": 40.0}
        connection.execute(sa.update(jobs).where(jobs.c.id == first.id).values(values))
    assert store.jobs.outlook(second).eta_s == pytest.approx(100)
    assert store.jobs.outlook(third).eta_s == pytest.approx(200)
    assert store.jobs.outlook(third, slots=2).eta_s == pytest.approx(150)
    running = store.leases.claim("w", "cpu:0", "cpu", 30)
    assert running is not None
    assert 90 < (store.jobs.outlook(running).eta_s or 0) <= 100
    progress = {"step": 1, "total_steps": 8, "losses": {}, "rows_per_second": 1.0, "eta_s": 500.0}
    store.leases.progress(second.id, 1, "w", progress)
    assert 400 < (store.jobs.outlook(store.jobs.get("north", second.id)).eta_s or 0) <= 500
    assert store.jobs.outlook(store.jobs.get("north", first.id)) == store.jobs.outlook(
        store.jobs.request_cancel("north", third.id)
    )
