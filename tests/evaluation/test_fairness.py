"""Fairness: formulas against fairlearn and scikit-learn, and planted unfairness found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn
from sklearn import metrics as sklearn

from evaluators.case import Case, Options
from evaluators.fairness import groups as fairness
from evaluators.fairness.disparity import calibration, difference, rates, ratio
from evaluators.fairness.grouping import OTHER, groups
from evaluators.registry import definitions
from evaluators.results import Figure, LeftOut, Metric, Result
from evaluators.utility.arms import Arms, arms
from evaluators.utility.scores import weightings
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, rows_of, split, table_of, tables

TARGET = "Diabetes_binary"
OPTIONS = Options(targets=(TARGET,), protected=("Sex", "Age"))
(PART,) = fairness.EVALUATORS


def metric(found: list[Result], name: str, column: str = "", **detail: str) -> Metric:
    """The one value of that name, column and exactly that detail."""
    columns = (column,) if column else ()
    (one,) = [
        r
        for r in found
        if isinstance(r, Metric) and (r.name, r.columns, dict(r.detail)) == (name, columns, detail)
    ]
    return one


@pytest.fixture(scope="module")
def parts(cdc: Table) -> dict[str, TableSet]:
    """Training rows, other rows of the same survey, and a hold-out."""
    made = split(cdc, 0.2)
    assert made.holdout is not None
    return {
        "train": rows_of(made.train, np.arange(8000)),
        "other": rows_of(made.train, np.arange(8000, 16000)),
        "holdout": rows_of(made.holdout, np.arange(6000)),
    }


@pytest.fixture(scope="module")
def honest_case(parts: dict[str, TableSet]) -> Case:
    """Real rows of other patients in the place of synthetic ones."""
    return case(parts["train"], parts["other"], parts["holdout"], OPTIONS)


@pytest.fixture(scope="module")
def honest(honest_case: Case) -> list[Result]:
    """What is said of it."""
    return list(PART.run(honest_case))


def test_rates_are_those_of_fairlearn_under_every_weighting() -> None:
    rng = np.random.default_rng(1)
    group, truth = rng.integers(0, 3, 600), rng.random(600) < 0.4
    chosen = rng.random(600) < 0.3 + 0.1 * group + 0.2 * truth
    weights = weightings(np.arange(600), rng, 4)
    got = rates(weights, group, 3, truth, chosen)
    for i, weight in enumerate(weights):
        said = {"sensitive_features": group, "sample_weight": weight}
        expected = {
            "demographic_parity_difference": difference(got.selected),
            "demographic_parity_ratio": ratio(got.selected),
            "equalized_odds_difference": np.maximum(
                difference(got.true_positive), difference(got.false_positive)
            ),
            "equalized_odds_ratio": np.minimum(ratio(got.true_positive), ratio(got.false_positive)),
        }
        for name, values in expected.items():
            assert values[i] == pytest.approx(getattr(fairlearn, name)(truth, chosen, **said)), name


def test_disparities_of_the_models_are_those_of_fairlearn(honest_case: Case, honest: list[Result]) -> None:
    found = arms(honest_case, TARGET, "test")
    assert isinstance(found, Arms)
    truth = found.test.outcome == found.positive
    for column in OPTIONS.protected:
        where = groups(honest_case, column).of(found.test.frame)
        told = [found.model(real=real).predict(found.test.frame)[:, 1] for real in (False, True)]
        share = (honest_case.train[TARGET] == 1).mean()
        for kind in ("demographic_parity", "equalized_odds"):
            for statistic in ("difference", "ratio"):
                one = metric(honest, f"{kind}_{statistic}", column, target=TARGET)
                oracle = getattr(fairlearn, f"{kind}_{statistic}")
                expected = [oracle(truth, part >= share, sensitive_features=where) for part in told]
                assert [one.value, one.baseline] == pytest.approx(expected)
                assert one.headline == (statistic == "difference")


def test_scores_within_groups_are_those_of_scikit_learn(honest_case: Case, honest: list[Result]) -> None:
    found = arms(honest_case, TARGET, "test")
    assert isinstance(found, Arms)
    told = found.model(real=False).predict(found.test.frame)[:, 1]
    for sex in (0, 1):
        rows = found.test.frame["Sex"] == sex
        truth = found.test.outcome[rows] == 1
        detail = {"target": TARGET, "group": str(sex)}
        one = metric(honest, "group_auroc", "Sex", **detail)
        assert one.value == pytest.approx(sklearn.roc_auc_score(truth, told[rows]))
        assert one.size == rows.sum()
        one = metric(honest, "brier_score", "Sex", **detail)
        assert one.value == pytest.approx(sklearn.brier_score_loss(truth, told[rows]), abs=1e-6)
    everyone = metric(honest, "brier_score", target=TARGET)
    assert everyone.value == pytest.approx(sklearn.brier_score_loss(found.test.outcome, told), abs=1e-6)


def test_calibration_is_zero_of_true_probabilities_and_the_shift_of_others() -> None:
    rng = np.random.default_rng(4)
    chance = rng.random(200_000) * 0.8
    truth = rng.random(200_000) < chance
    ones = np.ones((1, 200_000), np.float32)
    true, shifted = calibration(ones, truth, chance), calibration(ones, truth, chance + 0.1)
    assert true["expected_calibration_error"][0] == pytest.approx(0, abs=0.005)
    assert true["calibration_in_the_large"][0] == pytest.approx(0, abs=0.005)
    assert true["brier_score"][0] == pytest.approx(np.mean(chance * (1 - chance)), abs=0.002)
    assert shifted["expected_calibration_error"][0] == pytest.approx(0.1, abs=0.005)
    assert shifted["calibration_in_the_large"][0] == pytest.approx(-0.1, abs=0.005)


def test_calibration_error_is_that_of_its_bins() -> None:
    # Bins [0, .1), [.1, .2): mean probability .05 of 1 in 2, and .15 of 0 in 2; probability 1 is in the last.
    truth = np.array([True, False, False, False, True])
    found = np.array([0.04, 0.06, 0.14, 0.16, 1.0])
    got = calibration(np.ones((1, 5), np.float32), truth, found)
    assert got["expected_calibration_error"][0] == pytest.approx((0.45 * 2 + 0.15 * 2 + 0) / 5)


def test_real_rows_of_other_patients_are_as_fair_as_the_training_rows(honest: list[Result]) -> None:
    for r in honest:
        if isinstance(r, Metric) and r.name.endswith("_difference") and r.baseline is not None:
            assert r.value == pytest.approx(r.baseline, abs=0.12), r.where
    for column in OPTIONS.protected:
        assert metric(honest, "representation_difference", column).value < 0.03
        assert metric(honest, "outcome_rate_difference", column, target=TARGET).value < 0.06


def test_a_lost_group_and_a_turned_outcome_are_seen(parts: dict[str, TableSet]) -> None:
    rng = np.random.default_rng(8)
    other = parts["other"].single()
    men, ill = other.arrays["Sex"].values == 1, other.arrays[TARGET].values == 1
    # Eight of ten men are lost; of women only those who are ill are kept twice as often.
    keep = np.where(men, rng.random(len(men)) < 0.2, ill | (rng.random(len(men)) < 0.5))
    of = case(parts["train"], rows_of(parts["other"], keep), parts["holdout"], OPTIONS)
    found = list(PART.run(of))
    one = metric(found, "representation_difference", "Sex")
    shares = [metric(found, "group_share", "Sex", group=g) for g in ("0", "1")]
    men_kept = men[keep].mean()
    assert shares[1].value == pytest.approx(men_kept, abs=0.005)
    assert one.value == pytest.approx(abs(men_kept - (of.reference["Sex"] == 1).mean()), abs=0.005)
    assert one.interval is not None
    assert one.baseline is not None
    assert one.interval.low > 0.1 > one.baseline
    women = metric(found, "outcome_rate_difference", "Sex", target=TARGET, group="0")
    rate = ill[keep & ~men].mean()
    assert metric(found, "group_outcome_rate", "Sex", target=TARGET, group="0").value == pytest.approx(rate)
    held = of.reference
    expected = abs(rate - (held[TARGET][held["Sex"] == 0] == 1).mean())
    assert women.value == pytest.approx(expected, abs=0.005)
    parity = metric(found, "demographic_parity_difference", "Sex", target=TARGET)
    assert parity.baseline is not None
    assert parity.value > parity.baseline + 0.05
    large = metric(found, "calibration_in_the_large", "Sex", target=TARGET, group="0")
    assert large.interval is not None
    assert large.interval.high < -0.05  # women are predicted more than they have


def test_groups_of_numbers_are_ranges_with_round_ends(honest_case: Case, parts: dict[str, TableSet]) -> None:
    of = case(parts["train"], parts["other"], parts["holdout"], Options(protected=("BMI",)))
    made = groups(of, "BMI")
    assert made.names == ("below 24", "24 to below 27", "27 to below 31", "31 and above")
    codes, weights = made.of(of.train), of.train["BMI"]
    assert (codes == np.digitize(weights, [24, 27, 31])).all()
    assert groups(honest_case, "Sex").names == ("0", "1")


def test_groups_of_fewer_than_k_patients_are_folded_or_in_none() -> None:
    data = pd.DataFrame(
        {"g": ["a"] * 50 + ["b"] * 50 + ["c"] * 4 + ["d"] * 4 + [None], "y": [0, 1] * 54 + [0]}
    )
    whole = tables(table_of(data))
    of = case(whole, whole, whole, Options(protected=("g",)))
    made = groups(of, "g")
    assert made.names == ("a", "b", OTHER)
    assert made.of(of.train).tolist() == [0] * 50 + [1] * 50 + [2] * 9
    few = groups(replace(of, options=replace(of.options, min_patients=10)), "g")
    assert few.names == ("a", "b")
    assert few.of(of.train)[100:].tolist() == [-1] * 9
    # Patients count, not rows.
    assert of.holdout is not None
    one = replace(of, holdout=replace(of.holdout, subjects=np.minimum(np.arange(109), 51)))
    assert groups(one, "g").names == ("a",)


def test_no_group_name_or_picture_shows_fewer_than_k_patients(parts: dict[str, TableSet]) -> None:
    options = Options(targets=(TARGET,), protected=("PhysHlth",), min_patients=150)
    of = case(parts["train"], parts["other"], parts["holdout"], options)
    for r in PART.run(of):
        if isinstance(r, Metric) and r.name == "group_auroc":
            assert r.size >= 150
        if isinstance(r, Figure):
            shown = set(r.categories) - {OTHER}
            values = of.holdout["PhysHlth"] if of.holdout is not None else np.zeros(0)
            assert all((values == float(v)).sum() >= 150 for v in shown if v.isdigit())


def test_pictures_show_shares_predictions_and_calibration(honest: list[Result]) -> None:
    figures = {r.name: r for r in honest if isinstance(r, Figure)}
    assert {"fairness:Sex", f"fairness:Sex:{TARGET}", "calibration:Sex", "calibration:Age"} <= set(figures)
    assert figures["fairness:Sex"].categories == ("0", "1")
    assert sum(figures["fairness:Sex"].series[0].y) == pytest.approx(1, abs=1e-3)
    lines = figures["calibration:Sex"].series
    assert [line.name for line in lines] == ["0", "1", "perfect"]
    assert all(0 <= v <= 1 for line in lines for v in (*line.x, *line.y))


def test_outcomes_of_several_classes_and_numbers_are_said_or_left_out(parts: dict[str, TableSet]) -> None:
    small = {name: rows_of(part, np.arange(1500)) for name, part in parts.items()}
    options = Options(targets=("GenHlth", "BMI", "Sex"), protected=("Sex",))
    found = list(PART.run(case(small["train"], small["other"], small["holdout"], options)))
    one = metric(found, "demographic_parity_difference", "Sex", target="GenHlth")
    assert 0 <= one.value < 0.3
    assert metric(found, "outcome_rate_difference", "Sex", target="GenHlth").value < 0.15
    assert any(isinstance(r, LeftOut) and "BMI" in r.part for r in found)
    assert not any(
        isinstance(r, Metric) and r.columns == ("Sex",) and r.detail.get("target") == "Sex" for r in found
    )


@pytest.mark.parametrize("seed", range(3))
def test_odd_tables_give_defined_values_or_reasons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 90
    data = pd.DataFrame(
        {
            "y": (rng.random(n) < (0.5, 0.05, 0.95)[seed]).astype(int),
            "text": [f"c{i}" for i in range(n)],
            "empty": np.nan,
            "nothing": pd.Series([None] * n, dtype=object),
            "same": "one",
            "x": rng.normal(size=n),
            "half": np.where(rng.random(n) < 0.5, None, "b"),
            "z": np.array(list("abc"))[rng.integers(0, 3, n)],
            "patient": ["one"] * 15 + [f"p{i}" for i in range(n - 15)],
        }
    )
    for key in ("", "patient"):
        whole = tables(table_of(data, subject_key=key))
        train, synthetic, holdout = (rows_of(whole, np.arange(a, a + 30)) for a in (0, 30, 60))
        for subject in (synthetic, rows_of(synthetic, np.arange(1))):
            of = replace(
                case(train, subject, holdout),
                targets=("y",),
                protected=("text", "empty", "nothing", "same", "x", "half", "z", "y"),
            )
            for result in PART.run(of):
                assert not isinstance(result, Metric) or np.isfinite(result.value)
                assert not isinstance(result, Metric) or result.name in definitions([PART])
                result.to_json()
