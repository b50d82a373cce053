"""Scores under weightings are those of scikit-learn under the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from evaluators.intervals import auc, delong, roc
from evaluators.utility.scores import delong_p, scores, weightings

RNG = np.random.default_rng(5)
N = 400
TRUTH = RNG.integers(0, 3, N)
FOUND = RNG.dirichlet(np.ones(3), N).round(2) + 0.3 * np.eye(3)[TRUTH]  # rounded: with ties
FOUND /= FOUND.sum(axis=1, keepdims=True)
HALVES = np.round(FOUND[:, 1] * 64) / 64  # exact in binary: ties stay ties
SUBJECTS = np.repeat(np.arange(N // 2), 2)
WEIGHTS = weightings(SUBJECTS, RNG, 5)


def test_weightings_are_ones_and_then_whole_patients_drawn_with_replacement() -> None:
    assert (WEIGHTS[0] == 1).all()
    assert (WEIGHTS[:, ::2] == WEIGHTS[:, 1::2]).all()
    assert WEIGHTS[1:].sum(axis=1).tolist() == [N] * 5
    assert len(np.unique(WEIGHTS[1:], axis=0)) == 5


def test_scores_of_two_classes_are_those_of_scikit_learn_under_every_weighting() -> None:
    truth, found = TRUTH == 1, FOUND[:, 1]
    got = scores(WEIGHTS, truth.astype(np.int64), np.stack([1 - found, found], axis=1), 2)
    for i, weight in enumerate(WEIGHTS):
        assert got["auroc"][i] == pytest.approx(metrics.roc_auc_score(truth, found, sample_weight=weight))
        expected = metrics.average_precision_score(truth, found, sample_weight=weight)
        assert got["auprc"][i] == pytest.approx(expected)
        chosen = found > 0.5
        expected = metrics.f1_score(truth, chosen, average="macro", sample_weight=weight)
        assert got["f1"][i] == pytest.approx(expected)
        assert got["accuracy"][i] == pytest.approx(
            metrics.accuracy_score(truth, chosen, sample_weight=weight)
        )


def test_scores_of_the_other_class_mirror_those_of_the_first() -> None:
    truth, found = (TRUTH == 1).astype(np.int64), HALVES
    both = np.stack([1 - found, found], axis=1)
    one, other = scores(WEIGHTS, truth, both, 2, 1), scores(WEIGHTS, truth, both, 2, 0)
    np.testing.assert_allclose(one["auroc"], other["auroc"])
    expected = metrics.average_precision_score(truth == 0, 1 - found)
    assert other["auprc"][0] == pytest.approx(expected)


def test_scores_of_more_classes_are_means_of_one_versus_rest() -> None:
    got = scores(WEIGHTS, TRUTH, FOUND, 3)
    for i, weight in enumerate(WEIGHTS):
        expected = metrics.roc_auc_score(
            TRUTH, FOUND, multi_class="ovr", average="macro", sample_weight=weight
        )
        assert got["auroc"][i] == pytest.approx(expected)
        expected = metrics.f1_score(TRUTH, FOUND.argmax(axis=1), average="macro", sample_weight=weight)
        assert got["f1"][i] == pytest.approx(expected)


def test_a_class_that_no_test_row_has_is_left_out_of_the_mean() -> None:
    wider = np.concatenate([FOUND / 2, np.full((N, 1), 0.5)], axis=1)
    got = scores(WEIGHTS[:1], TRUTH, wider, 4)
    assert got["auroc"][0] == pytest.approx(metrics.roc_auc_score(TRUTH, FOUND, multi_class="ovr"))


def test_scores_of_numbers_are_those_of_scikit_learn() -> None:
    truth = RNG.normal(1e7, 3, N)
    found = truth + RNG.normal(0, 2, N)
    got = scores(WEIGHTS, truth, found, 0)
    for i, weight in enumerate(WEIGHTS):
        assert got["r2"][i] == pytest.approx(metrics.r2_score(truth, found, sample_weight=weight))
        expected = metrics.mean_absolute_error(truth, found, sample_weight=weight)
        assert got["mae"][i] == pytest.approx(expected)


def test_scores_without_both_classes_or_variance_are_not_defined() -> None:
    nothing = scores(WEIGHTS, np.zeros(N, np.int64), np.full((N, 2), 0.5), 2)
    assert np.isnan(nothing["auroc"]).all()
    assert np.isnan(nothing["auprc"]).all()
    assert np.isnan(scores(WEIGHTS, np.ones(N), np.ones(N), 0)["r2"]).all()


def test_the_curve_is_that_of_scikit_learn_and_has_its_area() -> None:
    truth, found = TRUTH == 1, FOUND[:, 1]
    x, y, _ = metrics.roc_curve(truth, found)
    rates = np.linspace(0, 1, 2001)
    # At a false-positive rate where the curve rises straight up, it has more than one value.
    plain = ~np.isin(rates, x)
    np.testing.assert_allclose(
        roc(found[truth], found[~truth], rates)[plain], np.interp(rates, x, y)[plain], atol=1e-9
    )
    area = np.trapezoid(roc(found[truth], found[~truth], rates), rates)
    assert area == pytest.approx(metrics.roc_auc_score(truth, found), abs=2e-3)


def test_delong_finds_the_difference_that_a_permutation_test_finds() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(300) < 0.4
    one = truth + rng.normal(0, 1.0, 300)
    other = truth + rng.normal(0, 1.6, 300)
    subjects = np.arange(300)
    p = delong_p(truth, one, other, subjects)

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        return abs(auc(a[truth], a[~truth]) - auc(b[truth], b[~truth]))

    ranked = [np.argsort(np.argsort(s)).astype(float) for s in (one, other)]
    drawn = []
    for _ in range(2000):
        swap = rng.random(300) < 0.5
        drawn.append(difference(np.where(swap, ranked[1], ranked[0]), np.where(swap, ranked[0], ranked[1])))
    assert p == pytest.approx(np.mean(np.array(drawn) >= difference(one, other)), abs=0.02)
    assert 0.001 < p < 0.2


def test_delong_against_a_score_that_knows_nothing_is_the_variance_of_one_auroc() -> None:
    rng = np.random.default_rng(4)
    truth = rng.random(500) < 0.3
    one = truth * 0.2 + rng.normal(0, 1, 500)
    p = delong_p(truth, one, np.zeros(500), np.arange(500))
    interval = delong(one[truth], one[~truth], level=1 - p)  # the interval that just reaches 0.5
    assert min(abs(interval.low - 0.5), abs(interval.high - 0.5)) < 0.002


def test_delong_takes_rows_of_one_patient_as_one() -> None:
    rng = np.random.default_rng(6)
    truth = rng.random(200) < 0.5
    one, other = truth + rng.normal(0, 1, 200), truth + rng.normal(0, 1.5, 200)
    once = delong_p(truth, one, other, np.arange(200))
    four = [np.tile(v, 4) for v in (truth, one, other)]
    assert delong_p(*four, np.tile(np.arange(200), 4)) == pytest.approx(once, rel=0.1)
    assert delong_p(*four, np.arange(800)) < once / 2
    assert delong_p(truth, one, one * 2, np.arange(200)) == 1.0
