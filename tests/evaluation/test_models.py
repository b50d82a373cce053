"""Predictors: what they can learn, and that odd tables do not stop them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evaluators.frame import Frame
from evaluators.models import BoostedTrees, Inputs, ModelKind, fit, folds
from tables.tableset import Table
from tests.evaluation.cases import case, table_of, tables


def frame_of(data: pd.DataFrame, **kinds: Any) -> Frame:
    """A frame of a DataFrame."""
    part = tables(table_of(data, **kinds))
    return case(part, part).train


@pytest.mark.parametrize("kind", ModelKind)
def test_every_model_learns_an_outcome_from_a_category_and_a_number(kind: ModelKind) -> None:
    rng = np.random.default_rng(11)
    group, number = rng.integers(0, 4, 1200), rng.normal(size=1200)
    data = pd.DataFrame({"group": np.array(list("abcd"))[group], "number": number})
    chance = 1 / (1 + np.exp(-(2.0 * (group == 2) - 1 + number)))
    truth = (rng.random(1200) < chance).astype(np.int64)
    frame = frame_of(data)
    model = fit(kind, Inputs.of(frame.layout), frame.take(np.arange(800)), truth[:800], 2, 0)
    found = model.predict(frame.take(np.arange(800, 1200)))
    assert found.shape == (400, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert roc_auc_score(truth[800:], found[:, 1]) > roc_auc_score(truth[800:], chance[800:]) - 0.1


@pytest.mark.parametrize("kind", ModelKind)
def test_numbers_are_predicted_alike_in_any_unit(kind: ModelKind) -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=500)
    frame = frame_of(pd.DataFrame({"x": x}))
    truth = 3 * x + rng.normal(0, 0.5, 500)
    inputs = Inputs.of(frame.layout)
    found = fit(kind, inputs, frame, truth, 0, 0).predict(frame)
    assert np.mean((found - truth) ** 2) < 0.1 * truth.var()
    far = fit(kind, inputs, frame, truth * 1e9 + 1e12, 0, 0).predict(frame)
    np.testing.assert_allclose((far - 1e12) / 1e9, found, atol=0.01)


@pytest.mark.parametrize("kind", ModelKind)
def test_models_take_nulls_constants_infinities_and_ten_thousand_levels(kind: ModelKind) -> None:
    n = 10_000 if kind is not ModelKind.FOREST else 2_000
    huge = np.where(np.arange(n) % 2, 1e300, -1e300)
    huge[0] = 0.5  # not whole: kept in double precision
    data = pd.DataFrame(
        {
            "code": [f"c{i}" for i in range(n)],
            "empty": np.full(n, np.nan),
            "nothing": pd.Series([None] * n, dtype=object),
            "same": np.ones(n),
            "huge": huge,
            "gaps": np.where(np.arange(n) % 3, np.nan, np.arange(n)),
        }
    )
    frame = frame_of(data)
    truth = (np.arange(n) % 2).astype(np.int64)
    found = fit(kind, Inputs.of(frame.layout), frame, truth, 2, 0).predict(frame)
    assert np.isfinite(found).all()
    if kind is ModelKind.BOOSTED_TREES:
        assert roc_auc_score(truth, found[:, 1]) > 0.99  # "huge" tells


@pytest.mark.parametrize("kind", ModelKind)
def test_levels_that_training_rows_lack_are_predicted_without_error(kind: ModelKind) -> None:
    data = pd.DataFrame({"level": ["a", "b"] * 50 + ["z", None], "x": np.arange(102.0)})
    frame = frame_of(data)
    truth = np.tile([0, 1], 50)
    model = fit(kind, Inputs.of(frame.layout), frame.take(np.arange(100)), truth, 2, 0)
    assert np.isfinite(model.predict(frame.take(np.array([100, 101])))).all()


def test_an_outcome_of_one_value_or_no_rows_or_no_inputs_is_predicted_by_its_shares() -> None:
    frame = frame_of(pd.DataFrame({"x": np.arange(4.0)}))
    inputs, none = Inputs.of(frame.layout), np.zeros(0, np.int64)
    kind = ModelKind.BOOSTED_TREES
    one = fit(kind, inputs, frame, np.ones(4, np.int64), 3, 0).predict(frame)
    np.testing.assert_array_equal(one, np.tile([0.0, 1.0, 0.0], (4, 1)))
    empty = fit(kind, inputs, frame.take(none), none, 2, 0).predict(frame)
    np.testing.assert_array_equal(empty, np.full((4, 2), 0.5))
    blind = fit(kind, Inputs(()), frame, np.array([0, 1, 1, 1]), 2, 0).predict(frame)
    np.testing.assert_array_equal(blind, np.tile([0.25, 0.75], (4, 1)))
    mean = fit(kind, Inputs(()), frame, np.array([1.0, 2.0, 3.0, 6.0]), 0, 0).predict(frame)
    np.testing.assert_array_equal(mean, np.full(4, 3.0))


def test_a_class_that_training_rows_lack_is_never_predicted() -> None:
    frame = frame_of(pd.DataFrame({"x": np.arange(60.0)}))
    truth = np.where(np.arange(60) < 30, 0, 2)
    for kind in (ModelKind.FOREST, ModelKind.LINEAR):
        found = fit(kind, Inputs.of(frame.layout), frame, truth, 3, 0).predict(frame)
        assert (found[:, 1] == 0).all()
    found = fit(ModelKind.BOOSTED_TREES, Inputs.of(frame.layout), frame, truth, 3, 0).predict(frame)
    assert (found.argmax(axis=1) == truth).all()


@pytest.mark.parametrize("kind", ModelKind)
def test_a_model_depends_on_rows_and_seed_alone(kind: ModelKind, heart: Table) -> None:
    rng = np.random.default_rng(11)
    train = case(tables(heart), tables(heart)).train
    truth = rng.integers(0, 2, len(train))
    found = [fit(kind, Inputs.of(train.layout), train, truth, 2, s).predict(train) for s in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert kind is ModelKind.LINEAR or (found[0] != found[2]).any()


def test_contributions_are_those_of_the_columns_that_matter_and_mean_over_rows() -> None:
    rng = np.random.default_rng(11)
    data = pd.DataFrame({"noise": rng.normal(size=600), "signal": rng.normal(size=600)})
    frame = frame_of(data)
    inputs = Inputs.of(frame.layout)
    for classes in (2, 3):
        truth = np.digitize(data["signal"], [0, 1][: classes - 1]).astype(np.int64)
        model = fit(ModelKind.BOOSTED_TREES, inputs, frame, truth, classes, 0)
        assert isinstance(model, BoostedTrees)
        rows = model.contributions_of_rows(frame)
        assert rows.shape == (600, 2)
        np.testing.assert_allclose(rows.mean(axis=0), model.contributions(frame))
        assert model.contributions(frame)[1] > 10 * model.contributions(frame)[0]


def test_folds_keep_patients_together_and_are_of_like_size() -> None:
    rng = np.random.default_rng(11)
    subjects = rng.integers(0, 50, 400)
    found = folds(subjects, 5, np.random.default_rng(0))
    assert set(found) == set(range(5))
    assert all(len(set(found[subjects == s])) == 1 for s in set(subjects))
    assert len(folds(np.zeros(0, np.int64), 5, np.random.default_rng(0))) == 0


def test_codes_of_many_levels_that_say_nothing_hardly_hurt_boosted_trees() -> None:
    rng = np.random.default_rng(7)
    n = 4000
    data = pd.DataFrame({"x": rng.normal(size=n)} | {c: rng.integers(0, 200, n).astype(str) for c in "abc"})
    truth = (rng.random(n) < 1 / (1 + np.exp(-data["x"]))).astype(np.int64)
    frame = frame_of(data)
    found = []
    for without in ((), ("a", "b", "c")):
        inputs = Inputs.of(frame.layout, without)
        model = fit(ModelKind.BOOSTED_TREES, inputs, frame.take(np.arange(2000)), truth[:2000], 2, 0)
        found.append(roc_auc_score(truth[2000:], model.predict(frame.take(np.arange(2000, n)))[:, 1]))
    assert found[0] > found[1] - 0.02
