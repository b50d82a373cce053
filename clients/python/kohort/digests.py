"""The content digest of rows, as `RecordBatch` in the contract's table.proto defines it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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
        self._ones = 0  # cells before the first batch with a null
        self._validity: Any = None  # hashed from there on
        self._values = hashlib.sha256()

    def add(self, array: Array) -> None:
        if self._validity is None and array.valid is None:
            self._ones += len(array)
        else:
            if self._validity is None:
                self._validity = _hash_of_ones(self._ones).copy()
            self._validity.update(np.ascontiguousarray(array.is_valid()).data)
        self._values.update(_value_bytes(array))

    def digest(self) -> bytes:
        validity = _hash_of_ones(self._ones) if self._validity is None else self._validity
        return hashlib.sha256(validity.digest() + self._values.digest()).digest()


@lru_cache(maxsize=8)
def _hash_of_ones(count: int) -> Any:
    """The validity of so many cells of which none is null; most columns have no other. Not to be updated."""
    whole = hashlib.sha256()
    for start in range(0, count, len(_ONES)):
        whole.update(_ONES[: count - start])
    return whole


_ONES = memoryview(b"\1" * (1 << 16))


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
