"""Checkpoints by way of a bucket: whole, the newest, gone when the job is over."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from kohort.problem import Problem
from server.blobs import BlobStore, LocalBlobStore
from server.checkpointing import Checkpoints, Keeper, fetch
from server.janitor import sweep_checkpoints
from server.layout import DataDir
from server.records import JobState
from tests.core.support import until
from tests.core.workers import Bench


class Machine:
    """A data directory of its own, and the blob store that all share."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.folders = DataDir(root)
        self.folders.prepare()
        self.blobs = blobs
        self.checkpoints = Checkpoints(self.folders, blobs, 3600.0)

    def keeper(self, attempt: int) -> tuple[Path, Keeper]:
        folder = self.checkpoints.open("j", attempt)
        return folder, Keeper(self.blobs, "j", attempt, folder, 3600.0)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture
def one(tmp_path: Path, blobs: LocalBlobStore) -> Machine:
    return Machine(tmp_path / "one", blobs)


@pytest.fixture
def two(tmp_path: Path, blobs: LocalBlobStore) -> Machine:
    return Machine(tmp_path / "two", blobs)


def held(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def write(path: Path, text: str) -> None:
    """As trainers do: whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.replace(path)


def test_another_machine_takes_up_the_newest(one: Machine, two: Machine, blobs: LocalBlobStore) -> None:
    folder, keeper = one.keeper(1)
    assert not keeper.send(), "there is nothing yet"
    write(folder / "a.json", "1")
    write(folder / "deep" / "weights", "first")
    assert keeper.send()
    assert not keeper.send(), "nothing changed"
    write(folder / "a.json", "2")
    assert keeper.send()
    assert held(two.checkpoints.open("j", 2)) == {"a.json": "2", "deep/weights": "first"}
    assert len(list(blobs.list())) == 3, "the list and two files: what was before is gone"
    assert list(one.folders.checkpoints.glob("j/.*")) == []


def test_the_state_at_hand_is_preferred_where_it_is_as_new(one: Machine, two: Machine) -> None:
    folder, keeper = one.keeper(1)
    write(folder / "a", "sent")
    keeper.send()
    write(folder / "a", "not yet sent")
    assert held(one.checkpoints.open("j", 2)) == {"a": "not yet sent"}
    folder, keeper = two.keeper(3)
    write(folder / "a", "two went on")
    keeper.send()
    assert held(one.checkpoints.open("j", 4)) == {"a": "two went on"}


def test_a_fetch_that_broke_off_leaves_no_older_state_in_place_of_the_newest(
    one: Machine, two: Machine, blobs: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the same attempt, which asks again, nor for the next one, after a kill."""
    folder, keeper = one.keeper(1)
    write(folder / "a", "old")
    keeper.send()
    folder, keeper = two.keeper(2)
    write(folder / "a", "new")
    keeper.send()

    def break_off(key: str) -> BinaryIO:
        raise Problem("STORE_UNAVAILABLE", "the bucket is gone")

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "open", break_off)
        for attempt in (3, 4):
            with pytest.raises(Problem):
                one.checkpoints.open("j", attempt)
    assert held(one.checkpoints.open("j", 4)) == {"a": "new"}
    assert held(one.checkpoints.open("j", 4)) == {"a": "new"}, "asked again, for another reason"


def test_a_file_that_was_removed_is_sent_again(
    one: Machine, two: Machine, blobs: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, keeper = one.keeper(1)
    write(folder / "a", "same")
    keeper.send()
    write(folder / "a", "other")
    delete = blobs.delete

    def delete_and_break_off(key: str) -> None:
        delete(key)
        if not key.endswith(".json"):
            raise Problem("STORE_UNAVAILABLE", "the bucket is gone")

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "delete", delete_and_break_off)
        with pytest.raises(Problem):
            keeper.send()
    write(folder / "a", "same")
    keeper.send()
    assert held(two.checkpoints.open("j", 2)) == {"a": "same"}


def test_a_state_that_was_half_sent_is_never_taken(one: Machine, two: Machine, blobs: LocalBlobStore) -> None:
    folder, keeper = one.keeper(1)
    write(folder / "a", "old")
    write(folder / "b", "old")
    keeper.send()

    class Breaking(LocalBlobStore):
        def put(self, key: str, source: Path) -> None:
            if key.endswith(".json"):
                raise Problem("STORE_UNAVAILABLE", "the machine is gone")
            blobs.put(key, source)

    write(folder / "a", "new")
    broken = Keeper(Breaking(two.folders.root), "j", 2, folder, 3600.0)
    with pytest.raises(Problem):
        broken.send()
    assert any(blob.key.startswith("checkpoints/j/2/") for blob in blobs.list())
    assert held(two.checkpoints.open("j", 3)) == {"a": "old", "b": "old"}


def test_a_file_that_is_written_to_while_it_is_sent_makes_no_state(one: Machine, two: Machine) -> None:
    folder, _ = one.keeper(1)
    write(folder / "a", "whole")

    class Meanwhile(LocalBlobStore):
        def put(self, key: str, source: Path) -> None:
            super().put(key, source)
            with (folder / "a").open("a") as file:
                file.write(", and more")

    store = Meanwhile(two.folders.root / "own")
    assert not Keeper(store, "j", 1, folder, 3600.0).send()
    assert fetch(store, "j", two.folders.root / "there") == 0


def test_a_directory_that_never_holds_still_is_left(one: Machine) -> None:
    folder, keeper = one.keeper(1)
    begun, ended = threading.Event(), threading.Event()

    def churn() -> None:
        count = 0
        while not ended.is_set():
            count += 1
            write(folder / f"f{count % 7}", str(count))
            begun.set()

    thread = threading.Thread(target=churn)
    thread.start()
    begun.wait()
    try:
        for _ in range(5):
            keeper.send()  # whatever it sent was of one moment: each list names whole files
    finally:
        ended.set()
        thread.join()
    write(folder / "last", "1")  # it may have sent the very last of the others
    assert keeper.send()
    assert held(folder) == held(one.checkpoints.open("j", 2))


def test_damage_begins_anew(one: Machine, two: Machine, blobs: LocalBlobStore, tmp_path: Path) -> None:
    folder, keeper = one.keeper(1)
    write(folder / "a", "x")
    keeper.send()
    for path in (tmp_path / "blobs" / "checkpoints" / "j" / "1").glob("[!0]*"):
        path.write_bytes(b"y")
    assert held(two.checkpoints.open("j", 2)) == {}


def test_a_paused_worker_that_wakes_changes_nothing_newer(one: Machine, two: Machine) -> None:
    folder, paused = one.keeper(1)
    write(folder / "a", "one")
    paused.send()
    ahead, keeper = two.keeper(2)
    write(ahead / "a", "two")
    keeper.send()
    write(folder / "a", "late")
    paused.send()
    assert held(one.checkpoints.open("j", 3)) == {"a": "two"}


def test_it_is_sent_while_a_block_lasts_and_gone_with_the_job(
    tmp_path: Path, blobs: LocalBlobStore, two: Machine
) -> None:
    folders = DataDir(tmp_path / "quick")
    folders.prepare()
    quick = Checkpoints(folders, blobs, 0.01)
    folder = quick.open("j", 1)
    with quick.keeping("j", 1) as keeper:
        assert keeper is not None
        write(folder / "a", "1")
        until(lambda: len(list(blobs.list())) == 2, "the state to be sent")
        write(folder / "a", "2")
        keeper.finish(60.0)
    assert held(two.checkpoints.open("j", 2)) == {"a": "2"}
    quick.close("j")
    assert list(blobs.list()) == []
    assert list(folders.checkpoints.iterdir()) == []


def test_where_the_directory_is_shared_nothing_is_sent(tmp_path: Path) -> None:
    folders = DataDir(tmp_path)
    folders.prepare()
    shared = Checkpoints(folders, None, 0.01)
    write(shared.open("j", 1) / "a", "1")
    with shared.keeping("j", 1) as keeper:
        assert keeper is None
    assert held(shared.open("j", 2)) == {"a": "1"}


def test_the_janitor_takes_those_of_jobs_that_are_over(bench: Bench) -> None:
    waiting, over = bench.job(), bench.job()
    bench.store.jobs.request_cancel("north", over.id)
    source = bench.folders.root / "source"
    for job in (waiting.id, over.id, "unheardof"):
        source.write_bytes(b"x")
        bench.blobs.put(f"checkpoints/{job}/1/00000001.json", source)
        source.unlink()
    sweep_checkpoints(bench.store, bench.blobs)
    assert bench.get(over).state is JobState.CANCELLED
    assert [b.key for b in bench.blobs.list("checkpoints")] == [f"checkpoints/{waiting.id}/1/00000001.json"]
