"""What is written without protobuf is what the generated classes read."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest

from kohort.columns import (
    Array,
    Batch,
    batch_digest,
    encode_dictionary_chunks,
    encode_field,
    encode_record_batch,
)
from kohort.schema import Storage
from kohort.v1 import sampling_pb2, table_pb2
from tests.runtime.parts import all_batch

FIELDS = {
    "bool": "bools",
    "int64": "int64s",
    "decimal": "int64s",
    "datetime": "int64s",
    "duration": "int64s",
    "double": "doubles",
    "date": "dates",
    "string": "indices",
    "text": "strings",
    "string_list": "lists",
}


def decoded(column: table_pb2.ColumnData, rows: int) -> list[object]:
    """The cells of a column as a client in any language would read them."""
    kind = column.WhichOneof("values")
    values = getattr(column, kind)
    cells: list[object] = list(values.values)
    if kind == "lists":
        edges = list(values.offsets)
        cells = [cells[a:b] for a, b in itertools.pairwise(edges)]
    assert len(cells) == rows
    if not column.validity:
        return cells
    assert len(column.validity) == (rows + 7) // 8
    return [cell if column.validity[i // 8] >> (i % 8) & 1 else None for i, cell in enumerate(cells)]


def same(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    return left == right


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 200])
def test_every_storage_decodes_to_the_same_cells(rows):
    batch = all_batch(rows)
    message = table_pb2.RecordBatch.FromString(encode_record_batch(batch))
    assert (message.table, message.first_unit, message.next_unit) == ("all", 7, 7 + rows)
    assert (message.first_row_in_unit, message.row_count, len(message.columns)) == (
        0,
        rows,
        len(batch.arrays),
    )
    assert message.digest == batch_digest(batch)
    for (name, array), column in zip(batch.arrays.items(), message.columns, strict=True):
        assert column.WhichOneof("values") == FIELDS[name]
        expected = array.to_python()
        if array.dictionary is not None:
            place = {s: i for i, s in enumerate(array.dictionary)}
            expected = [
                c if c is None else place[c] if isinstance(c, str) else [place[s] for s in c]
                for c in expected
            ]
        found = decoded(column, rows)
        assert all(map(same, found, expected)), name


def test_the_bytes_are_those_that_protobuf_writes():
    """Field order and packing are canonical, so protobuf's own bytes are equal."""
    data = encode_record_batch(all_batch(33))
    message = table_pb2.RecordBatch.FromString(data)
    assert message.SerializeToString(deterministic=True) == data


def test_null_cells_travel_as_zero_or_empty():
    message = table_pb2.RecordBatch.FromString(encode_record_batch(all_batch(90)))
    for column in message.columns:
        kind = column.WhichOneof("values")
        for i, cell in enumerate(getattr(column, kind).values if kind != "lists" else ()):
            if column.validity and not column.validity[i // 8] >> (i % 8) & 1:
                assert cell in (0, "")


def test_strings_of_mixed_length_and_script():
    texts = ["", "x" * 127, "x" * 128, "ü" * 70, "日" * 6000, "\0", "a"]
    message = table_pb2.RecordBatch.FromString(
        encode_record_batch(Batch("t", {"s": Array.make(Storage.STRING, texts)}))
    )
    assert list(message.columns[0].strings.values) == texts


def test_slices_encode_like_their_own_copies():
    array = Array.make(Storage.INT64, np.arange(40), np.arange(40) % 3 > 0)
    part = array.slice(5, 22)
    copied = Array.make(Storage.INT64, part.values.copy(), part.is_valid().copy())
    assert encode_record_batch(Batch("t", {"a": part})) == encode_record_batch(Batch("t", {"a": copied}))


def test_units_beyond_32_bits():
    batch = Batch("t", {"a": Array.make(Storage.INT64, [1])}, (1 << 53) - 2, 3_000_000_000, (1 << 53) - 1)
    message = table_pb2.RecordBatch.FromString(encode_record_batch(batch))
    assert (message.first_unit, message.first_row_in_unit) == ((1 << 53) - 2, 3_000_000_000)
    assert message.next_unit == (1 << 53) - 1


def test_a_batch_wraps_into_a_response():
    batch = all_batch(5)
    wrapped = encode_record_batch(batch, sampling_pb2.SampleResponse.BATCH_FIELD_NUMBER)
    assert wrapped == encode_field(3, encode_record_batch(batch))
    response = sampling_pb2.SampleResponse.FromString(wrapped)
    assert response.WhichOneof("part") == "batch"
    assert response.batch.row_count == 5


@pytest.mark.parametrize("limit", [1, 40, 1 << 20])
def test_dictionary_chunks_join_to_the_dictionary(limit):
    strings = ["", "é" * 30, *map(str, range(300)), "x" * 5000]
    chunks = [
        table_pb2.Dictionary.FromString(c) for c in encode_dictionary_chunks("t", "sex", strings, limit)
    ]
    joined: list[str] = []
    for chunk in chunks:
        assert (chunk.table, chunk.column, chunk.total) == ("t", "sex", len(strings))
        assert chunk.first_index == len(joined)
        assert len(chunk.values) == 1 or chunk.ByteSize() <= limit + 16
        joined += chunk.values
    assert joined == strings
    assert (len(chunks) == 1) == (limit == 1 << 20)


def test_an_empty_dictionary_is_one_chunk():
    (chunk,) = encode_dictionary_chunks("t", "c", ())
    message = table_pb2.Dictionary.FromString(chunk)
    assert (message.table, message.column, message.total, list(message.values)) == ("t", "c", 0, [])
