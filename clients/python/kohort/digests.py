"""The content digest of rows, as `RecordBatch` in the contract's table.proto defines it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from kohort.packing import Bytes, Lengths, interleave, utf8

if TYPE_CHECKING:
    from kohort.columns import Array, Batch
    from kohort.schema import Schema


class ContentDigest:
    """Digest of all rows added so far; it does not depend on how they were cut.

    Args:
        schema: the tables and columns to come, in the order that counts. Without
            it the order is that in which they first appear, which is right for
            one table that has rows.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        self._tables: dict[str, dict[str, _ColumnDigest]] = {}
        for table in schema or ():
            self._tables[table.name] = {column.name: _ColumnDigest() for column in table.columns}

    def add(self, batch: Batch) -> None:
        """Adds the rows of a batch; rows of one table come in order."""
        columns = self._tables.setdefault(batch.table, {})
        for name, array in batch.arrays.items():
            columns.setdefault(name, _ColumnDigest()).add(array)

    def digest(self) -> bytes:
        """32 bytes; more rows may follow."""
        columns = (column for table in self._tables.values() for column in table.values())
        return hashlib.sha256(b"".join(column.digest() for column in columns)).digest()


def batch_digest(batch: Batch) -> bytes:
    """The content digest of one batch alone, 32 bytes."""
    whole = ContentDigest()
    whole.add(batch)
    return whole.digest()


class _ColumnDigest:
    def __init__(self) -> None:
        self._validity = hashlib.sha256()
        self._values = hashlib.sha256()

    def add(self, array: Array) -> None:
        self._validity.update(np.ascontiguousarray(array.is_valid()).data)
        self._values.update(_value_bytes(array))

    def digest(self) -> bytes:
        return hashlib.sha256(self._validity.digest() + self._values.digest()).digest()


def _value_bytes(array: Array) -> memoryview | bytes:
    values = np.ascontiguousarray(array.values)
    if array.offsets is not None:
        lengths = array.lengths()
        return interleave(_counts(lengths), values.view(np.uint8), 4 * lengths)
    if values.dtype == object:
        blob, sizes = utf8(values)
        return interleave(_counts(sizes), blob, sizes)
    return values.data


def _counts(lengths: Lengths) -> Bytes:
    return lengths.astype("<u4").view(np.uint8).reshape(-1, 4)
