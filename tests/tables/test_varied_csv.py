"""Columns in which nearly all texts differ are read without a dictionary, and come out the same."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from kohort.problem import Problem
from kohort.schema import Storage

ROWS = 3_000
NUMBERS = [f"{n / 7:.6f}" for n in range(ROWS)]


def content(columns):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def test_texts_of_varied_columns_are_read_exactly(read):
    names = [f'ä{n:05}\U00010000, "{n}"' for n in range(ROWS)]
    # Varied where the reader looks first, and hardly later on.
    fading = [f"w{n}" if n < 1_200 else f"w{n % 50}" for n in range(ROWS)]
    holed = ["" if n % 100 == 99 else name for n, name in enumerate(names)]
    made = {"name": names, "fading": fading, "holed": holed, "plain": ["x", "y"] * (ROWS // 2)}
    table = read(content(made))
    for column, cells in made.items():
        array = table.arrays[column]
        assert array.to_python() == [cell or None for cell in cells]
        assert array.dictionary == tuple(sorted({cell for cell in cells if cell}))


def test_varied_numbers_and_times_are_typed(read):
    days = np.datetime64("1900-01-01") + np.arange(ROWS)
    times = [f"{d}T10:00:{n % 60:02}" for n, d in enumerate(days)]
    made = {
        "number": [*NUMBERS[:-2], "NA", ""],
        "whole": [f"+{n}" if n % 2 else str(n) for n in range(ROWS)],
        "time": [*times[:-2], "9999-12-31 00:00:00.1234567", ""],
        "zoned": [f"{time}+01:00" for time in times],
        "day": list(map(str, days)),
    }
    table = read(content(made))
    stored = {name: array.storage for name, array in table.arrays.items()}
    assert stored == {
        "number": Storage.DOUBLE,
        "whole": Storage.INT64,
        "time": Storage.DATETIME,
        "zoned": Storage.DATETIME,
        "day": Storage.DATE,
    }
    assert table.arrays["number"].to_python() == [*map(float, NUMBERS[:-2]), None, None]
    assert table.arrays["whole"].to_python() == list(range(ROWS))
    micros = [int(np.datetime64(time, "us").astype(np.int64)) for time in times]
    assert table.arrays["time"].to_python() == [
        *micros[:-2],
        int(np.datetime64("9999-12-31T00:00:00.123456", "us").astype(np.int64)),
        None,
    ]
    assert table.arrays["zoned"].to_python() == [m - 3_600_000_000 for m in micros]


@pytest.mark.parametrize("row", [0, 500, ROWS - 1])
def test_a_word_among_varied_numbers_is_found_on_its_line(read, row):
    cells = list(NUMBERS)
    cells[row] = "secret"
    with pytest.raises(Problem) as caught:
        read(content({"number": cells, "other": NUMBERS}))
    assert caught.value.reason == "MIXED_TYPES"
    assert f"line {row + 2} " in caught.value.message
    assert "secret" not in str(caught.value)
