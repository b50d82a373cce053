"""What the janitor takes away, and what it must leave."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import sqlalchemy as sa

from kohort.problem import Problem
from server.janitor import Janitor
from server.layout import DataDir
from server.records import JobState
from server.store.schema import datasets, jobs
from server.threads import Threads
from tests.core.support import add_dataset, add_job, eventually, model_of
from tests.core.workers import Bench


@pytest.fixture
def janitor(bench: Bench) -> Janitor:
    threads = Threads("janitor", 1)
    return Janitor(bench.store, bench.blobs, bench.folders, threads, lease_every_s=0.01, orphan_s=-60.0)


def keys(bench: Bench) -> list[str]:
    return [blob.key for blob in bench.blobs.list()]


def put(bench: Bench, key: str) -> None:
    source = bench.folders.root / "source"
    source.write_bytes(b"x")
    bench.blobs.put(key, source)
    source.unlink()


def test_expired_bytes_go_and_the_tombstone_stays(bench: Bench, janitor: Janitor) -> None:
    needed, free = bench.job(), bench.job()
    bench.store.jobs.request_cancel("north", free.id)
    with bench.store._database.write() as connection:
        connection.execute(sa.update(datasets).values(expire_time=1.0))
    prefix = bench.store.datasets.get("north", needed.spec.dataset).blob_prefix
    janitor.sweep()
    assert keys(bench) == [f"{prefix}/table.arrow"], "a job that waits keeps what it needs"
    tombstone = bench.store.datasets.get("north", free.spec.dataset)
    assert tombstone.delete_time is not None
    assert tombstone.digest == b"\x01" * 32
    bench.store.jobs.request_cancel("north", needed.id)
    janitor.sweep()
    assert keys(bench) == []


def test_a_deletion_that_was_interrupted_is_finished(bench: Bench, janitor: Janitor) -> None:
    job = bench.job()
    bench.store.jobs.request_cancel("north", job.id)
    bench.store.datasets.delete("north", job.spec.dataset)
    assert len(keys(bench)) == 1, "the server was killed here"
    janitor.sweep()
    assert keys(bench) == []
    assert bench.store.datasets.unpurged() == []


def test_orphaned_blobs_go_and_named_ones_stay(bench: Bench, janitor: Janitor) -> None:
    job = bench.job()
    bench.store.leases.claim("w", "cpu:0", "cpu", 30)
    model = model_of(job)
    put(bench, model.blob_key)
    put(bench, "models/north/lost/1/bundle.kohort")
    put(bench, "datasets/north/lost/table.arrow")
    put(bench, "lineage/north/lost/patients")
    bench.store.leases.publish(job.id, 1, "w", model)
    kept = {model.blob_key, f"{bench.store.datasets.get('north', job.spec.dataset).blob_prefix}/table.arrow"}
    janitor.sweep()
    assert set(keys(bench)) == kept


def test_patient_hashes_outlive_their_dataset(bench: Bench, janitor: Janitor) -> None:
    put(bench, "lineage/north/d/patients")
    made = add_dataset(bench.store, lineage_key="lineage/north/d/patients")
    bench.store.datasets.delete("north", made)
    janitor.sweep()
    janitor.sweep()
    assert keys(bench) == ["lineage/north/d/patients"]


def test_young_blobs_stay(bench: Bench) -> None:
    put(bench, "datasets/north/under-way/table.arrow")
    Janitor(bench.store, bench.blobs, bench.folders, Threads("janitor", 1)).sweep()
    assert keys(bench) == ["datasets/north/under-way/table.arrow"]


def test_folders_of_what_is_over_go(bench: Bench, janitor: Janitor) -> None:
    running, waiting, over = (add_job(bench.store) for _ in range(3))
    bench.store.leases.claim("w", "cpu:0", "cpu", 30)
    bench.store.jobs.request_cancel("north", over.id)
    with bench.store._database.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == running.id).values(attempt=2))
    folders: DataDir = bench.folders
    for job in (running.id, waiting.id, over.id, "unknown"):
        for attempt in (1, 2):
            folders.open_scratch(job, attempt)
            folders.open_checkpoints(job, attempt)
    janitor.sweep()
    assert list(folders.scratch.glob("*/*")) == [folders.scratch / running.id / "2"]
    assert {p.name for p in folders.checkpoints.glob("*")} == {running.id, waiting.id}


def test_checkpoints_go_from_attempt_to_attempt(bench: Bench) -> None:
    folders = bench.folders
    first = folders.open_checkpoints("j", 1)
    (first / "step").write_text("7")
    second = folders.open_checkpoints("j", 2)
    assert (second / "step").read_text() == "7"
    (first / "step").write_text("8")  # the child of a paused worker
    assert (second / "step").read_text() == "7"
    (second / "step").write_text("9")
    assert (folders.open_checkpoints("j", 10) / "step").read_text() == "9"
    assert not first.exists()


async def test_it_runs_until_cancelled_and_survives_a_store_that_does_not_answer(
    bench: Bench, janitor: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add_job(bench.store)
    bench.store.leases.claim("w", "cpu:0", "cpu", 0.0)
    failures = [Problem("STORE_UNAVAILABLE", "no"), Problem("STORE_UNAVAILABLE", "no")]
    sweep = janitor.requeue

    def requeue() -> None:
        if failures:
            raise failures.pop()
        sweep()

    monkeypatch.setattr(janitor, "requeue", requeue)
    task = asyncio.create_task(janitor.run())
    await eventually(lambda: bench.get(job).state is JobState.QUEUED, "the job to be taken back")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
