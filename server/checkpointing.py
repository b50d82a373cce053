"""Checkpoints between attempts: on this machine, and in the bucket where machines share no directory.

A training writes to a directory of its attempt (`trainers.checkpoint`). Where
blobs are in a bucket, a thread of the worker sends what changed:

    checkpoints/{job}/{attempt}/{sha256 of a file}
    checkpoints/{job}/{attempt}/{number}.json        names of the files, by digest

A state counts once its list is there, which comes last; so one that was half
sent, or half written when it was looked at, is never taken. Then the states
before it go. The next attempt, on whatever machine, takes up the newest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import structlog

from kohort.problem import Problem
from server.blobs import CHECKPOINTS, BlobExistsError, BlobMissingError, BlobStore
from server.layout import DataDir
from server.logs import Trouble

log = structlog.get_logger(log="worker")

_LOOKS = 20
"""How often a directory is looked at until it holds still."""
_TRIES = 3
_SHARE = 4.0
"""Sending may take one part in so many of the time."""

_Facts = dict[str, tuple[int, int, int]]
"""By name: inode, bytes and time of the last change."""


def prefix_of(job: str) -> str:
    """Where the checkpoints of a job are."""
    return f"{CHECKPOINTS}/{job}"


class Checkpoints:
    """Where the attempts of this machine's worker find and leave their checkpoints.

    Args:
        folders: of this machine.
        blobs: the bucket; None where `data_dir` is shared by all who work.
        every_s: how often a new state is sent, at most.
    """

    def __init__(self, folders: DataDir, blobs: BlobStore | None, every_s: float) -> None:
        self._folders, self._blobs, self._every_s = folders, blobs, every_s

    def open(self, job: str, attempt: int) -> Path:
        """The directory of an attempt, with the newest state of those before it.

        Raises Problem of the store, OSError of the disk.
        """
        if self._blobs is not None:
            # Before an older state is copied, which would pass for this attempt's own if fetching broke off.
            folder = self._folders.checkpoints / job / str(attempt)
            here = self._folders.latest_checkpoints(job, attempt)
            fetched = fetch(self._blobs, job, folder, newer_than=here)
            if fetched:
                log.info("checkpoint fetched", job=job, attempt=attempt, of_attempt=fetched)
                self._folders.forget_checkpoints(job, here)
                return folder
        return self._folders.open_checkpoints(job, attempt)

    @contextmanager
    def keeping(self, job: str, attempt: int) -> Iterator[Keeper | None]:
        """Sends what the attempt writes for as long as the block lasts."""
        if self._blobs is None:
            yield None
            return
        folder = self._folders.checkpoints / job / str(attempt)
        keeper = Keeper(self._blobs, job, attempt, folder, self._every_s)
        keeper.start()
        try:
            yield keeper
        finally:
            keeper.stop()

    def close(self, job: str) -> None:
        """Removes those of a job that is over; what cannot go from the bucket now the janitor takes."""
        self._folders.close_checkpoints(job)
        if self._blobs is not None:
            with suppress(Problem):
                self._blobs.delete(prefix_of(job))


def fetch(blobs: BlobStore, job: str, folder: Path, newer_than: int = 0) -> int:
    """Replaces a directory by the newest whole state of a job; the attempt it is of, 0 where there is none.

    Args:
        blobs: the bucket.
        job: whose.
        folder: is replaced in one step, or stays as it is.
        newer_than: an attempt whose state is at hand already.

    Raises Problem of the store, OSError of the disk.
    """
    for _ in range(_TRIES):
        lists = [found for blob in blobs.list(prefix_of(job)) if (found := _list_of(blob.key)) is not None]
        attempt, number = max(lists, default=(0, 0))
        if attempt <= newer_than:
            return 0
        place = f"{prefix_of(job)}/{attempt}"
        draft = folder.with_name(f".{uuid.uuid4().hex}")
        try:
            with blobs.open(f"{place}/{number:08}.json") as file:
                named = json.loads(file.read())
            for name, digest in named.items():
                _fetch_file(blobs, f"{place}/{digest}", draft / _plain(name), digest)
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
            return attempt
        except BlobMissingError:
            continue  # a paused worker that woke replaced it: there is a newer one
        except ValueError:
            break
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    log.warning("checkpoint unreadable", job=job)
    return 0


class Keeper:
    """Sends the states of one attempt, in a thread of its own."""

    def __init__(self, blobs: BlobStore, job: str, attempt: int, folder: Path, every_s: float) -> None:
        self._blobs, self._job, self._attempt = blobs, job, attempt
        self._folder, self._every_s = folder, every_s
        self._held = folder.with_name(f".{attempt}-sending")
        self._place = f"{prefix_of(job)}/{attempt}"
        self._sent: _Facts = {}
        """What the directory held when it was last sent."""
        self._digests: set[str] = set()
        self._number = 0
        self._ending = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def finish(self, patience_s: float) -> None:
        """Sends what is there once more, now that nobody writes; for as long as the patience lasts."""
        self._ending.set()
        self._thread.join(patience_s)

    def stop(self) -> None:
        """Ends at the next step, and hardly waits for it."""
        self._over.set()
        self._ending.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        trouble = Trouble(log, "checkpoint not sent")
        pause = self._every_s
        while not self._over.is_set():
            self._ending.wait(pause)
            last = self._ending.is_set()
            began = time.monotonic()
            try:
                self.send()
                trouble.worked()
            except (Problem, OSError) as error:
                trouble.failed(getattr(error, "reason", type(error).__name__), job=self._job)
            if last:
                return
            pause = max(self._every_s, _SHARE * (time.monotonic() - began))

    def send(self) -> bool:
        """Sends what changed; whether a new state is there. Raises Problem of the store, OSError."""
        try:
            facts = self._hold()
            if facts is None or facts == self._sent:
                return False
            named = {name: _digest(self._held / name) for name in facts}
            for name, digest in named.items():
                if self._over.is_set():
                    return False
                if digest not in self._digests:
                    with suppress(BlobExistsError):  # an earlier try's answer was lost
                        self._blobs.put(f"{self._place}/{digest}", self._held / name)
                    self._digests.add(digest)
            if self._over.is_set() or _facts(self._held) != facts:
                return False  # a file was written to while it was read
            listed = self._held / ".list"
            listed.write_text(json.dumps(named, sort_keys=True), encoding="utf-8")
            self._number += 1
            with suppress(BlobExistsError):
                self._blobs.put(f"{self._place}/{self._number:08}.json", listed)
            self._sent = facts
            self._forget(set(named.values()))
            return True
        finally:
            shutil.rmtree(self._held, ignore_errors=True)
            if self._over.is_set():  # the job's directory may have been closed meanwhile
                with suppress(OSError):
                    self._held.parent.rmdir()

    def _hold(self) -> _Facts | None:
        """Links to the files of one moment, so that they stay while they are sent; None without any."""
        for _ in range(_LOOKS):
            shutil.rmtree(self._held, ignore_errors=True)
            before = _facts(self._folder)
            if not before:
                return None
            with suppress(FileNotFoundError):
                for name in before:
                    (self._held / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.link(self._folder / name, self._held / name)
                if _facts(self._folder) == before == _facts(self._held):
                    return before
            if self._over.wait(0.05):
                return None
        return None

    def _forget(self, kept: set[str]) -> None:
        """Removes the states before this one, those of attempts before too."""
        self._digests = kept  # before any goes: one that is gone must not count as sent if this breaks off
        for blob in list(self._blobs.list(prefix_of(self._job))):
            attempt, name = blob.key.split("/")[2:4]
            mine = attempt == str(self._attempt)
            if mine and (name in kept or name == f"{self._number:08}.json"):
                continue
            if mine or int(attempt) < self._attempt:
                self._blobs.delete(blob.key)


def _facts(folder: Path) -> _Facts:
    """Of every file of a directory but hidden ones, which are being written."""
    found: _Facts = {}
    with suppress(FileNotFoundError):
        for path in sorted(folder.rglob("[!.]*")):
            facts = path.stat()
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    return found


def _list_of(key: str) -> tuple[int, int] | None:
    """Attempt and number of a list, None for another key."""
    attempt, _, name = key.split("/", 2)[2].partition("/")
    number = name.removesuffix(".json")
    return (int(attempt), int(number)) if name != number and attempt.isdecimal() else None


def _plain(name: str) -> str:
    """The name of a file that stays below its directory. Raises ValueError."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError("not a name of a checkpoint's file")
    return name


def _fetch_file(blobs: BlobStore, key: str, path: Path, digest: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with blobs.open(key) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    if _digest(path) != digest:
        raise ValueError("not the bytes that were sent")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
