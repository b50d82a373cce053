"""Risk of re-identification: the formula by hand, generalisations, chance, and copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.privacy.reidentification import EVALUATORS, THRESHOLD, _levels
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, table_of, tables
from tests.evaluation.copying import headline, independent, metrics, only, thirds

NAME = "reidentification_risk"
OPTIONS = Options(quasi_identifiers=("zip",), sensitive=("illness",))


def people(zips: str, illnesses: str) -> TableSet:
    return tables(table_of(pd.DataFrame({"zip": list(zips), "illness": list(illnesses)})))


def by_direction(train: TableSet, synthetic: TableSet, holdout: TableSet | None = None) -> dict[str, float]:
    found = metrics(EVALUATORS, case(train, synthetic, holdout, OPTIONS))
    return {m.detail["direction"]: m.value for m in found if m.name == NAME and m.detail}


def test_the_risk_is_the_papers_sum() -> None:
    # Classes of 1 and 3 of four patients; x, which one in four has, is learned of the patient in a.
    train, synthetic = people("abbb", "xyyz"), people("ab", "xy")
    # z and x are rare; y, which half have, teaches nothing.
    assert by_direction(train, synthetic)["population to sample"] == pytest.approx(1.23 / 2 / 4)
    assert by_direction(train, synthetic)["sample to population"] == pytest.approx(1.23 / 2 / 4)
    # Two more in a make the patient one of three, of a population of six.
    found = by_direction(train, synthetic, people("aa", "yy"))
    assert found["population to sample"] == pytest.approx(1.23 / 2 / 6)
    assert found["sample to population"] == pytest.approx(1.23 / 2 / 4 / 3)
    risk = headline(EVALUATORS, case(train, synthetic, people("aa", "yy"), OPTIONS), NAME)
    assert risk.value == max(found.values())


def test_nothing_is_learned_where_no_class_matches_or_nothing_agrees() -> None:
    assert max(by_direction(people("aabb", "xyxy"), people("cc", "zz")).values()) == 0
    assert max(by_direction(people("ab", "xy"), people("ab", "zz")).values()) == 0


def test_ages_are_put_into_bands_and_dates_into_years() -> None:
    ages = pd.DataFrame(
        {"age": np.arange(20, 90), "day": pd.date_range("2001-01-01", periods=70, freq="90D")}
    )
    from kohort.schema import Kind

    table = tables(table_of(ages, day=Kind.DATE))
    layout = case(table, table)
    exact, bands, dropped = _levels(layout.layout["age"], layout.train["age"])
    assert len(np.unique(exact)) == 70
    assert len(np.unique(bands)) == 7
    assert len(np.unique(dropped)) == 1
    years = _levels(layout.layout["day"], layout.train["day"])[1]
    assert 17 <= len(np.unique(years)) <= 19


def test_copies_are_riskier_than_independent_columns(heart: Table, cdc: Table) -> None:
    options = Options(quasi_identifiers=("age", "sex", "cp"))
    train, holdout, _ = thirds(heart, 303, 0)
    drawn = independent(train, np.random.default_rng(0))
    copies = headline(EVALUATORS, case(train, train, holdout, options), NAME)
    honest = headline(EVALUATORS, case(train, drawn, holdout, options), NAME)
    assert copies.interval is not None
    assert honest.interval is not None
    assert copies.interval.low > honest.interval.high
    assert copies.value > THRESHOLD
    # A survey of few questions: everyone has many doubles.
    train, holdout, others = thirds(only(cdc, ["Sex", "Age", "Smoker", "HighBP", "GenHlth"]), 6000, 0)
    options = Options(quasi_identifiers=("Sex", "Age"))
    assert headline(EVALUATORS, case(train, others, holdout, options), NAME).value < THRESHOLD


def test_many_quasi_identifiers_are_bounded(cdc: Table) -> None:
    train, holdout, others = thirds(cdc, 1500, 0)
    names = tuple(train.single().arrays)[:20]
    found = headline(EVALUATORS, case(train, others, holdout, Options(quasi_identifiers=names)), NAME)
    assert 0 <= found.value <= 1
