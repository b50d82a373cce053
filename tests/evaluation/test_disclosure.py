"""The three risks: closed forms, honest generators, copies, memorised outliers and rare codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.privacy.control import residual_risk
from evaluators.privacy.disclosure import EVALUATORS
from evaluators.privacy.neighbours import EVALUATORS as copying_part
from evaluators.privacy.predicates import univariate
from evaluators.results import LeftOut, Metric
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, joined, rows_of, table_of, tables
from tests.evaluation.copying import headline, independent, metrics, only, thirds

RISKS = ("singling_out_risk", "linkability_risk", "inference_risk")
GATE = 0.1
SOME = ["HighBP", "BMI", "Smoker", "GenHlth", "MentHlth", "PhysHlth", "Age", "Sex", "Education", "Income"]


def lower(found: list[Metric], name: str) -> float:
    (metric,) = [m for m in found if m.name == name and m.headline]
    assert metric.interval is not None
    assert metric.interval.low <= metric.value <= metric.interval.high
    return metric.interval.low


@pytest.mark.parametrize("seed", range(3))
def test_honest_generators_stay_below_the_gate(cdc: Table, seed: int) -> None:
    train, holdout, others = thirds(only(cdc, SOME), 4500, seed)
    for synthetic in (others, independent(train, np.random.default_rng(seed))):
        found = metrics(EVALUATORS, case(train, synthetic, holdout))
        assert all(lower(found, name) < GATE for name in RISKS)


@pytest.mark.parametrize("seed", range(3))
def test_few_patients_prove_nothing(heart: Table, seed: int) -> None:
    train, holdout, others = thirds(heart, 303, seed)
    found = metrics(EVALUATORS, case(train, others, holdout))
    assert all(lower(found, name) < GATE for name in RISKS)


def test_copies_are_above_the_gate_by_all_three(heart: Table, cdc: Table) -> None:
    train, holdout, _ = thirds(only(cdc, SOME), 4500, 0)
    found = metrics(EVALUATORS, case(train, train, holdout))
    assert lower(found, "singling_out_risk") > GATE
    assert lower(found, "inference_risk") > GATE
    train, holdout, _ = thirds(heart, 303, 0)
    assert lower(metrics(EVALUATORS, case(train, train, holdout)), "linkability_risk") > GATE


def test_memorised_outliers_are_singled_out(cdc: Table) -> None:
    train, holdout, others = thirds(cdc, 6000, 0)
    table = train.single()
    # Very heavy and ill: one row in thirty or so.
    outliers = rows_of(train, (table.arrays["BMI"].values > 40) & (table.arrays["PhysHlth"].values > 5))
    copied = outliers.single().num_rows
    assert 20 < copied < table.num_rows / 20
    rest = rows_of(others, np.arange(others.single().num_rows - copied))
    honest = metrics(EVALUATORS, case(train, others, holdout))
    leaky = metrics(EVALUATORS, case(train, joined(outliers, rest), holdout))

    def risk(found: list[Metric]) -> float:
        (metric,) = [m for m in found if m.name == "singling_out_risk" and m.headline]
        return metric.value

    assert risk(leaky) > risk(honest) + 0.02
    leak = case(train, joined(outliers, rest), holdout)
    excess = headline(copying_part, leak, "identical_match_excess")
    assert excess.interval is not None
    assert excess.interval.low > 0


def test_codes_of_single_training_patients_are_singled_out() -> None:
    """A generator that draws every column of its own accord, but from all codes that it saw."""
    rng = np.random.default_rng(0)

    def people(first: int) -> TableSet:
        codes = np.where(rng.random(1000) < 0.2, np.arange(first, first + 1000), rng.integers(0, 5, 1000))
        return tables(
            table_of(pd.DataFrame({"code": codes.astype(str), "sex": rng.choice(["f", "m"], 1000)}))
        )

    train, holdout = people(1000), people(2000)
    found = metrics(EVALUATORS, case(train, independent(train, rng), holdout))
    assert lower(found, "singling_out_risk") > 0.5
    table = train.single()
    common = np.char.str_len(table.arrays["code"].values.astype(str)) < 4
    protected = replace(table, arrays={k: a.take(np.flatnonzero(common)) for k, a in table.arrays.items()})
    found = metrics(EVALUATORS, case(train, independent(tables(protected), rng), holdout))
    assert not [m for m in found if m.name == "singling_out_risk" and m.interval and m.interval.low > 0]


def test_a_predicate_succeeds_where_it_holds_for_one_patient() -> None:
    def people(cells: str) -> TableSet:
        return tables(table_of(pd.DataFrame({"c": list(cells)})))

    # Once in the synthetic rows: p to t. p is of a training patient, q of two, r of a hold-out patient,
    # s of one of either, t of nobody.
    found = univariate(case(people("pqqsx"), people("pqrstxx"), people("rsxxx")))
    assert (found.tries, found.train, found.holdout) == (5, 1, 1)


def test_extremes_single_out_by_the_control_no_more_than_others() -> None:
    rng = np.random.default_rng(1)

    def people() -> TableSet:
        return tables(
            table_of(pd.DataFrame(rng.normal(size=(400, 40)), columns=[f"x{i}" for i in range(40)]))
        )

    found = case(people(), people(), people())
    outcome = univariate(found)
    assert outcome.tries == 80
    assert outcome.train + outcome.holdout > 10
    assert lower(metrics(EVALUATORS, found), "singling_out_risk") == 0


def test_the_residual_risk_is_what_the_control_left() -> None:
    risk, interval = residual_risk(8000, 10_000, 5000, 10_000)
    assert risk == pytest.approx(0.6, abs=1e-3)
    assert interval.low < 0.6 < interval.high
    assert interval.high - interval.low < 0.05
    scaled, _ = residual_risk(8000, 10_000, 1250, 10_000, ratio=4.0)
    assert scaled == pytest.approx(0.6, abs=1e-3)
    sure, wide = residual_risk(20, 20, 20, 20)
    assert abs(sure) < 1e-9
    assert wide.low < 0 < wide.high
    assert residual_risk(5, 10, 10, 10, ratio=4.0)[1].low == -1


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.95])
def test_risks_of_equal_attacks_are_above_zero_as_rarely_as_they_say(rate: float) -> None:
    rng = np.random.default_rng(0)
    hits = rng.binomial(300, rate, 2000), rng.binomial(100, rate, 2000)
    above = np.mean([residual_risk(a, 300, b, 100)[1].low > 0 for a, b in zip(*hits, strict=True)])
    assert above <= 0.025 + 0.012


def test_rates_stand_beside_their_control_and_blind_guesses(heart: Table) -> None:
    train, holdout, others = thirds(heart, 303, 0)
    options = Options(quasi_identifiers=("age", "sex"))
    found = metrics(EVALUATORS, case(train, others, holdout, options))
    for name in ("singling_out", "linkability", "inference"):
        rates = [m for m in found if m.name == f"{name}_success_rate"]
        assert rates
        for rate in rates:
            assert rate.size >= 10
            assert rate.baseline is not None
            assert rate.null_value is not None


def test_one_column_cannot_be_linked() -> None:
    one = tables(table_of(pd.DataFrame({"c": list("ab" * 20)})))
    left = [r.part for p in EVALUATORS for r in p.run(case(one, one, one)) if isinstance(r, LeftOut)]
    assert "linkability_risk" in left
    assert "inference_risk" in left
