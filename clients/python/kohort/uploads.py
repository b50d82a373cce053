"""What to upload: frames as column batches, files as they are, bundles."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kohort import wire
from kohort.batching import rebatch
from kohort.columns import (
    Array,
    Batch,
    ContentDigest,
    encode_dictionary_chunks,
    encode_field,
    encode_record_batch,
)
from kohort.errors import from_problem
from kohort.problem import Problem
from kohort.schema import Column, Handling, Kind, Schema, TableSchema
from kohort.v1 import dataset_pb2, sampling_pb2

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Rows: TypeAlias = "pd.DataFrame | pa.Table"
Data: TypeAlias = "Rows | Mapping[str, Rows] | str | Path"

CHUNK = 1 << 20
DEFAULT_TABLE = "table"
FORMATS: Mapping[str, Any] = {
    ".csv": dataset_pb2.UPLOAD_FORMAT_CSV,
    ".parquet": dataset_pb2.UPLOAD_FORMAT_PARQUET,
    ".pq": dataset_pb2.UPLOAD_FORMAT_PARQUET,
    ".xlsx": dataset_pb2.UPLOAD_FORMAT_EXCEL,
}
# UploadDatasetRequest.part
_DICTIONARY, _BATCH = 2, 3
_MAX_BATCH = 3 << 20


@dataclass(frozen=True)
class UploadOptions:
    """What is said about an upload besides its rows."""

    table: str = DEFAULT_TABLE
    schema: Schema | TableSchema | None = None
    subject_key: str = ""
    display_name: str = ""
    labels: Mapping[str, str] | None = None
    expires_in: timedelta | None = None
    delete_after_training: bool = False
    request_id: str | None = None


@dataclass(frozen=True)
class Upload:
    """An upload that can be sent, and sent again, from the start.

    Attributes:
        messages: gives the messages; bytes are encoded `UploadDatasetRequest`s.
        total_bytes: about how much there is to send.
    """

    messages: Callable[[], Iterator[Any]]
    total_bytes: int


def prepare(data: Data, options: UploadOptions) -> Upload:
    """Reads what is needed of the data to announce it: types and digests, for a file its digest.

    Raises:
        InvalidRequest: the data cannot be sent; names the column.
        OSError: a file cannot be read.
        ValueError: a file of an unknown kind.
        TypeError: something else than a table.
    """
    if isinstance(data, str | Path):
        return _file(Path(data), options)
    tables = dict(data) if isinstance(data, Mapping) else {options.table: data}
    try:
        return _columns(tables, options)
    except Problem as problem:
        raise from_problem(problem) from problem


def _header(options: UploadOptions, upload_format: Any, schema: Schema, digests: Mapping[str, bytes]) -> Any:
    header = dataset_pb2.UploadHeader(
        request_id=options.request_id or str(uuid.uuid4()),
        display_name=options.display_name,
        labels=options.labels,
        format=upload_format,
        schema=wire.schema_to_proto(schema),
        digests=[dataset_pb2.ExpectedDigest(table=t, sha256=d) for t, d in digests.items()],
        delete_after_training=options.delete_after_training,
    )
    if options.expires_in is not None:
        header.expire_time.CopyFrom(wire.timestamp_to_proto(datetime.now(UTC) + options.expires_in))
    return dataset_pb2.UploadDatasetRequest(header=header)


# Columns


def _columns(tables: Mapping[str, Rows], options: UploadOptions) -> Upload:
    read = {name: _read(rows, name) for name, rows in tables.items()}
    declared = _declared(options, tuple(tables))
    schemas, arrays = [], {}
    for name, (schema, cells) in read.items():
        schemas.append(_merged(schema, declared.get(name), options.subject_key))
        arrays[name] = cells
    unknown = set(declared) - set(tables)
    if unknown:
        raise Problem.at("UNKNOWN_TABLE", sorted(unknown)[0], "the schema declares a table that is not given")
    digests = {}
    for name, cells in arrays.items():
        digest = ContentDigest()
        digest.add(Batch(name, cells))
        digests[name] = digest.digest()
    header = _header(options, dataset_pb2.UPLOAD_FORMAT_COLUMNS, Schema(tuple(schemas)), digests)

    def messages() -> Iterator[Any]:
        yield header
        for name, cells in arrays.items():
            for column, array in cells.items():
                if array.dictionary is not None:
                    for chunk in encode_dictionary_chunks(name, column, array.dictionary):
                        yield encode_field(_DICTIONARY, chunk)
            rows = len(next(iter(cells.values())))
            for batch in rebatch([Batch(name, cells, next_unit=rows)]):
                yield from _encoded(batch)

    return Upload(messages, sum(a.nbytes for cells in arrays.values() for a in cells.values()))


def _encoded(batch: Batch) -> Iterator[bytes]:
    encoded = encode_record_batch(replace(batch, first_unit=0, first_row_in_unit=0, next_unit=0))
    if len(encoded) <= _MAX_BATCH or batch.row_count == 1:
        yield encode_field(_BATCH, encoded)
        return
    # Rows of very different size: what is small on average can be large here.
    for piece in rebatch([batch], max_rows=-(-batch.row_count // 2)):
        yield from _encoded(piece)


def _read(rows: Rows, name: str) -> tuple[TableSchema, dict[str, Array]]:
    if type(rows).__module__.startswith("pyarrow"):
        from kohort.arrow import from_arrow

        return from_arrow(rows, name)
    import pandas as pd

    from kohort.frames import from_frame

    if not isinstance(rows, pd.DataFrame):
        raise TypeError(
            f"a table is a DataFrame, an Arrow table or the path of a file, not {type(rows).__name__}"
        )
    return from_frame(rows, name)


def _declared(options: UploadOptions, tables: tuple[str, ...]) -> dict[str, TableSchema]:
    schema = options.schema
    if schema is None:
        return {}
    if isinstance(schema, TableSchema):
        return {tables[0]: schema}
    return {t.name: t for t in schema}


def _merged(found: TableSchema, declared: TableSchema | None, subject_key: str) -> TableSchema:
    """The found schema, with what a person declared about it in front; storage stays as the cells are."""
    if declared is None:
        return replace(found, subject_key=subject_key)
    known = {c.name: c for c in found.columns}
    for column in declared.columns:
        if column.name not in known:
            where = f"{found.name}.{column.name}"
            raise Problem.at("MISSING_COLUMN", where, "it is declared but not in the data")
        known[column.name] = _declare(known[column.name], column)
    return replace(
        declared,
        name=found.name,
        columns=tuple(known.values()),
        subject_key=subject_key or declared.subject_key,
    )


def _declare(found: Column, declared: Column) -> Column:
    return replace(
        found,
        kind=found.kind if declared.kind is Kind.UNSPECIFIED else declared.kind,
        handling=found.handling if declared.handling is Handling.UNSPECIFIED else declared.handling,
        nullable=declared.nullable or found.nullable,
        time_zone=declared.time_zone or found.time_zone,
        vocabulary=declared.vocabulary,
        levels=declared.levels or found.levels,
        minimum=declared.minimum,
        maximum=declared.maximum,
        unit=declared.unit,
        description=declared.description,
    )


# Files


def _file(path: Path, options: UploadOptions) -> Upload:
    upload_format = FORMATS.get(path.suffix.lower())
    if upload_format is None:
        has = f"ends in {path.suffix}" if path.suffix else "has no suffix"
        raise ValueError(f"the file's name must end in one of {', '.join(FORMATS)}; this one {has}")
    declared = _declared(options, (options.table,)).get(options.table)
    table = declared or TableSchema(options.table, ())
    table = replace(table, name=options.table, subject_key=options.subject_key or table.subject_key)
    size, digest = _file_digest(path)
    header = _header(options, upload_format, Schema((table,)), {table.name: digest})

    def messages() -> Iterator[Any]:
        yield header
        for data in file_chunks(path):
            chunk = dataset_pb2.FileChunk(table=table.name, data=data)
            yield dataset_pb2.UploadDatasetRequest(chunk=chunk)

    return Upload(messages, size)


def _file_digest(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.tell(), digest


def file_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, 1 MiB at a time."""
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            yield data


def prepare_import(
    path: str | Path, display_name: str, labels: Mapping[str, str] | None, request_id: str | None
) -> Upload:
    """A bundle to be imported. Raises OSError when it cannot be read."""
    path = Path(path)
    size, digest = _file_digest(path)
    header = sampling_pb2.ImportHeader(
        request_id=request_id or str(uuid.uuid4()), display_name=display_name, labels=labels, sha256=digest
    )

    def messages() -> Iterator[Any]:
        yield sampling_pb2.ImportModelRequest(header=header)
        for data in file_chunks(path):
            yield sampling_pb2.ImportModelRequest(data=data)

    return Upload(messages, size)


def dataset_name(data: Any) -> str:
    """The name where a dataset is meant (a handle, or text that begins with "datasets/"), else ""."""
    if isinstance(data, str):
        return data if data.startswith("datasets/") else ""
    name = getattr(data, "name", "")
    return name if isinstance(name, str) and name.startswith("datasets/") else ""


def name_of(resource: Any) -> str:
    """The name of a dataset or model, given as such or by its handle."""
    return str(getattr(resource, "name", resource))
