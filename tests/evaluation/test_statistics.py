"""Descriptive statistics against numpy and scipy, and what k forbids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluators.case import Case
from evaluators.fidelity.statistics import EVALUATORS, describe
from evaluators.results import Metric
from kohort.schema import Kind
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, split, table_of, tables


def run(of: Case) -> list[Metric]:
    return list(EVALUATORS[0].run(of))  # type: ignore[arg-type]


def of(results: list[Metric], name: str, column: str, statistic: str | None = None) -> Metric:
    (found,) = [
        r
        for r in results
        if r.name == name and r.columns == (column,) and r.detail.get("statistic") == statistic
    ]
    return found


def set_of(**columns: Any) -> TableSet:
    return tables(table_of(pd.DataFrame(columns)))


def test_statistics_are_those_of_numpy_and_scipy(cdc: Table) -> None:
    values = cdc.arrays["BMI"].values[:5000].astype(float)
    found = describe(np.append(values, np.nan), np.arange(5001), 5)
    expected = {
        "mean": values.mean(),
        "standard_deviation": values.std(),
        "variance": values.var(),
        "median": np.median(values),
        "q1": np.quantile(values, 0.25),
        "q3": np.quantile(values, 0.75),
        "fifth_percentile": np.quantile(values, 0.05),
        "ninety_fifth_percentile": np.quantile(values, 0.95),
        "skewness": stats.skew(values),
        "kurtosis": stats.kurtosis(values),
        "distinct_values": np.unique(values).size,
        "mode": stats.mode(values).mode,
        "missing_values_count": 1,
    }
    assert {k: v for k, v in found.items() if k in expected} == pytest.approx(expected)
    assert set(found) == {*expected, "minimum", "maximum"}


def test_the_minimum_and_the_maximum_are_no_single_patients(cdc: Table) -> None:
    values = np.append(np.random.default_rng(0).normal(size=500), [-1e6, 1e6])
    found = describe(values, np.arange(502), 5)
    assert -4 < found["minimum"] < found["maximum"] < 4
    one_patient = describe(np.append(np.arange(50.0), [999.0] * 100), np.append(np.arange(50), [50] * 100), 5)
    assert one_patient["maximum"] < 50 and "mode" not in one_patient


def test_what_fewer_than_k_patients_hold_is_counted_only() -> None:
    assert describe(np.array([1.0, 2.0, np.nan]), np.arange(3), 5) == {"missing_values_count": 1.0}
    few = describe(np.arange(30.0), np.arange(30), 5)
    assert "median" in few and "q1" in few and "fifth_percentile" not in few


def test_synthetic_and_real_values_stand_beside_each_other() -> None:
    found = run(case(set_of(x=np.arange(100.0)), set_of(x=np.arange(100.0) * 2 + 7)))
    mean = of(found, "statistic", "x", "mean")
    assert (mean.value, mean.baseline) == (106.0, 49.5)
    deviation = np.arange(100.0).std()
    assert of(found, "mean_difference", "x").value == pytest.approx((106 - 49.5) / deviation)
    assert of(found, "std_ratio", "x").value == pytest.approx(2)
    assert of(found, "skewness_difference", "x").value == pytest.approx(0)
    assert of(found, "kurtosis_difference", "x").value == pytest.approx(0)


def test_a_shift_moves_every_quantile_by_itself() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    found = run(case(set_of(x=x), set_of(x=x + 0.5)))
    assert of(found, "quantile_difference", "x").value == pytest.approx(0.5 / x.std())


def test_a_table_differs_in_nothing_from_itself(heart: Table) -> None:
    perfect = {"mean_difference": 0, "std_ratio": 1, "quantile_difference": 0}
    for metric in run(case(tables(heart), tables(heart))):
        expected = metric.baseline if metric.name == "statistic" else perfect.get(metric.name, 0)
        assert metric.value == pytest.approx(expected), metric


def test_real_rows_of_other_patients_are_the_baseline(heart: Table) -> None:
    parts = split(heart, 0.4)
    found = run(case(parts.train, parts.holdout, parts.holdout))
    difference = of(found, "mean_difference", "age")
    held, trained = (t.single().arrays["age"].values for t in (parts.holdout, parts.train))
    assert difference.baseline is not None
    assert abs(difference.baseline) == pytest.approx(abs(trained.mean() - held.mean()) / held.std(), abs=0.2)


def test_the_mode_of_categories_is_the_real_one_of_k_patients() -> None:
    found = run(case(set_of(c=["a"] * 60 + ["b"] * 40), set_of(c=["a"] * 30 + ["b"] * 70)))
    mode = of(found, "statistic", "c", "mode")
    assert (mode.detail["category"], mode.value, mode.baseline) == ("a", 0.3, 0.6)
    rare = run(case(set_of(c=[f"v{i}" for i in range(100)]), set_of(c=["v1"] * 100)))
    assert not [m for m in rare if m.detail.get("statistic") == "mode"]
    assert of(rare, "statistic", "c", "distinct_values").value == 1


def test_a_constant_column_has_neither_skewness_nor_a_ratio() -> None:
    found = run(case(set_of(x=np.full(100, 0.1)), set_of(x=np.full(100, 0.1))))
    assert of(found, "statistic", "x", "variance").value == 0
    assert not [m for m in found if m.name in ("std_ratio", "skewness_difference")]


def test_means_of_dates_are_days() -> None:
    frame = pd.DataFrame({"d": ["1970-01-11", "1970-01-31"] * 20})
    table = tables(table_of(frame, d=Kind.DATE))
    assert of(run(case(table, table)), "statistic", "d", "mean").value == 20
