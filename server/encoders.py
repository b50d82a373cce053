"""Synthetic rows as messages of a Sample stream, in each format. All of it runs on sampling threads.

Messages are bytes already: `kohort.columns` writes them by memcpy, and the
server passes bytes through.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from kohort.batching import slice_batch
from kohort.columns import Batch, ContentDigest, encode_dictionary_chunks, encode_field, encode_record_batch
from kohort.problem import Problem
from kohort.programs import Program
from kohort.schema import Schema, Storage, TableSchema
from kohort.v1 import sampling_pb2

MAX_MESSAGE = 3_500_000
"""The contract promises 3.5 MiB at most; some room is left for the framing."""
CHUNK = 1 << 20

_DICTIONARY = sampling_pb2.SampleResponse.DICTIONARY_FIELD_NUMBER
_BATCH = sampling_pb2.SampleResponse.BATCH_FIELD_NUMBER
_CHUNK = sampling_pb2.SampleResponse.CHUNK_FIELD_NUMBER


class Encoder(Protocol):
    """Writes one stream."""

    def begin(self) -> Iterator[bytes]:
        """Messages before the first batch."""

    def batch(self, batch: Batch) -> Iterator[bytes]:
        """The messages of a batch."""

    def end(self) -> Iterator[bytes]:
        """Messages after the last batch."""

    def digest(self) -> bytes:
        """The digest of the trailer."""


class ColumnsEncoder:
    """Dictionaries, then record batches."""

    def __init__(self, program: Program, metadata: Mapping[str, str]) -> None:
        self._program = program
        self._digest = ContentDigest(program.schema)

    def begin(self) -> Iterator[bytes]:
        """Every dictionary, in chunks."""
        for (table, column), strings in self._program.dictionaries.items():
            for chunk in encode_dictionary_chunks(table, column, strings):
                yield encode_field(_DICTIONARY, chunk)

    def batch(self, batch: Batch) -> Iterator[bytes]:
        """One message, or more where strings crowd into few rows."""
        self._digest.add(batch)
        yield from self._cut(batch)

    def end(self) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def digest(self) -> bytes:
        """The content digest of all rows sent."""
        return self._digest.digest()

    def _cut(self, batch: Batch) -> Iterator[bytes]:
        message = encode_record_batch(batch, _BATCH)
        if len(message) <= MAX_MESSAGE:
            yield message
            return
        if batch.row_count < 2:
            raise Problem("LIMIT_EXCEEDED", "one row of this model does not fit a message")
        middle = batch.row_count // 2
        # Only the last piece completes units.
        first = slice_batch(batch, 0, middle)
        yield from self._cut(replace(first, next_unit=min(batch.next_unit, batch.first_unit)))
        yield from self._cut(slice_batch(batch, middle, batch.row_count))


class _ChunkEncoder:
    """A file per table, cut into chunks; what Arrow and CSV share."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._digests = {table.name: hashlib.sha256() for table in schema}

    def begin(self) -> Iterator[bytes]:
        """The head of every table's file."""
        for table in self._schema:
            yield from self._chunks(table.name, self.head(table), 0)

    def batch(self, batch: Batch) -> Iterator[bytes]:
        """The rows of a batch."""
        table = self._schema.table(batch.table)
        yield from self._chunks(table.name, self.rows(table, batch), batch.next_unit)

    def end(self) -> Iterator[bytes]:
        """The foot of every table's file."""
        for table in self._schema:
            yield from self._chunks(table.name, self.foot(table), 0)

    def digest(self) -> bytes:
        """SHA-256 over the SHA-256 of each table's bytes."""
        return hashlib.sha256(b"".join(d.digest() for d in self._digests.values())).digest()

    def head(self, table: TableSchema) -> bytes:
        """The first bytes of a table's file."""
        raise NotImplementedError

    def rows(self, table: TableSchema, batch: Batch) -> bytes:
        """The bytes of some rows."""
        raise NotImplementedError

    def foot(self, table: TableSchema) -> bytes:
        """The last bytes of a table's file."""
        return b""

    def _chunks(self, table: str, data: bytes, next_unit: int) -> Iterator[bytes]:
        self._digests[table].update(data)
        view = memoryview(data)
        for start in range(0, max(len(data), 1 if next_unit else 0), CHUNK):
            last = start + CHUNK >= len(data)
            message = sampling_pb2.SampleChunk(
                table=table, data=bytes(view[start : start + CHUNK]), next_unit=next_unit if last else 0
            )
            yield encode_field(_CHUNK, message.SerializeToString())


class CsvEncoder(_ChunkEncoder):
    """RFC 4180, one header line per table."""

    def __init__(self, program: Program, metadata: Mapping[str, str]) -> None:
        super().__init__(program.schema)
        _no_lists(program.schema)

    def head(self, table: TableSchema) -> bytes:
        """The header line."""
        from kohort import csvio

        return csvio.csv_header(table)

    def rows(self, table: TableSchema, batch: Batch) -> bytes:
        """Some lines."""
        from kohort import csvio

        return csvio.csv_rows(table, batch)


class ArrowEncoder(_ChunkEncoder):
    """One Arrow IPC stream per table; its metadata says that the rows are synthetic and where from."""

    def __init__(self, program: Program, metadata: Mapping[str, str]) -> None:
        super().__init__(program.schema)
        self._metadata = metadata
        self._sinks: dict[str, io.BytesIO] = {}
        self._writers: dict[str, tuple[Any, Any]] = {}

    def head(self, table: TableSchema) -> bytes:
        """The schema message."""
        import pyarrow as pa

        from kohort.arrow import arrow_schema

        self._sinks[table.name] = sink = io.BytesIO()
        schema = arrow_schema(table, self._metadata)
        self._writers[table.name] = pa.ipc.new_stream(sink, schema), schema
        return self._take(table.name)

    def rows(self, table: TableSchema, batch: Batch) -> bytes:
        """A record batch message, with its dictionaries where they are new."""
        from kohort.arrow import to_arrow

        writer, schema = self._writers[table.name]
        writer.write_batch(to_arrow(table, batch, schema))
        return self._take(table.name)

    def foot(self, table: TableSchema) -> bytes:
        """The end-of-stream mark."""
        self._writers[table.name][0].close()
        return self._take(table.name)

    def _take(self, table: str) -> bytes:
        sink = self._sinks[table]
        data = sink.getvalue()
        sink.seek(0)
        sink.truncate()
        return data


ENCODERS: Mapping[int, tuple[str, Callable[[Program, Mapping[str, str]], Encoder]]] = {
    sampling_pb2.SAMPLE_FORMAT_COLUMNS: ("columns", ColumnsEncoder),
    sampling_pb2.SAMPLE_FORMAT_ARROW: ("arrow", ArrowEncoder),
    sampling_pb2.SAMPLE_FORMAT_CSV: ("csv", CsvEncoder),
}
"""Format → its name in metrics and its encoder."""


def _no_lists(schema: Schema) -> None:
    for table in schema:
        for column in table.columns:
            if column.storage is Storage.STRING_LIST:
                raise Problem.at(
                    "FORMAT_UNSUPPORTED", f"{table.name}.{column.name}", "CSV has no lists; ask for COLUMNS"
                )
