"""Shadow models: a generator that repeats records gives its most exposed patients away."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Refit, Sampler
from evaluators.privacy import shadow
from evaluators.privacy.shadow import attack, mean_area
from evaluators.results import LeftOut, Metric
from kohort.problem import Problem
from tables.tableset import Table, TableSet
from tests.evaluation.cases import ROOT, case, rows_of, table_of, tables
from trainers.base import FitRequest, Hooks, Stopped
from trainers.copula import CopulaTrainer
from trainers.drawing import draw


@pytest.fixture(autouse=True)
def _few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "MOST_PAIRS", shadow.FEWEST_PAIRS)


@pytest.fixture(scope="module")
def stays() -> TableSet:
    """600 hospital stays."""
    frame = pd.read_parquet(ROOT / "benchmarks" / "data" / "encounters_20k.parquet")
    return tables(table_of(frame.sample(1_200, random_state=0).reset_index(drop=True)))


def repeating(train: TableSet, seed: int) -> Sampler:
    """A generator that repeats what it was trained on."""
    return lambda rows, seed: rows_of(
        train, np.random.default_rng(seed).permutation(train.single().num_rows)[:rows]
    )


def ignoring(others: TableSet) -> Refit:
    """Trains a generator that looks at rows of others alone."""
    return lambda train, seed: repeating(others, seed)


def copula(train: TableSet, seed: int) -> Sampler:
    request = FitRequest(train, rows_of(train, np.zeros(0, np.int64)), {}, seed)
    generator, schema = CopulaTrainer().fit(request, Hooks()), train.single().schema
    return lambda rows, seed: TableSet({schema.name: draw(generator, schema, rows, seed)})


def ran(train: TableSet, refit: Refit, **more: Any) -> list[Any]:
    return list(shadow.run(case(train, train, None, refit=refit, **more)))


def area(results: list[Any]) -> Metric:
    (found,) = results
    assert isinstance(found, Metric)
    assert found.interval is not None
    return found


def test_a_generator_that_repeats_its_rows_is_caught(stays: TableSet) -> None:
    found = area(ran(rows_of(stays, np.arange(600)), repeating))

    assert found.detail == {"attack": "shadow", "records": "most exposed"}
    assert found.value > 0.95
    assert found.interval is not None and found.interval.low > 0.6


def test_a_generator_that_never_saw_them_is_not(stays: TableSet) -> None:
    found = area(ran(rows_of(stays, np.arange(600)), ignoring(rows_of(stays, np.arange(600, 1_200)))))

    assert found.interval is not None
    assert found.interval.low < 0.5 < found.interval.high


def test_a_real_trainer_is_trained_again_the_same_way_each_time(stays: TableSet) -> None:
    train = rows_of(stays, np.arange(200))

    first, second = (area(ran(train, copula)) for _ in range(2))

    assert first == second
    assert 0.4 < first.value < 0.95


def test_targets_are_in_as_many_models_as_they_are_out_of(stays: TableSet) -> None:
    train = rows_of(stays, np.arange(300))
    sizes: list[int] = []
    rows: list[np.ndarray] = []

    def refit(part: TableSet, seed: int) -> Sampler:
        single = part.single()
        sizes.append(single.num_rows)
        rows.append(single.arrays["num_lab_procedures"].values)
        return repeating(part, seed)

    ran(train, refit)

    assert len(sizes) == 2 * shadow.FEWEST_PAIRS
    assert all(100 < size < 200 for size in sizes)
    assert any(len(a) != len(b) or np.any(a != b) for a, b in zip(rows[::2], rows[1::2], strict=True))


def test_rows_of_one_patient_are_in_and_out_together(diabetes: Table) -> None:
    def refit(part: TableSet, seed: int) -> Sampler:
        keys.append(part.single().arrays["patient_nbr"].values)
        return repeating(part, seed)

    keys: list[np.ndarray] = []
    found = area(ran(tables(diabetes), refit))

    every = dict(zip(*np.unique(diabetes.arrays["patient_nbr"].values, return_counts=True), strict=True))
    for part in keys:
        assert all(every[key] == n for key, n in zip(*np.unique(part, return_counts=True), strict=True))
    assert found.value > 0.9


def test_no_longer_than_there_is_time(stays: TableSet, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(time, "monotonic", lambda: 0.3 * len(calls))

    def slow(part: TableSet, seed: int) -> Sampler:
        calls.append(seed)
        return repeating(part, seed)

    train = rows_of(stays, np.arange(100))
    (none,) = ran(train, slow, deadline=1.0)
    (short,) = ran(train, slow, deadline=7.0)

    assert isinstance(none, LeftOut) and isinstance(short, LeftOut)
    assert len(calls) == 2
    assert "16 shadow models" in short.reason


def test_it_stops_when_told_to(stays: TableSet) -> None:
    calls: list[int] = []

    def refit(part: TableSet, seed: int) -> Sampler:
        calls.append(seed)
        return repeating(part, seed)

    with pytest.raises(Stopped):
        ran(rows_of(stays, np.arange(100)), refit, should_stop=lambda: len(calls) >= 3)
    assert len(calls) == 3


def test_what_cannot_be_trained_on_is_left_out_with_a_reason(stays: TableSet) -> None:
    def refuse(part: TableSet, seed: int) -> Sampler:
        raise Problem("TOO_FEW_ROWS", "told to people only")

    (few,) = ran(rows_of(stays, np.arange(30)), repeating)
    (refused,) = ran(rows_of(stays, np.arange(100)), refuse)

    assert isinstance(few, LeftOut) and "needs 40" in few.reason
    assert isinstance(refused, LeftOut) and refused.reason.endswith("TOO_FEW_ROWS")


def test_columns_without_content_do_not_stop_it() -> None:
    frame = pd.DataFrame({"a": np.arange(60.0) ** 3, "empty": np.full(60, np.nan), "c": ["x"] * 59 + [None]})

    found = area(ran(tables(table_of(frame)), repeating))

    assert found.value > 0.9


def test_noise_is_no_evidence() -> None:
    rng = np.random.default_rng(0)
    alarms, values = 0, []
    for _ in range(40):
        inside = [rng.permutation(10) < 5 for _ in range(8)]
        members = np.stack([part for one in inside for part in (one, ~one)])
        areas = attack(rng.normal(size=(16, 10, 6)), members, 0)
        values.append(areas.mean())
        alarms += mean_area(areas, 8).low > 0.5

    assert np.mean(values) == pytest.approx(0.5, abs=0.03)
    assert alarms <= 2


def test_targets_that_agree_by_chance_are_no_certainty() -> None:
    found = mean_area(np.ones(10), 8)

    assert 0.85 < found.low < 1
    assert found.high == 1
