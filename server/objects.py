"""Blobs in a bucket: S3 and what speaks it, by obstore.

A key of `server.blobs` is an object below the prefix of `blob_url`. Putting
creates and never replaces (``If-None-Match: *``). What fits into one request is
one; the rest travels in parts to a key of its own, and a copy inside the store,
completed only if the key is free, gives it its name: so nothing of a blob is
seen before all of it is there, and memory holds a few parts at most. Of several
who put one large key in the same instant, S3 lets one win; SeaweedFS 4.48 checks
first and writes then, so that the last may. Kohort never does that: every
attempt, dataset and report has keys of its own.

Requests are signed over the SHA-256 of their bodies (Signature Version 4), so a
store takes no bytes but those that were sent.

Source: Amazon S3 API Reference (PutObject and CompleteMultipartUpload:
conditional writes; UploadPartCopy: 5 GiB at most).
"""

from __future__ import annotations

import hashlib
import io
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore.exceptions import BaseError

from kohort.problem import Problem
from server.blobs import UPLOADS, BlobExistsError, BlobInfo, BlobMissingError, BlobPlace, check_key
from server.bucket import MUTE, Bucket, translated

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 2
_RANGE_BYTES = 4 << 20
_MOST_BYTES = 5 << 30
_DELETED_AT_ONCE = 1000
_PAUSES = (0.2, 1.0)
"""Between tries to create, in seconds."""


class ObjectStore:
    """A bucket, or what is below a prefix of one. Any thread may call it.

    Every call is bounded in time: it tries for some 20 seconds to be heard, and
    then raises Problem STORE_UNAVAILABLE. A changed credentials file is read
    with the next call.

    Args:
        place: the bucket, and how to reach it.

    Raises:
        ValueError: a file that it names cannot be read, or others may read the credentials.
    """

    def __init__(self, place: BlobPlace) -> None:
        self._bucket = Bucket(place)

    def check(self, *, write: bool = False) -> None:
        """See `BlobStore.check`."""
        probe = f"{UPLOADS}/{uuid.uuid4().hex}"
        # The cheapest question whose answer tells a bucket that is gone from an object that is not there.
        with suppress(BlobMissingError), translated(probe):
            obstore.get(self._bucket.probe, probe)
        if write:
            with translated(probe):
                obstore.put(self._bucket.probe, probe, b"1", mode="create")
                next(iter(obstore.list(self._bucket.probe, UPLOADS)), None)
                obstore.delete(self._bucket.probe, probe)

    def put(self, key: str, source: Path) -> None:
        """See `BlobStore.put`. Raises Problem LIMIT_EXCEEDED for more than 5 GiB."""
        check_key(key)
        size = source.stat().st_size
        if size > _MOST_BYTES:
            raise Problem("LIMIT_EXCEEDED", "the object store takes no more than 5 GiB as one blob")
        if size <= _PART_BYTES:
            data = source.read_bytes()
            self._create(key, source, lambda: obstore.put(self._bucket.once, key, data, mode="create"))
            return
        spooled = f"{UPLOADS}/{uuid.uuid4().hex}"
        try:
            with translated(key):
                obstore.put(
                    self._bucket.patient,
                    spooled,
                    source,
                    use_multipart=True,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            self._create(key, source, lambda: obstore.copy(self._bucket.once, spooled, key, overwrite=False))
        except BlobMissingError:
            raise Problem("STORE_UNAVAILABLE", "the object store lost an upload", retry_after=1.0) from None
        finally:
            with suppress(BaseError, OSError, ValueError):
                obstore.delete(self._bucket.once, spooled)

    def open(self, key: str) -> BinaryIO:
        """See `BlobStore.open`. Read in ranges: however slow the reader is, no request stays open."""
        return self._open(key, self.size(key))

    def size(self, key: str) -> int:
        """See `BlobStore.size`."""
        check_key(key)
        try:
            with translated(key):
                return int(obstore.head(self._bucket.patient, key)["size"])
        except BlobMissingError:
            self.check()  # a bucket that is gone has no body to say so
            raise

    def materialise(self, prefix: str, scratch: Path) -> Path:
        """See `BlobStore.materialise`; copies in `scratch`, which is there whole or not at all."""
        found = list(self.list(prefix))
        if not found:
            raise BlobMissingError(prefix)
        scratch.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = scratch.with_name(f".{uuid.uuid4().hex}")
        try:
            for blob in found:
                path = draft / blob.key.removeprefix(f"{prefix}/")
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._open(blob.key, blob.size_bytes) as source, path.open("xb") as target:
                    shutil.copyfileobj(source, target, _RANGE_BYTES)
            shutil.rmtree(scratch, ignore_errors=True)
            draft.rename(scratch)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return scratch

    def delete(self, prefix: str) -> None:
        """See `BlobStore.delete`."""
        keys = [blob.key for blob in self.list(prefix)]
        keys.append(check_key(prefix))
        with translated(prefix):
            for start in range(0, len(keys), _DELETED_AT_ONCE):
                obstore.delete(self._bucket.patient, keys[start : start + _DELETED_AT_ONCE])

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """See `BlobStore.list`."""
        below = check_key(prefix) if prefix else None
        with translated(prefix):
            for chunk in obstore.list(self._bucket.patient, below):
                for meta in chunk:
                    yield BlobInfo(meta["path"], int(meta["size"]), meta["last_modified"].timestamp())

    def _open(self, key: str, size: int) -> io.BufferedReader:
        return io.BufferedReader(_Ranges(self._bucket, key, size), _RANGE_BYTES)

    def _create(self, key: str, source: Path, send: Callable[[], object]) -> None:
        """Sends what creates a key, again when no answer came; that may have been the answer's loss alone."""
        unsure = False
        for pause in (*_PAUSES, None):
            try:
                with translated(key):
                    send()
                return
            except BlobExistsError:
                if unsure and self._holds(key, source):
                    return
                raise
            except Problem as problem:
                if pause is None or problem.message != MUTE:
                    raise
                unsure = True
                time.sleep(pause)

    def _holds(self, key: str, source: Path) -> bool:
        with self._open(key, self.size(key)) as stored, source.open("rb") as own:
            digests = {hashlib.file_digest(file, "sha256").digest() for file in (stored, own)}
        return len(digests) == 1


class _Ranges(io.RawIOBase):
    """An object, range by range; each range is asked for anew, and again when it breaks off."""

    def __init__(self, bucket: Bucket, key: str, size: int) -> None:
        self._bucket, self._key, self._size = bucket, key, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(start + offset, 0), self._size)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._at)
        if length <= 0:
            return 0
        try:
            with translated(self._key):
                data = obstore.get_range(self._bucket.patient, self._key, start=self._at, length=length)
        except BlobMissingError:
            raise Problem("STORE_UNAVAILABLE", "the blob was deleted while it was read") from None
        if len(data) != length:
            raise Problem("STORE_UNAVAILABLE", "the object store gave fewer bytes than it holds")
        view[:length] = memoryview(data)
        self._at += length
        return length

    def readall(self) -> bytes:
        whole = bytearray(self._size - self._at)
        filled, view = 0, memoryview(whole)
        while got := self.readinto(view[filled : filled + _RANGE_BYTES]):
            filled += got
        return bytes(whole)
