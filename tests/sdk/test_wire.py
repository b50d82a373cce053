"""Messages and plain values say the same, and what does not fit is refused by name."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from kohort import wire
from kohort.columns import Array, Batch, encode_dictionary_chunks, encode_record_batch
from kohort.problem import Problem
from kohort.schema import (
    Column,
    ColumnOverride,
    Finding,
    ForeignKey,
    Handling,
    Kind,
    Schema,
    SchemaOverrides,
    Storage,
    TableOverride,
    TableRole,
    TableSchema,
)
from kohort.v1 import schema_pb2, table_pb2

EVERYTHING = Column(
    "age",
    kind=Kind.ORDINAL,
    storage=Storage.DECIMAL,
    handling=Handling.REGENERATE,
    handling_reason="KEY_REGENERATED",
    nullable=False,
    scale=2,
    time_zone="Europe/Berlin",
    vocabulary="ICD-10-CM",
    levels=("low", "high"),
    minimum=0.0,
    maximum=120.5,
    unit="a",
    description="years",
    source_dtype="Int64",
    fake="mrn",
)
SCHEMA = Schema(
    (
        TableSchema(
            "visits",
            (EVERYTHING, Column("id")),
            primary_key=("id",),
            foreign_keys=(ForeignKey(("id",), "patients", ("key",)),),
            subject_key="id",
            time_column="age",
            role=TableRole.EVENTS,
        ),
        TableSchema("patients", (Column("key"),)),
    )
)


def test_schemas_survive_the_wire():
    message = schema_pb2.Schema.FromString(wire.schema_to_proto(SCHEMA).SerializeToString())
    assert wire.schema_from_proto(message) == SCHEMA


def test_no_field_of_the_contract_is_forgotten():
    message = wire.column_to_proto(EVERYTHING)
    assert {f.name for f, _ in message.ListFields()} == {
        f.name for f in schema_pb2.Column.DESCRIPTOR.fields
    } - {"nullable"}
    assert {f.name for f in schema_pb2.Column.DESCRIPTOR.fields} == set(Column.__dataclass_fields__)
    assert {f.name for f in schema_pb2.TableSchema.DESCRIPTOR.fields} == set(TableSchema.__dataclass_fields__)


@pytest.mark.parametrize(
    ("plain", "proto"),
    [
        (Kind, schema_pb2.ColumnKind),
        (Storage, schema_pb2.Storage),
        (Handling, schema_pb2.Handling),
        (TableRole, schema_pb2.TableRole),
    ],
)
def test_enums_have_the_same_values(plain, proto):
    assert [name.endswith(v.name) for name, v in zip(proto.keys(), plain, strict=True)]
    assert len(proto.keys()) == len(plain)


def test_values_of_a_later_contract_count_as_unspecified():
    message = schema_pb2.Column(name="x")
    message.kind = 4711
    assert wire.column_from_proto(message).kind is Kind.UNSPECIFIED


def test_overrides_and_findings_survive():
    overrides = SchemaOverrides(
        (ColumnOverride("a", "t", Kind.CODE, Handling.DROP, True, "LOINC", ("x", "y"), "email"),),
        (TableOverride("t", subject_key=""), TableOverride("u", time_column="day")),
    )
    assert wire.overrides_from_proto(wire.overrides_to_proto(overrides)) == overrides
    finding = Finding("FREE_TEXT", "message", "t", "a")
    assert wire.finding_from_proto(wire.finding_to_proto(finding)) == finding


def test_parameters_survive_with_whole_numbers_whole():
    values = {"epochs": 5, "rate": 2e-4, "dims": (256, 256), "name": "x", "flag": True, "none": None}
    read = wire.struct_from_proto(wire.struct_to_proto(values))
    assert read == {**values, "dims": [256, 256]}
    assert type(read["epochs"]) is int
    assert type(read["flag"]) is bool


def test_times_survive():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert wire.timestamp_from_proto(wire.timestamp_to_proto(moment)) == moment
    assert wire.timestamp_from_proto(wire.timestamp_to_proto(moment.timestamp())) == moment
    assert wire.timestamp_to_proto(moment.replace(tzinfo=None)) == wire.timestamp_to_proto(moment)
    assert wire.duration_from_proto(wire.duration_to_proto(1.5)) == 1.5
    assert wire.duration_from_proto(wire.duration_to_proto(timedelta(hours=2))) == 7200


# Rows

TABLE = TableSchema("t", (Column("n", storage=Storage.INT64), Column("s", storage=Storage.STRING)))
WORDS = {("t", "s"): ("a", "b")}


def message():
    arrays = {
        "n": Array.make(Storage.INT64, [1, 2, 3], [True, False, True]),
        "s": Array.make(Storage.STRING, [0, 1, 0], None, ("a", "b")),
    }
    return table_pb2.RecordBatch.FromString(encode_record_batch(Batch("t", arrays, 7, 1, 9)))


def test_a_batch_is_read_with_its_place():
    batch = wire.decode_batch(message(), TABLE, WORDS)
    assert (batch.first_unit, batch.first_row_in_unit, batch.next_unit, batch.row_count) == (7, 1, 9, 3)
    assert batch.arrays["n"].to_python() == [1, None, 3]
    wire.check_digest(batch, message().digest)
    with pytest.raises(Problem, match="DIGEST_MISMATCH"):
        wire.check_digest(batch, bytes(32))


def no_column(m):
    del m.columns[1]


def wrong_storage(m):
    m.columns[0].doubles.values.extend([1.0, 2.0, 3.0])


def no_values(m):
    m.columns[0].ClearField("int64s")


def too_short(m):
    del m.columns[1].indices.values[2]


def bitmap_too_long(m):
    m.columns[0].validity = b"\x05\x00"


def null_not_zero(m):
    m.columns[0].int64s.values[1] = 1234567


def beyond_dictionary(m):
    m.columns[1].indices.values[0] = 2


def negative_rows(m):
    m.row_count = -1


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (no_column, "t"),
        (negative_rows, "t"),
        (wrong_storage, "t.n"),
        (no_values, "t.n"),
        (too_short, "t.s"),
        (bitmap_too_long, "t.n"),
        (null_not_zero, "t.n"),
        (beyond_dictionary, "t.s"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_by_column(spoil, where):
    bad = message()
    spoil(bad)
    with pytest.raises(Problem) as caught:
        wire.decode_batch(bad, TABLE, WORDS)
    assert (caught.value.reason, caught.value.violations[0].field) == ("BATCH_INVALID", where)
    assert "1234567" not in str(caught.value)


@pytest.mark.parametrize("storage", [s for s in Storage if s is not Storage.UNSPECIFIED])
def test_null_cells_that_hold_something_are_refused(storage):
    """In every storage; a valid cell may hold the same."""
    listed = storage is Storage.STRING_LIST
    cells = {Storage.BOOL: True, Storage.DOUBLE: np.nan}.get(storage, 1)
    values = np.array([cells] * 3, dtype=storage.dtype)
    offsets = np.array([0, 1, 2, 3], "<u4") if listed else None
    words = ("a", "b") if listed or storage is Storage.STRING else None
    table = TableSchema("t", (Column("x", storage=storage),))
    for valid, refused in ((None, False), ([True, False, True], True)):
        mask = None if valid is None else np.array(valid)
        array = Array(storage, values, mask, words, offsets)
        sent = table_pb2.RecordBatch.FromString(encode_record_batch(Batch("t", {"x": array})))
        known = {} if words is None else {("t", "x"): words}
        if not refused:
            assert len(wire.decode_batch(sent, table, known).arrays["x"]) == 3
            continue
        with pytest.raises(Problem, match="a null cell is not zero or empty"):
            wire.decode_batch(sent, table, known)


def test_a_missing_dictionary_is_named():
    with pytest.raises(Problem, match=r"t\.s"):
        wire.decode_batch(message(), TABLE, {})


@pytest.mark.parametrize("offsets", [[0, 1, 2], [1, 1, 2, 2], [0, 2, 1, 2], [0, 1, 2, 3]])
def test_lists_are_cut_by_their_offsets(offsets):
    table = TableSchema("t", (Column("l", storage=Storage.STRING_LIST),))
    array = Array.make(Storage.STRING_LIST, [0, 1], None, ("a", "b"), [0, 1, 2, 2])
    good = table_pb2.RecordBatch.FromString(encode_record_batch(Batch("t", {"l": array})))
    read = wire.decode_batch(good, table, {("t", "l"): ("a", "b")})
    assert read.arrays["l"].to_python() == [["a"], ["b"], []]
    del good.columns[0].lists.offsets[:]
    good.columns[0].lists.offsets.extend(offsets)
    with pytest.raises(Problem, match="offsets"):
        wire.decode_batch(good, table, {("t", "l"): ("a", "b")})


def chunks(words, max_bytes=64):
    return [table_pb2.Dictionary.FromString(c) for c in encode_dictionary_chunks("t", "s", words, max_bytes)]


def test_dictionaries_come_in_chunks_and_again():
    words = tuple(f"word {i}" for i in range(100))
    parts = chunks(words)
    assert len(parts) > 5
    found = wire.Dictionaries()
    for part in [*parts, *parts]:
        found.add(part)
    assert found["t", "s"] == words
    assert list(found) == [("t", "s")]


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 1, 1]])
def test_chunks_out_of_order_are_refused(order):
    parts = chunks(tuple(f"word {i}" for i in range(100)))
    found = wire.Dictionaries()
    *before, last = order
    for i in before:
        found.add(parts[i])
    with pytest.raises(Problem, match="STREAM_OUT_OF_ORDER"):
        found.add(parts[last])


def test_an_incomplete_dictionary_is_none():
    found = wire.Dictionaries()
    found.add(chunks(tuple(f"word {i}" for i in range(100)))[0])
    assert ("t", "s") not in found


def test_dictionaries_are_bounded_distinct_and_as_long_as_announced():
    with pytest.raises(Problem, match="LIMIT_EXCEEDED"):
        wire.Dictionaries(max_bytes=10).add(chunks(("x" * 30,))[0])
    with pytest.raises(Problem, match="twice"):
        wire.Dictionaries().add(chunks(("x", "x"))[0])
    longer = chunks(("x", "y"))[0]
    longer.total = 1
    with pytest.raises(Problem, match="longer"):
        wire.Dictionaries().add(longer)


def test_an_empty_dictionary_serves_a_column_of_nulls():
    found = wire.Dictionaries()
    for chunk in chunks(()):
        found.add(chunk)
    table = TableSchema("t", (Column("s", storage=Storage.STRING),))
    array = Array(Storage.STRING, np.zeros(2, "<u4"), np.zeros(2, np.bool_), ())
    sent = table_pb2.RecordBatch.FromString(encode_record_batch(Batch("t", {"s": array})))
    assert wire.decode_batch(sent, table, found).arrays["s"].to_python() == [None, None]
    sent.columns[0].validity = b"\x01"
    with pytest.raises(Problem, match="beyond the dictionary"):
        wire.decode_batch(sent, table, found)
