"""Dtypes in = dtypes out, cells in = cells out, also over the wire and through Arrow."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from kohort.columns import Array, Batch, encode_dictionary_chunks, encode_record_batch
from kohort.frames import from_frame, to_frame
from kohort.problem import Problem
from kohort.schema import Column, Kind, Schema, Storage, TableSchema
from kohort.v1 import table_pb2
from kohort.wire import Dictionaries, decode_batch, schema_from_proto, schema_to_proto

BERLIN = "Europe/Berlin"


pytestmark = pytest.mark.filterwarnings("error::FutureWarning")


def over_the_wire(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as a client sends it and another reads it, schema included."""
    table, arrays = from_frame(frame, "t")
    (table,) = schema_from_proto(schema_to_proto(Schema((table,)))).tables
    dictionaries = Dictionaries()
    for name, array in arrays.items():
        if array.dictionary is not None:
            for chunk in encode_dictionary_chunks("t", name, array.dictionary):
                dictionaries.add(table_pb2.Dictionary.FromString(chunk))
    message = table_pb2.RecordBatch.FromString(encode_record_batch(Batch("t", arrays)))
    return to_frame(table, decode_batch(message, table, dictionaries).arrays)


def objects(*cells):
    return pd.Series([*cells, None], dtype=object)


INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
UNITS = ("s", "ms", "us", "ns")


def nullable(dtype):
    return dtype.replace("int", "Int").replace("u", "U")


def stamps(unit, *cells):
    return pd.Series(np.array(cells, f"M8[{unit}]"))


SERIES = {
    **{f"{p}int{b}": pd.Series([0, 1, 100], dtype=f"{p}int{b}") for p in ("", "u") for b in (8, 16, 32, 64)},
    **{
        f"{p}nt{b}": pd.Series([0, None, 100], dtype=f"{p}nt{b}")
        for p in ("I", "UI")
        for b in (8, 16, 32, 64)
    },
    "int64 edges": pd.Series([-(2**63), 2**63 - 1]),
    "float16": pd.Series([0.5, np.nan], dtype="float16"),
    "float32": pd.Series([0.1, np.nan, -0.0], dtype="float32"),
    "float64": pd.Series([0.1, np.nan, np.inf, 1e300]),
    "whole float64": pd.Series([1.0, np.nan, 3.0]),
    "Float32": pd.Series([0.5, None], dtype="Float32"),
    "Float64": pd.Series([0.1, None], dtype="Float64"),
    "bool": pd.Series([True, False]),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "string": pd.Series(["a", None, "ü", ""], dtype="string"),
    "string[pyarrow]": pd.Series(["a", None, "ü"], dtype="string[pyarrow]"),
    "object": pd.Series(["a", None, "日本", "a"], dtype=object),
    "object all null": pd.Series([None, None], dtype=object),
    "object bool": pd.Series([True, None], dtype=object),
    "object int": pd.Series([1, None, -(2**63)], dtype=object),
    "object float": pd.Series([1.5, None, 2], dtype=object),
    "object date": objects(date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)),
    "object datetime": objects(datetime(1850, 1, 2, 3, 4, 5, 6), datetime(2300, 1, 1)),
    "object timedelta": objects(timedelta(days=-1, microseconds=3)),
    "object decimal": objects(Decimal("1.50"), Decimal("-0.25"), Decimal("12345678901.25")),
    "object list": pd.Series([["I10", "E11"], [], None, ["I10"]], dtype=object),
    "category": pd.Series(pd.Categorical(["b", None, "a"], categories=["b", "unused", "a"])),
    "category ordered": pd.Series(pd.Categorical(["hi", "lo"], categories=["lo", "mid", "hi"], ordered=True)),
    "category int": pd.Series(pd.Categorical([3, 1, None, 3])),
    "category int8": pd.Series(pd.Categorical(pd.Series([3, 1], dtype="int8"))),
    "category int ordered": pd.Series(pd.Categorical([3, 1], categories=[9, 3, 1], ordered=True)),
    "category bool": pd.Series(pd.Categorical([True, False, None])),
    "category bool ordered": pd.Series(pd.Categorical([True], categories=[True, False], ordered=True)),
    "category float": pd.Series(pd.Categorical([0.1, 2.0, None])),
    "category string": pd.Series(pd.Categorical(pd.Series(["x", "y", None], dtype="string"))),
    "category datetime": stamps("ns", "2020-01-01", "2020-01-01T00:00:00.5").astype("category"),
    **{f"datetime64[{u}]": stamps(u, "1850-01-02T03:04:05", "NaT") for u in UNITS},
    **{
        f"datetime64[{u}, tz]": stamps(u, "2024-10-27T00:30", "NaT", "1850-01-01")
        .dt.tz_localize("UTC")
        .dt.tz_convert(BERLIN)
        for u in UNITS
    },
    "datetime far": stamps("us", "2500-01-01T01:02:03.000004"),
    "datetime offset": pd.Series(pd.to_datetime(["2020-01-01T00:00+05:30"])),
    **{f"timedelta64[{u}]": pd.Series(np.array([90, "NaT", -5], f"m8[{u}]")) for u in ("s", "ms", "us")},
    "timedelta64[ns]": pd.Series(pd.to_timedelta(["1us", None, "-3h"])),
    "arrow int32": pd.Series([1, None], dtype="int32[pyarrow]"),
    "arrow string": pd.Series(["a", None], dtype=pd.ArrowDtype(__import__("pyarrow").string())),
    "arrow date": pd.Series([date(2020, 1, 1), None], dtype="date32[day][pyarrow]"),
    "arrow timestamp": pd.Series([datetime(2020, 1, 1), None], dtype="timestamp[us][pyarrow]"),
}


@pytest.mark.parametrize("name", SERIES)
def test_type_and_cells_come_back(name):
    frame = pd.DataFrame({"x": SERIES[name]})
    assert_frame_equal(over_the_wire(frame), frame, check_categorical=True)


def test_a_whole_frame_keeps_its_columns_in_order():
    # Categories that are numbers and do not occur are not sent.
    frame = pd.DataFrame({name: s.iloc[[0, 0, 0]].reset_index(drop=True) for name, s in SERIES.items()})
    for name in frame.columns[frame.dtypes == "category"]:
        if not frame[name].cat.ordered:
            frame[name] = frame[name].cat.remove_unused_categories()
    assert_frame_equal(over_the_wire(frame), frame)


scalars = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint8": st.integers(0, 255),
    "Int32": st.none() | st.integers(-(2**31), 2**31 - 1),
    "float64": st.floats(allow_nan=True),
    "Float64": st.none() | st.floats(allow_nan=False),
    "boolean": st.none() | st.booleans(),
    "string": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    "category": st.none() | st.sampled_from(["a", "b", "ü"]),
    "datetime64[us]": st.none() | st.datetimes(),
    "timedelta64[us]": st.none() | st.timedeltas(timedelta(-(10**5)), timedelta(10**5)),
}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.integers(1, 40))
def test_any_frame_comes_back(data, rows):
    columns = data.draw(st.lists(st.sampled_from(sorted(scalars)), min_size=1, max_size=5))
    frame = pd.DataFrame(
        {
            f"c{i}": pd.Series(data.draw(st.lists(scalars[d], min_size=rows, max_size=rows)), dtype=d)
            for i, d in enumerate(columns)
        }
    )
    assert_frame_equal(over_the_wire(frame), frame)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (pd.Series([2**63], dtype="uint64"), "VALUE_OUT_OF_BOUNDS"),
        (pd.Series([2**63], dtype="UInt64"), "VALUE_OUT_OF_BOUNDS"),
        (pd.Series([2**70], dtype=object), "VALUE_OUT_OF_BOUNDS"),
        (pd.Series(np.array([2**62], "M8[s]").astype("M8[s]")), "VALUE_OUT_OF_BOUNDS"),
        (pd.Series([1, "a"], dtype=object), "MIXED_TYPES"),
        (pd.Series([True, 1], dtype=object), "MIXED_TYPES"),
        (pd.Series([1.5, "a"], dtype=object), "MIXED_TYPES"),
        (pd.Series([date(2020, 1, 1), datetime(2020, 1, 1)], dtype=object), "MIXED_TYPES"),
        (pd.Series([datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)], dtype=object), "MIXED_TYPES"),
        (pd.Series([["a"], [1]], dtype=object), "MIXED_TYPES"),
        (pd.Series(pd.Categorical([1, "1"])), "MIXED_TYPES"),
        (pd.Series([b"x"], dtype=object), "VALUE_NOT_OF_KIND"),
        (pd.Series([1j]), "VALUE_NOT_OF_KIND"),
        (pd.Series(pd.period_range("2020", periods=1, freq="M")), "VALUE_NOT_OF_KIND"),
        (pd.Series(["\ud800"], dtype=object), "BAD_ENCODING"),
    ],
)
def test_what_cannot_travel_is_refused_by_column_name(cells, reason):
    with pytest.raises(Problem) as caught:
        from_frame(pd.DataFrame({"fine": range(len(cells)), "secret_column": cells}), "t")
    assert caught.value.reason == reason
    assert [v.field for v in caught.value.violations] == ["t.secret_column"]
    assert not any(str(cell) in caught.value.message for cell in cells if len(str(cell)) > 1)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (pd.DataFrame(), "EMPTY_TABLE"),
        (pd.DataFrame({"a": []}), "EMPTY_TABLE"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "DUPLICATE_COLUMN"),
        (pd.DataFrame([[1, 2]], columns=["a", " "]), "EMPTY_COLUMN_NAME"),
        (pd.DataFrame([[1, 2]]), "INVALID_SCHEMA"),
    ],
)
def test_frames_without_proper_columns_are_refused(frame, reason):
    with pytest.raises(Problem) as caught:
        from_frame(frame, "t")
    assert caught.value.reason == reason


def test_ordered_categories_declare_their_levels_and_zones_their_name():
    frame = pd.DataFrame({"o": SERIES["category ordered"], "z": SERIES["datetime64[us, tz]"].iloc[:2]})
    table, _ = from_frame(frame, "t")
    assert table.column("o").kind is Kind.ORDINAL
    assert table.column("o").levels == ("lo", "mid", "hi")
    assert table.column("z").time_zone == BERLIN


def column(storage, source, **more):
    return TableSchema("t", (Column("x", storage=storage, source_dtype=source, **more),))


@pytest.mark.parametrize(
    ("storage", "values", "more", "source", "expected"),
    [
        # The server may store a column more exactly than pandas did.
        (Storage.INT64, [1, 2], {}, "float64", pd.Series([1.0, 2.0])),
        (Storage.DECIMAL, [15, 25], {"scale": 1}, "float64", pd.Series([1.5, 2.5])),
        (Storage.DATE, [0, 1], {}, "object", pd.Series(["1970-01-01", "1970-01-02"], dtype=object)),
        (Storage.DATE, [0], {}, "datetime64[ns]", stamps("ns", "1970-01-01")),
        (Storage.INT64, [7], {}, "string[python]", pd.Series(["7"], dtype="string[python]")),
        (Storage.DECIMAL, [150], {"scale": 2}, "object[decimal]", pd.Series([Decimal("1.50")], dtype=object)),
        # Where the type cannot hold the cells, the nearest that can.
        (Storage.INT64, [300], {}, "uint8", pd.Series([300])),
        (
            Storage.DATETIME,
            [16725225600000000],
            {},
            "datetime64[ns]",
            stamps("us", "2500-01-01"),
        ),
        # Without a noted type.
        (Storage.DATE, [0], {}, "", stamps("s", "1970-01-01")),
        (
            Storage.DATETIME,
            [0],
            {"time_zone": "UTC"},
            "",
            stamps("us", "1970-01-01").dt.tz_localize("UTC"),
        ),
        (Storage.INT64, [1], {}, "some.java.Type", pd.Series([1])),
        (Storage.DECIMAL, [15], {"scale": 1}, "", pd.Series([1.5])),
    ],
)
def test_storage_of_the_server_meets_type_of_the_client(storage, values, more, source, expected):
    frame = to_frame(column(storage, source, **more), {"x": Array.make(storage, values)})
    assert_frame_equal(frame, expected.to_frame("x"), check_index_type=False)


def test_nulls_where_the_type_knows_none_give_its_nullable_twin():
    frame = to_frame(column(Storage.INT64, "int32"), {"x": Array.make(Storage.INT64, [1, 0], [True, False])})
    assert frame["x"].dtype == "Int32"
    frame = to_frame(
        column(Storage.BOOL, "bool"), {"x": Array.make(Storage.BOOL, [True, False], [True, False])}
    )
    assert frame["x"].dtype == "boolean"


def test_aware_datetime_objects_come_back_as_the_same_instants():
    moment = datetime(2020, 1, 1, 12, tzinfo=timezone(timedelta(hours=3)))
    frame = over_the_wire(pd.DataFrame({"x": pd.Series([moment, None], dtype=object)}))
    assert frame["x"][0] == moment
    assert frame["x"][1] is None
