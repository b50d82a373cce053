"""Frames: what columns look like to evaluators."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evaluators.frame import frames
from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.tableset import Table
from tests.evaluation.cases import table_of


def one(column: Column, array: Array) -> Table:
    return Table(TableSchema("t", (replace(column, handling=Handling.MODEL),)), {column.name: array})


def frame_of(table: Table):
    return frames([table])[0]


def test_dates_are_days_and_datetimes_days_with_their_parts() -> None:
    date = one(Column("d", Kind.DATE, Storage.DATE), Array.make(Storage.DATE, [0, 19_000], [True, True]))
    assert frame_of(date)["d"].tolist() == [0.0, 19_000.0]
    noon = int(datetime(1970, 1, 3, 12, tzinfo=UTC).timestamp() * 1e6)
    time = one(Column("d", Kind.DATETIME, Storage.DATETIME), Array.make(Storage.DATETIME, [noon]))
    assert frame_of(time)["d"].tolist() == [2.5]


def test_durations_are_seconds_and_decimals_what_they_stand_for() -> None:
    span = one(Column("x", Kind.DURATION, Storage.DURATION), Array.make(Storage.DURATION, [1_500_000]))
    assert frame_of(span)["x"].tolist() == [1.5]
    money = one(Column("x", Kind.DECIMAL, Storage.DECIMAL, scale=2), Array.make(Storage.DECIMAL, [1234, -5]))
    assert frame_of(money)["x"].tolist() == [12.34, -0.05]


def test_null_is_nan_among_numbers_and_minus_one_among_categories() -> None:
    frame = frame_of(table_of(pd.DataFrame({"x": [1.5, None, 2.5], "c": ["a", None, "b"]})))
    assert np.isnan(frame["x"][1]) and frame["c"].tolist() == [0, -1, 1]
    assert frame.null("x").tolist() == frame.null("c").tolist() == [False, True, False]


def test_infinite_numbers_are_null() -> None:
    array = Array.make(Storage.DOUBLE, [np.inf, -np.inf, np.nan, 1.0])
    assert frame_of(one(Column("x", Kind.DECIMAL, Storage.DOUBLE), array)).null("x").tolist() == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_code_means_the_same_in_every_frame() -> None:
    left = table_of(pd.DataFrame({"c": ["b", "a", "b"]}))
    right = table_of(pd.DataFrame({"c": ["c", "b", None]}))
    a, b = frames([left, right])
    assert a is not None and b is not None
    assert a.layout is b.layout and a.layout["c"].levels == ("a", "b", "c")
    assert a["c"].tolist() == [1, 0, 1] and b["c"].tolist() == [2, 1, -1]


def test_levels_of_an_ordinal_stand_in_their_order() -> None:
    column = Column("c", Kind.ORDINAL, Storage.STRING, levels=("low", "middle", "high"))
    array = Array.make(Storage.STRING, [0, 1, 2, 1], dictionary=["high", "low", "unheard of"])
    frame = frame_of(one(column, array))
    assert frame.layout["c"].levels == ("low", "high", "unheard of")
    assert frame["c"].tolist() == [1, 0, 2, 0]


def test_entries_of_a_dictionary_that_no_cell_uses_are_no_levels() -> None:
    array = Array.make(
        Storage.STRING, [2, 0, 2], [True, False, True], dictionary=["null's", "unused", "used"]
    )
    frame = frame_of(one(Column("c", Kind.CATEGORY, Storage.STRING), array))
    assert frame.layout["c"].levels == ("used",) and frame["c"].tolist() == [0, -1, 0]


def test_booleans_and_coded_integers_are_categories_by_their_text() -> None:
    flag = one(Column("c", Kind.BOOLEAN, Storage.BOOL), Array.make(Storage.BOOL, [True, False, True]))
    assert frame_of(flag).layout["c"].levels == ("false", "true") and frame_of(flag)["c"].tolist() == [
        1,
        0,
        1,
    ]
    code = one(Column("c", Kind.CATEGORY, Storage.INT64), Array.make(Storage.INT64, [10, 9, 10]))
    assert frame_of(code).layout["c"].levels == ("10", "9")


def test_a_column_without_any_value_has_no_levels() -> None:
    empty = Array.make(Storage.STRING, [0, 0], [False, False], dictionary=[])
    frame = frame_of(one(Column("c", Kind.CATEGORY, Storage.STRING), empty))
    assert frame.layout["c"].levels == () and frame["c"].tolist() == [-1, -1]


def test_only_modelled_columns_that_can_be_compared_are_there(diabetes: Table) -> None:
    frame = frame_of(diabetes)
    assert "patient_nbr" not in frame.layout and "race" in frame.layout
    text = one(Column("c", Kind.TEXT, Storage.STRING), Array.make(Storage.STRING, ["a"]))
    assert len(frame_of(text).layout) == 0
    named = frames([diabetes], ["race", "patient_nbr"])[0]
    assert named is not None and [view.name for view in named.layout] == ["patient_nbr", "race"]


def test_rows_of_one_patient_share_a_subject(diabetes: Table) -> None:
    frame = frame_of(diabetes)
    keys = diabetes.arrays["patient_nbr"].values
    assert frame.patients == np.unique(keys).size < len(frame)
    taken = frame.take(np.flatnonzero(keys == keys[0]))
    assert taken.patients == 1


def test_a_table_that_lacks_a_column_is_refused(heart: Table) -> None:
    less = Table(heart.schema.with_columns(heart.schema.columns[1:]), heart.arrays)
    with pytest.raises(Problem) as raised:
        frames([heart, less])
    assert raised.value.reason == "UNKNOWN_COLUMN"


def test_samples_keep_the_order_and_give_all_where_there_are_no_more(heart: Table) -> None:
    frame = frame_of(heart)
    rng = np.random.default_rng(0)
    assert frame.sample(len(frame), rng) is frame
    part = frame.sample(50, rng)
    assert len(part) == 50 and np.all(np.diff(part.subjects) > 0)
