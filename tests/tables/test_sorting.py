"""What sorts: the same answers as plain Python gives, cell by cell."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.schema import Column, Storage
from tables.arrow import from_arrow
from tables.facts import Facts, smallest_scale
from tables.patterns import Patterns
from tables.physical import canonical
from tables.statistics import StatisticsSource, patients_per_code
from tables.text import string_array

# In UTF-16 the second would sort before the first.
TEXTS = ("", " ", "a", "A", "ä", "\uffff", "\U00010000", "\x00", "10", "9")
CELLS = st.lists(st.one_of(st.none(), st.sampled_from(TEXTS)), max_size=30)
# Few numbers, so that patients and values meet again; both zeros.
PAIRS = st.lists(st.tuples(st.sampled_from((-2.5, -0.0, 0.0, 1.0, 7.0)), st.integers(0, 6)), min_size=1)


def plain(cells):
    return sorted({cell for cell in cells if cell is not None})


@settings(deadline=None)
@given(CELLS, st.randoms())
def test_dictionaries_hold_the_used_texts_in_the_order_of_code_points(cells, random):
    # Texts that no cell uses, and some twice, as a Parquet dictionary may.
    given_texts = [*TEXTS, *random.sample(TEXTS, 3)]
    random.shuffle(given_texts)
    valid = np.array([cell is not None for cell in cells], dtype=np.bool_)
    places = [
        random.choice([i for i, text in enumerate(given_texts) if text == cell])
        if cell is not None
        else random.randrange(len(given_texts))
        for cell in cells
    ]
    for texts in (given_texts, pa.array(given_texts)):
        array = string_array(texts, np.array(places, dtype=np.int64), valid)
        assert array.dictionary == tuple(plain(cells))
        assert array.to_python() == cells
        assert array.values.dtype == Storage.STRING.dtype
        assert not array.values[~valid].any()
        assert (array.valid is None) == bool(valid.all())


@settings(deadline=None)
@given(CELLS)
def test_strings_without_a_dictionary_are_coded_alike(cells):
    valid = [cell is not None for cell in cells]
    array = Array.make(Storage.STRING, [cell or "" for cell in cells], valid)
    done = canonical(array)
    assert done.dictionary == tuple(plain(cells))
    assert done.to_python() == cells
    assert canonical(done) is done


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_dictionaries_of_arrow_may_hold_any_kind_of_text(type_):
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 2, 1]), pa.array(["b", "a", None], type_))
    array, _ = from_arrow("t.c", Column("c"), pa.chunked_array([coded]))
    assert array.to_python() == ["a", "b", None, None, "a"]
    assert array.dictionary == ("a", "b")


def test_lists_are_sorted_too():
    array = Array.make(
        Storage.STRING_LIST, [2, 0, 2], [True, False, True], ["b", "unused", "a"], [0, 2, 2, 3]
    )
    done = canonical(array)
    assert done.dictionary == ("a", "b")
    assert done.to_python() == array.to_python() == [["a", "b"], None, ["a"]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5))))
def test_patients_of_a_code_are_counted_once(pairs):
    codes, subjects = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    expected = [len({s for c, s in pairs if c == code}) for code in range(4)]
    assert patients_per_code(codes, subjects, 4).tolist() == expected


@settings(deadline=None)
@given(PAIRS, st.integers(1, 3))
def test_bounds_are_means_of_the_outermost_patients(pairs, k):
    values, subjects = np.array([v for v, _ in pairs]), np.array([s for _, s in pairs])
    patients = sorted(set(subjects.tolist()))
    if len(patients) < 2 * k:
        return
    highs = sorted((max(v for v, s in pairs if s == p) for p in patients), reverse=True)
    lows = sorted(min(v for v, s in pairs if s == p) for p in patients)
    shared = [v for v in set(values.tolist()) if len({s for w, s in pairs if w == v}) >= k]
    low, high = np.mean(lows[k - 1 : 2 * k - 1]), np.mean(highs[k - 1 : 2 * k - 1])
    found = StatisticsSource().bounds(values, subjects, k)
    assert found == pytest.approx((min([low, *shared]), max([high, *shared])))


@settings(deadline=None)
@given(PAIRS)
def test_patients_may_have_any_numbers(pairs):
    """Only who is whom counts: where each row is a patient of its own, a shorter way is taken."""
    values = np.array([v for v, _ in pairs])
    alone, sparse = np.arange(values.size), 3 * np.arange(values.size) + 1
    if values.size < 2:
        return
    source = StatisticsSource()
    one, other = (source.quantile_points(values, subjects, 2) for subjects in (alone, sparse))
    twice = source.quantile_points(np.repeat(values, 2), np.repeat(alone, 2), 2)
    assert one.x.tolist() == other.x.tolist()
    assert (one.x[0], one.x[-1]) == pytest.approx((twice.x[0], twice.x[-1]))


def test_steps_are_those_of_all_rows():
    # The first rows fit a step of 10; k patients far behind do not.
    cells, subjects = np.full(10_000, 20), np.arange(10_000)
    cells[-3:] = 25
    source = StatisticsSource()
    assert source.common_step(cells, subjects, 3, [10, 5]) == 5
    assert source.common_step(cells, subjects, 4, [10, 5]) == 10
    cells[:3] = 21
    assert source.common_step(cells, subjects, 3, [10, 5]) == 1


def facts(texts):
    array = Array.make(Storage.STRING, np.arange(len(texts)), dictionary=texts)
    return Facts(array, np.arange(len(texts)), 1)


def test_times_are_told_by_all_texts():
    days = [f"{year}-01-01" for year in range(1900, 2100)]
    assert facts(days).temporal is Storage.DATE
    assert facts([*days, "2100-01-01T10:00"]).temporal is Storage.DATETIME
    assert facts([*days, "later"]).temporal is None
    assert facts(["soon", *days]).temporal is None
    assert facts([]).temporal is None


def test_digits_are_told_by_all_numbers():
    whole = np.arange(1000.0)
    assert smallest_scale(whole) == 0
    assert smallest_scale(np.append(whole, 0.25)) == 2
    assert smallest_scale(np.append(0.25, whole)) == 2
    # 0.1 in binary32 counts as 0.1 only where every number is one of binary32.
    single = np.float64(np.float32(0.1))
    assert smallest_scale(np.append(whole, single)) == 1
    assert smallest_scale(np.append(np.append(whole, single), 0.2)) is None


def test_numbers_of_nulls_are_no_cells():
    array = Array.make(Storage.INT64, [5, 0, 7, 5], [True, False, True, True])
    made = Facts(array, np.arange(4), 1)
    assert made.cells.tolist() == [5, 7]
    assert (made.distinct, made.present) == (2, 3)


def test_days_are_found_among_other_texts():
    patterns = Patterns(pa.array(["x", "2023-02-29", "2024-02-29", "0000-01-01", " 2020-01-01 ", "1999-1-1"]))
    assert patterns.date.tolist() == [False, False, True, False, True, False]
    assert not Patterns(pa.array(["x", "12-01-01"])).date.any()
    spans = Patterns(pa.array(["PT", "P", "PT1M", "P1DT", "1 days 02:00:00", "x"]))
    assert spans.span.tolist() == [False, False, True, False, True, False]
    truths = Patterns(pa.array(["TRUE", "false", "truefalse", "t"]))
    assert truths.truth.tolist() == [True, True, False, False]
