"""Bytes of the contract's table messages, written without protobuf.

The field numbers are those of kohort/v1/table.proto; a test decodes what is
written here with the generated classes. Wire format:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kohort.digests import batch_digest
from kohort.packing import interleave, utf8
from kohort.schema import Storage

if TYPE_CHECKING:
    from kohort.columns import Array, Batch

# ColumnData.values: the field of each fixed-width storage.
_FIELDS = {
    Storage.BOOL: 2,
    Storage.INT64: 3,
    Storage.DECIMAL: 3,
    Storage.DATETIME: 3,
    Storage.DURATION: 3,
    Storage.DOUBLE: 4,
    Storage.DATE: 5,
    Storage.STRING: 6,
}
_VALIDITY, _STRINGS, _LISTS = 1, 7, 8
_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """A non-negative integer as a base-128 varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_field(number: int, payload: bytes) -> bytes:
    """A length-delimited field, such as a message within a message."""
    return b"".join((_prefix(number, len(payload)), payload))


@lru_cache(4096)
def _prefix(number: int, length: int) -> bytes:
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(length)


def encode_record_batch(batch: Batch, number: int = 0) -> bytes:
    """The bytes of a `kohort.v1.RecordBatch` with its digest.

    Args:
        batch: the rows.
        number: of a field that is to hold it; 0 leaves it as it is.
    """
    parts: list[Any] = []
    _put(parts, 1, [batch.table.encode()])
    integers = (batch.first_unit, batch.first_row_in_unit, batch.next_unit, batch.row_count)
    parts += [varint(number << 3) + varint(value) for number, value in enumerate(integers, start=2) if value]
    for array in batch.arrays.values():
        _put(parts, 6, _column(array))
    _put(parts, 7, [batch_digest(batch)])
    if number:
        whole: list[Any] = []
        _put(whole, number, parts)
        return b"".join(whole)
    return b"".join(parts)


def encode_dictionary_chunks(
    table: str, column: str, dictionary: Sequence[str], max_bytes: int = 1 << 20
) -> Iterator[bytes]:
    """The bytes of `kohort.v1.Dictionary` messages, each of about `max_bytes` at most.

    One message at least, so that an empty dictionary is told from none.
    """
    head = encode_field(1, table.encode()) + encode_field(2, column.encode())
    total = varint(5 << 3) + varint(len(dictionary)) if dictionary else b""
    first, parts, size = 0, [head], len(head)
    for index, string in enumerate(dictionary):
        encoded = string.encode()
        field = _prefix(4, len(encoded)) + encoded
        if index > first and size + len(field) > max_bytes:
            yield b"".join([*parts, total])
            first, parts, size = index, [head, varint(3 << 3), varint(index)], len(head)
        parts.append(field)
        size += len(field)
    yield b"".join([*parts, total])


def _put(parts: list[Any], number: int, payload: Sequence[Any]) -> None:
    """Appends a length-delimited field whose payload is some buffers."""
    size = sum(p.nbytes if isinstance(p, np.ndarray) else len(p) for p in payload)
    parts += [varint(number << 3 | _LENGTH_DELIMITED), varint(size), *payload]


def _column(array: Array) -> list[Any]:
    parts: list[Any] = []
    if array.valid is not None:
        _put(parts, _VALIDITY, [np.packbits(array.valid, bitorder="little")])
    values: list[Any] = []
    if array.offsets is not None:
        _put(values, 1, [np.ascontiguousarray(array.offsets)])
        _put(values, 2, [np.ascontiguousarray(array.values)])
        _put(parts, _LISTS, values)
    elif array.values.dtype == object:
        _put(parts, _STRINGS, [_repeated_strings(array.values)])
    else:
        _put(values, 1, [np.ascontiguousarray(array.values)])
        _put(parts, _FIELDS[array.storage], values)
    return parts


def _repeated_strings(strings: npt.NDArray[np.object_]) -> bytes:
    blob, lengths = utf8(strings)
    if lengths.size and int(lengths.max()) > 0x7F:
        return b"".join(encode_field(1, string.encode()) for string in strings)
    prefixes = np.empty((lengths.size, 2), np.uint8)
    prefixes[:, 0] = 1 << 3 | _LENGTH_DELIMITED
    prefixes[:, 1] = lengths
    return interleave(prefixes, blob, lengths)
