"""Where bytes live: datasets, patient hashes, bundles and reports, by key.

A key is a path of segments, ``models/{tenant}/{model}/{attempt}/bundle.kohort``.
Blobs are immutable: putting creates, and never replaces. `LocalBlobStore` keeps
them in a directory, `server.objects.ObjectStore` in a bucket; `open_blobs` gives
the one that the settings ask for.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from kohort.problem import Problem
from server.processes import is_full

CHECKPOINTS, UPLOADS = "checkpoints", "spool"
"""Below these are no blobs of records: `server.checkpointing`; uploads under way of `server.objects`."""
_SEGMENT = re.compile(r"[A-Za-z0-9%_~-][A-Za-z0-9%._~-]*")
_CHUNK = 1 << 20


class BlobExistsError(Exception):
    """The key is taken."""


class BlobMissingError(Exception):
    """Nothing is stored under the key."""


@dataclass(frozen=True)
class BlobInfo:
    """A stored blob: its key, its bytes, and when it was put (seconds since 1970)."""

    key: str
    size_bytes: int
    put_time: float


@dataclass(frozen=True)
class BlobPlace:
    """Where blobs are, as the settings `blob_*` say."""

    url: str = ""
    """``s3://bucket/prefix``; empty: a directory."""
    endpoint: str = ""
    region: str = ""
    credentials_file: str = ""
    ca_file: str = ""


class BlobStore(Protocol):
    """What the server asks of a store. Problem STORAGE_FULL or STORE_UNAVAILABLE may come of any call."""

    def check(self, *, write: bool = False) -> None:
        """Raises Problem when nothing can be read now (or, with `write`, written); answers within seconds."""

    def put(self, key: str, source: Path) -> None:
        """Stores a file, whole or not at all. The source must not change any more. Raises BlobExistsError."""

    def open(self, key: str) -> BinaryIO:
        """The bytes, to be read. Raises BlobMissingError."""

    def size(self, key: str) -> int:
        """Bytes. Raises BlobMissingError."""

    def materialise(self, prefix: str, scratch: Path) -> Path:
        """A directory with the blobs below `prefix`: the store's own, or copies in `scratch`.

        It must not be written to. Raises BlobMissingError.
        """

    def delete(self, prefix: str) -> None:
        """Deletes the blob and all blobs below; nothing there is no error."""

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob below `prefix`."""


def open_blobs(place: BlobPlace, folder: Path) -> BlobStore:
    """The store that the settings ask for; `folder` is the directory's.

    Raises:
        ValueError: it cannot be had: the extra is not installed, a file that is named cannot be read.
    """
    if not place.url:
        return LocalBlobStore(folder)
    try:
        from server.objects import ObjectStore
    except ImportError as error:
        raise ValueError("blob_url needs obstore: install the application with its extra `s3`") from error
    return ObjectStore(place)


def put_tree(store: BlobStore, prefix: str, folder: Path) -> int:
    """Stores every file of a directory below `prefix`; their bytes together."""
    total = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        store.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path)
        total += path.stat().st_size
    return total


def dataset_prefix(tenant: str, dataset: str) -> str:
    """Where the canonical tables of a dataset are."""
    return f"datasets/{segment(tenant)}/{dataset}"


def lineage_key(tenant: str, dataset: str) -> str:
    """Where the keyed patient hashes of a dataset are: apart, since they outlive it."""
    return f"lineage/{segment(tenant)}/{dataset}/patients"


def bundle_key(tenant: str, model: str, attempt: int) -> str:
    """Where a bundle is: every attempt has its own place, so a late one disturbs nothing."""
    return f"models/{segment(tenant)}/{model}/{attempt}/bundle.kohort"


def report_key(tenant: str, report: str, attempt: int, name: str) -> str:
    """Where a file of a report is; `name` is ``report.json`` or ``report.html``."""
    return f"reports/{segment(tenant)}/{report}/{attempt}/{name}"


def check_key(key: str) -> str:
    """The key itself. Raises ValueError for one that is no path of plain segments."""
    if not all(_SEGMENT.fullmatch(s) for s in key.split("/")):
        raise ValueError("a blob key must be a path of plain segments")
    return key


def segment(name: str) -> str:
    """Any text as one segment of a key, distinct for distinct texts."""
    quoted = quote(name, safe="")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted or "%"


class LocalBlobStore:
    """A directory, readable by its owner alone. Its file system must know hard links."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spool = root / ".spool"
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)

    def check(self, *, write: bool = False) -> None:
        """See `BlobStore.check`."""
        with _room():
            if not self._spool.is_dir():
                raise FileNotFoundError
            if write:
                probe = self._spool / uuid.uuid4().hex
                probe.write_bytes(b"1")
                probe.unlink()

    def put(self, key: str, source: Path) -> None:
        """See `BlobStore.put`. A link where the source is on the same file system, else a copy."""
        target, spooled = self._path(key), self._spool / uuid.uuid4().hex
        with _room():
            try:
                try:
                    os.link(source, spooled)
                except OSError:
                    shutil.copyfile(source, spooled)
                spooled.chmod(0o600)
                _sync(spooled)
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.link(spooled, target)
                _sync(target.parent)
            except FileExistsError:
                raise BlobExistsError(key) from None
            finally:
                spooled.unlink(missing_ok=True)

    def open(self, key: str) -> BinaryIO:
        """See `BlobStore.open`."""
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise BlobMissingError(key) from None

    def size(self, key: str) -> int:
        """See `BlobStore.size`."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            raise BlobMissingError(key) from None

    def materialise(self, prefix: str, scratch: Path) -> Path:
        """See `BlobStore.materialise`; here the stored directory itself."""
        folder = self._path(prefix)
        if not folder.is_dir():
            raise BlobMissingError(prefix)
        return folder

    def delete(self, prefix: str) -> None:
        """See `BlobStore.delete`."""
        path = self._path(prefix)
        with _room():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self._root:
                break
            try:
                parent.rmdir()
            except OSError:
                break  # not empty, or gone already

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See `BlobStore.list`."""
        start = self._path(prefix) if prefix else self._root
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(f for f in folders if f != self._spool.name)
            for name in sorted(files):
                path = Path(folder, name)
                try:
                    facts = path.stat()
                except FileNotFoundError:
                    continue
                yield BlobInfo(path.relative_to(self._root).as_posix(), facts.st_size, facts.st_mtime)

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*check_key(key).split("/"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise Problem("STORAGE_FULL", "the blob store has no room left", retry_after=30.0) from error
        raise Problem("STORE_UNAVAILABLE", "the blob store does not answer", retry_after=1.0) from error
