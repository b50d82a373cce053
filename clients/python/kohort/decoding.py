"""Rows from the wire: dictionaries and record batches as `kohort.columns` holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array, Batch, batch_digest
from kohort.problem import Problem
from kohort.schema import Column, Storage, TableSchema
from kohort.v1 import table_pb2


class Dictionaries(Mapping[tuple[str, str], tuple[str, ...]]):
    """The dictionaries of a stream by (table, column), put together from their chunks.

    Args:
        max_bytes: refuses more UTF-8 than that in all; None trusts the sender.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._parts: dict[tuple[str, str], list[str]] = {}
        self._totals: dict[tuple[str, str], int] = {}
        self._done: dict[tuple[str, str], tuple[str, ...]] = {}
        self._left = max_bytes

    def add(self, message: table_pb2.Dictionary) -> None:
        """Takes a chunk.

        A chunk that begins at 0 begins its dictionary anew, as a resumed stream does.
        Raises Problem STREAM_OUT_OF_ORDER, BATCH_INVALID, LIMIT_EXCEEDED.
        """
        key = (message.table, message.column)
        if message.first_index == 0:
            self._parts[key], self._totals[key] = [], message.total
            self._done.pop(key, None)
        part = self._parts.get(key)
        if part is None or message.first_index != len(part) or message.total != self._totals[key]:
            raise Problem.at(
                "STREAM_OUT_OF_ORDER", ".".join(key), "a dictionary chunk is missing or repeated"
            )
        if self._left is not None:
            self._left -= message.ByteSize()
            if self._left < 0:
                raise Problem.at("LIMIT_EXCEEDED", ".".join(key), "the dictionaries are too large")
        part.extend(message.values)
        if len(part) > self._totals[key]:
            raise Problem.at("STREAM_OUT_OF_ORDER", ".".join(key), "a dictionary is longer than announced")
        if len(part) == self._totals[key]:
            if len(set(part)) != len(part):
                raise Problem.at("BATCH_INVALID", ".".join(key), "the dictionary holds a string twice")
            self._done[key] = tuple(part)
            del self._parts[key]

    def __getitem__(self, key: tuple[str, str]) -> tuple[str, ...]:
        return self._done[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._done)

    def __len__(self) -> int:
        return len(self._done)


def decode_batch(
    message: table_pb2.RecordBatch,
    table: TableSchema,
    dictionaries: Mapping[tuple[str, str], tuple[str, ...]],
    columns: Iterable[Column] | None = None,
) -> Batch:
    """The rows of a record batch, checked against the schema of their table.

    Args:
        message: the record batch.
        table: its table's schema, each column with its storage.
        dictionaries: complete dictionaries by (table, column).
        columns: the columns that travel, in order; by default all of the table.

    Raises:
        Problem: BATCH_INVALID, naming the column, never a cell.
    """
    expected = tuple(table.columns if columns is None else columns)
    if message.row_count < 0 or len(message.columns) != len(expected):
        raise Problem.at("BATCH_INVALID", table.name, f"expected {len(expected)} columns of row_count cells")
    arrays = {
        column.name: _decode_column(data, column, table.name, message.row_count, dictionaries)
        for column, data in zip(expected, message.columns, strict=True)
    }
    return Batch(
        table=table.name,
        arrays=arrays,
        first_unit=message.first_unit,
        first_row_in_unit=message.first_row_in_unit,
        next_unit=message.next_unit,
    )


def check_digest(batch: Batch, digest: bytes) -> None:
    """Compares the batch with the digest it came with. Raises Problem DIGEST_MISMATCH."""
    if batch_digest(batch) != digest:
        raise Problem.at(
            "DIGEST_MISMATCH", batch.table, "a record batch does not have the digest it came with"
        )


_FIELDS: Mapping[Storage, tuple[str, ...]] = {
    Storage.BOOL: ("bools",),
    Storage.INT64: ("int64s",),
    Storage.DECIMAL: ("int64s",),
    Storage.DATETIME: ("int64s",),
    Storage.DURATION: ("int64s",),
    Storage.DOUBLE: ("doubles",),
    Storage.DATE: ("dates",),
    Storage.STRING: ("indices", "strings"),
    Storage.STRING_LIST: ("lists",),
}


def _decode_column(
    data: table_pb2.ColumnData,
    column: Column,
    table: str,
    rows: int,
    dictionaries: Mapping[tuple[str, str], tuple[str, ...]],
) -> Array:
    where = f"{table}.{column.name}"
    kind = data.WhichOneof("values")
    if kind is None or kind not in _FIELDS.get(column.storage, ()):
        raise Problem.at("BATCH_INVALID", where, f"the cells do not fit the storage {column.storage.value}")
    valid = _decode_validity(data.validity, rows, where)
    field = getattr(data, kind)
    offsets = dictionary = None
    if kind == "lists":
        offsets = np.array(field.offsets, dtype=np.uint32)
        ends_well = len(offsets) == rows + 1 and offsets[0] == 0 and offsets[-1] == len(field.values)
        if not ends_well or bool((np.diff(offsets.astype(np.int64)) < 0).any()):
            raise Problem.at("BATCH_INVALID", where, "the offsets do not cut the values into row_count lists")
    elif len(field.values) != rows:
        raise Problem.at("BATCH_INVALID", where, f"expected {rows} cells")
    if kind in ("indices", "lists"):
        dictionary = dictionaries.get((table, column.name))
        if dictionary is None:
            raise Problem.at("BATCH_INVALID", where, "its dictionary has not come, or not wholly")
    values = _cells(field.values, column.storage, plain=kind == "strings")
    if valid is not None and _holds_anything(values, valid, offsets):
        raise Problem.at("BATCH_INVALID", where, "a null cell is not zero or empty")
    if dictionary is not None and values.size:
        # Null cells are 0, which only an empty dictionary has no string for.
        unused = not dictionary and valid is not None and offsets is None and not valid.any()
        if int(values.max()) >= len(dictionary) and not unused:
            raise Problem.at("BATCH_INVALID", where, "an index lies beyond the dictionary")
    return Array(column.storage, values, valid, dictionary, offsets)


def _decode_validity(bits: bytes, rows: int, where: str) -> npt.NDArray[np.bool_] | None:
    if not bits:
        return None
    if len(bits) != (rows + 7) // 8:
        raise Problem.at("BATCH_INVALID", where, "the validity bitmap has the wrong length")
    mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=rows, bitorder="little").astype(np.bool_)
    return None if mask.all() else mask


def _cells(values: Any, storage: Storage, *, plain: bool) -> npt.NDArray[Any]:
    if not plain:
        return np.array(values, dtype=storage.dtype)
    cells = np.empty(len(values), dtype=object)
    cells[:] = list(values)
    return cells


def _holds_anything(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], offsets: npt.NDArray[np.uint32] | None
) -> bool:
    """Whether a null cell holds other than zero or nothing."""
    if values.dtype == object:
        return any(values[~valid])
    held = values != 0 if offsets is None else offsets[1:] != offsets[:-1]
    return bool((held > valid).any())
