"""Writing what is downloaded: whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from kohort.calls import METHODS
from kohort.effects import Offload, Operation
from kohort.errors import IntegrityError, RpcError
from kohort.v1 import evaluation_pb2, sampling_pb2


class DownloadState:
    """A stream of a header with size and digest, then bytes, into a file (see `kohort.calls.Resumable`).

    The bytes go to a temporary file beside the target, which takes its name once
    all are there and have their digest. A broken stream begins anew.
    """

    def __init__(
        self, rpc: str, request: Any, path: Path, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """
        Args:
            rpc: "DownloadModel" or "DownloadReport".
            request: what it is asked.
            path: the file.
            progress: called with bytes so far and in all.
        """
        self.method = METHODS[rpc]
        self._request = request
        self._path = path
        self._progress = progress
        self._file: IO[bytes] | None = None
        self._info: sampling_pb2.BundleInfo | evaluation_pb2.ReportFile | None = None
        self._size = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> DownloadState:
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def request(self) -> Any:
        """Asks for all bytes."""
        self._discard()
        self._info, self._size, self._hash = None, 0, hashlib.sha256()
        return self._request

    def receive(self, message: Any) -> Operation[None]:
        """Takes a message. Raises IntegrityError when there is more than was announced."""
        if message.WhichOneof("part") == "header":
            self._info = message.header
            self._file = tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False)  # noqa: SIM115
            return
        if self._info is None or self._file is None:
            raise IntegrityError("the download's messages came in the wrong order")
        data = message.data
        self._size += len(data)
        if self._size > self._info.size_bytes:
            raise IntegrityError("the download is larger than announced")
        self._hash.update(data)
        file = self._file
        yield Offload(lambda: file.write(data))
        if self._progress is not None:
            self._progress(self._size, self._info.size_bytes)

    def ended(self) -> bool:
        """Puts the file in its place. Raises IntegrityError when bytes are missing or others."""
        info, file = self._info, self._file
        if info is None or file is None or self._size != info.size_bytes:
            raise IntegrityError("the download is incomplete")
        if self._hash.digest() != info.sha256:
            raise IntegrityError("the download does not have its digest")
        file.flush()
        os.fsync(file.fileno())
        file.close()
        Path(file.name).replace(self._path)
        self._file = None
        return True

    def broken(self, error: RpcError) -> bool:
        """Nothing is special about any error."""
        return False

    def complete(self) -> bool:
        """Never before the stream ended well."""
        return False

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None
