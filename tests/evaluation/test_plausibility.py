"""Rules that rows break, and rows that come twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Case
from evaluators.fidelity.plausibility import EVALUATORS
from evaluators.results import LeftOut, Metric
from kohort.columns import Array
from kohort.rules import Allowed, Combination, Constraint, OneHot, Order, Range, Unique
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, rows_of, split, table_of, tables


def run(of: Case) -> list[Any]:
    return list(EVALUATORS[0].run(of))


def value(results: list[Any], rule: str, *columns: str) -> Metric:
    (found,) = [
        r
        for r in results
        if isinstance(r, Metric) and r.detail.get("rule") == rule and (not columns or r.columns == columns)
    ]
    return found


def any_rule(results: list[Any]) -> Metric:
    (found,) = [r for r in results if isinstance(r, Metric) and r.headline]
    return found


def ruled(results: list[Any]) -> set[str]:
    return {r.detail["rule"] for r in results if isinstance(r, Metric) and "rule" in r.detail}


def set_of(kinds: dict[str, Kind] | None = None, **columns: Any) -> TableSet:
    return tables(table_of(pd.DataFrame(columns), **(kinds or {})))


def under(tableset: TableSet, *constraints: Constraint, **columns: dict[str, Any]) -> TableSet:
    """With constraints, and with fields of columns."""
    table = tableset.single()
    changed = tuple(replace(c, **columns.get(c.name, {})) for c in table.schema.columns)
    schema = replace(table.schema, constraints=constraints, columns=changed)
    return tables(Table(schema, table.arrays))


def test_every_constraint_of_the_schema_is_a_rule() -> None:
    a, b = np.tile([1, 2], 50), np.tile([3, 4], 50)
    flags = {"f": a == 1, "g": a == 2}
    labels = {"c": np.where(a == 1, "x", "y"), "d": np.where(a == 1, "u", "v")}
    constraints = (
        Range("a", "1", "2"),
        Order("a", "b"),
        Allowed("c", ("x", "y")),
        OneHot(("f", "g")),
        Combination(("c", "d")),
    )
    real = under(set_of(a=a, b=b, **flags, **labels), *constraints)
    assert any_rule(run(case(real, real))).value == 0
    bad = {k: np.array(v) for k, v in ({"a": a, "b": b} | flags | labels).items()}
    bad["a"][0] = 5  # range and order
    bad["c"] = bad["c"].astype(object)
    bad["c"][1] = "z"  # allowed and combination
    bad["f"][2:4] = True  # one row has two
    bad["d"] = np.roll(bad["d"], 0)
    bad["d"][10] = "v"  # combination
    found = run(case(real, set_of(**bad)))
    shares = {rule: value(found, rule).value for rule in ruled(found)}
    expected = {"range": 1, "order": 1, "allowed": 1, "one_hot": 1, "combination": 2}
    assert shares == pytest.approx({rule: rows / 100 for rule, rows in expected.items()})
    # Rows 0, 1, 3 and 10.
    headline = any_rule(found)
    assert headline.value == pytest.approx(0.04) and headline.baseline == 0
    assert headline.interval is not None and headline.interval.low > 0.01


def test_null_breaks_no_rule() -> None:
    real = under(
        set_of(age=[30.5, 20.5] * 50, b=[31.5, 40.5] * 50), Range("age", "0", "50"), Order("age", "b")
    )
    nulls = set_of(age=np.full(100, np.nan), b=[31.5, 40.5] * 50)
    held = nulls.single().arrays
    arrays = {"age": Array.make(Storage.DOUBLE, np.zeros(100), np.zeros(100, bool)), "b": held["b"]}
    assert any_rule(run(case(real, tables(Table(real.single().schema, arrays))))).value == 0


def test_keys_that_come_twice_break_a_unique_constraint() -> None:
    key = Column("k", Kind.ID, Storage.INT64, Handling.REGENERATE)
    x = Column("x", Kind.INTEGER, Storage.INT64, Handling.MODEL)
    schema = TableSchema("t", (key, x), constraints=(Unique(("k",)),))

    def keyed(keys: Any) -> TableSet:
        arrays = {"k": Array.make(Storage.INT64, keys), "x": Array.make(Storage.INT64, np.arange(50))}
        return tables(Table(schema, arrays))

    found = run(case(keyed(np.arange(50)), keyed(np.arange(50) // 2)))
    assert value(found, "unique").value == 0.5 and value(found, "unique").baseline == 0


def test_declared_bounds_and_levels_are_rules() -> None:
    real = under(
        set_of(x=np.arange(100), c=["a", "b"] * 50),
        x={"minimum": 0.0, "maximum": 99.0},
        c={"levels": ("a", "b")},
    )
    found = run(case(real, set_of(x=np.arange(100) + 10, c=["a", "b", "c", None] * 25)))
    assert value(found, "declared_bounds", "x").value == pytest.approx(0.1)
    assert value(found, "declared_levels", "c").value == pytest.approx(0.25)


def test_bounds_of_times_are_microseconds() -> None:
    cells = Array.make(Storage.DATETIME, np.arange(40) * 86_400_000_000)
    column = Column("t", Kind.DATETIME, Storage.DATETIME, Handling.MODEL, maximum=19 * 86_400e6)
    table = tables(Table(TableSchema("t", (column,)), {"t": cells}))
    assert value(run(case(table, table)), "declared_bounds").value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "real", "wrong", "rule"),
    [
        ("age", 40, 130, "plausible_age"),
        ("age_in_months", 300, 1500, "plausible_age"),
        ("SpO2", 97, 101, "plausible_percentage"),
        ("heartRate", 70, 400, "plausible_heart_rate"),
        ("body_temperature", 37, 60, "plausible_temperature"),
        ("temp", 98, 120, "plausible_temperature"),
        ("BMI", 25, 120, "plausible_body_mass_index"),
        ("height_cm", 170, 400, "plausible_height"),
        ("number_inpatient", 2, -1, "plausible_not_negative"),
    ],
)
def test_names_and_units_imply_ranges(name: str, real: int, wrong: int, rule: str) -> None:
    values = np.full(100, real)
    bad = values.copy()
    bad[:7] = wrong
    found = run(case(set_of(**{name: values}), set_of(**{name: bad})))
    assert ruled(found) == {rule} and value(found, rule).value == pytest.approx(0.07)


def test_a_declared_unit_decides_the_range() -> None:
    real = under(set_of(temperature=np.full(50, 98)), temperature={"unit": "[degF]"})
    assert value(run(case(real, set_of(temperature=[37] * 50))), "plausible_temperature").value == 1
    percent = under(set_of(x=np.full(50, 98)), x={"unit": "%"})
    assert value(run(case(percent, set_of(x=[137] * 50))), "plausible_percentage").value == 1


@pytest.mark.parametrize("name", ["stage", "average", "age_group", "bmi_change", "pulse_pressure", "storage"])
def test_other_names_imply_nothing(name: str) -> None:
    found = run(case(set_of(**{name: [-500, 900] * 20}), set_of(**{name: [-500, 900] * 20})))
    assert ruled(found) == set()
    assert any(isinstance(r, LeftOut) and r.part == "rule_violation_share" for r in found)


def test_a_rule_that_real_rows_break_is_none_of_theirs() -> None:
    codes = np.where(np.arange(100) < 5, -1, 40)  # -1: unknown
    assert ruled(run(case(set_of(age=codes), set_of(age=codes)))) == set()


def test_dates_stand_in_their_order() -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=100))
    names = ["birth_date", "admission_date", "discharge_date"]
    kinds = dict.fromkeys(names, Kind.DATE)

    def stays(birth: Any, start: Any, end: Any) -> TableSet:
        return set_of(kinds, birth_date=birth, admission_date=start, discharge_date=end)

    year, day = pd.Timedelta(days=9000), pd.Timedelta(days=1)
    real = stays(days - year, days, days + day)
    found = run(case(real, stays(days - year, days.where(days.index > 9, days + 3 * day), days + day)))
    assert value(found, "start_before_end", "admission_date", "discharge_date").value == pytest.approx(0.1)
    assert value(found, "birth_first", "birth_date", "admission_date").value == 0
    unborn = run(case(real, stays(days.where(days.index < 20, days - year) + 2 * day, days, days + day)))
    assert value(unborn, "birth_first", "birth_date", "discharge_date").value == pytest.approx(0.2)


def test_diastolic_pressure_lies_below_systolic() -> None:
    real = {"systolic_bp": np.full(100, 120), "diastolic_bp": np.full(100, 80)}
    swapped = {"systolic_bp": np.tile([120, 60], 50), "diastolic_bp": np.full(100, 80)}
    found = run(case(set_of(**real), set_of(**swapped)))
    assert value(found, "diastolic_below_systolic", "diastolic_bp", "systolic_bp").value == 0.5


def test_men_are_not_pregnant_and_women_have_no_prostate() -> None:
    sex = ["M", "F"] * 50
    real = set_of(sex=sex, pregnant=[False, True] * 50, prostate_volume=[30.5, np.nan] * 50)
    found = run(case(real, set_of(sex=sex, pregnant=[True, True] * 50, prostate_volume=[np.nan, 30.5] * 50)))
    assert value(found, "pregnancy_of_women", "sex", "pregnant").value == 0.5
    assert value(found, "prostate_of_men", "sex", "prostate_volume").value == 0.5
    assert any_rule(found).value == 1


def test_real_rows_keep_the_rules(heart: Table, diabetes: Table, cdc: Table) -> None:
    for table in (heart, diabetes, cdc):
        parts = split(table)
        found = run(case(parts.train, parts.train, parts.holdout))
        assert any_rule(found).value == any_rule(found).baseline == 0
        assert "plausible_age" in ruled(found) or table is diabetes


def test_violations_of_one_patient_widen_the_interval() -> None:
    frame = pd.DataFrame({"p": np.repeat(np.arange(40), 25), "age": 30})
    bad = frame.copy()
    bad.loc[bad.p < 8, "age"] = 200
    by_patient = run(case(*(tables(table_of(f, subject_key="p")) for f in (frame, bad))))
    by_row = run(case(*(tables(table_of(f.drop(columns="p"))) for f in (frame, bad))))
    widths = []
    for found in (by_patient, by_row):
        interval = any_rule(found).interval
        assert interval is not None and interval.low < 0.2 < interval.high
        widths.append(interval.high - interval.low)
    assert widths[0] > 3 * widths[1]


def test_duplicates_are_counted_beside_those_of_as_many_real_rows(cdc: Table) -> None:
    train = rows_of(tables(cdc), np.arange(4000))
    copied = rows_of(tables(cdc), np.tile(np.arange(4000, 6000), 2))
    (found,) = [r for r in run(case(train, copied)) if isinstance(r, Metric) and r.name == "duplicate_share"]
    frame = pd.DataFrame({k: v.values for k, v in train.single().arrays.items()})
    assert found.value == 1
    assert found.baseline == pytest.approx(frame.duplicated(keep=False).mean())
    assert 0 < found.baseline < 0.1
