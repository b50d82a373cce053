"""Copies and nearest neighbours: closed forms, honest generators, and planted copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators.privacy.alike import chance_of_any, chance_of_one, classes
from evaluators.privacy.neighbours import EVALUATORS
from evaluators.results import Figure, LeftOut, Metric
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, joined, rows_of, table_of, tables
from tests.evaluation.copying import headline, independent, metrics, only, thirds, with_copies


def letters(*cells: str) -> TableSet:
    return tables(table_of(pd.DataFrame({"a": list("".join(cells))})))


def test_matches_are_counted_against_as_many_rows_of_either_side() -> None:
    # Of two of the four training rows one is "a" with chance 1/2; the two hold-out rows are b and c.
    found = case(letters("aqrs"), letters("aaab"), letters("bc"))
    shares = {str(m.detail): m for m in metrics(EVALUATORS, found) if m.name == "identical_match_share"}
    assert shares["{}"].value == pytest.approx(3 / 4 * 1 / 2)
    assert shares["{}"].baseline == pytest.approx(1 / 4)
    assert shares["{'against': 'all training rows'}"].value == pytest.approx(3 / 4)
    excess = headline(EVALUATORS, found, "identical_match_excess")
    assert excess.value == pytest.approx(3 / 8 - 1 / 4)


def test_the_chances_of_subsets_are_hypergeometric() -> None:
    from scipy.stats import hypergeom

    held = np.arange(0, 31)
    one, none = hypergeom.pmf(1, 30, held, 12), hypergeom.pmf(0, 30, held, 12)
    assert np.allclose(chance_of_any(held, 30, 12), 1 - none)
    assert np.allclose(chance_of_one(held, 30, 12), one)
    assert chance_of_any(np.array([0]), 10**6, 10**5)[0] == 0.0


def test_rows_are_alike_where_all_cells_are_equal_and_nulls_equal_nulls() -> None:
    frame = pd.DataFrame({"x": [1.5, np.nan, np.nan, 1.5, 2.5], "c": ["a", None, None, "a", "a"]})
    found = case(tables(table_of(frame)), tables(table_of(frame[:2])))
    (train, synthetic), count = classes([found.train, found.synthetic], ["x", "c"])
    assert count == 3
    assert train[0] == train[3] == synthetic[0]
    assert train[1] == train[2] == synthetic[1]
    assert len(set(train)) == 3


@pytest.mark.parametrize("seed", range(3))
def test_a_survey_in_which_many_answer_alike_raises_no_alarm(cdc: Table, seed: int) -> None:
    short = only(cdc, ["HighBP", "Smoker", "GenHlth", "Age", "Sex", "Education"])
    train, holdout, others = thirds(short, 6000, seed)
    for synthetic in (others, independent(train, np.random.default_rng(seed))):
        found = case(train, synthetic, holdout)
        assert headline(EVALUATORS, found, "identical_match_share").value > 0.3
        excess = headline(EVALUATORS, found, "identical_match_excess")
        assert excess.interval is not None
        assert excess.interval.low <= 0 < excess.interval.high


def test_copies_of_one_row_in_twenty_are_significant(cdc: Table) -> None:
    train, holdout, others = thirds(cdc, 6000, 0)
    synthetic = with_copies(train, others, 0.05, np.random.default_rng(0))
    excess = headline(EVALUATORS, case(train, synthetic, holdout), "identical_match_excess")
    assert excess.interval is not None
    assert excess.interval.low > 0.02
    assert excess.value == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_without_a_hold_out_people_who_answer_alike_are_the_control(cdc: Table, seed: int) -> None:
    train, _, others = thirds(cdc, 12_000, seed)
    honest = headline(EVALUATORS, case(train, others), "identical_match_excess")
    assert honest.interval is not None
    assert honest.interval.low < 0 < honest.interval.high
    made = with_copies(train, others, 0.05, np.random.default_rng(seed))
    copied = headline(EVALUATORS, case(train, made), "identical_match_excess")
    assert copied.interval is not None
    assert copied.interval.low > 0


def test_one_patient_copied_many_times_is_no_proof_of_copying(diabetes: Table) -> None:
    # Chance decides on which side one patient is: however many rows match, it is one coin toss.
    train, holdout, others = thirds(diabetes, 900, 1)
    keys = train.single().subjects()
    patient = np.flatnonzero(keys == np.bincount(keys).argmax())
    synthetic = joined(*[rows_of(train, patient)] * 20, others)
    excess = headline(EVALUATORS, case(train, synthetic, holdout), "identical_match_excess")
    assert excess.value > 0.05
    assert excess.interval is not None
    assert excess.interval.low <= 0


def test_adversarial_accuracy_is_half_for_others_and_low_for_copies(cdc: Table) -> None:
    train, holdout, others = thirds(cdc, 6000, 2)

    def loss(synthetic: TableSet) -> Metric:
        return headline(EVALUATORS, case(train, synthetic, holdout), "nnaa_privacy_loss")

    honest, copies = loss(others), loss(train)
    assert honest.interval is not None
    assert honest.interval.low < 0 < honest.interval.high
    assert copies.value > 0.25
    assert copies.interval is not None
    assert copies.interval.low > 0.2


def test_synthetic_rows_of_others_are_as_near_to_hold_out_as_to_training_rows(cdc: Table) -> None:
    train, holdout, others = thirds(cdc, 6000, 3)
    found = case(train, others, holdout)
    share = headline(EVALUATORS, found, "dcr_share")
    assert share.interval is not None
    assert share.interval.low < 0.5 < share.interval.high
    assert headline(EVALUATORS, case(train, train, holdout), "dcr_share").value > 0.85


def test_distances_of_a_line_are_what_they_are() -> None:
    def line(*values: float) -> TableSet:
        return tables(table_of(pd.DataFrame({"x": list(values)})))

    found = case(line(0.5, 10.5, 20.5), line(0.5, 10.5, 20.5), line(5.5, 15.5, 25.5))
    values = {m.name: m for m in metrics(EVALUATORS, found) if not m.detail or m.name == "nnaa"}
    assert values["dcr_median"].value == 0
    assert (values["dcr_median"].baseline or 0) > 0
    assert values["nndr_median"].value == 0
    assert values["dcr_share"].value == 1
    accuracy = {m.detail["against"]: m.value for m in metrics(EVALUATORS, found) if m.name == "nnaa"}
    assert accuracy["training"] == 0


def test_the_figure_shows_cumulative_shares(heart: Table) -> None:
    train, holdout, others = thirds(heart, 300, 0)
    (figure,) = [r for p in EVALUATORS for r in p.run(case(train, others, holdout)) if isinstance(r, Figure)]
    assert figure.name == "dcr"
    assert len(figure.series) == 3
    for series in figure.series:
        assert np.all(np.diff(series.y) >= 0)
        assert series.y[-1] > 0.9


def test_without_a_hold_out_matches_are_counted_and_the_rest_is_left_out(heart: Table) -> None:
    train, _, _ = thirds(heart, 300, 0)
    results = [r for part in EVALUATORS for r in part.run(case(train, train))]
    share = next(r for r in results if isinstance(r, Metric) and r.name == "identical_match_share")
    assert share.value == 1
    assert share.baseline is None
    excess = next(r for r in results if isinstance(r, Metric) and r.name == "identical_match_excess")
    assert excess.interval is not None
    assert excess.interval.low > 0.8
    assert {r.part for r in results if isinstance(r, LeftOut)} == {"dcr_share and nnaa_privacy_loss"}
