"""The stream of an upload: checked message by message and spooled, before anything is parsed."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kohort import wire
from kohort.problem import Problem
from kohort.schema import Schema, TableSchema
from kohort.v1 import dataset_pb2
from server import validation
from server.declared import MAX_TABLES, check_declared, check_table_name
from server.settings import Settings
from server.spool import Quota, SpoolFile
from server.threads import Threads

FORMATS: Mapping[int, str] = {
    dataset_pb2.UPLOAD_FORMAT_COLUMNS: "columns",
    dataset_pb2.UPLOAD_FORMAT_CSV: "csv",
    dataset_pb2.UPLOAD_FORMAT_PARQUET: "parquet",
    dataset_pb2.UPLOAD_FORMAT_EXCEL: "excel",
}
DEFAULT_TABLE = "table"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Spooled:
    """An upload on disk, as `server.parsing.Upload` takes it."""

    header: dataset_pb2.UploadHeader
    format: str
    declared: Schema
    files: Mapping[str, Path]
    """By table; one under "" for COLUMNS."""
    digests: Mapping[str, bytes]
    """What the client expects of each table."""
    sha256: bytes
    """Over the bytes of all files, in the order of their tables."""
    size_bytes: int


async def receive(
    requests: AsyncIterator[dataset_pb2.UploadDatasetRequest],
    folder: Path,
    settings: Settings,
    threads: Threads,
) -> Spooled:
    """Spools a whole upload into `folder`.

    Raises:
        Problem: STREAM_OUT_OF_ORDER, INVALID_REQUEST, INVALID_SCHEMA, FORMAT_UNSUPPORTED,
            UNKNOWN_TABLE, EMPTY_TABLE, DIGEST_MISMATCH, LIMIT_EXCEEDED and what `check_declared` raises.
    """
    first = await anext(requests, None)
    if first is None or first.WhichOneof("part") != "header":
        raise Problem("STREAM_OUT_OF_ORDER", "the first message must be the header")
    header = first.header
    format_name = check_header(header)
    declared = wire.schema_from_proto(header.schema)
    check_declared(declared, settings.max_columns, complete=format_name == "columns")
    expected = _expected(header, declared)
    receiver = _Receiver(format_name, declared, folder, settings, threads)
    try:
        async for request in requests:
            await receiver.take(request)
        hashes = await receiver.finish()
    finally:
        receiver.close()
    if format_name != "columns":
        _compare(expected, hashes)
        declared = _complete(declared, receiver.paths)
    return Spooled(
        header=header,
        format=format_name,
        declared=declared,
        files=receiver.paths,
        digests=expected,
        sha256=b"".join(hashes[table] for table in sorted(hashes)),
        size_bytes=receiver.quota.taken,
    )


def check_header(header: dataset_pb2.UploadHeader) -> str:
    """The name of the format. Raises Problem FORMAT_UNSUPPORTED, INVALID_REQUEST."""
    if header.format not in FORMATS:
        raise Problem.at("FORMAT_UNSUPPORTED", "header.format", "must be one of GetCapabilities")
    checks = validation.Checks()
    checks.request_id(header.request_id)
    checks.describable(header.display_name, header.labels)
    for index, digest in enumerate(header.digests):
        checks.require(len(digest.sha256) == 32, f"digests[{index}].sha256", "must be 32 bytes")
    named = {digest.table for digest in header.digests}
    checks.require(len(named) == len(header.digests), "digests", "at most one per table")
    checks.done()
    return FORMATS[header.format]


class _Receiver:
    """Sorts the messages after the header into files."""

    def __init__(
        self, format_name: str, declared: Schema, folder: Path, settings: Settings, threads: Threads
    ) -> None:
        self._columns = format_name == "columns"
        self._tables = {table.name for table in declared}
        self._folder = folder
        self._threads = threads
        self._files: dict[str, SpoolFile] = {}
        self.quota = Quota(settings.max_upload_bytes, "upload")

    @property
    def paths(self) -> dict[str, Path]:
        """The files by table."""
        return {table: file.path for table, file in self._files.items()}

    async def take(self, request: dataset_pb2.UploadDatasetRequest) -> None:
        """One message after the header."""
        part = request.WhichOneof("part")
        if part == "chunk" and not self._columns:
            self.quota.take(len(request.chunk.data))
            await self._file(self._table_of(request.chunk.table)).write(request.chunk.data)
        elif part in ("batch", "dictionary") and self._columns:
            table = request.batch.table if part == "batch" else request.dictionary.table
            if table not in self._tables:
                raise Problem.at("UNKNOWN_TABLE", f"{part}.table", "the header's schema has no such table")
            data = request.SerializeToString()
            self.quota.take(len(data))
            await self._file("").write(_LENGTH.pack(len(data)), data)
        else:
            raise Problem(
                "STREAM_OUT_OF_ORDER", "after the header only data of the declared format may follow"
            )

    async def finish(self) -> dict[str, bytes]:
        """The SHA-256 of each file. Raises Problem EMPTY_TABLE when nothing came."""
        if not self._files:
            raise Problem("EMPTY_TABLE", "the stream holds no data")
        return {table: await file.finish() for table, file in self._files.items()}

    def close(self) -> None:
        """Closes every file."""
        for file in self._files.values():
            file.close()

    def _file(self, table: str) -> SpoolFile:
        file = self._files.get(table)
        if file is None:
            if len(self._files) >= MAX_TABLES:
                raise Problem.at("LIMIT_EXCEEDED", "chunk.table", f"at most {MAX_TABLES} tables")
            # Numbered: a table's name is the client's.
            path = self._folder / f"{len(self._files)}.bytes"
            file = self._files[table] = SpoolFile(path, self._threads)
        return file

    def _table_of(self, name: str) -> str:
        if not name:
            if len(self._tables) > 1:
                raise Problem.at(
                    "UNKNOWN_TABLE", "chunk.table", "must be given when there are several tables"
                )
            return next(iter(self._tables), DEFAULT_TABLE)
        check_table_name(name, "chunk.table")
        if self._tables and name not in self._tables:
            raise Problem.at("UNKNOWN_TABLE", "chunk.table", "the header's schema has no such table")
        return name


def _expected(header: dataset_pb2.UploadHeader, declared: Schema) -> dict[str, bytes]:
    names = {table.name for table in declared}
    expected = {}
    for index, digest in enumerate(header.digests):
        table = digest.table or (next(iter(names)) if len(names) == 1 else DEFAULT_TABLE)
        if names and table not in names:
            raise Problem.at("UNKNOWN_TABLE", f"digests[{index}].table", "the schema has no such table")
        expected[table] = digest.sha256
    return expected


def _complete(declared: Schema, files: Mapping[str, Path]) -> Schema:
    """Every table that came, declared or not, in the order of the schema, then of arrival."""
    known = {table.name: table for table in declared}
    for name in known:
        if name not in files:
            raise Problem.at("EMPTY_TABLE", name, "no bytes came for this table")
    return Schema((*declared.tables, *(TableSchema(name, ()) for name in files if name not in known)))


def _compare(expected: Mapping[str, bytes], hashes: Mapping[str, bytes]) -> None:
    for table, digest in expected.items():
        if table not in hashes:
            raise Problem.at("UNKNOWN_TABLE", "digests", "a digest names a table that did not come")
        if hashes[table] != digest:
            raise Problem.at("DIGEST_MISMATCH", table, "the bytes do not have the declared SHA-256")
