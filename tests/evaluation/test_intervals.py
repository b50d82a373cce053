"""Intervals hold what they promise, as often as they promise it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluators.intervals import (
    auc,
    bootstrap,
    clopper_pearson,
    delong,
    mean_of,
    percentiles,
    resamples,
    wilson,
)


def test_the_exact_interval_is_that_of_the_books() -> None:
    found = clopper_pearson(4, 20)
    known = stats.binomtest(4, 20).proportion_ci(method="exact")

    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert clopper_pearson(0, 10).high == pytest.approx(1 - 0.025**0.1)
    assert clopper_pearson(10, 10).low == pytest.approx(0.025**0.1)
    assert (clopper_pearson(0, 0).low, clopper_pearson(0, 0).high) == (0.0, 1.0)


def test_the_score_interval_is_that_of_the_books() -> None:
    found = wilson(4, 20)
    known = stats.binomtest(4, 20).proportion_ci(method="wilson")

    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_a_higher_level_gives_a_wider_interval() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 50), rng.normal(0, 1, 60)

    for narrow, wide in (
        (clopper_pearson(3, 30), clopper_pearson(3, 30, 0.99)),
        (wilson(3, 30), wilson(3, 30, 0.99)),
        (delong(high, low), delong(high, low, 0.99)),
        (mean_of(high), mean_of(high, 0.99)),
    ):
        assert wide.low < narrow.low < narrow.high < wide.high
        assert (narrow.level, wide.level) == (0.95, 0.99)


def test_the_area_counts_pairs_and_ties_for_half() -> None:
    rng = np.random.default_rng(1)
    high, low = rng.integers(0, 6, 40).astype(float), rng.integers(0, 5, 30).astype(float)
    pairs = high[:, None] - low[None, :]

    assert auc(high, low) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auc(low, high) == pytest.approx(1 - auc(high, low))
    assert auc(np.ones(5), np.ones(3)) == 0.5
    assert np.isnan(auc(np.ones(5), np.zeros(0)))


@pytest.mark.parametrize(("positives", "negatives", "area"), [(30, 30, 0.5), (40, 200, 0.7), (200, 40, 0.9)])
def test_the_interval_of_an_area_holds_it_nineteen_times_in_twenty(
    positives: int, negatives: int, area: float
) -> None:
    rng = np.random.default_rng(2)
    shift = np.sqrt(2) * stats.norm.ppf(area)
    found = [delong(rng.normal(shift, 1, positives), rng.normal(0, 1, negatives)) for _ in range(600)]

    assert 0.92 <= np.mean([one.low <= area <= one.high for one in found]) <= 0.98


def test_perfect_separation_is_not_certainty() -> None:
    found = delong(np.arange(10.0) + 20, np.arange(10.0))

    assert 0.8 < found.low < 1
    assert found.high > 0.999
    assert (delong(np.ones(1), np.zeros(9)).low, delong(np.ones(1), np.zeros(9)).high) == (0.0, 1.0)


def test_resampling_takes_whole_patients() -> None:
    subjects = np.array([2, 0, 2, 5, 0, 2])
    for rows in resamples(subjects, np.random.default_rng(3), 50):
        drawn = np.bincount(subjects[rows], minlength=6) / np.maximum(np.bincount(subjects, minlength=6), 1)
        assert np.all(drawn == np.round(drawn))
        assert drawn.sum() == 3


def test_patients_with_many_equal_rows_widen_the_bootstrap() -> None:
    rng = np.random.default_rng(4)
    values = np.repeat(rng.normal(size=40), 25)
    alone, together = (
        bootstrap(lambda rows: float(values[rows].mean()), subjects, np.random.default_rng(5))
        for subjects in (np.arange(1000), np.repeat(np.arange(40), 25))
    )

    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert together.high - together.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.2)


def test_a_bootstrap_that_seldom_gives_a_number_gives_no_interval() -> None:
    few = percentiles(np.array([1.0, *[np.nan] * 9]))
    most = percentiles(np.array([np.nan, *np.arange(9.0)]))

    assert np.isnan(few.low) and np.isnan(few.high)
    assert (most.low, most.high) == pytest.approx((0.2, 7.8))


def test_the_mean_of_one_value_has_no_interval() -> None:
    assert np.isnan(mean_of(np.array([1.0])).low)
    found = mean_of(np.array([0.0, 1.0, 2.0]))
    assert (found.low + found.high) / 2 == pytest.approx(1.0)
