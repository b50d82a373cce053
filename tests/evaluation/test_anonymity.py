"""k-anonymity, l-diversity and t-closeness of tables small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Need, Options
from evaluators.privacy.anonymity import EVALUATORS
from evaluators.results import Metric
from kohort.schema import Kind
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, table_of, tables
from tests.evaluation.copying import metrics, thirds

WARDS = pd.DataFrame(
    {
        "zip": ["10", "10", "10", "20", "20", "20"],
        "age": [30, 30, 30, 41, 41, 41],
        "illness": ["flu", "flu", "cancer", "flu", "gastritis", "cancer"],
        "stay": [1, 2, 3, 4, 5, 6],
    }
)
OPTIONS = Options(quasi_identifiers=("zip", "age"), sensitive=("illness", "stay"))


def measured(
    train: TableSet, synthetic: TableSet | None = None, holdout: TableSet | None = None
) -> list[Metric]:
    return metrics(EVALUATORS, case(train, synthetic or train, holdout, OPTIONS))


def value(found: list[Metric], name: str, column: str = "", **detail: str) -> float:
    (metric,) = [
        m
        for m in found
        if m.name == name and m.columns == ((column,) if column else ()) and m.detail == detail
    ]
    return metric.value


def test_classes_are_counted_as_by_hand() -> None:
    found = measured(tables(table_of(WARDS)))
    assert value(found, "k_anonymity") == 3
    assert value(found, "small_class_share", k="2") == 0
    assert value(found, "small_class_share", k="5") == 1
    assert value(found, "l_diversity", "illness", kind="distinct") == 2
    entropy = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert value(found, "l_diversity", "illness", kind="entropy") == pytest.approx(np.exp(entropy))
    # All: flu 3/6, cancer 2/6, gastritis 1/6. Either class has total variation 1/6.
    assert value(found, "t_closeness", "illness") == pytest.approx(1 / 6)
    # {1, 2, 3} of 1 to 6: 1/5 * (1/6 + 2/6 + 3/6 + 2/6 + 1/6), as in the paper's example of salaries.
    assert value(found, "t_closeness", "stay") == pytest.approx(0.3)


def test_levels_in_order_are_farther_apart() -> None:
    table = tables(table_of(WARDS.assign(illness=list("abcabc")), illness=Kind.ORDINAL))
    assert value(measured(table), "t_closeness", "illness") == pytest.approx(0)


def test_patients_count_not_rows() -> None:
    rows = WARDS.assign(patient=[1, 1, 1, 2, 3, 4])
    found = measured(tables(table_of(rows, subject_key="patient")))
    assert value(found, "k_anonymity") == 1
    assert value(found, "small_class_share", k="2") == pytest.approx(1 / 4)


def test_hold_out_patients_are_part_of_the_input() -> None:
    whole = tables(table_of(WARDS))
    found = measured(whole, whole, whole)
    assert value(found, "k_anonymity") == 6


def test_rows_that_point_at_one_patient_are_counted_with_a_control() -> None:
    def people(zips: str) -> TableSet:
        n = len(zips)
        return tables(
            table_of(pd.DataFrame({"zip": list(zips), "age": [1] * n, "illness": ["x"] * n, "stay": [1] * n}))
        )

    found = measured(people("aabc"), people("abbd"), people("bbdd"))
    (metric,) = [m for m in found if m.name == "qi_unique_match_share"]
    assert metric.value == pytest.approx(2 / 4)
    assert metric.baseline == pytest.approx(0)
    # Of four training patients two are drawn: b is among them with chance 1/2.
    found = measured(people("aabc"), people("abbd"), people("bd"))
    (metric,) = [m for m in found if m.name == "qi_unique_match_share"]
    one_of_two = 2 * (2 / 4 * 2 / 3)
    assert metric.value == pytest.approx((one_of_two + 1 / 2 + 1 / 2) / 4)
    assert metric.baseline == pytest.approx(3 / 4)


def test_many_values_are_put_into_classes(cdc: Table, heart: Table) -> None:
    train, holdout, others = thirds(heart, 303, 0)
    options = Options(quasi_identifiers=("sex",))
    found = metrics(EVALUATORS, case(train, others, holdout, options))
    assert 0 < value(found, "t_closeness", "chol") < 0.3
    assert EVALUATORS[0].needs == {Need.QUASI_IDENTIFIERS}
