from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from kohort.columns import Array, Batch
from kohort.csvio import csv_header, csv_rows
from kohort.schema import Column, Storage, TableSchema
from tests.runtime.parts import ALL, all_batch

TEXT = Column("text", storage=Storage.STRING)
TABLE = TableSchema("all", (*ALL.columns, TEXT))


def one(storage: Storage, values, valid=None, dictionary=None, **column) -> list[str]:
    table = TableSchema("t", (Column("c", storage=storage, **column),))
    data = csv_rows(table, Batch("t", {"c": Array.make(storage, values, valid, dictionary)})).decode()
    assert data.endswith("\r\n")
    return data.split("\r\n")[:-1]


def test_cells_are_written_as_documented():
    assert one(Storage.BOOL, [True, False], [True, True]) == ["true", "false"]
    assert one(Storage.INT64, [-(2**63), 2**63 - 1, 0], [True, True, False]) == [
        str(-(2**63)),
        str(2**63 - 1),
        "",
    ]
    assert one(Storage.DOUBLE, [0.1, 1.0, math.nan, -math.inf, 5e-324]) == [
        "0.1",
        "1.0",
        "nan",
        "-inf",
        "5e-324",
    ]
    assert one(Storage.DECIMAL, [5, -5, -12345, 0], scale=3) == ["0.005", "-0.005", "-12.345", "0.000"]
    assert one(Storage.DECIMAL, [-7], scale=0) == ["-7"]
    assert one(Storage.DATE, [0, -1, 11_000_000]) == ["1970-01-01", "1969-12-31", "32086-12-23"]
    seen = [0, 1_500_000, 12_000_000_000_000_000, -1]
    assert one(Storage.DATETIME, seen, time_zone="UTC") == [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:01.500000Z",
        "2350-04-07T21:20:00Z",
        "1969-12-31T23:59:59.999999Z",
    ]
    assert one(Storage.DATETIME, [0]) == ["1970-01-01T00:00:00"]
    assert one(Storage.DURATION, [1_500_000, -60_000_000, 0]) == ["PT1.5S", "PT-60S", "PT0S"]


@pytest.mark.parametrize("dictionary", [True, False])
def test_strings_are_quoted_where_they_must_be(dictionary):
    texts = ["a", "", "a,b", 'a"b', "a\nb", "é"]
    valid = [True, True, True, True, True, False]
    if dictionary:
        lines = one(Storage.STRING, range(6), valid, texts)
    else:
        lines = one(Storage.STRING, texts, valid)
    assert lines == ["a", '""', '"a,b"', '"a""b"', '"a\nb"', ""]


def test_python_reads_the_file_back():
    batch = all_batch(40)
    data = csv_header(TABLE) + csv_rows(TABLE, batch)
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    assert rows[0] == [column.name for column in TABLE.columns]
    assert len(rows) == 41
    assert all(len(row) == len(rows[0]) for row in rows)
    texts = [row[-1] for row in rows[1:]]
    assert texts == [cell or "" for cell in batch.arrays["text"].to_python()]
    doubles = [row[rows[0].index("double")] for row in rows[1:]]
    for text, cell in zip(doubles, batch.arrays["double"].to_python(), strict=True):
        assert (text == "") if cell is None else (repr(float(text)) == repr(cell))


def test_rows_do_not_depend_on_the_cut():
    arrays = all_batch(40).arrays
    whole = csv_rows(TABLE, Batch("all", arrays))
    parts = [Batch("all", {n: a.slice(low, low + 8) for n, a in arrays.items()}) for low in range(0, 40, 8)]
    assert b"".join(csv_rows(TABLE, part) for part in parts) == whole
    assert csv_rows(TABLE, Batch("all", {n: a.slice(0, 0) for n, a in arrays.items()})) == b""


def test_column_names_are_quoted_too():
    table = TableSchema("t", (Column('a"b', storage=Storage.INT64), Column("c,d", storage=Storage.INT64)))
    assert csv_header(table) == b'"a""b","c,d"\r\n'


def test_an_all_null_column_without_dictionary_entries():
    assert one(Storage.STRING, np.zeros(2, np.int64), [False, False], ()) == ["", ""]
