"""The classifier two-sample test and the propensity score ratio against what theory says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from scipy.stats import norm

from evaluators import intervals
from evaluators.case import Case
from evaluators.fidelity import detection
from evaluators.fidelity.propensity import pmse_ratio
from evaluators.frame import Frame, frames
from evaluators.models import ModelKind
from evaluators.results import Figure, LeftOut, Metric
from tables.tableset import Table
from tests.evaluation.cases import case, rows_of, split, table_of, tables


def framed(*parts: pd.DataFrame, subject_key: str = "") -> list[Frame]:
    found = frames([table_of(part, subject_key=subject_key) for part in parts])
    return [frame for frame in found if frame is not None]


def normal(rows: int, rng: np.random.Generator, shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({"x": rng.normal(shift, 1, rows), "y": rng.normal(0, 1, rows)})


def told(given: Case) -> dict[tuple[str, str], Metric]:
    found = detection.EVALUATORS[0].run(given)
    return {(m.name, m.detail.get("model", "")): m for m in found if isinstance(m, Metric)}


@pytest.mark.parametrize("kind", [ModelKind.LINEAR, ModelKind.BOOSTED_TREES])
def test_a_shifted_normal_is_told_apart_as_well_as_anyone_could(kind: ModelKind) -> None:
    rng = np.random.default_rng(1)
    real, other = framed(normal(3000, rng, 1.0), normal(3000, rng))
    found = detection.tell_apart(kind, real, other, rng, 0)
    best = float(norm.cdf(1 / np.sqrt(2)))
    assert best - (0.03 if kind is ModelKind.BOOSTED_TREES else 0.012) < found.area < best + 0.012
    assert found.interval.low < found.area < found.interval.high
    assert found.interval.high - found.interval.low < 0.045


def test_intervals_hold_one_half_where_both_sides_are_alike() -> None:
    rng = np.random.default_rng(2)
    held, areas = 0, []
    for _ in range(40):
        real, other = framed(normal(200, rng), normal(200, rng))
        found = detection.tell_apart(ModelKind.LINEAR, real, other, rng, 0)
        held += found.interval.low <= 0.5 <= found.interval.high
        areas.append(found.area)
    assert held >= 34
    assert abs(np.mean(areas) - 0.5) < 0.02


def test_patients_with_many_rows_neither_lower_the_area_nor_narrow_the_interval() -> None:
    rng = np.random.default_rng(3)
    areas, held = [], 0
    for _ in range(40):
        parts = []
        for _ in range(2):
            patients = normal(60, rng)
            stays = patients.iloc[np.r_[np.arange(60), rng.integers(0, 12, 140)]]  # a fifth come often
            parts.append(stays.assign(patient=stays.index).reset_index(drop=True))
        real, other = framed(*parts, subject_key="patient")
        found = detection.tell_apart(ModelKind.LINEAR, real, other, rng, 0)
        areas.append(found.area)
        held += found.interval.low <= 0.5 <= found.interval.high
    assert abs(np.mean(areas) - 0.5) < 3 * np.std(areas) / np.sqrt(40) + 0.005
    assert held >= 36


def test_the_interval_of_single_rows_is_delongs_widened_by_half() -> None:
    rng = np.random.default_rng(9)
    real, other = framed(normal(150, rng, 0.5), normal(250, rng))
    found = detection.tell_apart(ModelKind.LINEAR, real, other, rng, 0)
    delong, middle = intervals.delong(found.real, found.other), logit(found.area)
    for end in ("low", "high"):
        wide, narrow = (logit(getattr(one, end)) - middle for one in (found.interval, delong))
        assert wide == pytest.approx(1.5 * narrow, rel=1e-6)


def test_a_real_half_passes_where_columns_shuffled_apart_fail(cdc: Table) -> None:
    rng = np.random.default_rng(4)
    parts = [rows_of(tables(cdc), part) for part in rng.permutation(cdc.num_rows)[:4500].reshape(3, -1)]
    alone = parts[1].single()
    shuffled = tables(
        replace(alone, arrays={n: a.take(rng.permutation(len(a))) for n, a in alone.arrays.items()})
    )
    honest = told(case(parts[0], parts[1], parts[2]))
    broken = told(case(parts[0], shuffled, parts[2]))
    for model in ("boosted_trees", "logistic"):
        metric = honest["c2st_auc", model]
        assert metric.headline
        assert metric.size == 1500
        assert metric.interval is not None
        assert metric.baseline is not None
        assert abs(metric.value - 0.5) < 0.05
        assert abs(metric.baseline - 0.5) < 0.05
        assert honest["detection_score", model].value > 0.9
    assert broken["c2st_auc", "boosted_trees"].value > 0.75
    assert broken["detection_score", "boosted_trees"].value < 0.5
    # Main effects of shuffled columns are those of the real ones: the linear tests see nothing.
    assert broken["c2st_auc", "logistic"].value < 0.56
    assert broken["pmse_ratio", ""].value < 2.5


def test_the_curve_of_the_figure_has_the_area_of_the_metric(heart: Table) -> None:
    parts = split(heart)
    rng = np.random.default_rng(5)
    given = case(parts.train, rows_of(parts.train, rng.integers(0, 200, 200)), parts.holdout)
    results = list(detection.EVALUATORS[0].run(given))
    roc, columns = (r for r in results if isinstance(r, Figure))
    area = next(r for r in results if isinstance(r, Metric) and r.detail.get("model") == "boosted_trees")
    line = next(s for s in roc.series if s.name == "synthetic rows, boosted_trees")
    assert abs(np.trapezoid(line.y, line.x) - area.value) < 0.03
    assert set(columns.categories) == {view.name for view in given.layout}
    assert len(line.x) <= len(given.reference) / given.options.min_patients + 1


def test_copies_of_the_rows_compared_with_are_told_by_an_area_far_below_one_half(heart: Table) -> None:
    # Each is seen under the other name while fitting.
    train = split(heart).train
    found = told(case(train, train))["c2st_auc", "boosted_trees"]
    assert found.value < 0.2
    assert found.baseline is None


def test_a_small_holdout_is_compared_with_several_blocks() -> None:
    rng = np.random.default_rng(6)
    few, many = framed(normal(100, rng), normal(950, rng))
    blocks = detection._blocks(few, many, rng)
    assert [len(other) for _, other in blocks] == [100] * 4
    drawn = np.concatenate([other["x"] for _, other in blocks])
    assert len(np.unique(drawn)) == 400
    large, as_large = framed(normal(1200, rng), normal(5000, rng))
    assert len(detection._blocks(large, as_large, rng)) == 1


def test_the_propensity_ratio_of_one_flag_is_that_worked_out_by_hand() -> None:
    real = pd.DataFrame({"flag": [True] * 30 + [False] * 70})
    synthetic = pd.DataFrame({"flag": [True] * 60 + [False] * 40})
    # Scores are 60/90 where the flag is set and 40/110 where not.
    pmse = (90 * (60 / 90 - 0.5) ** 2 + 110 * (40 / 110 - 0.5) ** 2) / 200
    expected = 1 * 0.5 * 0.5 / 200
    a, b = framed(real, synthetic)
    assert pmse_ratio(a, b, independent=True) == pytest.approx(pmse / expected, rel=1e-6)
    assert pmse_ratio(a, b, independent=False) == pytest.approx(pmse / (expected / 2), rel=1e-6)


def test_the_propensity_ratio_is_one_on_average_under_either_null() -> None:
    rng = np.random.default_rng(7)

    def real(rows: int) -> pd.DataFrame:
        x = rng.normal(0, 1, rows)
        return pd.DataFrame({"x": x, "y": x + rng.normal(0, 1, rows), "c": rng.choice(list("abc"), rows)})

    drawn, fitted = [], []
    for _ in range(80):
        first = real(400)
        drawn.append(pmse_ratio(*framed(first, real(400)), independent=True))
        shares = first["c"].value_counts(normalize=True)
        both = rng.multivariate_normal(first[["x", "y"]].mean(), first[["x", "y"]].cov(), 400)
        made = pd.DataFrame(both, columns=["x", "y"]).assign(c=rng.choice(shares.index, 400, p=shares))
        fitted.append(pmse_ratio(*framed(first, made), independent=False))
    # Four degrees of freedom: the ratio's deviation is sqrt(2 / 4), its mean's a ninth of that.
    assert abs(np.mean(drawn) - 1) < 0.24
    assert abs(np.mean(fitted) - 1) < 0.24


def test_columns_that_tell_everything_or_nothing_do_not_raise() -> None:
    rng = np.random.default_rng(8)
    rows = 60
    made = pd.DataFrame(
        {
            "constant": np.ones(rows),
            "null": pd.Series([None] * rows, dtype=object),
            "nan": np.full(rows, np.nan),
            "many": [f"v{i}" for i in range(rows)],
            "copy": np.arange(rows),
        }
    )
    real = tables(table_of(made.assign(sure=0)))
    fake = tables(table_of(made.assign(sure=1)))
    apart = told(case(real, fake, real))
    assert apart["c2st_auc", "boosted_trees"].value > 0.95
    assert apart["pmse_ratio", ""].value > 5
    alike = [tables(table_of(made[["constant", "null"]])) for _ in range(3)]
    found = list(detection.EVALUATORS[0].run(case(alike[0], alike[1], alike[2])))
    assert [r.value for r in found if isinstance(r, Metric) and r.name == "c2st_auc"] == [0.5, 0.5]
    assert any(isinstance(r, LeftOut) for r in found)
    few = tables(table_of(pd.DataFrame({"a": rng.normal(0, 1, 9)})))
    assert [type(r) for r in detection.EVALUATORS[0].run(case(few, few, few))] == [LeftOut]
    one = tables(table_of(pd.DataFrame({"a": rng.normal(0, 1, 90), "p": 1}), subject_key="p"))
    assert [type(r) for r in detection.EVALUATORS[0].run(case(one, one, one))] == [LeftOut]
