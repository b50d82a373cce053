"""A worker and its child: what each end of a child makes of a job."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kohort.problem import Problem
from server import attempt
from server.journal import Journal
from server.protocol import ChildSpec
from server.records import JobState
from server.store import Store
from server.worker import EMPTY, Worker
from tests.core.fake_pipeline import SECRET
from tests.core.support import lives, states_of, until
from tests.core.workers import ENTRY, Bench, gone

Q, R, C = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING
S, F, X = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED


def test_a_job_becomes_a_model(any_bench: Bench) -> None:
    bench = any_bench
    job = bench.job(steps=3)
    bench.worker()
    done = bench.ended(job)
    assert done.state is S, bench.said()
    model = bench.store.models.get("north", done.model)
    with bench.blobs.open(model.blob_key) as file:
        assert file.read() == b"bundle"
    assert (model.job, model.dataset, model.size_bytes) == (job.id, job.spec.dataset, 6)
    events = bench.store.jobs.events("north", job.id, 0)
    said = [
        (e.kind, e.payload.get("phase") or e.payload.get("state") or e.payload.get("step")) for e in events
    ]
    assert said == [
        ("state", "QUEUED"),
        ("state", "RUNNING"),
        ("phase", "fitting"),
        ("progress", 1),
        ("progress", 2),
        ("progress", 3),
        ("warning", None),
        ("phase", "publishing"),
        ("state", "SUCCEEDED"),
    ]
    assert events[3].payload["losses"] == {"g": 1.0}, "a loss that is no number is left out"
    until(lambda: not list(bench.folders.scratch.glob("*/*")), "the scratch space to go")
    until(lambda: not list(bench.folders.checkpoints.glob("*")), "the checkpoints to go")


def test_a_worker_for_one_job_takes_a_free_slot_and_leaves(bench: Bench) -> None:
    job = bench.job(steps=10_000)
    bench.worker()
    bench.steps(job)
    other = bench.job(steps=1)
    assert bench.worker("cpu:*", once=True).wait(60) == 0
    assert bench.get(other).state is S, bench.said()
    assert (bench.get(job).device, bench.get(other).device) == ("cpu:0", "cpu:1")
    assert bench.worker("cpu:*", once=True).wait(60) == EMPTY, "there is nothing more to do"


@pytest.mark.slow
def test_one_worker_runs_one_job_after_the_other(bench: Bench) -> None:
    worker = bench.worker()
    jobs = [bench.job() for _ in range(3)]
    assert [bench.ended(job).state for job in jobs] == [S, S, S]
    assert [w.slot for w in bench.store.workers.live(30)] == ["cpu:0"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert bench.store.workers.live(30) == []


@pytest.mark.parametrize(
    ("mode", "reason", "column"),
    [
        ("raise", "TRAINING_FAILED", ""),
        ("problem", "COLUMN_UNSUPPORTED", "heart.age"),
        pytest.param("memory", "OUT_OF_MEMORY", "", marks=pytest.mark.slow),
        pytest.param("full", "STORAGE_FULL", "", marks=pytest.mark.slow),
    ],
)
def test_what_a_child_reports_fails_the_job_at_once(
    bench: Bench, mode: str, reason: str, column: str
) -> None:
    job = bench.job(mode)
    bench.worker()
    failed = bench.ended(job)
    assert failed.error is not None
    assert (failed.error["reason"], failed.error["column"]) == (reason, column)
    assert failed.attempt == 1
    assert SECRET not in str(failed.error)
    assert SECRET not in bench.said()


@pytest.mark.parametrize("mode", [pytest.param("exit", marks=pytest.mark.slow), "segfault"])
def test_a_child_that_dies_is_tried_again_and_then_given_up(bench: Bench, mode: str) -> None:
    job = bench.job(mode)
    bench.worker(max_attempts=2)
    failed = bench.ended(job)
    assert failed.error is not None
    assert failed.error["reason"] == "ATTEMPTS_EXHAUSTED"
    assert states_of(bench.store, job) == [Q, R, Q, R, F]
    if mode == "segfault":
        assert "Fatal Python error: Segmentation fault" in bench.said()


def test_what_a_child_prints_is_neither_a_message_nor_logged(bench: Bench) -> None:
    job = bench.job("noisy")
    bench.worker()
    assert bench.ended(job).state is S, bench.said()
    assert SECRET not in bench.said()
    steps = [e.payload["step"] for e in bench.store.jobs.events("north", job.id, 0) if e.kind == "progress"]
    assert steps == [1, 2, 3], "no message was spoilt"


def test_a_helper_of_a_child_ends_with_it(bench: Bench) -> None:
    job = bench.job("grandchild", steps=10_000)
    bench.worker()
    pids = bench.pids(job, at_least=2)
    bench.store.jobs.request_cancel("north", job.id)
    assert bench.ended(job).state is X
    gone(*pids)


def test_a_child_imports_no_transport_and_no_database(bench: Bench) -> None:
    job = bench.job("modules")
    bench.worker()
    modules = bench.store.models.get("north", bench.ended(job).model).privacy["fact"]
    assert not {"grpc", "google", "sqlalchemy", "alembic", "structlog", "psycopg", "pydantic"} & set(modules)


@pytest.mark.slow
@pytest.mark.parametrize(("slot", "visible", "device"), [("cpu:0", "", "cpu"), ("cuda:3", "3", "cuda:0")])
def test_a_child_sees_its_slot_alone(bench: Bench, slot: str, visible: str, device: str) -> None:
    job = bench.job("environment")
    bench.worker(slot, threads=2)
    facts = bench.store.models.get("north", bench.ended(job).model).privacy["fact"]
    assert facts == {
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": visible,
        "device": device,
        "nice": min(19, os.nice(0) + 10),
    }


def test_a_child_that_listens_stops_by_itself(bench: Bench) -> None:
    job = bench.job(steps=10_000)
    bench.worker(cancel_grace_s=60.0)
    bench.steps(job)
    bench.store.jobs.request_cancel("north", job.id)
    assert bench.ended(job).state is X
    assert states_of(bench.store, job) == [Q, R, C, X]
    until(lambda: not list(bench.folders.checkpoints.glob("*")), "the checkpoints to go")


def test_a_deaf_child_is_killed(bench: Bench) -> None:
    job = bench.job("deaf")
    bench.worker()
    bench.steps(job)
    pids = bench.pids(job)
    bench.store.jobs.request_cancel("north", job.id)
    assert bench.ended(job).state is X
    gone(*pids)


@pytest.mark.slow
def test_a_job_may_not_run_longer_than_allowed(bench: Bench) -> None:
    job = bench.job(steps=10_000, max_runtime_s=3.0)
    bench.worker()
    failed = bench.ended(job)
    assert failed.error is not None
    assert failed.error["reason"] == "MAX_RUNTIME_EXCEEDED"
    assert failed.progress is not None


@pytest.mark.slow
def test_a_model_whose_evaluation_takes_too_long_is_published_without_a_report(bench: Bench) -> None:
    job = bench.job("evaluating", max_runtime_s=3.0)
    bench.worker()
    done = bench.ended(job)
    assert done.state is S, (done.error, bench.said())
    assert bench.store.models.get("north", done.model).job == job.id
    assert done.report == ""
    warned = [
        event.payload["reason"]
        for event in bench.store.jobs.events("north", job.id, 0)
        if event.kind == "warning"
    ]
    assert warned == ["EVALUATION_INCOMPLETE"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exporting", "best"])
def test_a_job_that_is_fitted_may_take_a_little_longer(bench: Bench, mode: str) -> None:
    job = bench.job(mode, steps=160, max_runtime_s=3.0)
    bench.worker()
    assert bench.ended(job).state is S


@pytest.mark.slow
def test_a_silent_child_is_taken_for_dead(bench: Bench) -> None:
    job = bench.job("deaf")
    bench.worker(max_attempts=1, silence_s=4.0)
    (child,) = bench.pids(job)
    bench.steps(job)
    os.kill(child, signal.SIGSTOP)
    failed = bench.ended(job)
    assert failed.error is not None
    assert failed.error["reason"] == "ATTEMPTS_EXHAUSTED"
    gone(child)


@pytest.mark.slow
def test_a_job_without_its_bytes_fails(bench: Bench) -> None:
    job = bench.job()
    bench.blobs.delete("datasets")
    bench.worker()
    failed = bench.ended(job)
    assert failed.error is not None
    assert failed.error["reason"] == "DATASET_EXPIRED"


def test_a_worker_elsewhere_does_not_start(bench: Bench, tmp_path: Path) -> None:
    job = bench.job()
    stray = Worker(bench.config(data_dir=str(tmp_path / "not_mounted")))
    with pytest.raises(Problem) as caught:
        stray.run()
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert bench.store.jobs.get("north", job.id).state is JobState.QUEUED, "the job is for one that can read"


@pytest.mark.parametrize("dismissed", [False, True])
def test_a_worker_that_leaves_gives_its_job_back(bench: Bench, dismissed: bool) -> None:
    job = bench.job(steps=10, hold=5)
    first = bench.worker(once=dismissed)
    bench.steps(job, 3)
    if dismissed:
        bench.store.workers.dismiss([worker.id for worker in bench.store.workers.live(30)])
    else:
        first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    waiting = bench.get(job)
    assert (waiting.state, waiting.attempt) == (Q, 1)
    bench.worker(max_attempts=1)
    assert bench.ended(job).state is S
    steps = [e.payload["step"] for e in bench.store.jobs.events("north", job.id, 0) if e.kind == "progress"]
    assert steps == sorted(steps), "the second attempt went on from the checkpoint"


def spec_of_child(bench: Bench, mode: str) -> ChildSpec:
    texts = {f.name: "" for f in dataclasses.fields(ChildSpec)}
    others = {
        "parent": os.getpid(),
        "entry": ENTRY,
        "slot": "cpu:0",
        "lock_folder": str(bench.folders.slots),
        "attempt": 1,
        "checkpoints": str(bench.folders.open_scratch("job", 1)),
        "parameters": {"mode": mode},
        "schema": {},
        "seed": 0,
        "options": {},
        "alive_s": 1.0,
        "threads": 1,
    }
    return ChildSpec(**(texts | others))  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel_kills", [0, 1])
def test_a_kill_is_for_memory_only_where_the_kernel_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kernel_kills: int
) -> None:
    counts = iter([5, 5 + kernel_kills])
    monkeypatch.setattr(attempt, "oom_kills", lambda: next(counts))
    spec = spec_of_child(bench, "kill")
    ended = attempt.Attempt(spec, lambda _: None, lambda: None, attempt.Grace(), 60.0).run()
    assert (ended.result, ended.status) == (None, -signal.SIGKILL)
    assert ended.out_of_memory is bool(kernel_kills)


def test_the_child_of_a_lost_job_ends_though_the_store_hangs(bench: Bench) -> None:
    spec, lost = spec_of_child(bench, "deaf"), threading.Event()
    pids = bench.folders.scratch / "job" / "1" / "pids"
    outlived: list[int] = []

    def hangs(message: Any) -> None:
        if message["type"] == "progress":
            child = int(pids.read_text().split()[0])
            lost.set()
            until(lambda: not lives(child), "the child to end while this call waits")
            outlived.append(child)

    def should_stop() -> attempt.Why | None:
        return attempt.Why.LOST if lost.is_set() else None

    ended = attempt.Attempt(spec, hangs, should_stop, attempt.Grace(), 60.0).run()
    assert outlived
    assert (ended.why, ended.status) == (attempt.Why.LOST, -signal.SIGKILL)
    assert not ended.out_of_memory


class _Leases:
    """A store that does not answer for a while."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.said: list[object] = []

    def __getattr__(self, kind: str) -> Callable[..., None]:
        def say(job: str, attempt: int, worker: str, what: Any) -> None:
            if self.failures:
                self.failures -= 1
                raise Problem("STORE_UNAVAILABLE", "no")
            self.said.append(what["step"] if kind == "progress" else what)

        return say


def test_what_cannot_be_said_now_is_said_later_and_in_order() -> None:
    leases = _Leases(failures=3)
    store = cast(Store, SimpleNamespace(leases=leases))
    journal = Journal(store, "job", 1, "w", every_s=0.0)
    journal.take({"type": "phase", "phase": "fitting"})
    for step in (1, 2, 3, 4):
        values = {"step": step, "total_steps": 4, "losses": {}, "rows_per_second": None}
        journal.take({"type": "progress", "progress": values})
    journal.take({"type": "alive"})
    assert leases.said == ["fitting", 3, 4], "of progress that waits the latest is enough"
    leases.failures = 1
    journal.take({"type": "phase", "phase": "exporting"})
    assert leases.said[-1] == 4
    journal.take({"type": "alive"})
    assert leases.said[-1] == "exporting"


def test_a_bundle_waits_for_room(bench: Bench, tmp_path: Path) -> None:
    """The blob store cannot be written when the training is done; a little later it can."""
    job = bench.job(steps=2, hold=1)
    bench.worker()
    bench.steps(job)
    spool, aside = bench.folders.blobs / ".spool", tmp_path / "aside"
    spool.rename(aside)
    bench.let_go(job)
    until(lambda: "outcome waits" in bench.said(), "the first try")
    assert bench.get(job).state is R
    aside.rename(spool)
    assert bench.ended(job).state is S
