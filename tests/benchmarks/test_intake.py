from __future__ import annotations

from benchmarks.intake import COLUMNS, Options, encoding, table


def test_the_table_has_keys_of_three_rows_each() -> None:
    frame = table(3_000)
    assert frame.shape == (3_000, COLUMNS + 3)
    assert 900 < frame["patient_id"].nunique() <= 1_001
    assert table(3_000).equals(frame)


def test_an_encoding_is_measured() -> None:
    found = encoding(Options(encoded_rows=500, repeats=1))
    assert found["fit_us_per_cell"] > 0
    assert (found["rows"], found["columns"]) == (500, 13)
