"""CSV: what RFC 4180 allows is read, and cells take the types that a person sees."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.problem import Problem
from kohort.schema import Column, Kind, Storage, TableSchema
from tables import rfc4180
from tables.headers import Limits

SECOND = 1_000_000


def column(read, *cells, kind=Kind.UNSPECIFIED, storage=Storage.UNSPECIFIED):
    out = io.StringIO()
    csv.writer(out).writerows([["a", "b"], *([cell, 1] for cell in cells)])
    declared = TableSchema("t", (Column("a", kind, storage),))
    return read(out.getvalue().encode(), declared=declared).arrays["a"]


@pytest.mark.parametrize(
    ("cells", "storage", "values"),
    [
        (["1", "", "-3", "+4"], Storage.INT64, [1, None, -3, 4]),
        (["1.0", "", "2.0"], Storage.DOUBLE, [1.0, None, 2.0]),
        ([".5", "1e3", "-0.25", "7"], Storage.DOUBLE, [0.5, 1000.0, -0.25, 7.0]),
        (["9223372036854775807", "-9223372036854775808"], Storage.INT64, [2**63 - 1, -(2**63)]),
        (["NA", "3", "?", "null", "NaN"], Storage.INT64, [None, 3, None, None, None]),
        (["None", "Norm", ">300"], Storage.STRING, ["None", "Norm", ">300"]),
        (["00123", "10115"], Storage.STRING, ["00123", "10115"]),
        (["99999999999999999999", "1"], Storage.STRING, ["99999999999999999999", "1"]),
        (["1970-01-02", "2024-02-29", "2300-01-01"], Storage.DATE, [1, 19782, 120530]),
        (["1970-01-02", "1970-01-01 00:00:01"], Storage.DATETIME, [86400 * SECOND, SECOND]),
        (["1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00.5Z"], Storage.DATETIME, [0, SECOND // 2]),
        (["2400-01-01T00:00:00.123456789"], Storage.DATETIME, [13569465600123456]),
        (["true", "FALSE", ""], Storage.BOOL, [True, False, None]),
        (["PT1H30M", "2 days 00:00:01"], Storage.DURATION, [5400 * SECOND, 172_801 * SECOND]),
        (["-P1DT0.5S", "-1 days +23:59:59"], Storage.DURATION, [-86_400_500_000, -SECOND]),
        (["2023-02-29", "2023-03-01"], Storage.STRING, ["2023-02-29", "2023-03-01"]),
        ([*["250.83"] * 40, "V57", "E909"], Storage.STRING, [*["250.83"] * 40, "V57", "E909"]),
        (["x", " x", "x "], Storage.STRING, ["x", " x", "x "]),
    ],
)  # fmt: skip
def test_undeclared_cells_take_the_narrowest_type_that_holds_all(read, cells, storage, values):
    array = column(read, *cells)
    assert array.storage is storage
    assert array.to_python() == values


@pytest.mark.parametrize(
    ("kind", "cells", "storage", "values"),
    [
        (Kind.INTEGER, ["007", "8.0", "9e1"], Storage.INT64, [7, 8, 90]),
        (Kind.CATEGORY, ["1", "2"], Storage.INT64, [1, 2]),
        (Kind.CATEGORY, ["0.5", "2"], Storage.STRING, ["0.5", "2"]),
        (Kind.CODE, ["250.00", "250"], Storage.STRING, ["250.00", "250"]),
        (Kind.BOOLEAN, ["yes", "N", "1", "0", ""], Storage.BOOL, [True, False, True, False, None]),
        (Kind.DECIMAL, ["1", "2"], Storage.DOUBLE, [1.0, 2.0]),
        (Kind.DATETIME, ["1970-01-02"], Storage.DATETIME, [86400 * SECOND]),
        (Kind.TEXT, ["1", "2"], Storage.STRING, ["1", "2"]),
        (Kind.ID, ["017", "18"], Storage.STRING, ["017", "18"]),
        (Kind.INTEGER, ["", "NA"], Storage.INT64, [None, None]),
    ],
)
def test_declared_kinds_are_kept(read, kind, cells, storage, values):
    array = column(read, *cells, kind=kind)
    assert array.storage is storage
    assert array.to_python() == values


def test_zones_are_told(read):
    table = read(b"a\n2020-01-01T00:00:00+02:00\n")
    assert table.schema.column("a").time_zone == "UTC"


def test_an_empty_column_is_null(read):
    array = read(b"a,b\n,1\n,2\n").arrays["a"]
    assert array.to_python() == [None, None]


def test_quotes_line_breaks_and_byte_order_mark(read):
    table = read(b'\xef\xbb\xbf"a","b\r\n"\r\n"x,\n""y""",\r\n,"z"\r\n\r\n\r\n'.replace(b"b\r\n", b"b"))
    assert table.arrays["a"].to_python() == ['x,\n"y"', None]
    assert table.arrays["b"].to_python() == [None, "z"]


def test_blank_lines_of_a_single_column_are_nulls(read):
    assert read(b"a\n1\n\n3\n\n").arrays["a"].to_python() == [1, None, 3, None]


def test_a_record_longer_than_a_block_is_read(read):
    long = "x" * (17 << 20)
    table = read(f"a,b\n1,2\n{long},3\n".encode())
    assert table.arrays["a"].strings()[1] == long


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@st.composite
def tables(draw):
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8))
    return [[f"c{i}" for i in range(width)], *rows]


def written(rows, end="\r\n", quoting=csv.QUOTE_ALL):
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


@given(tables(), st.sampled_from(["\n", "\r\n"]))
def test_quoted_text_round_trips(tmp_path_factory, rows, end):
    from tables.csv import read_csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(written(rows, end))
    declared = TableSchema("t", tuple(Column(name, storage=Storage.STRING) for name in rows[0]))
    table = read_csv(path, "t", declared, Limits())
    got = zip(*(table.arrays[name].to_python() for name in rows[0]), strict=True)
    assert [list(row) for row in got] == [[cell or None for cell in row] for row in rows[1:]]


@given(st.binary(max_size=60).map(lambda b: bytes(b'a,"\r\nx'[i % 6] for i in b)), st.integers(1, 9))
def test_the_scan_does_not_depend_on_its_stretches(content, stretch):
    def outcome():
        try:
            layout = rfc4180.scan("t", memoryview(content), Limits())
            return layout.header, layout.body, layout.ends.tolist(), layout.quoted
        except Problem as problem:
            return problem.reason

    whole = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rfc4180, "_STRETCH", stretch)
        assert outcome() == whole


@given(st.binary(max_size=40).map(lambda b: bytes(b'a,"\nx'[i % 5] for i in b)))
def test_what_the_scan_accepts_the_standard_library_reads_alike(content):
    content = b"p,q\n" + content
    try:
        layout = rfc4180.scan("t", memoryview(content), Limits())
    except Problem:
        return
    rows = list(csv.reader(io.StringIO(content[: layout.stop].decode(), newline=""), strict=True))
    assert {len(row) for row in rows} == {2}
    assert len(rows) == 1 + layout.ends.size


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30))
def test_integers_round_trip(tmp_path_factory, numbers):
    from tables.csv import read_csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("a\n" + "\n".join(map(str, numbers)))
    array = read_csv(path, "t", None, Limits()).arrays["a"]
    assert array.storage is Storage.INT64
    assert array.to_python() == numbers


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_doubles_round_trip(tmp_path_factory, numbers):
    from tables.csv import read_csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("a\n" + "\n".join(map(repr, numbers)))
    array = read_csv(path, "t", None, Limits()).arrays["a"]
    assert array.storage is Storage.DOUBLE
    assert np.array_equal(array.values, np.array(numbers))


def test_what_the_sdk_writes_is_read_again(read):
    from kohort.columns import Array, Batch
    from kohort.csvio import csv_header, csv_rows
    from tables.infer import physicalise

    columns = {
        Column("bool", Kind.BOOLEAN, Storage.BOOL): [True, False, False],
        Column("int", Kind.INTEGER, Storage.INT64): [2**63 - 1, 0, -(2**63)],
        Column("double", Kind.DECIMAL, Storage.DOUBLE): [1e-300, 0.0, 1 / 3],
        Column("decimal", Kind.DECIMAL, Storage.DECIMAL, scale=2): [-1, 0, 12_345],
        Column("text", Kind.CATEGORY, Storage.STRING): ['a,"b"', "", "x\ny"],
        Column("date", Kind.DATE, Storage.DATE): [-100_000, 0, 120_530],
        Column("local", Kind.DATETIME, Storage.DATETIME): [-1, 0, 10**16],
        Column("zoned", Kind.DATETIME, Storage.DATETIME, time_zone="UTC"): [1, 0, 10**15],
        Column("span", Kind.DURATION, Storage.DURATION): [-1, 0, 10**12 + 5],
    }
    arrays = {}
    for c, cells in columns.items():
        values = cells if c.storage is Storage.STRING else np.array(cells, dtype=c.storage.dtype)
        arrays[c.name] = Array.make(c.storage, values, [True, False, True])
    schema = TableSchema("t", tuple(columns))
    raw = read(csv_header(schema) + csv_rows(schema, Batch("t", arrays)), declared=schema)
    got = physicalise(raw, schema)
    assert {n: a.to_python() for n, a in got.arrays.items()} == {n: a.to_python() for n, a in arrays.items()}
