"""CEHR-GPT's values: by hand on small tables, and where its rules fail."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.privacy.cehr import EVALUATORS
from evaluators.results import LeftOut, Metric
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, table_of, tables
from tests.evaluation.copying import metrics, thirds


def people(**cells: str) -> TableSet:
    return tables(table_of(pd.DataFrame({name: list(text) for name, text in cells.items()})))


def by_name(found: list[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in found}


def test_values_of_the_nearest_row_are_held_against_the_patients_own() -> None:
    # "n" is the most frequent value of both columns and stands for nothing.
    train = people(zip="abcd", heart="ynnn", lung="yynn")
    synthetic = people(zip="abcd", heart="ynnn", lung="nyyn")
    options = Options(quasi_identifiers=("zip",), sensitive=("heart", "lung"))
    found = by_name(metrics(EVALUATORS, case(train, synthetic, None, options)))
    # a: one of two found, all said right; b: all; c: said one, none there; d: nothing there, nothing said.
    assert found["cehr_attribute_precision"].value == pytest.approx((1 + 1 + 0 + 1) / 4)
    assert found["cehr_attribute_recall"].value == pytest.approx((1 / 2 + 1 + 0 + 1) / 4)
    assert found["cehr_attribute_f1"].value == pytest.approx((2 / 3 + 1 + 0 + 1) / 4)


def test_the_baseline_copies_from_another_training_row() -> None:
    train = people(zip="aabb", heart="yyzz")
    options = Options(quasi_identifiers=("zip",), sensitive=("heart",))
    other = people(zip="aabb", heart="zzyy")
    found = by_name(metrics(EVALUATORS, case(train, other, None, options)))["cehr_attribute_f1"]
    assert found.value == 0
    assert found.baseline == 1


def test_the_rule_of_five_knows_nothing_of_scale(heart: Table) -> None:
    # Few columns: all rows are within it, so that even copies are not told from others.
    narrow = people(a="xyxyx", b="uvuvu")
    found = by_name(metrics(EVALUATORS, case(narrow, narrow, narrow)))
    assert found["cehr_membership_accuracy"].value == 0.5
    assert found["cehr_membership_recall"].value == 1
    train, holdout, _ = thirds(heart, 303, 0)
    found = by_name(metrics(EVALUATORS, case(train, train, holdout)))
    assert found["cehr_membership_accuracy"].value < 0.6


def test_the_rule_of_five_finds_copies_of_wide_rows() -> None:
    rng = np.random.default_rng(0)

    def wide() -> TableSet:
        cells = rng.choice(list("abcd"), (200, 20))
        return tables(table_of(pd.DataFrame(cells, columns=[f"c{i}" for i in range(20)])))

    train, holdout = wide(), wide()
    found = by_name(metrics(EVALUATORS, case(train, train, holdout)))
    assert found["cehr_membership_accuracy"].value == 1
    assert found["cehr_membership_f1"].value == 1
    honest = by_name(metrics(EVALUATORS, case(train, wide(), holdout)))["cehr_membership_accuracy"]
    assert honest.value == pytest.approx(0.5, abs=0.05)


def test_what_lacks_is_said(heart: Table) -> None:
    train, _, others = thirds(heart, 303, 0)
    left = {r.part for part in EVALUATORS for r in part.run(case(train, others)) if isinstance(r, LeftOut)}
    assert left == {"cehr_attribute_f1", "cehr_membership_accuracy"}
