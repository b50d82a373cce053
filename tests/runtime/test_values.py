"""Cells as text: exact for every storage, and refused without being repeated."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.csvio import cell_texts
from kohort.problem import Problem
from kohort.schema import Column, Storage
from kohort.values import read_value, text_of

_LIMIT = 2**63
WHOLE = (Storage.INT64, Storage.DECIMAL, Storage.DATETIME, Storage.DURATION)


def column(storage, **more):
    return Column("c", storage=storage, **more)


@given(st.sampled_from(WHOLE), st.integers(-_LIMIT, _LIMIT - 1), st.booleans())
def test_what_csv_writes_reads_back_exactly(storage, cell, zoned):
    if storage is Storage.DATETIME:  # numpy writes these years
        cell %= 9_000_000_000_000_000_000
    told = column(storage, scale=3, time_zone="UTC" if zoned and storage is Storage.DATETIME else "")
    (text,) = cell_texts(told, Array.make(storage, [cell]))
    assert read_value(text, told, "t.c") == cell


@given(st.integers(-(2**31), 2**31 - 1))
def test_days_read_back(day):
    told = column(Storage.DATE)
    (text,) = cell_texts(told, Array.make(Storage.DATE, [day]))
    assert read_value(text, told, "t.c") == day


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_read_back(number):
    assert read_value(repr(number), column(Storage.DOUBLE), "t.c") == number


@pytest.mark.parametrize(
    ("storage", "text", "cell"),
    [
        (Storage.INT64, "63", 63),
        (Storage.INT64, "63.0", 63),
        (Storage.INT64, "1e3", 1000),
        (Storage.INT64, "9223372036854775807", 2**63 - 1),
        (Storage.DECIMAL, "70.4", 704),
        (Storage.DECIMAL, "-0.1", -1),
        (Storage.BOOL, "true", True),
        (Storage.STRING, "", ""),
        (Storage.DATE, "1970-01-02", 1),
        (Storage.DATETIME, "1970-01-01T00:00:01.5", 1_500_000),
        (Storage.DATETIME, "1970-01-02", 86_400_000_000),
        (Storage.DURATION, "PT90M", 5_400_000_000),
        (Storage.DURATION, "P1DT0.000001S", 86_400_000_001),
        (Storage.DURATION, "-PT1S", -1_000_000),
        (Storage.DURATION, "PT-1.5S", -1_500_000),
    ],
)
def test_texts_of_cells(storage, text, cell):
    assert read_value(text, column(storage, scale=1), "t.c") == cell


def test_zones_are_read_where_the_column_has_one():
    zoned = column(Storage.DATETIME, time_zone="Europe/Berlin")
    assert read_value("1970-01-01T02:00:00+02:00", zoned, "t.c") == 0
    assert read_value("1970-01-01T00:00:00Z", zoned, "t.c") == 0
    with pytest.raises(Problem, match="time zone"):
        read_value("1970-01-01T00:00:00Z", column(Storage.DATETIME), "t.c")


@pytest.mark.parametrize(
    ("use", "text", "cell"),
    [
        ("minimum", "59.5", 60),
        ("maximum", "60.5", 60),
        ("minimum", "-59.5", -59),
        ("maximum", "1e40", 2**63 - 1),
    ],
)
def test_a_bound_between_cells_means_the_next_one_inside(use, text, cell):
    assert read_value(text, column(Storage.INT64), "t.c", use) == cell


def test_a_day_as_maximum_of_times_means_all_of_it():
    told = column(Storage.DATETIME)
    assert read_value("1970-01-01", told, "t.c", "maximum") == 86_400_000_000 - 1
    assert read_value("1970-01-01", told, "t.c", "minimum") == 0


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        (Storage.INT64, "secret"),
        (Storage.INT64, "63.5"),
        (Storage.INT64, "9223372036854775808"),
        (Storage.INT64, "1e999"),
        (Storage.INT64, "٣"),
        (Storage.INT64, " 6"),
        (Storage.INT64, ""),
        (Storage.DECIMAL, "70.45"),
        (Storage.DOUBLE, "nan"),
        (Storage.DOUBLE, "1e400"),
        (Storage.BOOL, "1"),
        (Storage.DATE, "2026-02-30"),
        (Storage.DATE, "2026-1-1"),
        (Storage.DATETIME, "2026-01-01T25:00:00"),
        (Storage.DATETIME, "yesterday"),
        (Storage.DURATION, "PT"),
        (Storage.DURATION, "P1Y"),
        (Storage.DURATION, "90 minutes"),
        (Storage.STRING, "x" * 70_000),
    ],
)
def test_what_is_no_cell_is_refused_by_name_and_not_repeated(storage, text):
    with pytest.raises(Problem) as caught:
        read_value(text, column(storage, scale=1), "people.c")
    assert caught.value.reason == "INVALID_REQUEST"
    assert caught.value.violations[0].field == "people.c"
    assert len(text) < 4 or text not in caught.value.message


@pytest.mark.parametrize(
    ("value", "storage", "cell"),
    [
        (63, Storage.INT64, 63),
        (np.int64(63), Storage.INT64, 63),
        (63.0, Storage.INT64, 63),
        (Decimal("70.40"), Storage.DECIMAL, 704),
        (70.4, Storage.DECIMAL, 704),
        (True, Storage.BOOL, True),
        (np.bool_(False), Storage.BOOL, False),
        ("F", Storage.STRING, "F"),
        (date(1970, 1, 2), Storage.DATE, 1),
        (datetime(1970, 1, 1, 0, 0, 1), Storage.DATETIME, 1_000_000),
        (np.datetime64("1970-01-01T00:00:01", "ns"), Storage.DATETIME, 1_000_000),
        (timedelta(minutes=-90), Storage.DURATION, -5_400_000_000),
        (np.timedelta64(1, "s"), Storage.DURATION, 1_000_000),
    ],
)
def test_python_values_become_cells(value, storage, cell):
    assert read_value(text_of(value), column(storage, scale=1), "t.c") == cell


def test_moments_of_a_zone_become_cells():
    zoned = column(Storage.DATETIME, time_zone="UTC")
    moment = datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert read_value(text_of(moment), zoned, "t.c") == 0
    assert read_value(text_of(datetime(1970, 1, 1, tzinfo=UTC)), zoned, "t.c") == 0


@pytest.mark.parametrize("value", [None, float("nan"), [1], b"x", Decimal("NaN")])
def test_other_values_are_no_cells(value):
    with pytest.raises(TypeError):
        text_of(value)
