"""The tables of the growth benchmark are the same everywhere, and their exponents are right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.shapes import FEW, SHIFT, Watch, coded, slopes, wide

BASE = pd.DataFrame({name: np.arange(2_000) + 10 * j for j, name in enumerate([*FEW, "other"])})


def test_a_narrow_table_is_a_few_real_columns() -> None:
    assert list(wide(BASE, 3).columns) == list(FEW[:3])


def test_a_wide_table_repeats_columns_out_of_step() -> None:
    table = wide(BASE, 14)
    assert table.shape == (2_000, 14)
    assert len(set(table.columns)) == 14
    first, second = table[f"{FEW[0]}_0"], table[f"{FEW[0]}_1"]
    assert sorted(first) == sorted(second)
    assert second[SHIFT] == first[0]
    assert not (first == second).any()
    pd.testing.assert_frame_equal(table, wide(BASE, 14))


@pytest.mark.parametrize("categories", [20, 200])
def test_every_code_has_the_same_support(categories: int) -> None:
    counts = coded(BASE, categories)["site"].value_counts()
    assert len(counts) == categories
    assert counts.min() == counts.max() == 2_000 // categories


def test_slopes_are_exponents() -> None:
    entries = [
        {"what": "columns", "trainer": "t", "size": n, "fit_s": 3.0 * n**2, "cold_ms": 7.0, "failed": ""}
        for n in (5, 20, 100)
    ]
    (row,) = slopes(entries)
    assert row["fit_s"] == pytest.approx(2)
    assert row["cold_ms"] == pytest.approx(0)
    assert "step_ms" not in row


def test_encoding_ends_where_training_begins() -> None:
    watch = Watch(
        phases=[("encoding", 1.0), ("normalising", 2.0), ("training", 4.0)], steps=[1.5, 4.0, 4.5, 5.5, 6.0]
    )
    assert watch.told(1.0, 8.0) == {"encode_s": 3.0, "fit_s": 7.0, "step_ms": 500.0}
    assert "step_ms" not in Watch(phases=[("correlating", 3.0)]).told(1.0, 4.0)
