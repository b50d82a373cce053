"""The benchmark of the clients: what it takes from a driver, and its table."""

from __future__ import annotations

import pytest

from benchmarks.clients import BARE, Run, parse, table


def test_rows_and_seconds_of_a_driver() -> None:
    assert parse('{"rows": {"a": "900", "b": "100"}, "streams": 1, "seconds": 0.5}') == (1000, 0.5)
    with pytest.raises(ValueError, match="2 streams"):
        parse('{"rows": {"a": "1"}, "streams": 2, "seconds": 0.5}')


def test_the_table_has_ratios_of_medians_and_leaves_starting_out() -> None:
    runs = {
        BARE: [Run(1000, seconds, 0.1, 0) for seconds in (1.0, 2.0, 1.0)],
        ("go", "rows"): [Run(1000, 2.0, cpu, 2**24) for cpu in (2.5, 1.5, 3.5)],
    }
    bare, go = table(runs, {("go", "rows"): Run(100, 0.1, 0.5, 2**23)})[2:]
    assert bare == "| no client | bytes | 1,000 (500–1,000) | 1.00 | 0.1 (0.1–0.1) |  |"
    assert go == "| Go | rows | 500 (500–500) | 0.50 | 2.0 (1.0–3.0) | 16 |"
