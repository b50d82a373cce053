"""kill -9, pauses and full disks in the middle of training: nothing is lost, nothing runs twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from kohort.problem import Problem
from server.janitor import Janitor
from server.processes import SlotLock
from server.records import JobRecord, JobState
from server.store.schema import workers
from server.threads import Threads
from tests.core.support import lives, states_of, unavailable, until
from tests.core.workers import Bench, gone

Q, R, C = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING
S, F, X = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED


def janitor(bench: Bench) -> Janitor:
    return Janitor(bench.store, bench.blobs, bench.folders, Threads("janitor", 1), orphan_s=0.0)


def went_on(bench: Bench, job: JobRecord, attempts: int = 2) -> None:
    """The job succeeded after its attempts, with one model and no step done twice."""
    done = bench.ended(job)
    assert done.state is S, bench.said()
    assert done.attempt == attempts
    assert states_of(bench.store, job) == [Q, R] * attempts + [S]
    assert [m.id for m in bench.store.models.list("north").items] == [done.model]
    steps = [e.payload["step"] for e in bench.store.jobs.events("north", job.id, 0) if e.kind == "progress"]
    assert steps == sorted(steps)


def test_kill_the_child(any_bench: Bench) -> None:
    bench = any_bench
    job = bench.job(steps=10, hold=5)
    bench.worker()
    bench.steps(job, 3)
    os.kill(bench.pids(job)[0], signal.SIGKILL)
    went_on(bench, job)


def test_kill_the_worker(bench: Bench) -> None:
    job = bench.job(steps=10, hold=5)
    worker = bench.worker()
    bench.steps(job, 3)
    (child,) = bench.pids(job)
    worker.kill()
    gone(child)
    assert bench.get(job).state is R, "nobody knows yet"
    bench.worker()  # of the same slot: it does not wait for the lease of half a minute
    went_on(bench, job)


@pytest.mark.slow
def test_kill_the_worker_and_wait_for_the_lease(bench: Bench) -> None:
    job = bench.job(steps=10, hold=5)
    worker = bench.worker(lease_s=3.0)
    bench.steps(job, 3)
    worker.kill()
    bench.worker("cpu:1")
    sweeper = janitor(bench)
    until(lambda: sweeper.requeue() or bench.get(job).attempt == 2, "the lease to run out")
    went_on(bench, job)


def test_kill_the_server(bench: Bench) -> None:
    job = bench.job(steps=10, hold=5)
    server = bench.server(bench.config())
    bench.steps(job, 3)
    below = psutil.Process(server.pid).children(recursive=True)
    assert {bench.pids(job)[0]} < {process.pid for process in below}
    server.kill()
    gone(*(process.pid for process in below))
    bench.server(bench.config())
    went_on(bench, job)


@pytest.mark.slow
def test_a_worker_that_dies_is_started_again(bench: Bench) -> None:
    job = bench.job(steps=10, hold=5)
    server = bench.server(bench.config())
    bench.steps(job, 3)
    child = psutil.Process(bench.pids(job)[0])
    parent = child.parent()
    assert parent is not None
    assert parent.ppid() == server.pid
    parent.kill()
    went_on(bench, job)


@pytest.mark.slow
def test_a_server_that_stops_takes_its_workers_along(bench: Bench) -> None:
    job = bench.job(steps=10_000)
    server = bench.server(bench.config(), bench.config("cpu:1"))
    bench.steps(job, 2)
    below = psutil.Process(server.pid).children(recursive=True)
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0
    assert not any(lives(process.pid) for process in below)
    assert bench.get(job).state is Q
    assert states_of(bench.store, job) == [Q, R, Q]


def test_a_paused_worker_that_wakes_has_lost(any_bench: Bench) -> None:
    bench = any_bench
    job = bench.job(steps=10_000, step_s=0.05)
    paused = bench.worker(lease_s=3.0, cancel_grace_s=600.0)  # which the child of a lost job is not given
    bench.steps(job, 2)
    (first,) = bench.pids(job)
    bench.pause(paused)
    bench.worker("cpu:1")
    sweeper = janitor(bench)
    until(lambda: sweeper.requeue() or bench.get(job).attempt == 2, "the lease to run out")
    bench.steps(job)
    assert lives(first), "its child trains on, for nothing"
    days_ago = sa.update(workers).where(workers.c.slot == "cpu:0").values(seen_time=1.0)
    with bench.store._database.write() as connection:
        connection.execute(days_ago)
    assert bench.store.workers.forget_dead() == 1
    paused.send_signal(signal.SIGCONT)
    gone(first)
    until(lambda: [w.slot for w in bench.store.workers.live(30)] == ["cpu:0", "cpu:1"], "it to be known")
    until(lambda: "lease lost" in bench.said(), "the paused worker to notice")
    now = bench.get(job)
    assert (now.state, now.attempt, now.device) == (R, 2, "cpu:1")
    assert states_of(bench.store, job) == [Q, R, Q, R]
    assert all(e.attempt == 2 for e in bench.store.jobs.events("north", job.id, now.last_sequence - 1))
    assert paused.poll() is None, "it works on, for other jobs"


@pytest.mark.slow
def test_a_paused_worker_whose_job_is_done_publishes_nothing(bench: Bench) -> None:
    """The child of the paused worker finishes; its bundle must not be seen."""
    job = bench.job(steps=10, hold=5)
    paused = bench.worker(lease_s=3.0)
    bench.steps(job, 2)
    (first,) = bench.pids(job)
    bench.pause(paused)
    bench.let_go(job)
    sweeper = janitor(bench)
    until(lambda: sweeper.requeue() or bench.get(job).state is Q, "the lease to run out")
    until(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE, "its child to finish")
    bench.store.jobs.request_cancel("north", job.id)
    paused.send_signal(signal.SIGCONT)
    until(lambda: "lease lost" in bench.said(), "the paused worker to notice")
    assert bench.get(job).state is X
    assert bench.store.models.list("north").items == ()
    assert [blob.key for blob in bench.blobs.list("models")] == []


@pytest.mark.slow
def test_no_slot_has_two_workers(bench: Bench) -> None:
    first_job, second_job = bench.job(steps=10_000), bench.job(steps=10_000)
    bench.worker()
    bench.steps(first_job, 2)
    second = bench.worker()
    process = psutil.Process(second.pid)
    until(lambda: any("worker.lock" in f.path for f in process.open_files()), "it to want the slot")
    time.sleep(0.5)  # in which it could take a job
    assert second.poll() is None, "it waits"
    assert bench.get(second_job).state is Q
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 0


def test_a_child_waits_for_the_slot_and_may_be_stopped_meanwhile(bench: Bench) -> None:
    lock = SlotLock(bench.folders.slots, "cpu:0", "child")
    bench.worker()
    # A worker that starts waits for this lock before it claims: only one that works is past that.
    assert bench.ended(bench.job(steps=1)).state is S
    assert lock.acquire()
    job = bench.job(steps=2)
    until(lambda: bench.get(job).state is R, "the claim")
    time.sleep(0.5)
    assert bench.get(job).phase == "", "the child does not work while another holds its slot"
    stopped = bench.job(steps=2)
    bench.store.jobs.request_cancel("north", job.id)
    assert bench.ended(job).state is X
    lock.release()
    assert bench.ended(stopped).state is S


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Four MiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        unavailable("needs root to mount a small tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        unavailable("needs to be allowed to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def test_a_full_disk_fails_the_job_and_publishes_nothing(small_disk: Path, tmp_path: Path) -> None:
    bench = Bench(small_disk, f"sqlite:///{tmp_path}/kohort.db")
    bench.log = tmp_path / "log"
    job = bench.job(size=2_000_000)  # a bundle of 12 MB
    bench.worker()
    failed = bench.ended(job)
    assert failed.error is not None
    assert failed.error["reason"] == "STORAGE_FULL"
    assert list(bench.blobs.list("models")) == []
    small = bench.job(size=10)
    assert bench.ended(small).state is S, "with room again the same worker goes on"
    filler = fill(small_disk)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    with pytest.raises(Problem) as error:
        bench.blobs.put("models/north/x/1/bundle.kohort", source)
    assert error.value.reason == "STORAGE_FULL"
    assert not list(bench.blobs.list("models/north/x"))
    filler.unlink()
    bench.blobs.put("models/north/x/1/bundle.kohort", source)
    bench.close()


def write_on(bench: Bench) -> None:
    while True:
        bench.store.check_writable()
        bench.job()


@pytest.mark.slow
def test_a_full_database_loses_no_job(small_disk: Path, tmp_path: Path) -> None:
    """While nothing can be written the lease runs out; with room again the job goes on."""
    bench = Bench(tmp_path / "data", f"sqlite:///{small_disk}/kohort.db")
    job = bench.job(steps=10_000)
    bench.worker(lease_s=2.0)
    bench.steps(job, 2)
    (child,) = bench.pids(job)
    filler = fill(small_disk)
    with pytest.raises(Problem) as error:
        write_on(bench)
    assert error.value.reason == "STORAGE_FULL"
    gone(child)
    assert bench.get(job).state is R, "what was committed stays readable"
    filler.unlink()
    sweeper = janitor(bench)
    until(lambda: sweeper.requeue() or bench.get(job).attempt == 2, "a second attempt")
    bench.store.jobs.request_cancel("north", job.id)
    assert bench.ended(job).state is X
    bench.close()
