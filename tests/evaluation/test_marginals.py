"""Single columns: distances against scipy and closed forms, headline values, pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import distance

from evaluators.case import Case, Options
from evaluators.fidelity import distances
from evaluators.fidelity.marginal_figures import round_edges
from evaluators.fidelity.marginals import EVALUATORS
from evaluators.fidelity.sides import Sides, jackknife
from evaluators.results import Figure, Metric
from kohort.schema import Kind
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, joined, rows_of, split, table_of, tables


def run(of: Case) -> list[Any]:
    return list(EVALUATORS[0].run(of))


def value(results: list[Any], name: str, *columns: str) -> Metric:
    (found,) = [r for r in results if isinstance(r, Metric) and r.name == name and r.columns == columns]
    return found


def figure(results: list[Any], name: str) -> Figure:
    (found,) = [r for r in results if isinstance(r, Figure) and r.name == name]
    return found


def set_of(**columns: Any) -> TableSet:
    return tables(table_of(pd.DataFrame(columns)))


def test_distances_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.gamma(2, size=500).round(1)
    at = np.unique(np.concatenate([a, b]))
    p, q = (distances.shares(np.array([(x == y).sum() for y in at], float)) for x in (a, b))
    assert distances.kolmogorov_smirnov(p, q) == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert distances.wasserstein(p, q, at) == pytest.approx(stats.wasserstein_distance(a, b))
    assert distances.jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q, base=2))
    assert distances.hellinger(p, q) == pytest.approx(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2))
    assert distances.total_variation(p, q) == pytest.approx(distance.cityblock(p, q) / 2)


def test_bins_hold_about_as_many_rows_and_frequent_values_alone() -> None:
    values = np.concatenate([np.zeros(500), np.random.default_rng(0).normal(5, 1, 500), [np.nan]])
    codes = distances.cut(values, distances.edges(values, 10))
    assert codes[-1] == -1 and np.unique(codes[:500]).size == 1 and not np.isin(codes[500:-1], codes[0]).any()
    assert np.bincount(codes[500:-1])[codes[0] + 1 :].max() <= 101
    few = np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 0])
    assert distances.cut(few, distances.edges(few, 10)).tolist() == [1] * 9 + [0]


@pytest.mark.parametrize("column", ["age", "chol", "oldpeak", "ca"])
def test_complements_and_distances_of_columns_are_those_of_scipy(heart: Table, column: str) -> None:
    parts = split(heart, 0.5)
    found = run(case(parts.train, parts.holdout))
    a, b = (t.single().arrays[column] for t in (parts.train, parts.holdout))
    a, b = (x.values[x.is_valid()].astype(float) for x in (a, b))
    sizes = len(parts.holdout.single().arrays[column])
    assert value(found, "ks_complement", column).value == pytest.approx(1 - stats.ks_2samp(a, b).statistic)
    assert value(found, "ks_complement", column).size == sizes
    low, high = np.quantile(a, [0.01, 0.99], method="inverted_cdf")
    expected = stats.wasserstein_distance(a, b) / (high - low)
    assert value(found, "wasserstein", column).value == pytest.approx(expected)


def test_a_table_is_perfectly_like_itself(heart: Table, diabetes: Table) -> None:
    for table in (heart, diabetes):
        found = run(case(tables(table), tables(table)))
        perfect = {"wasserstein": 0, "jensen_shannon": 0, "hellinger": 0, "missingness_difference": 0,
                   "dimension_wise_error": 0, "boundary_adherence": None}  # fmt: skip
        for metric in found:
            if isinstance(metric, Metric) and perfect.get(metric.name, 1) is not None:
                assert metric.value == pytest.approx(perfect.get(metric.name, 1), abs=1e-12), metric.name
        assert value(found, "column_similarity").headline


def test_categories_differ_by_half_the_sum_of_their_shares_with_null_as_one() -> None:
    real = set_of(c=["a"] * 50 + ["b"] * 30 + [None] * 20)
    synthetic = set_of(c=["a"] * 20 + ["b"] * 40 + ["c"] * 10 + [None] * 30)
    found = run(case(real, synthetic))
    assert value(found, "tv_complement", "c").value == pytest.approx(1 - (0.3 + 0.1 + 0.1 + 0.1) / 2)
    assert value(found, "missingness_difference", "c").value == pytest.approx(0.1)
    assert value(found, "missingness_similarity").value == pytest.approx(0.9)
    assert value(found, "category_adherence", "c").value == pytest.approx(60 / 70)


def test_a_shift_moves_everything_by_itself() -> None:
    x = np.arange(1000.0) + 0.5
    found = run(case(set_of(x=x), set_of(x=x + 100)))
    assert value(found, "wasserstein", "x").value == pytest.approx(100 / 980)
    assert value(found, "ks_complement", "x").value == pytest.approx(0.9)
    # The bounds are means of the 5th to 9th patient from either end.
    assert value(found, "boundary_adherence", "x").value == pytest.approx(0.894, abs=0.002)


def test_a_sample_that_lacks_a_category_is_said_to(heart: Table) -> None:
    codes = heart.arrays["cp"].values
    found = run(case(tables(heart), rows_of(tables(heart), codes != 3)))
    assert value(found, "category_coverage", "cp").value == pytest.approx(3 / 4)
    assert value(found, "category_coverage").value < 1
    assert value(found, "category_coverage", "sex").value == 1


def test_categories_of_too_few_patients_need_not_be_there() -> None:
    real = set_of(c=["a"] * 20 + ["b"] * 20 + ["rare"] * 4)
    found = run(case(real, set_of(c=["a", "b"] * 20)))
    assert value(found, "category_coverage", "c").value == 1


def test_dimension_wise_probability_is_the_fit_of_shares() -> None:
    real = set_of(c=["a"] * 50 + ["b"] * 30 + ["d"] * 20, f=[True] * 10 + [False] * 90)
    synthetic = set_of(c=["a"] * 40 + ["b"] * 40 + ["d"] * 20, f=[True] * 20 + [False] * 80)
    found = run(case(real, synthetic))
    x, y = np.array([0.5, 0.3, 0.2, 0.9, 0.1]), np.array([0.4, 0.4, 0.2, 0.8, 0.2])
    assert value(found, "dimension_wise_probability").value == pytest.approx(
        1 - ((x - y) ** 2).sum() / ((x - x.mean()) ** 2).sum()
    )
    assert value(found, "dimension_wise_error").value == pytest.approx(np.abs(x - y).mean())
    drawn = figure(found, "dimension_wise_probability").series[0]
    assert list(drawn.x) == sorted(x) and sorted(drawn.y) == sorted(y)


def test_real_rows_of_other_patients_are_the_baseline(cdc: Table) -> None:
    parts = split(rows_of(tables(cdc), np.arange(9000)).single(), 0.3)
    halves = split(parts.train.single(), 0.5, "half")
    found = run(case(halves.train, halves.holdout, parts.holdout))
    similarity = value(found, "column_similarity")
    assert similarity.baseline == pytest.approx(similarity.value, abs=0.01)
    assert similarity.interval is not None and similarity.baseline_interval is not None
    assert similarity.interval.low < similarity.value < similarity.interval.high < 1


def test_noise_is_less_alike_than_real_rows_beyond_doubt(cdc: Table) -> None:
    parts = split(rows_of(tables(cdc), np.arange(6000)).single(), 0.3)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({c: rng.integers(0, 8, 4000) for c in parts.train.single().arrays})
    similarity = value(run(case(parts.train, tables(table_of(frame)), parts.holdout)), "column_similarity")
    assert similarity.interval is not None and similarity.baseline_interval is not None
    assert similarity.interval.high < 0.7 < 0.95 < similarity.baseline_interval.low


def test_intervals_are_as_wide_as_samples_differ() -> None:
    rng = np.random.default_rng(0)
    values, halves = [], []
    for _ in range(40):
        real, synthetic = rng.normal(size=(400, 4)), rng.normal(0.5, size=(400, 4))
        names = list("abcd")
        found = run(case(*(tables(table_of(pd.DataFrame(x, columns=names))) for x in (real, synthetic))))
        similarity = value(found, "column_similarity")
        assert similarity.interval is not None
        values.append(similarity.value)
        halves.append((similarity.interval.high - similarity.interval.low) / 2)
    assert np.mean(halves) / stats.t.ppf(0.975, 19) == pytest.approx(np.std(values), rel=0.35)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = np.random.default_rng(0).normal(size=2000).reshape(20, 100)
    left = (x.sum() - x.sum(axis=1)) / 1900
    found = jackknife(float(x.mean()), [left], -1, 1)
    assert found is not None
    expected = stats.t.ppf(0.975, 19) * x.mean(axis=1).std(ddof=1) / np.sqrt(20)
    assert found.high - x.mean() == pytest.approx(expected)
    assert jackknife(0.5, [np.array([0.5])]) is None


def test_groups_keep_patients_together(diabetes: Table) -> None:
    parts = split(diabetes)
    sides = Sides.of(case(parts.train, parts.train, parts.holdout), "test", 2000)
    for side in sides:
        groups = pd.DataFrame({"patient": side.frame.subjects, "group": side.block}).drop_duplicates()
        assert not groups["patient"].duplicated().any() and groups["group"].nunique() == 20
    assert sides.baseline is not None
    assert len(sides.synthetic.frame) == len(sides.baseline.frame)


def test_bars_name_nothing_of_fewer_than_k_patients() -> None:
    real = set_of(c=["a"] * 60 + ["b"] * 32 + ["secret"] * 4 + ["odd"] * 4)
    synthetic = set_of(c=["a"] * 60 + ["b"] * 20 + ["secret"] * 10 + ["made up"] * 10)
    drawn = figure(run(case(real, synthetic)), "marginal:c")
    assert drawn.categories == ("a", "b", "other")
    assert list(drawn.series[0].y) == [0.6, 0.32, 0.08] and list(drawn.series[1].y) == [0.6, 0.2, 0.2]
    alone = figure(run(case(set_of(c=["a"] * 96 + ["secret"] * 4), synthetic)), "marginal:c")
    assert alone.categories == ("a",)


def test_bars_of_one_patient_with_many_rows_are_not_drawn() -> None:
    frame = pd.DataFrame({"p": [*range(50), *[50] * 30], "c": ["a"] * 50 + ["secret"] * 30})
    table = tables(table_of(frame, subject_key="p"))
    assert figure(run(case(table, table)), "marginal:c").categories == ("a",)


def test_edges_of_bars_are_round_and_bars_are_of_k_patients_each(heart: Table) -> None:
    drawn = figure(run(case(tables(heart), tables(heart), options=Options(min_patients=8))), "marginal:chol")
    assert 5 < len(drawn.categories) <= 20
    assert all(share * 303 >= 8 - 1e-9 for share in drawn.series[0].y)
    assert sum(drawn.series[0].y) == pytest.approx(1)
    assert all(int(text) % 5 == 0 for name in drawn.categories for text in name.split() if text.isdigit())


def test_round_edges_span_what_they_are_given() -> None:
    assert round_edges(0.0, 1.0, False).tolist() == pytest.approx(np.arange(11) / 10)
    assert round_edges(18.3, 92.0, True).tolist() == [
        20,
        25,
        30,
        35,
        40,
        45,
        50,
        55,
        60,
        65,
        70,
        75,
        80,
        85,
        90,
    ]
    assert round_edges(3.0, 3.0, True).tolist() == [3.0]
    for low, high in ((1e-12, 2e-12), (-1e15, 1e15), (5.0, 5.0 + 1e-9)):
        assert 0 < round_edges(low, high, False).size <= 20


def test_dates_are_drawn_as_dates() -> None:
    frame = pd.DataFrame({"d": pd.date_range("2020-01-01", periods=400).strftime("%Y-%m-%d")})
    table = tables(table_of(frame, d=Kind.DATE))
    names = figure(run(case(table, table)), "marginal:d").categories
    assert names[0] == "below 2020-02-08" and names[1] == "2020-02-08 to 2020-03-29" and len(names) == 9


def test_no_more_than_forty_columns_and_twenty_bars_are_drawn() -> None:
    rng = np.random.default_rng(0)
    frame = {f"x{i}": rng.integers(0, 60, 2000).astype(str) for i in range(45)}
    drawn = [r for r in run(case(set_of(**frame), set_of(**frame))) if isinstance(r, Figure)]
    marginals = [f for f in drawn if f.name.startswith("marginal:")]
    assert len(marginals) == 40 and all(len(f.categories) == 20 for f in marginals)
    assert all(f.categories[-1] == "other" for f in marginals)


def test_shares_of_null_are_drawn_where_k_patients_have_them(diabetes: Table) -> None:
    drawn = figure(run(case(tables(diabetes), tables(diabetes))), "missingness")
    assert "weight" in drawn.categories and "gender" not in drawn.categories
    assert list(drawn.series[0].y) == pytest.approx(list(drawn.series[1].y))


def test_the_same_case_gives_the_same_results(diabetes: Table) -> None:
    parts = split(diabetes)
    again = [run(case(parts.train, joined(parts.train, parts.train), parts.holdout)) for _ in range(2)]
    assert again[0] == again[1]
