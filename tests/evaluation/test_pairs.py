"""Pairs of columns: measures against numpy, scipy and closed forms; means, intervals, heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluators.case import Case
from evaluators.fidelity import association
from evaluators.fidelity.association import cramers_v, ranks, standardised
from evaluators.fidelity.pairs import EVALUATORS
from evaluators.fidelity.sides import Side
from evaluators.frame import Frame, Layout
from evaluators.results import Figure, LeftOut, Metric
from tables.tableset import Table, TableSet
from tests.evaluation.cases import ROOT, case, rows_of, split, table_of, tables


def run(of: Case) -> list[Any]:
    return list(EVALUATORS[0].run(of))


def value(results: list[Any], name: str, *columns: str, **detail: str) -> Metric:
    (found,) = [
        r
        for r in results
        if isinstance(r, Metric) and (r.name, r.columns, r.detail) == (name, columns, detail)
    ]
    return found


def side_of(rows: int) -> Side:
    return Side.of(Frame(Layout(()), {}, np.arange(rows)), np.random.default_rng(0))


def correlations(columns: Any) -> Any:
    return association.correlations(columns, side_of(len(columns)))[0]


def correlation_ratio(codes: Any, size: int, values: Any) -> float:
    return float(association.correlation_ratio(codes, size, values, side_of(len(codes)))[0])


def set_of(**columns: Any) -> TableSet:
    return tables(table_of(pd.DataFrame(columns)))


def test_correlations_are_those_of_pandas_with_nulls(heart: Table) -> None:
    frame = pd.read_csv(ROOT / "tests" / "data" / "heart.csv")[
        ["age", "chol", "oldpeak", "ca", "thal"]
    ].astype(float)
    columns = [standardised(frame[c].to_numpy()) for c in frame]
    assert correlations(np.stack(columns, 1)) == pytest.approx(frame.corr().to_numpy())
    whole = frame[["age", "chol", "oldpeak"]]
    found = correlations(np.stack([ranks(whole[c].to_numpy()) for c in whole], 1))
    assert found == pytest.approx(stats.spearmanr(whole.to_numpy()).statistic)


def test_a_constant_column_correlates_with_nothing_known() -> None:
    x = np.stack([standardised(np.full(50, 0.1)), standardised(np.arange(50.0))], 1)
    assert np.isnan(correlations(x)[0, 1]) and correlations(x)[1, 1] == pytest.approx(1)


def test_standardising_survives_huge_and_tiny_numbers() -> None:
    for scale in (1e300, 1e-300, 1e-310):
        x = standardised(np.arange(10.0) * scale)
        assert x.mean() == pytest.approx(0, abs=1e-9) and x.std() == pytest.approx(1)


def test_cramers_v_is_that_of_its_paper_and_of_scipy_in_large_tables() -> None:
    table = np.array([[30.0, 10], [10, 50]]) * 1000
    plain = stats.contingency.association(table.astype(int), method="cramer")
    assert cramers_v(table) == pytest.approx(plain, abs=1e-4)
    # Bergsma 2013: phi² less (r-1)(c-1)/(n-1), rows and columns less (r-1)²/(n-1).
    small = np.array([[12.0, 5, 3], [4, 9, 7]])
    n = small.sum()
    chi = stats.chi2_contingency(small, correction=False).statistic
    phi, r, c = max(0, chi / n - 2 / (n - 1)), 2 - 1 / (n - 1), 3 - 4 / (n - 1)
    assert cramers_v(small) == pytest.approx(np.sqrt(phi / min(r - 1, c - 1)))
    assert cramers_v(np.outer([3.0, 4], [5, 6])) == 0 and cramers_v(np.eye(3) * 50) == pytest.approx(
        1, abs=0.02
    )
    assert np.isnan(cramers_v(np.array([[5.0, 5]])))


def test_the_correlation_ratio_is_the_root_of_what_groups_explain() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 500)
    x = codes * 1.0 + rng.normal(size=500)
    groups = [x[codes == i] for i in range(3)]
    f = stats.f_oneway(*groups).statistic
    explained = 2 * f / (2 * f + 497)
    assert correlation_ratio(codes, 3, standardised(x)) == pytest.approx(np.sqrt(explained))
    assert correlation_ratio(codes, 3, standardised(codes * 1.0)) == pytest.approx(1)
    assert np.isnan(correlation_ratio(codes * 0, 1, standardised(x)))


def test_measures_without_a_group_are_those_of_the_other_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3)) + 5
    x[rng.random((300, 3)) < 0.1] = np.nan
    columns, codes, side = np.stack([standardised(c) for c in x.T], 1), rng.integers(0, 4, 300), side_of(300)
    codes[np.nan_to_num(x[:, 0]) > 5] = 3
    r = association.correlations(columns, side)
    ratio = association.correlation_ratio(codes, 4, columns[:, 0], side)
    assert len(r) == len(ratio) == 21
    for group in (0, 7, 19):
        rest = side.block != group
        again = np.stack([standardised(c) for c in x[rest].T], 1)
        assert r[1 + group] == pytest.approx(correlations(again))
        assert ratio[1 + group] == pytest.approx(correlation_ratio(codes[rest], 4, again[:, 0]))


def test_every_mean_has_an_interval(heart: Table) -> None:
    parts = split(heart, 0.5)
    found = run(case(parts.train, parts.train, parts.holdout))
    means = [r for r in found if isinstance(r, Metric) and not r.columns]
    assert len(means) == 6
    for mean in means:
        assert mean.interval is not None and mean.interval.low < mean.value < mean.interval.high


def test_contingency_similarity_is_that_of_the_two_way_table() -> None:
    real = set_of(a=["x"] * 60 + ["y"] * 40, b=["u"] * 50 + ["v"] * 50)
    synthetic = set_of(a=["x"] * 60 + ["y"] * 40, b=["v"] * 50 + ["u"] * 50)
    found = run(case(real, synthetic))
    # Real cells: xu 50, xv 10, yv 40; synthetic ones: xv 50, xu 10, yu 40.
    assert value(found, "contingency_similarity", "a", "b").value == pytest.approx(0.2)
    assert value(found, "pair_similarity").value == pytest.approx(0.2)


def test_correlation_similarity_is_half_the_difference() -> None:
    x = np.random.default_rng(0).normal(size=500)
    found = run(case(set_of(x=x, y=x), set_of(x=x, y=-x)))
    for method in ("pearson", "spearman"):
        assert value(found, "correlation_similarity", "x", "y", method=method).value == pytest.approx(0)
    # The strength is the same.
    assert value(found, "association_similarity", "x", "y").value == pytest.approx(1)


def test_null_is_a_cell_and_rare_categories_are_folded() -> None:
    rng = np.random.default_rng(0)
    rare = np.array([f"v{i}" for i in range(300)])
    frame = {"a": rare[rng.integers(0, 300, 3000)], "b": np.where(rng.random(3000) < 0.5, None, "u")}
    same = run(case(set_of(**frame), set_of(**frame)))
    assert value(same, "contingency_similarity", "a", "b").value == 1
    swapped = run(case(set_of(**frame), set_of(a=frame["a"], b=np.where(frame["b"] == "u", None, "u"))))
    assert value(swapped, "contingency_similarity", "a", "b").value < 0.97


def test_a_table_is_perfectly_like_itself(heart: Table, diabetes: Table) -> None:
    for table in (heart, diabetes):
        for metric in run(case(tables(table), tables(table))):
            if isinstance(metric, Metric):
                perfect = 0 if metric.name == "correlation_matrix_difference" else 1
                assert metric.value == pytest.approx(perfect, abs=1e-9), metric


def test_columns_shuffled_on_their_own_lose_their_pairs_alone(cdc: Table) -> None:
    parts = split(rows_of(tables(cdc), np.arange(9000)).single(), 0.3)
    rng = np.random.default_rng(0)
    arrays = {k: v.take(rng.permutation(len(v))) for k, v in parts.train.single().arrays.items()}
    shuffled = tables(Table(parts.train.single().schema, arrays))
    found = run(case(parts.train, shuffled, parts.holdout))
    similarity = value(found, "pair_similarity")
    assert similarity.interval is not None and similarity.baseline_interval is not None
    assert similarity.headline and similarity.interval.high < similarity.baseline_interval.low
    # All association is gone: what differs is the real strength itself.
    frame = pd.DataFrame({k: v.values for k, v in parts.holdout.single().arrays.items()})
    strengths = np.abs(frame.corr().to_numpy()[np.triu_indices(frame.shape[1], 1)])
    difference = value(found, "correlation_matrix_difference", statistic="mean_absolute")
    assert difference.value == pytest.approx(strengths.mean(), abs=0.02)
    root = value(found, "correlation_matrix_difference", statistic="frobenius")
    assert root.value == pytest.approx(np.sqrt((strengths**2).mean()), abs=0.02)
    assert difference.baseline is not None and difference.baseline < difference.value / 3


def test_a_column_that_became_constant_goes_with_nothing() -> None:
    x = np.arange(100.0) + 0.5
    found = run(case(set_of(x=x, y=x), set_of(x=x, y=np.full(100, 3.5))))
    assert value(found, "association_similarity", "x", "y").value == pytest.approx(0)
    assert value(found, "correlation_similarity", "x", "y", method="pearson").value == pytest.approx(0.5)


def test_intervals_are_as_wide_as_samples_differ() -> None:
    rng = np.random.default_rng(0)

    def draw(r: float) -> TableSet:
        x = rng.multivariate_normal([0, 0, 0], np.eye(3) * (1 - r) + r, 500)
        return tables(table_of(pd.DataFrame(x, columns=list("abc"))))

    found = [value(run(case(draw(0.7), draw(0.0))), "pair_similarity") for _ in range(30)]
    halves = [(m.interval.high - m.interval.low) / 2 for m in found if m.interval is not None]
    spread = np.std([m.value for m in found])
    assert np.mean(halves) / stats.t.ppf(0.975, 19) == pytest.approx(spread, rel=0.4)


def test_heat_maps_are_of_the_strengths(heart: Table) -> None:
    parts = split(heart, 0.5)
    drawn = {f.name: f for f in run(case(parts.train, parts.holdout)) if isinstance(f, Figure)}
    assert set(drawn) == {"correlation:real", "correlation:synthetic", "correlation:difference"}
    real, synthetic, apart = (
        np.array([s.y for s in drawn[f"correlation:{which}"].series])
        for which in ("real", "synthetic", "difference")
    )
    assert real.shape == (14, 14) and np.allclose(np.diag(real), 1) and np.allclose(real, real.T)
    assert apart == pytest.approx(synthetic - real)
    assert (drawn["correlation:real"].y_min, drawn["correlation:difference"].y_min) == (0.0, -1.0)
    assert drawn["correlation:real"].categories == tuple(s.name for s in drawn["correlation:real"].series)


def test_wide_tables_are_looked_at_in_part_and_named_in_part() -> None:
    rng = np.random.default_rng(0)
    frame = {f"x{i}": rng.integers(0, 3, 200) for i in range(70)}
    found = run(case(set_of(**frame), set_of(**frame)))
    assert [r.reason for r in found if isinstance(r, LeftOut)] == [
        "of 70 columns those of 60, drawn at random, were looked at"
    ]
    named = [r for r in found if isinstance(r, Metric) and r.name == "contingency_similarity"]
    assert len(named) == 200
    assert all(len(f.categories) == 40 for f in found if isinstance(f, Figure))


def test_the_pairs_that_are_least_alike_are_named() -> None:
    rng = np.random.default_rng(0)
    frame = {f"x{i}": rng.integers(0, 3, 500) for i in range(25)}
    found = run(case(set_of(**frame), set_of(**frame | {"x24": np.zeros(500, int)})))
    named = {r.columns for r in found if isinstance(r, Metric) and r.name == "contingency_similarity"}
    assert {(f"x{i}", "x24") for i in range(24)} < named
