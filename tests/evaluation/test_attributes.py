"""Attribute inference with a control: closed forms, honest generators, copies, one leaking column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.privacy.attributes import EVALUATORS
from evaluators.privacy.control import advantage, corrected, victims
from evaluators.privacy.guesses import VICTIMS, attacked, nearest_guesses, secret_of
from evaluators.space import Space, nearest
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, table_of, tables
from tests.evaluation.copying import headline, independent, metrics, only, thirds, with_copies

NAME = "attribute_inference_advantage"
SOME = ["HighBP", "BMI", "Smoker", "GenHlth", "MentHlth", "PhysHlth", "Age", "Sex", "Education", "Income"]


@pytest.mark.parametrize("seed", range(3))
def test_guessing_well_for_everyone_is_no_leak(cdc: Table, seed: int) -> None:
    train, holdout, others = thirds(only(cdc, SOME), 4500, seed)
    for synthetic in (others, independent(train, np.random.default_rng(seed))):
        found = headline(EVALUATORS, case(train, synthetic, holdout), NAME)
        assert found.interval is not None
        assert found.interval.low <= 0


def test_copies_of_half_the_training_rows_leak(cdc: Table) -> None:
    train, holdout, others = thirds(only(cdc, SOME), 4500, 0)
    synthetic = with_copies(train, others, 0.5, np.random.default_rng(0))
    found = headline(EVALUATORS, case(train, synthetic, holdout), NAME)
    assert found.interval is not None
    assert found.interval.low > 0.1


def test_the_column_that_leaks_is_named(cdc: Table) -> None:
    names = ["BMI", "Age", "MentHlth", "PhysHlth", "GenHlth", "Education", "Income", "Smoker"]
    train, holdout, _ = thirds(only(cdc, names), 4500, 1)
    # Training rows but for who smokes, which is drawn anew.
    table = train.single()
    drawn = np.random.default_rng(1).permutation(table.num_rows)
    arrays = {name: a.take(drawn) if name == "Smoker" else a for name, a in table.arrays.items()}
    leaky = tables(replace(table, arrays=arrays))
    found = case(train, leaky, holdout, Options(sensitive=("Income", "Smoker")))
    by_column = {
        m.columns[0]: m
        for m in metrics(EVALUATORS, found)
        if m.name == NAME and m.detail.get("attack") == "nearest"
    }
    assert set(by_column) == {"Income", "Smoker"}
    low = {name: metric.interval.low for name, metric in by_column.items() if metric.interval is not None}
    assert low["Income"] > 0 > low["Smoker"]
    worst = headline(EVALUATORS, found, NAME)
    assert worst.value == by_column["Income"].value


def test_the_nearest_row_without_a_column_is_the_nearest_by_the_others(heart: Table) -> None:
    train, holdout, others = thirds(heart, 303, 0)
    found = case(train, others, holdout)
    people, _ = attacked(found)
    for guesses in nearest_guesses(found):
        name = guesses.secret.view.name
        space = Space.fit(found.train, tuple(v.name for v in found.layout if v.name != name))
        distance, place = nearest(space.points(people), space.points(found.synthetic))
        alone = nearest(space.points(people), space.points(found.synthetic), 2)[0]
        clear = alone[:, 1] - distance[:, 0] > 1e-3
        assert clear.mean() > 0.9
        right = guesses.secret.right(found.synthetic[name][place[:, 0]], people[name])
        known = ~people.null(name)
        assert np.array_equal(right[known & clear], guesses.train[clear[known]])


def test_numbers_are_right_within_a_twentieth_of_their_width() -> None:
    table = tables(table_of(pd.DataFrame({"x": np.arange(101) + 0.5})))
    found = case(table, table)
    secret = secret_of(found.layout["x"], found.train)
    assert secret.tolerance == pytest.approx(4.5)
    cells = np.array([10.0, 10.0, 10.0, np.nan])
    assert secret.right(np.array([14.4, 14.6, np.nan, 1.0]), cells).tolist() == [True, False, False, False]


def test_victims_are_one_row_of_every_patient(diabetes: Table) -> None:
    train, _, others = thirds(diabetes, 900, 0)
    frame = case(train, others).train
    found = victims(frame, VICTIMS, np.random.default_rng(0))
    assert len(found) == found.patients == min(frame.patients, VICTIMS) < len(frame)
    assert len(victims(frame, 10, np.random.default_rng(0))) == 10


def test_intervals_of_equal_attacks_are_above_zero_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    level = corrected(2)
    hits = rng.binomial(500, 0.3, (2000, 2))
    above = np.mean([advantage(a, 500, b, 500, level).low > 0 for a, b in hits])
    assert above == pytest.approx((1 - level) / 2, abs=0.008)


def test_attribution_is_the_share_of_equal_keys_with_the_same_value() -> None:
    def people(key: str, secret: str) -> TableSet:
        return tables(table_of(pd.DataFrame({"key": list(key), "secret": list(secret)})))

    options = Options(quasi_identifiers=("key",), sensitive=("secret",))
    found = case(people("aabc", "xyxx"), people("aaab", "xxyy"), people("aab", "xxx"), options)
    (metric,) = [m for m in metrics(EVALUATORS, found) if m.name == "correct_attribution_probability"]
    assert metric.value == pytest.approx((2 / 3 + 1 / 3 + 0 + 0) / 4)
    assert metric.baseline == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
