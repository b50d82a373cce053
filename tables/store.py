"""Tables on disk: a directory with schema.json and one Arrow IPC file per table.

This canonical form holds arrays as they lie in memory (decimals unscaled, days,
microseconds), strings dictionary-coded with sorted dictionaries. Equal tables
give equal digests, whatever file or batches they came in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Schema, Storage, TableSchema
from tables.physical import canonical
from tables.tableset import Table, TableSet

_SCHEMA = "schema.json"
_FORMAT = 1
_ROWS = 1 << 20


def write_tableset(directory: Path, tableset: TableSet) -> None:
    """Writes tables into a directory, which is made; schema.json comes last and makes it whole."""
    directory.mkdir(parents=True, exist_ok=True)
    for i, table in enumerate(tableset):
        _write_table(directory / _file_name(i), table)
    manifest = {"format": _FORMAT, "schema": tableset.schema.to_json()}
    with (directory / _SCHEMA).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def read_schema(directory: Path) -> Schema:
    """The schema of a written table set. Raises Problem FILE_MALFORMED when there is none."""
    try:
        manifest = json.loads((directory / _SCHEMA).read_text(encoding="utf-8"))
        known = manifest["format"] == _FORMAT
        value = manifest["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        raise _malformed() from None
    if not known:
        raise _malformed()
    return Schema.from_json(value)


def read_tableset(directory: Path) -> TableSet:
    """The tables that `write_tableset` wrote.

    Raises:
        Problem: FILE_MALFORMED when the directory holds no whole table set.
    """
    schema = read_schema(directory)
    return TableSet({t.name: _read_table(directory / _file_name(i), t) for i, t in enumerate(schema)})


def read_columns(directory: Path, table: str, columns: Collection[str]) -> Table:
    """Some columns of one table that `write_tableset` wrote; the others are not read.

    Raises:
        Problem: FILE_MALFORMED when the directory holds no whole table set; UNKNOWN_TABLE.
    """
    schema = read_schema(directory)
    whole = schema.table(table)
    chosen = [i for i, column in enumerate(whole.columns) if column.name in columns]
    path = directory / _file_name([t.name for t in schema].index(table))
    return _read_table(path, whole.with_columns(tuple(whole.columns[i] for i in chosen)), chosen)


def tableset_digest(tableset: TableSet) -> bytes:
    """SHA-256 over the schema and the cells of all tables; blind to how strings were dictionary-coded."""
    total = hashlib.sha256(json.dumps(tableset.schema.to_json(), sort_keys=True).encode())
    for table in tableset:
        total.update(table.num_rows.to_bytes(8, "little"))
        for column in table.schema.columns:
            total.update(_array_digest(canonical(table.arrays[column.name])))
    return total.digest()


def _array_digest(array: Array) -> bytes:
    digest = hashlib.sha256(np.packbits(array.is_valid(), bitorder="little").tobytes())
    for part in (array.offsets, array.values):
        if part is not None:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    for text in array.dictionary or ():
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()


def _file_name(position: int) -> str:
    # Names of tables never become names of files.
    return f"table-{position:04d}.arrow"


def _write_table(path: Path, table: Table) -> None:
    fields = [_to_arrow(canonical(table.arrays[column.name])) for column in table.schema.columns]
    data = pa.table(fields, names=[str(i) for i in range(len(fields))])
    options = pa.ipc.IpcWriteOptions(compression="lz4", unify_dictionaries=True, use_threads=False)
    with path.open("wb") as file:
        with pa.ipc.new_file(file, data.schema, options=options) as writer:
            writer.write_table(data, max_chunksize=_ROWS)
        file.flush()
        os.fsync(file.fileno())


def _to_arrow(array: Array) -> pa.Array:
    mask = None if array.valid is None else ~array.valid
    if array.storage is Storage.STRING:
        indices = pa.array(array.values, pa.uint32(), mask=mask)
        return pa.DictionaryArray.from_arrays(indices, pa.array(array.dictionary, pa.large_string()))
    if array.storage is Storage.STRING_LIST:
        assert array.offsets is not None
        texts = pa.DictionaryArray.from_arrays(
            pa.array(array.values, pa.uint32()), pa.array(array.dictionary, pa.large_string())
        )
        offsets = pa.array(array.offsets.astype(np.int64), pa.int64())
        nulls = None if mask is None else pa.array(mask)
        return pa.LargeListArray.from_arrays(offsets, texts, mask=nulls)
    return pa.array(array.values, mask=mask)


def _read_table(path: Path, schema: TableSchema, columns: list[int] | None = None) -> Table:
    options = pa.ipc.IpcReadOptions(included_fields=columns)
    try:
        with pa.memory_map(str(path)) as file:
            data = pa.ipc.open_file(file, options=options).read_all()
    except (OSError, pa.ArrowException):
        raise _malformed() from None
    if data.num_columns != len(schema.columns):
        raise _malformed()
    return Table(
        schema,
        {column.name: _from_arrow(column.storage, data.column(i)) for i, column in enumerate(schema.columns)},
    )


def _from_arrow(storage: Storage, column: pa.ChunkedArray) -> Array:
    parts = [_part(storage, chunk) for chunk in column.chunks]
    return (
        Array.concat(parts) if parts else Array.make(storage, [], dictionary=[] if _texts(storage) else None)
    )


def _part(storage: Storage, chunk: pa.Array) -> Array:
    valid = None if chunk.null_count == 0 else np.asarray(chunk.is_valid())
    if storage is Storage.STRING:
        indices = chunk.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return Array.make(storage, indices, valid, dictionary=chunk.dictionary.to_pylist())
    if storage is Storage.STRING_LIST:
        offsets = chunk.offsets.to_numpy(zero_copy_only=False)
        inner = chunk.values.slice(offsets[0], offsets[-1] - offsets[0])
        indices = inner.indices.to_numpy(zero_copy_only=False)
        return Array.make(storage, indices, valid, inner.dictionary.to_pylist(), offsets - offsets[0])
    filled = chunk if valid is None else chunk.fill_null(False if storage is Storage.BOOL else 0)
    return Array.make(storage, filled.to_numpy(zero_copy_only=False), valid)


def _texts(storage: Storage) -> bool:
    return storage in (Storage.STRING, Storage.STRING_LIST)


def _malformed() -> Problem:
    return Problem("FILE_MALFORMED", "the stored tables cannot be read")
