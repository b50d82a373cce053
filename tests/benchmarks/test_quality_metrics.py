"""The quality benchmark's metrics against values known in closed form."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import quality_metrics as metrics
from benchmarks.quality_tables import PATIENT, SPECS, Columns, canonical, split

ROWS = 4000


def binary(rows: int, share: float, agreement: float) -> pd.DataFrame:
    """Two columns, "1" in `share` of the rows; the second equals the first in `agreement` of each."""
    x = np.arange(rows) < round(share * rows)
    y = x.copy()
    for value in (False, True):
        places = np.flatnonzero(x == value)
        y[places[round(agreement * places.size) :]] ^= True
    return pd.DataFrame({"x": np.where(x, "1", "0"), "y": np.where(y, "1", "0")}, dtype=object)


def mixed(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    number = rng.normal(size=rows)
    group = np.where(rng.random(rows) < 1 / (1 + np.exp(-2 * number)), "a", "b").astype(object)
    return pd.DataFrame({"number": np.where(rng.random(rows) < 0.2, np.nan, number), "group": group})


def alone(frame: pd.DataFrame) -> np.ndarray:
    return np.arange(len(frame))


def test_marginal_error_is_the_difference_of_shares() -> None:
    real, other = binary(ROWS, 0.5, 1.0), binary(ROWS, 0.3, 1.0)
    assert metrics.marginal_error(real, real, other) == pytest.approx(0.2)
    assert metrics.marginal_error(real, real, real) == 0.0


def test_marginal_error_of_numbers_counts_bins_and_nulls() -> None:
    real = pd.DataFrame({"x": np.arange(ROWS, dtype=float)})
    half = real.assign(x=real["x"].where(real.index % 2 == 0))
    assert metrics.marginal_error(real, real, half) == pytest.approx(0.5)
    upper = pd.DataFrame({"x": np.repeat(np.arange(ROWS // 2, ROWS, dtype=float), 2)})
    assert metrics.marginal_error(real, real, upper) == pytest.approx(0.5)


def test_pairwise_error_sees_what_margins_do_not() -> None:
    real, other = binary(ROWS, 0.5, 1.0), binary(ROWS, 0.5, 0.6)
    assert metrics.marginal_error(real, real, other) == 0.0
    assert metrics.pairwise_error(real, real, other) == pytest.approx(0.4)


def test_pairwise_error_is_the_same_for_many_levels() -> None:
    n = 300
    real = pd.DataFrame({"x": [str(i) for i in range(n)], "y": [str(i) for i in range(n)]}, dtype=object)
    moved = real.assign(y=[*real["y"][1:150], "0", *real["y"][150:]])
    assert metrics.pairwise_error(real, real, moved) == pytest.approx(0.5)


def test_an_unseen_level_is_an_error_of_its_own() -> None:
    real = binary(ROWS, 0.5, 1.0)
    other = real.assign(x=np.where(np.arange(ROWS) % 4 == 0, "new", real["x"]))
    assert metrics.marginal_error(real, real, other) == pytest.approx(0.25 / 2)


def test_equal_rows_cannot_be_told_apart_and_shifted_ones_can() -> None:
    train, holdout, fresh = (mixed(1500, seed) for seed in range(3))
    shifted = fresh.assign(number=fresh["number"] + 10)
    args = (alone(holdout), None, 0)
    assert abs(metrics.c2st_auc(train, holdout, fresh, *args) - 0.5) < 0.06
    # A fifth of the numbers is null on both sides: .8 are told apart and the rest is guessed.
    assert metrics.c2st_auc(train, holdout, shifted, *args) == pytest.approx(1 - 0.5 * 0.2**2, abs=0.02)


def test_a_patient_in_many_rows_does_not_give_the_side_away() -> None:
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame({"birth": np.repeat(rng.normal(size=100), 20)}) for _ in range(2)]
    patients = np.repeat(np.arange(100), 20)
    assert abs(metrics.c2st_auc(frames[0], *frames, patients, patients, 0) - 0.5) < 0.15


def test_predictions_learn_what_the_rows_hold() -> None:
    train, holdout = mixed(3000, 0), mixed(3000, 1)
    truth = holdout["group"] == "a"
    flipped = train["group"] == "b"
    scores = [
        metrics.predictive_auc(train, holdout, train, (outcome, truth), ("group",), 0)
        for outcome in (~flipped, flipped)
    ]
    assert scores[0] > 0.8
    assert sum(scores) == pytest.approx(1.0, abs=0.05)
    assert metrics.predictive_auc(train, holdout, train, (truth & False, truth), ("group",), 0) == 0.5


def test_missingness_error_is_the_mean_gap_of_null_shares() -> None:
    real = pd.DataFrame({"x": [None, "a", "a", "a"], "y": [np.nan, 1.0, 1.0, 1.0]})
    other = pd.DataFrame({"x": ["a", "a", "a", "a"], "y": [np.nan, np.nan, 1.0, 1.0]})
    assert metrics.missingness_error(real, other, ["x", "y"]) == pytest.approx(0.25)
    assert np.isnan(metrics.missingness_error(real, other, []))


def test_rare_recall_counts_only_what_enough_patients_have() -> None:
    levels = ["common"] * 991 + ["one"] * 3 + ["two"] * 3 + ["lone"] * 3
    train = pd.DataFrame({"x": levels}, dtype=object)
    subjects = np.arange(1000)
    subjects[-3:] = 997  # Three rows of one patient.
    other = pd.DataFrame({"x": ["common", "one", "lone"]}, dtype=object)
    assert metrics.rare_recall(train, other, subjects, 3) == pytest.approx(1 / 2)


def test_copies_are_seen_as_identical_and_as_near() -> None:
    train, holdout = mixed(400, 0), mixed(400, 1)
    train["number"] = train["number"].fillna(0.0)
    holdout["number"] = holdout["number"].fillna(0.0)
    copied = pd.concat([train.iloc[:100], mixed(300, 2).fillna(5.0)], ignore_index=True)
    assert metrics.identical_share(train, copied) == pytest.approx(0.25)
    # A fifth of the numbers is 0 on both sides: as near to either.
    assert metrics.dcr_share(train, holdout, train, 0) == pytest.approx(0.9, abs=0.03)
    assert abs(metrics.dcr_share(train, holdout, mixed(2000, 3).fillna(0.0), 0) - 0.5) < 0.05


def test_canonical_frames_are_equal_whoever_wrote_them() -> None:
    day = datetime.date(1970, 1, 11)
    ours = pd.DataFrame({"c": ["1", None], "n": [1, 2], "d": [day, None], "b": [True, False]})
    theirs = pd.DataFrame(
        {"c": [1.0, np.nan], "n": ["1.0", "2"], "d": pd.to_datetime(["1970-01-11 05:00", None]), "b": [1, 0]}
    )
    columns = Columns(numbers=("n",), dates=("d",), categories=("c", "b"))
    a, b = canonical(ours, columns), canonical(theirs, columns)
    pd.testing.assert_frame_equal(a, b)
    assert a["d"][0] == 10.0
    assert list(a["c"]) == ["1", None]
    assert list(a["b"]) == ["1", "0"]


@pytest.mark.parametrize("table", ["heart", "encounters"])
def test_a_split_parts_patients_and_repeats(table: str) -> None:
    train, holdout = split(table, 3)
    assert len(train) + len(holdout) == len(SPECS[table].read())
    if PATIENT in train:
        assert not set(train[PATIENT]) & set(holdout[PATIENT])
    assert abs(len(holdout) / (len(train) + len(holdout)) - 0.2) < 0.03
    pd.testing.assert_frame_equal(train, split(table, 3)[0])
    assert not train.equals(split(table, 4)[0])


def test_every_table_of_the_benchmark_comes_with_the_repository() -> None:
    data = Path(__file__).resolve().parents[2] / "benchmarks" / "data"
    told = (data / "README.md").read_text()
    for path in data.glob("*.parquet"):
        assert path.name in told
    assert all(len(spec.read()) > 300 for spec in SPECS.values())
