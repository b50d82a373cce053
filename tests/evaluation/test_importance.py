"""Importance: models of synthetic rows look at the columns that models of real rows look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from evaluators.case import Case, Options
from evaluators.results import Figure, LeftOut, Metric, Result
from evaluators.utility import importance
from kohort.columns import Array
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, rows_of, split, tables

TARGET = "Diabetes_binary"
OPTIONS = Options(targets=(TARGET,))


def metric(found: list[Result], name: str) -> Metric:
    """The one value of that name."""
    (one,) = [r for r in found if isinstance(r, Metric) and r.name == name]
    return one


@pytest.fixture(scope="module")
def parts(cdc: Table) -> dict[str, TableSet]:
    """Training rows, other rows of the same survey, and a hold-out."""
    made = split(cdc, 0.2)
    assert made.holdout is not None
    return {
        "train": rows_of(made.train, np.arange(8000)),
        "other": rows_of(made.train, np.arange(8000, 14000)),
        "holdout": rows_of(made.holdout, np.arange(2000)),
    }


@pytest.fixture(scope="module")
def honest(parts: dict[str, TableSet]) -> list[Result]:
    """Real rows of other patients in the place of synthetic ones."""
    return list(importance.run(case(parts["train"], parts["other"], parts["holdout"], OPTIONS)))


def test_real_rows_of_other_patients_make_the_same_columns_matter(honest: list[Result]) -> None:
    one = metric(honest, "feature_importance_correlation")
    assert one.baseline is not None
    assert one.value > 0.75
    assert one.baseline == pytest.approx(one.value, abs=0.15)
    overlap = metric(honest, "feature_importance_overlap")
    assert overlap.value >= 4 / 6
    assert overlap.interval is not None


def test_columns_shuffled_apart_from_the_outcome_no_longer_matter_as_they_did(
    parts: dict[str, TableSet], honest: list[Result]
) -> None:
    rng = np.random.default_rng(0)
    table = parts["other"].single()
    arrays = {
        name: Array.make(a.storage, rng.permutation(a.values)) if name != TARGET else a
        for name, a in table.arrays.items()
    }
    shuffled = tables(replace(table, arrays=arrays))
    found = list(importance.run(case(parts["train"], shuffled, parts["holdout"], OPTIONS)))
    one, before = (metric(part, "feature_importance_correlation") for part in (found, honest))
    assert one.interval is not None
    assert before.interval is not None
    assert one.interval.high < before.interval.low
    assert metric(found, "feature_importance_overlap").value < 0.7
    assert one.baseline == before.baseline  # real rows on both sides


def test_the_picture_shows_shares_of_the_columns_that_matter_most(honest: list[Result]) -> None:
    (figure,) = [r for r in honest if isinstance(r, Figure)]
    assert figure.name == f"importance:{TARGET}"
    assert len(figure.categories) == 15
    assert {"GenHlth", "BMI"} <= set(figure.categories[:4])
    for series in figure.series:
        assert 0.8 < sum(series.y) <= 1.001
        assert all(a <= b <= c for a, b, c in zip(series.low, series.y, series.high, strict=True))
    assert list(figure.series[0].y) == sorted(figure.series[0].y, reverse=True)


def test_rank_correlation_is_that_of_scipy_and_overlap_is_of_sets() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.random((5, 9)).round(1), rng.random((5, 9)).round(1)
    found = importance._correlation(one, other, 0)
    np.testing.assert_allclose(found, [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)])
    overlap = importance._overlap(np.array([[5.0, 4, 3, 2, 1]]), np.array([[5.0, 1, 4, 2, 3]]), 2)
    assert overlap[0] == pytest.approx(1 / 3)  # {0, 1} and {0, 2}
    assert np.isnan(importance._correlation(np.ones((1, 3)), np.array([[1.0, 2, 3]]), 0)[0])


def test_too_few_rows_columns_or_values_are_left_out(heart: Table) -> None:
    whole = tables(heart)
    made = split(heart, 0.3)
    assert made.holdout is not None
    target = heart.schema.columns[-1].name

    def said(train: TableSet, synthetic: TableSet) -> list[Result]:
        of: Case = case(train, synthetic, made.holdout, Options(targets=(target,)))
        return list(importance.run(of))

    assert metric(said(whole, made.train), "feature_importance_correlation").value > 0.3
    assert [type(r) for r in said(rows_of(whole, np.arange(30)), made.train)] == [LeftOut]
    one_value = rows_of(made.train, made.train.single().arrays[target].values == 0)
    assert [type(r) for r in said(whole, one_value)] == [LeftOut]
    narrow = replace(heart, schema=heart.schema.with_columns(heart.schema.columns[-3:]))
    for part in importance.run(
        case(tables(narrow), tables(narrow), tables(narrow), Options(targets=(target,)))
    ):
        assert isinstance(part, LeftOut)
