"""Bytes of a client stream on their way to disk: chunk by chunk, off the event loop, hashed and bounded."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kohort.problem import Problem
from server.threads import Threads

_BUFFER = 1 << 20
_LOCK = ".lock"


class SpoolFolder:
    """Where streams under way are kept, each in a directory of its own.

    What a server that was killed left behind is removed when one starts: a lock
    that the kernel releases tells the living from the dead.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in parent.glob("[!.]*"):
            lock = _lock(left)
            if lock is not None:
                os.close(lock)
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private directory, gone when the block ends, however it ends."""
        fresh = Path(tempfile.mkdtemp(prefix=".", dir=self._parent))
        lock = _lock(fresh)
        # Seen by others only once it is locked.
        folder = fresh.rename(fresh.with_name(fresh.name[1:]))
        try:
            yield folder
        finally:
            if lock is not None:
                os.close(lock)  # first: network file systems keep what is open
            shutil.rmtree(folder, ignore_errors=True)


class SpoolFile:
    """One file that grows. Small chunks are gathered before they go to a thread.

    Args:
        path: where to; must not exist.
        threads: the threads that write.
    """

    def __init__(self, path: Path, threads: Threads) -> None:
        self.path = path
        self._threads = threads
        self._sha256 = hashlib.sha256()
        self._file = path.open("xb")
        self._parts: list[bytes] = []
        self._gathered = 0

    async def write(self, *parts: bytes) -> None:
        """Appends; returns once no more than a buffer is left in memory. Raises OSError for a full disk."""
        self._parts += parts
        self._gathered += sum(map(len, parts))
        if self._gathered >= _BUFFER:
            await self._flush()

    async def finish(self) -> bytes:
        """Writes what is left, closes the file and returns the SHA-256 of its bytes."""
        await self._flush()
        await self._threads.run(self._file.close)
        return self._sha256.digest()

    def close(self) -> None:
        """Closes the file, finished or not; what was not finished is of no use."""
        try:
            self._file.close()
        except OSError:
            return  # the disk is full, as the caller knows by now

    async def _flush(self) -> None:
        parts, self._parts, self._gathered = self._parts, [], 0
        await self._threads.run(self._append, b"".join(parts))

    def _append(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)


class Quota:
    """A limit on bytes, over all files of a stream."""

    def __init__(self, limit: int, field: str) -> None:
        self._limit = self._left = limit
        self._field = field

    @property
    def taken(self) -> int:
        """Bytes so far."""
        return self._limit - self._left

    def take(self, size: int) -> None:
        """Raises Problem LIMIT_EXCEEDED once more than the limit was taken."""
        self._left -= size
        if self._left < 0:
            raise Problem.at("LIMIT_EXCEEDED", self._field, f"more than {self._limit} bytes")


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the folder's lock; None when another process does, or it is none."""
    try:
        # A file open for writing, not the folder itself: network file systems lock nothing else.
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
