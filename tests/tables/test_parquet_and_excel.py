from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kohort.schema import Column, Kind, Storage, TableSchema

SECOND = 1_000_000
DAY = 86_400 * SECOND


def parquet(array):
    out = io.BytesIO()
    pq.write_table(pa.table({"a": array}), out)
    return out.getvalue()


def excel(*rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("array", "storage", "values"),
    [
        (pa.array([True, None]), Storage.BOOL, [True, None]),
        (pa.array([1, None], pa.int8()), Storage.INT64, [1, None]),
        (pa.array([2**63 - 1], pa.uint64()), Storage.INT64, [2**63 - 1]),
        (pa.array([1.5, float("nan"), None]), Storage.DOUBLE, [1.5, None, None]),
        (pa.array([Decimal("1.25"), None], pa.decimal128(38, 2)), Storage.DECIMAL, [125, None]),
        (pa.array([Decimal("-0.01")], pa.decimal128(9, 2)), Storage.DECIMAL, [-1]),
        (pa.array([Decimal("1.25")], pa.decimal256(50, 2)), Storage.DECIMAL, [125]),
        (pa.array(["x", None, "", "x"]), Storage.STRING, ["x", None, "", "x"]),
        (pa.array(["x", None, "y"], pa.large_string()), Storage.STRING, ["x", None, "y"]),
        (pa.array(["x", None, "y"]).dictionary_encode(), Storage.STRING, ["x", None, "y"]),
        (pa.array([3, None, 4]).dictionary_encode(), Storage.INT64, [3, None, 4]),
        (pa.array([dt.date(1969, 12, 31), None]), Storage.DATE, [-1, None]),
        (pa.array([1, None], pa.timestamp("s")), Storage.DATETIME, [SECOND, None]),
        (pa.array([-1, 1999], pa.timestamp("ns")), Storage.DATETIME, [-1, 1]),
        (pa.array([dt.datetime(2900, 1, 1)], pa.timestamp("us")), Storage.DATETIME, [339_676 * DAY]),
        (pa.array([dt.timedelta(days=2), None]), Storage.DURATION, [2 * DAY, None]),
        (pa.array([dt.time(0, 1)], pa.time32("s")), Storage.DURATION, [60 * SECOND]),
        (pa.array([["a", "b"], None, [], ["a"]]), Storage.STRING_LIST, [["a", "b"], None, [], ["a"]]),
        (pa.array([[7], [8, 7]]), Storage.STRING_LIST, [["7"], ["8", "7"]]),
        (pa.nulls(2), Storage.STRING, [None, None]),
    ],
)  # fmt: skip
def test_parquet_types(read, array, storage, values):
    got = read(parquet(array), "parquet").arrays["a"]
    assert got.storage is storage
    assert got.to_python() == values


def test_parquet_zones(read):
    for zone, told in (("Europe/Berlin", "Europe/Berlin"), ("+02:00", "UTC"), ("UTC", "UTC")):
        table = read(parquet(pa.array([0], pa.timestamp("us", zone))), "parquet")
        assert table.schema.column("a").time_zone == told


def test_parquet_leaves_out_the_index_of_pandas(read):
    out = io.BytesIO()
    pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 9])).to_parquet(out)
    assert list(read(out.getvalue(), "parquet").arrays) == ["a"]


def test_parquet_of_many_row_groups_and_dictionaries(read):
    texts = [f"v{i % 7}" for i in range(1000)]
    out = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array(texts).dictionary_encode()}), out, row_group_size=90)
    array = read(out.getvalue(), "parquet").arrays["a"]
    assert array.to_python() == texts
    assert array.dictionary == tuple(sorted(set(texts)))


@pytest.mark.parametrize(
    ("cells", "storage", "values"),
    [
        ([1, None, 3], Storage.INT64, [1, None, 3]),
        ([1, 2.5, None], Storage.DOUBLE, [1.0, 2.5, None]),
        ([True, False, None], Storage.BOOL, [True, False, None]),
        ([dt.date(1970, 1, 2), None], Storage.DATE, [1, None]),
        ([dt.datetime(1970, 1, 2), dt.datetime(1970, 1, 1, 0, 0, 1)], Storage.DATETIME, [DAY, SECOND]),
        ([dt.timedelta(hours=30), None], Storage.DURATION, [30 * 3600 * SECOND, None]),
        (["x", None, "y"], Storage.STRING, ["x", None, "y"]),
        ([250.83, 401, "V57", "E909", "V58"], Storage.STRING, ["250.83", "401", "V57", "E909", "V58"]),
        (["2020-01-01", "2020-01-02"], Storage.DATE, [18262, 18263]),
        (["NA", 4, 5], Storage.INT64, [None, 4, 5]),
        ([None, None], Storage.STRING, [None, None]),
    ],
)
def test_excel_types(read, cells, storage, values):
    rows = [[cell, i] for i, cell in enumerate(cells)]
    got = read(excel(["a", "b"], *rows), "excel").arrays["a"]
    assert got.storage is storage
    assert got.to_python() == values


def test_excel_leaves_out_empty_rows_and_trailing_columns(read):
    table = read(excel(["a", "b", None], [1, 2, None], [None, None, None], [3, None, None]), "excel")
    assert {name: array.to_python() for name, array in table.arrays.items()} == {"a": [1, 3], "b": [2, None]}


def test_excel_numbers_declared_as_codes_stay_whole(take_in):
    declared = TableSchema("t", (Column("a", Kind.CODE),))
    table = take_in(excel(["a"], *[[250]] * 9, *[[401.5]] * 9), "excel", declared).single()
    assert set(table.arrays["a"].to_python()) == {"250", "401.5"}


def test_every_format_tells_the_same_of_the_heart_table(read, data):
    frame = pd.read_csv(data / "heart.csv")
    workbook, file = io.BytesIO(), io.BytesIO()
    frame.to_excel(workbook, index=False)
    frame.to_parquet(file)
    whole = read((data / "heart.csv").read_bytes())
    for other in (read(workbook.getvalue(), "excel"), read(file.getvalue(), "parquet")):
        assert list(other.arrays) == list(whole.arrays)
        for name, array in whole.arrays.items():
            assert np.array_equal(array.is_valid(), other.arrays[name].is_valid())
            assert np.array_equal(array.values, other.arrays[name].values)
