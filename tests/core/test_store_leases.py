"""Jobs as workers see them: leases, fences, attempts; on both databases."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.scale_store import ONE, fill
from kohort.schema import Finding
from server.processes import child_environment
from server.records import JobRecord, JobState, LeaseLost, TakenJob
from server.store import Store
from server.store.requests import take_turn
from server.store.schema import jobs
from server.store.transitions import FROM, move
from tests.core.support import ADA, BOB, add_dataset, add_job, model_of, states_of, until

Q, R, C = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING
S, F, X = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED
PROGRESS = {"step": 1, "total_steps": 2, "losses": {}, "rows_per_second": 0.0, "eta_s": None}


def claim(store: Store, worker: str = "w", slot: str = "cpu:0") -> JobRecord | None:
    return store.leases.claim(worker, slot, slot.partition(":")[0], 30)


def _states(taken: list[TakenJob]) -> dict[str, JobState]:
    return {one.job.id: one.state for one in taken}


def expire(store: Store, job: JobRecord) -> None:
    """The lease ran out a second ago."""
    with store._database.write() as connection:
        late = sa.update(jobs).where(jobs.c.id == job.id).values(lease_until=store.now() - 1)
        connection.execute(late)


def every_write(store: Store, job: JobRecord, attempt: int, worker: str) -> dict[str, Callable[[], object]]:
    fence = (job.id, attempt, worker)
    return {
        "heartbeat": lambda: store.leases.heartbeat(*fence, 30),
        "phase": lambda: store.leases.phase(*fence, "fitting"),
        "progress": lambda: store.leases.progress(*fence, PROGRESS),
        "warning": lambda: store.leases.warning(*fence, Finding("ALL_NULL", "")),
        "publish": lambda: store.leases.publish(*fence, model_of(job)),
        "fail": lambda: store.leases.fail(*fence, "TRAINING_FAILED", ""),
        "cancelled": lambda: store.leases.cancelled(*fence),
        "give_back": lambda: store.leases.give_back(*fence, lost=True, message=""),
    }


def test_first_in_first_out_by_device(store: Store) -> None:
    dataset = add_dataset(store)
    gpu = add_job(store, dataset, device_filter="cuda")
    second_gpu = add_job(store, dataset, device_filter="cuda:1")
    any_device = add_job(store, dataset)
    cpu = add_job(store, dataset, device_filter="cpu")
    taken = [claim(store, slot=slot) for slot in ("cpu:0", "cpu:1", "cpu:2", "cuda:0", "cuda:0", "cuda:1")]
    assert [t and t.id for t in taken] == [any_device.id, cpu.id, None, gpu.id, None, second_gpu.id]
    assert taken[0] is not None
    assert (taken[0].state, taken[0].attempt, taken[0].device) == (R, 1, "cpu:0")
    assert taken[0].start_time == pytest.approx(taken[0].attempt_time, abs=1)


def test_running_jobs_of_one_principal_are_capped(database_url: str) -> None:
    store = Store(database_url, max_running_per_principal=1)
    store.migrate()
    dataset = add_dataset(store)
    ours = [add_job(store, dataset) for _ in range(2)]
    theirs = add_job(store, dataset, BOB)
    assert [j and j.id for j in (claim(store), claim(store), claim(store))] == [ours[0].id, theirs.id, None]
    store.jobs.request_cancel("north", ours[0].id)
    assert claim(store) is None, "a job that is being stopped still holds its slot"
    store.leases.cancelled(ours[0].id, 1, "w")
    taken = claim(store)
    assert taken is not None
    assert taken.id == ours[1].id
    store.close()


def test_publishing_is_one_step(store: Store) -> None:
    job = add_job(store)
    claim(store)
    store.leases.phase(job.id, 1, "w", "fitting")
    store.leases.warning(job.id, 1, "w", Finding("FREE_TEXT", "dropped", "heart", "note"))
    model = model_of(job)
    store.leases.publish(job.id, 1, "w", model)
    done = store.jobs.get("north", job.id)
    assert (done.state, done.model, done.phase) == (S, model.id, "fitting")
    assert store.models.get("north", model.id).job == job.id
    assert [e.kind for e in store.jobs.events("north", job.id, 0)] == [
        "state",
        "state",
        "phase",
        "warning",
        "state",
    ]


def test_a_model_that_cannot_be_stored_leaves_the_job_running(store: Store) -> None:
    first, second = add_job(store), add_job(store)
    claim(store)
    claim(store)
    model = model_of(first)
    store.leases.publish(first.id, 1, "w", model)
    with pytest.raises(sa.exc.IntegrityError):
        store.leases.publish(second.id, 1, "w", model_of(second, blob_key=model.blob_key))
    assert states_of(store, second) == [Q, R]
    assert len(store.models.list("north").items) == 1


@pytest.mark.parametrize("why", ["worker", "attempt", "lease", "requeued", "over"])
def test_whoever_lost_the_lease_changes_nothing(store: Store, why: str) -> None:
    job = add_job(store)
    claim(store)
    attempt, worker = (2 if why == "attempt" else 1), ("v" if why == "worker" else "w")
    if why in ("lease", "requeued"):
        expire(store, job)
    if why == "requeued":
        assert _states(store.leases.requeue_expired()) == {job.id: Q}
        again = claim(store, worker="w")
        assert again is not None
        assert again.attempt == 2
    if why == "over":
        store.leases.fail(job.id, 1, "w", "TRAINING_FAILED", "")
    before = store.jobs.get("north", job.id)
    for name, write in every_write(store, job, attempt, worker).items():
        with pytest.raises(LeaseLost):
            write()
        assert store.jobs.get("north", job.id) == before, name
    assert store.models.list("north").items == ()


def test_a_lost_worker_costs_an_attempt_and_the_last_fails(store: Store) -> None:
    job = add_job(store)
    for attempt in (1, 2, 3):
        taken = claim(store)
        assert taken is not None
        assert taken.attempt == attempt
        store.leases.progress(job.id, attempt, "w", PROGRESS)
        expire(store, job)
        assert _states(store.leases.requeue_expired()) == {job.id: F if attempt == 3 else Q}
    over = store.jobs.get("north", job.id)
    assert over.error is not None
    assert over.error["reason"] == "ATTEMPTS_EXHAUSTED"
    assert states_of(store, job) == [Q, R, Q, R, Q, R, F]
    lost = [e.payload["reason"] for e in store.jobs.events("north", job.id, 0) if e.kind == "warning"]
    assert lost == ["WORKER_LOST", "WORKER_LOST"]
    assert _states(store.leases.requeue_expired()) == {}


def test_a_worker_that_leaves_costs_nothing(store: Store) -> None:
    job = add_job(store)
    for attempt in range(1, 6):
        claim(store)
        assert store.leases.give_back(job.id, attempt, "w", lost=False, message="") is Q
    waiting = store.jobs.get("north", job.id)
    assert (waiting.state, waiting.attempt, waiting.progress, waiting.phase) == (Q, 5, None, "")
    assert all(e.kind == "state" for e in store.jobs.events("north", job.id, 0))


def test_a_job_given_back_is_first_again(store: Store) -> None:
    first, second = add_job(store), add_job(store)
    claim(store)
    store.leases.give_back(first.id, 1, "w", lost=True, message="")
    assert store.jobs.outlook(second).queue_position == 1
    taken = claim(store)
    assert taken is not None
    assert taken.id == first.id


def test_a_lost_worker_of_a_job_being_stopped_ends_it(store: Store) -> None:
    job = add_job(store)
    claim(store)
    store.jobs.request_cancel("north", job.id)
    expire(store, job)
    assert _states(store.leases.requeue_expired()) == {job.id: X}
    assert states_of(store, job) == [Q, R, C, X]


def test_a_stop_that_comes_too_late_changes_nothing(store: Store) -> None:
    job = add_job(store)
    claim(store)
    store.jobs.request_cancel("north", job.id)
    store.leases.publish(job.id, 1, "w", model_of(job))
    assert store.jobs.request_cancel("north", job.id).state is S
    assert states_of(store, job) == [Q, R, C, S]


def test_run_time_counts_over_attempts(store: Store) -> None:
    job = add_job(store, max_runtime_s=100.0)
    for attempt, state in ((1, Q), (2, F)):
        claim(store)
        with store._database.write() as connection:
            began = sa.update(jobs).where(jobs.c.id == job.id).values(attempt_time=store.now() - 60)
            connection.execute(began)
        assert store.leases.give_back(job.id, attempt, "w", lost=False, message="") is state
    over = store.jobs.get("north", job.id)
    assert over.error is not None
    assert over.error["reason"] == "MAX_RUNTIME_EXCEEDED"
    assert over.run_seconds == pytest.approx(120, abs=20)


def test_a_new_worker_of_a_slot_takes_over_at_once(store: Store) -> None:
    for worker, slot, host in (("old", "cpu:0", "a"), ("other", "cpu:1", "a"), ("far", "cpu:0", "b")):
        store.workers.register(worker, slot, "cpu", host)
    mine, *others = (add_job(store) for _ in range(3))
    for worker in ("old", "other", "far"):
        claim(store, worker)
    store.workers.register("new", "cpu:0", "cpu", "a")
    assert _states(store.leases.recover("new")) == {mine.id: Q}
    assert _states(store.leases.recover("new")) == {}
    assert [store.jobs.get("north", job.id).state for job in others] == [R, R]


def test_the_state_machine_has_no_way_out_of_an_end() -> None:
    assert not set(itertools.chain(*FROM.values())) & {S, F, X}
    assert set(FROM) == set(JobState)


RACER = """
import json, sys
from server.store import Store
url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(url, max_running_per_principal=10**6)
sys.stdin.readline()
taken = []
while len(taken) < count and (job := store.leases.claim(name, "cpu:" + name, "cpu", 300)) is not None:
    taken.append(job.id)
    store.leases.heartbeat(job.id, 1, name, 300)
print(json.dumps(taken))
"""


def race(program: str, url: str, count: int) -> list[list[str]]:
    """The jobs that two processes took, let go at once."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, url, name, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
        )
        for name in "ab"
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    return [json.loads(racer.communicate(timeout=120)[0]) for racer in racers]


def test_two_workers_race_and_each_job_has_one(database_url: str) -> None:
    store = Store(database_url, max_queued_jobs=1000, max_jobs_per_principal=1000)
    store.migrate()
    dataset = add_dataset(store)
    made = [add_job(store, dataset).id for _ in range(40)]
    taken = race(RACER, database_url, 40)
    assert sorted(taken[0] + taken[1]) == sorted(made)
    for name, ids in zip("ab", taken, strict=True):
        assert ids == [job for job in made if job in ids], "oldest first"
        for job in ids:
            assert store.leases.heartbeat(job, 1, name, 300) is False
    assert all(states_of(store, store.jobs.get(ADA.tenant, job)) == [Q, R] for job in made)
    store.close()


@pytest.mark.postgres
def test_a_race_does_not_pass_the_cap(postgres_url: str) -> None:
    """A claim that began first is seen by one that began later (SQLite's writers queue anyhow)."""
    store = Store(postgres_url, max_running_per_principal=1)
    store.migrate()
    first, _ = add_job(store), add_job(store)
    with ThreadPoolExecutor(1) as pool:
        with store._database.write() as connection:
            take_turn(connection, "queue")
            second_claim = pool.submit(claim, store)
            waits = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            until(lambda: second_claim.done() or connection.scalar(waits), "the second to want its turn")
            assert not second_claim.done()
            assert move(connection, first.id, R, "", attempt=1, worker="v", lease_until=store.now() + 30)
        assert second_claim.result(timeout=60) is None
    store.close()


def test_a_claim_costs_in_proportion_to_the_jobs_it_passes_over(tmp_path: Path) -> None:
    steps: dict[int, int] = {}
    for waiting in (100, 1000):
        url = f"sqlite:///{tmp_path}/{waiting}.db"
        fill(url, waiting)  # and one job of somebody else behind them
        store = Store(url, max_running_per_principal=1, pool_size=1)
        assert store.leases.claim("w1", "cpu:0", "cpu", 60)
        counted: list[int] = []
        # SQLite's virtual machine calls back every so many of its steps: what it does, on any machine.
        sa.event.listen(
            store._database.engine,
            "checkout",
            lambda connection, *_, counted=counted: connection.set_progress_handler(
                lambda: counted.append(1), 100
            ),
        )
        job = store.leases.claim("w2", "cpu:1", "cpu", 60)
        assert job is not None
        assert job.principal == ONE
        steps[waiting] = len(counted)
        store.close()
    assert steps[1000] < 30 * max(steps[100], 1)
