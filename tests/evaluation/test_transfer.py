"""Transfer: models of synthetic rows against models of real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Case, Options
from evaluators.registry import definitions
from evaluators.results import Figure, FigureKind, LeftOut, Metric, Result
from evaluators.utility import augmentation, importance, subgroups, transfer
from evaluators.utility.arms import Arms, arms
from kohort.columns import Array
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, joined, rows_of, split, table_of, tables

TARGET = "Diabetes_binary"
PARTS = (*transfer.EVALUATORS, *importance.EVALUATORS, *augmentation.EVALUATORS)


def results(of: Case) -> list[Result]:
    """What transfer and its companions say."""
    return [result for part in transfer.EVALUATORS for result in part.run(of)]


def metric(found: list[Result], name: str, **detail: str) -> Metric:
    """The one value of that name and detail."""
    (one,) = [
        r
        for r in found
        if isinstance(r, Metric) and r.name == name and detail.items() <= dict(r.detail).items()
    ]
    return one


def changed(part: TableSet, column: str, values: np.ndarray) -> TableSet:
    """The rows with other values in one column."""
    table = part.single()
    arrays = dict(table.arrays)
    arrays[column] = Array.make(arrays[column].storage, values, arrays[column].is_valid())
    return tables(replace(table, arrays=arrays))


@pytest.fixture(scope="module")
def parts(cdc: Table) -> dict[str, TableSet]:
    """Training rows, other rows of the same survey, and a hold-out."""
    made = split(cdc, 0.2)
    assert made.holdout is not None
    return {
        "train": rows_of(made.train, np.arange(5000)),
        "other": rows_of(made.train, np.arange(5000, 10000)),
        "holdout": rows_of(made.holdout, np.arange(3000)),
    }


@pytest.fixture(scope="module")
def honest(parts: dict[str, TableSet]) -> list[Result]:
    """Real rows of other patients in the place of synthetic ones."""
    return results(case(parts["train"], parts["other"], parts["holdout"], Options(targets=(TARGET,))))


def test_real_rows_of_other_patients_are_worth_as_much_as_the_training_rows(honest: list[Result]) -> None:
    for model in ("boosted_trees", "logistic", "random_forest"):
        for score in ("auroc", "auprc", "f1", "accuracy"):
            found = metric(honest, f"tstr_{score}", model=model)
            assert found.baseline_interval is not None
            assert found.baseline_interval.low <= found.value <= found.baseline_interval.high
            real = metric(honest, f"trtr_{score}", model=model)
            assert found.baseline == real.value
    ratio = metric(honest, "utility_ratio", target=TARGET)
    assert ratio.headline
    assert ratio.interval is not None
    assert ratio.interval.low < 1.005
    assert 0.97 < ratio.value < 1.03
    assert metric(honest, "tstr_trtr_delong_p").value > 0.01


def test_training_rows_themselves_give_the_very_same_model(parts: dict[str, TableSet]) -> None:
    found = results(case(parts["train"], parts["train"], parts["holdout"], Options(targets=(TARGET,))))
    assert metric(found, "utility_ratio").value == 1.0
    assert metric(found, "tstr_trtr_delong_p").value == 1.0
    # What a model has seen, it knows better than what was held out.
    trts = metric(found, "trts_auroc", model="boosted_trees")
    assert trts.baseline is not None
    assert trts.value > trts.baseline + 0.03


def test_permuted_outcomes_are_worth_nothing(parts: dict[str, TableSet]) -> None:
    labels = parts["other"].single().arrays[TARGET].values
    permuted = changed(parts["other"], TARGET, np.random.default_rng(1).permutation(labels))
    found = results(case(parts["train"], permuted, parts["holdout"], Options(targets=(TARGET,))))
    for model in ("boosted_trees", "logistic", "random_forest"):
        assert metric(found, "tstr_auroc", model=model).value == pytest.approx(0.5, abs=0.08)
        assert metric(found, "trts_auroc", model=model).value == pytest.approx(0.5, abs=0.04)
    ratio = metric(found, "utility_ratio")
    assert ratio.interval is not None
    assert ratio.interval.high < 0.75
    assert metric(found, "tstr_trtr_delong_p").value < 1e-9


def test_a_dropped_minority_class_is_seen(parts: dict[str, TableSet]) -> None:
    kept = rows_of(parts["other"], parts["other"].single().arrays[TARGET].values == 0)
    found = results(case(parts["train"], kept, parts["holdout"], Options(targets=(TARGET,))))
    assert metric(found, "tstr_auroc", model="boosted_trees").value == 0.5
    assert metric(found, "utility_ratio").value < 0.7
    assert metric(found, "column_similarity_by_class", **{"class": "1"}).value == 0.0
    assert metric(found, "column_similarity_by_class", **{"class": "0"}).value > 0.97
    assert any(isinstance(r, LeftOut) and "trts_auroc" in r.part for r in found)


def test_a_column_that_goes_astray_within_one_class_is_seen_there_alone(parts: dict[str, TableSet]) -> None:
    table = parts["other"].single()
    ill = table.arrays[TARGET].values == 1
    weights = table.arrays["BMI"].values
    astray = changed(parts["other"], "BMI", np.where(ill, 99, weights))
    of = case(parts["train"], astray, parts["holdout"], Options(targets=(TARGET,)))
    found = list(subgroups.run(of))
    for label, low, high in (("1", 0.88, 0.945), ("0", 0.97, 1.0)):
        one = metric(found, "column_similarity_by_class", **{"class": label})
        assert low < one.value <= high
        assert one.baseline is not None
        assert one.baseline > 0.95


def test_classes_and_numbers_have_their_own_scores(parts: dict[str, TableSet]) -> None:
    small = rows_of(parts["train"], np.arange(1500))
    held = rows_of(parts["holdout"], np.arange(1500))
    options = Options(targets=("GenHlth", "BMI"))
    found = results(case(small, rows_of(parts["other"], np.arange(1500)), held, options))
    classes = metric(found, "tstr_auroc", target="GenHlth", model="boosted_trees")
    real = metric(found, "trtr_auroc", target="GenHlth", model="boosted_trees")
    assert metric(found, "utility_ratio", target="GenHlth").value == pytest.approx(classes.value / real.value)
    number = metric(found, "tstr_r2", target="BMI", model="ridge")
    assert number.baseline is not None
    assert 0.03 < number.value < 0.25
    assert metric(found, "tstr_mae", target="BMI", model="ridge").value == pytest.approx(4.5, abs=0.5)
    (bars,) = [r for r in found if isinstance(r, Figure) and r.name == "tstr"]
    assert len(bars.categories) == 6
    assert [series.name for series in bars.series] == ["TRTR", "TSTR", "TRTS"]
    assert not [r for r in found if isinstance(r, Figure) and r.name.startswith("tstr:roc")]


def test_pictures_show_models_and_the_curves_of_a_binary_outcome(honest: list[Result]) -> None:
    figures = {r.name: r for r in honest if isinstance(r, Figure)}
    assert set(figures) == {"tstr", f"tstr:roc:{TARGET}"}
    bars = figures["tstr"]
    assert bars.kind is FigureKind.BARS
    assert bars.categories == ("boosted_trees", "logistic", "random_forest")
    for series in bars.series:
        assert all(a <= b <= c for a, b, c in zip(series.low, series.y, series.high, strict=True))
    real = figures[f"tstr:roc:{TARGET}"].series[0]
    area = float(np.trapezoid(real.y, real.x))
    assert area == pytest.approx(metric(honest, "trtr_auroc", model="boosted_trees").value, abs=0.01)


@pytest.mark.parametrize(
    ("synthetic", "real", "expected"),
    [(0.8, 0.8, 1.0), (0.5, 0.8, 0.625), (0.45, 0.4, 0.9), (0.5, 0.55, 0.5 / 0.55)],
)
def test_the_ratio_of_classes_is_that_of_areas_and_no_bar_is_below_guessing(
    parts: dict[str, TableSet], synthetic: float, real: float, expected: float
) -> None:
    found = arms(case(parts["train"], parts["other"], parts["holdout"]), TARGET, "test")
    assert isinstance(found, Arms)
    one = transfer._ratio(found, np.full(9, synthetic), np.full(9, real))
    assert one.value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("synthetic", "real", "expected"),
    [(0.7, 0.7, 1.0), (0.0, 0.6, 0.625), (-50.0, 0.6, 0.0), (0.0, -3.0, 1.0), (0.0, 0.02, 1 / 1.02)],
)
def test_the_ratio_of_numbers_is_sane_near_guessing_and_below_it(
    parts: dict[str, TableSet], synthetic: float, real: float, expected: float
) -> None:
    found = arms(case(parts["train"], parts["other"], parts["holdout"]), "BMI", "test")
    assert isinstance(found, Arms)
    one = transfer._ratio(found, np.full(9, synthetic), np.full(9, real))
    assert one.value == pytest.approx(expected)


def test_results_depend_on_rows_and_seed_alone(parts: dict[str, TableSet]) -> None:
    small = {name: rows_of(part, np.arange(300)) for name, part in parts.items()}

    def said() -> list[Result]:
        of = case(small["train"], small["other"], small["holdout"], Options(targets=(TARGET,), seed=3))
        return [result for part in PARTS for result in part.run(of)]

    assert said() == said()


def odd_tables() -> dict[str, pd.DataFrame]:
    """Tables of 90 rows that are easily tripped over."""
    rng = np.random.default_rng(2)
    n = 90
    x, y = rng.normal(size=n), rng.integers(0, 2, n)
    return {
        "two columns": pd.DataFrame({"x": x, "y": y}),
        "one column": pd.DataFrame({"y": y}),
        "nulls": pd.DataFrame({"x": np.nan, "z": pd.Series([None] * n, dtype=object), "y": y}),
        "constant": pd.DataFrame({"x": np.ones(n), "z": "same", "y": y}),
        "rare": pd.DataFrame({"x": x, "w": x, "v": x, "y": (np.arange(n) % 45 == 0).astype(int)}),
        "codes": pd.DataFrame({"x": [f"c{i}" for i in range(n)], "w": x, "y": y}),
        "number": pd.DataFrame({"x": x, "w": x, "v": x, "y": x * 1e8}),
        "null outcome": pd.DataFrame({"x": x, "y": np.where(np.arange(n) < 85, None, "a")}),
        "outcome of some": pd.DataFrame({"x": x, "w": x, "y": np.where(y == 1, "a", None)}),
        "letters": pd.DataFrame(
            {"x": x, "w": x, "v": x, "y": np.array(list("abcdef"))[rng.integers(0, 6, n)]}
        ),
    }


@pytest.mark.parametrize("name", odd_tables())
@pytest.mark.parametrize("patients", [False, True])
def test_odd_tables_give_defined_values_or_reasons(name: str, patients: bool) -> None:
    data = odd_tables()[name]
    if patients:
        data = data.assign(patient=["one"] * 20 + [f"p{i}" for i in range(len(data) - 20)])
    table = table_of(data, subject_key="patient" if patients else "")
    whole = tables(table)
    train, synthetic, holdout = (rows_of(whole, np.arange(a, a + 30)) for a in (0, 30, 60))
    for subject in (synthetic, rows_of(synthetic, np.arange(1))):
        of = replace(case(train, subject, holdout), targets=("y",))
        for part in PARTS:
            for result in part.run(of):
                assert not isinstance(result, Metric) or np.isfinite(result.value)
                assert not isinstance(result, Metric) or result.name in definitions(PARTS)
                result.to_json()


def test_ten_thousand_categories_are_no_trouble() -> None:
    n = 12_000
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"code": [f"c{i % 10_000}" for i in range(n)], "y": rng.integers(0, 2, n)})
    whole = tables(table_of(data))
    third = [rows_of(whole, np.arange(i, n, 3)) for i in range(3)]
    found = results(case(*third, Options(targets=("y",))))
    assert metric(found, "tstr_auroc", model="boosted_trees").value == pytest.approx(0.5, abs=0.05)


def test_synthetic_rows_without_the_outcome_are_worth_a_guess(parts: dict[str, TableSet]) -> None:
    table = parts["other"].single()
    for target, score, guess in ((TARGET, "auroc", 0.5), ("BMI", "r2", 0.0)):
        arrays = dict(table.arrays)
        old = arrays[target]
        arrays[target] = Array.make(old.storage, old.values, np.zeros(len(old.values), np.bool_))
        missing = rows_of(tables(replace(table, arrays=arrays)), np.arange(1000))
        few = rows_of(parts["train"], np.arange(1000))
        found = results(case(few, missing, parts["holdout"], Options(targets=(target,))))
        value = metric(found, f"tstr_{score}", model="boosted_trees").value
        assert value == pytest.approx(guess, abs=0.01)


def test_an_exhausted_budget_leaves_out_and_says_so(parts: dict[str, TableSet]) -> None:
    of = case(parts["train"], parts["other"], parts["holdout"], Options(targets=(TARGET,)), deadline=0.0)
    for part in PARTS:
        found = list(part.run(of))
        assert found
        assert all(isinstance(r, LeftOut) and "budget" in r.reason for r in found)


def test_rows_of_one_patient_widen_the_interval(parts: dict[str, TableSet]) -> None:
    small = {name: rows_of(part, np.arange(700)) for name, part in parts.items()}
    repeated = joined(*[small["holdout"]] * 4)
    keyed = case(small["train"], small["other"], repeated, Options(targets=(TARGET,)))
    assert keyed.holdout is not None
    together = replace(
        keyed, holdout=replace(keyed.holdout, subjects=np.tile(np.arange(700, dtype=np.int64), 4))
    )
    widths = []
    for of in (keyed, together):
        interval = metric(results(of), "tstr_auroc", model="logistic").interval
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] > 1.5 * widths[0]
