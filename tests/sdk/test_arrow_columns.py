"""Typed columns and Arrow hold the same cells."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kohort.arrow import arrow_schema, from_arrow, to_arrow
from kohort.columns import Array, Batch
from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage, TableSchema

TABLE = TableSchema(
    "t",
    (
        Column("bool", storage=Storage.BOOL),
        Column("int", storage=Storage.INT64),
        Column("double", storage=Storage.DOUBLE),
        Column("decimal", storage=Storage.DECIMAL, scale=2),
        Column("string", storage=Storage.STRING),
        Column("key", Kind.ID, Storage.STRING),
        Column("date", storage=Storage.DATE),
        Column("local", storage=Storage.DATETIME),
        Column("zoned", storage=Storage.DATETIME, time_zone="Europe/Berlin"),
        Column("duration", storage=Storage.DURATION),
        Column("list", storage=Storage.STRING_LIST),
    ),
)
VALID = [True, False, True]
CELLS = {
    "bool": Array.make(Storage.BOOL, [True, False, False], VALID),
    "int": Array.make(Storage.INT64, [2**63 - 1, 0, -(2**63)], VALID),
    "double": Array.make(Storage.DOUBLE, [0.1, 0, -1e300], VALID),
    "decimal": Array.make(Storage.DECIMAL, [-150, 0, 2**62], VALID),
    "string": Array.make(Storage.STRING, [1, 0, 0], VALID, ("a", "ü")),
    "key": Array.make(Storage.STRING, ["k1", "", "k3"], VALID),
    "date": Array.make(Storage.DATE, [-719162, 0, 2932896], VALID),
    "local": Array.make(Storage.DATETIME, [-1, 0, 16725225600000001], VALID),
    "zoned": Array.make(Storage.DATETIME, [1, 0, 2], VALID),
    "duration": Array.make(Storage.DURATION, [-1, 0, 86_400_000_000], VALID),
    "list": Array.make(Storage.STRING_LIST, [0, 1, 1], VALID, ("a", "b"), [0, 2, 2, 3]),
}


def test_arrow_sees_the_cells():
    row = to_arrow(TABLE, Batch("t", CELLS)).to_pylist()[2]
    assert row["int"] == -(2**63)
    assert row["decimal"] == Decimal(2**62).scaleb(-2)
    assert row["string"] == "a"
    assert row["date"] == date(9999, 12, 31)
    assert row["local"] == datetime(2500, 1, 1, 0, 0, 0, 1)
    assert row["duration"] == timedelta(days=1)
    assert row["list"] == ["b"]
    assert set(to_arrow(TABLE, Batch("t", CELLS)).to_pylist()[1].values()) == {None}


def test_there_and_back():
    batch = to_arrow(TABLE, Batch("t", CELLS), arrow_schema(TABLE, {"kohort.synthetic": "true"}))
    batch.validate(full=True)
    table, arrays = from_arrow(pa.Table.from_batches([batch]), "t")
    assert {n: a.to_python() for n, a in arrays.items()} == {n: a.to_python() for n, a in CELLS.items()}
    assert table.column("decimal").scale == 2
    assert table.column("zoned").time_zone == "Europe/Berlin"
    assert batch.schema.metadata == {b"kohort.synthetic": b"true"}


def test_slices_and_chunks_are_read_by_their_own_cells():
    whole = pa.Table.from_batches([to_arrow(TABLE, Batch("t", CELLS))] * 3).slice(2, 5)
    _, arrays = from_arrow(whole, "t")
    expected = {n: (a.to_python() * 3)[2:7] for n, a in CELLS.items()}
    assert {n: a.to_python() for n, a in arrays.items()} == expected


def test_slices_are_written_by_their_own_cells():
    part = {n: a.slice(1, 3) for n, a in CELLS.items()}
    _, arrays = from_arrow(pa.Table.from_batches([to_arrow(TABLE, Batch("t", part))]), "t")
    assert {n: a.to_python() for n, a in arrays.items()} == {n: a.to_python()[1:] for n, a in CELLS.items()}


def test_parquet_keeps_everything(tmp_path):
    pq.write_table(pa.Table.from_batches([to_arrow(TABLE, Batch("t", CELLS))]), tmp_path / "t.parquet")
    _, arrays = from_arrow(pq.read_table(tmp_path / "t.parquet"), "t")
    assert {n: a.to_python() for n, a in arrays.items()} == {n: a.to_python() for n, a in CELLS.items()}


@pytest.mark.parametrize(
    ("cells", "storage", "expected"),
    [
        (pa.array([1, None], pa.uint8()), Storage.INT64, [1, None]),
        (pa.array([1.5, None, float("nan")], pa.float32()), Storage.DOUBLE, [1.5, None, None]),
        (pa.array(["a", None], pa.large_string()), Storage.STRING, ["a", None]),
        (pa.array(["a", None], pa.string_view()), Storage.STRING, ["a", None]),
        (pa.array([3, None, 3]).dictionary_encode(), Storage.INT64, [3, None, 3]),
        (pa.array([None, None], pa.null()), Storage.STRING, [None, None]),
        (pa.array([86_400_000], pa.date64()), Storage.DATE, [1]),
        (pa.array([1999, -1], pa.timestamp("ns")), Storage.DATETIME, [1, -1]),
        (pa.array([2], pa.timestamp("s")), Storage.DATETIME, [2_000_000]),
        (pa.array([2], pa.duration("ms")), Storage.DURATION, [2000]),
        (pa.array([Decimal("1.5"), None], pa.decimal256(50, 3)), Storage.DECIMAL, [1500, None]),
        (pa.array([Decimal("1.5")], pa.decimal128(30, 15)), Storage.DOUBLE, [1.5]),
    ],
)
def test_other_arrow_types_find_their_storage(cells, storage, expected):
    _, arrays = from_arrow(pa.table({"x": cells}), "t")
    assert arrays["x"].storage is storage
    assert arrays["x"].to_python() == expected


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (pa.array([2**63], pa.uint64()), "VALUE_OUT_OF_BOUNDS"),
        (pa.array([2**62], pa.timestamp("s")), "VALUE_OUT_OF_BOUNDS"),
        (pa.array([Decimal(10) ** 20], pa.decimal128(38, 2)), "VALUE_OUT_OF_BOUNDS"),
        (pa.array([b"x"]), "VALUE_NOT_OF_KIND"),
        (pa.array([{"a": 1}]), "VALUE_NOT_OF_KIND"),
        (pa.array([[1]]), "VALUE_NOT_OF_KIND"),
        (pa.array([["a", None]]), "VALUE_NOT_OF_KIND"),
        (pa.array([1], pa.time64("us")), "VALUE_NOT_OF_KIND"),
    ],
)
def test_what_cannot_travel_is_refused_by_name(cells, reason):
    with pytest.raises(Problem) as caught:
        from_arrow(pa.table({"secret": cells}), "t")
    assert (caught.value.reason, caught.value.violations[0].field) == (reason, "t.secret")


def test_names_must_be_there_and_differ():
    for names, reason in ((["a", "a"], "DUPLICATE_COLUMN"), (["a", " "], "EMPTY_COLUMN_NAME")):
        with pytest.raises(Problem, match=reason):
            from_arrow(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names), "t")


def test_fixed_width_cells_are_not_copied():
    values = np.arange(1000, dtype="<i8")
    table = TableSchema("t", (Column("x", storage=Storage.INT64),))
    written = to_arrow(table, Batch("t", {"x": Array(Storage.INT64, values)}))
    assert written.column(0).buffers()[1].address == values.ctypes.data
