"""Generators of known faults, each caught by the right metric and verdict; an honest one passes.

The rows are real (CDC diabetes indicators, a survey in which people equal by chance are many, and
hospital stays, several a patient). An honest generator's rows are those of other people.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.frame import frames
from evaluators.gate import Effect, Policy, RuleKind, State
from evaluators.headlines import HEADLINES
from evaluators.run import Evaluation, Subject, evaluate
from evaluators.space import Space, nearest
from kohort.columns import Array
from kohort.schema import Handling, Storage
from tables.tableset import Table, TableSet
from tests.evaluation.cases import ROOT, joined, rows_of, split, table_of, tables

pytestmark = pytest.mark.slow

ROWS, HELD = 5_000, 3_000
TARGET = "Diabetes_binary"


@pytest.fixture(scope="module")
def survey(cdc: Table) -> tuple[TableSet, TableSet, TableSet]:
    """Training rows, hold-out, and rows of others in the place of an honest generator's."""
    order = np.random.default_rng(7).permutation(cdc.num_rows)
    ends = np.cumsum([ROWS, HELD, ROWS])
    train, holdout, others = np.split(order, ends)[:3]
    return tuple(tables(cdc.take(np.sort(part))) for part in (train, holdout, others))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def stays() -> tuple[TableSet, TableSet, TableSet]:
    """The same of hospital stays, patients whole."""
    frame = pd.read_parquet(ROOT / "benchmarks" / "data" / "diabetes_130us_20k.parquet")
    table = table_of(frame, "stays", subject_key="patient")
    first = split(table, holdout=0.5, salt="others")
    second = split(first.train.single(), holdout=0.35)
    others = rows_of(
        first.holdout, np.arange(second.train.single().num_rows) % first.holdout.single().num_rows
    )
    return second.train, second.holdout, others


def judged(train: TableSet, holdout: TableSet, synthetic: TableSet) -> Evaluation:
    options = Options(targets=(TARGET,) if TARGET in train.single().arrays else ("readmitted",), seed=1)
    return evaluate(Subject(train, synthetic, holdout), options, Policy())


def broken(evaluation: Evaluation, kind: RuleKind) -> set[str]:
    verdict = evaluation.verdict
    return {one.rule.metric for one in (verdict.privacy if kind is RuleKind.PRIVACY else verdict.quality)}


def test_an_honest_generator_passes(survey: tuple[TableSet, TableSet, TableSet]) -> None:
    evaluation = judged(*survey)
    assert evaluation.verdict.state is State.OPEN, evaluation.verdict
    assert not [out for out in evaluation.left_out if "defect" in out.reason]
    named = {name for names in HEADLINES.values() for name in names}
    needless = {metric.name for metric in evaluation.metrics if metric.headline} ^ named
    fairness, known = set(HEADLINES["FAIRNESS"]), {"reidentification_risk", "k_anonymity"}
    assert needless == fairness | known, "these alone need columns that were not named"


def test_an_honest_generator_of_several_rows_a_patient_passes(
    stays: tuple[TableSet, TableSet, TableSet],
) -> None:
    evaluation = judged(*stays)
    assert evaluation.verdict.state is State.OPEN, evaluation.verdict
    assert not [out for out in evaluation.left_out if "defect" in out.reason]


def with_copies(train: TableSet, others: TableSet, share: float, rng: np.random.Generator) -> TableSet:
    rows, n = train.single().num_rows, others.single().num_rows
    copied = rng.choice(rows, int(share * n), replace=False)
    return joined(rows_of(train, np.sort(copied)), rows_of(others, np.arange(n - len(copied))))


def test_copies_of_a_twentieth_of_the_training_rows_are_locked(
    survey: tuple[TableSet, TableSet, TableSet],
) -> None:
    train, holdout, others = survey
    evaluation = judged(train, holdout, with_copies(train, others, 0.05, np.random.default_rng(1)))
    assert evaluation.verdict.state is State.LOCKED
    assert "identical_match_excess" in broken(evaluation, RuleKind.PRIVACY)
    assert not broken(evaluation, RuleKind.QUALITY), "copies are good rows"


def jittered(tableset: TableSet, rng: np.random.Generator) -> TableSet:
    """Numbers moved by a twentieth of their spread, and one category in twenty drawn anew."""
    table = tableset.single()
    arrays = dict(table.arrays)
    for column in table.schema.columns:
        array = arrays[column.name]
        if column.handling is not Handling.MODEL:
            continue
        if array.storage is Storage.INT64:
            spread = max(1.0, float(np.std(array.values)) / 20)
            moved = array.values + np.round(rng.normal(0, spread, len(array))).astype(np.int64)
            few = len(np.unique(array.values)) <= 13
            arrays[column.name] = replace(array, values=array.values if few else np.abs(moved))
        elif array.storage is Storage.STRING:
            drawn = rng.permutation(array.values)
            change = rng.random(len(array)) < 0.05
            arrays[column.name] = replace(array, values=np.where(change, drawn, array.values))
    return tables(Table(table.schema, arrays))


def test_jittered_training_rows_are_locked(stays: tuple[TableSet, TableSet, TableSet]) -> None:
    train, holdout, _ = stays
    evaluation = judged(train, holdout, jittered(train, np.random.default_rng(2)))
    assert evaluation.verdict.state is State.LOCKED
    assert "membership_inference_auc" in broken(evaluation, RuleKind.PRIVACY)


def test_a_twentieth_of_jittered_copies_is_locked(stays: tuple[TableSet, TableSet, TableSet]) -> None:
    train, holdout, others = stays
    rng = np.random.default_rng(3)
    some = rng.choice(train.single().num_rows, train.single().num_rows // 20, replace=False)
    near = jittered(rows_of(train, np.sort(some)), rng)
    rest = rows_of(others, np.arange(others.single().num_rows - len(some)))
    evaluation = judged(train, holdout, joined(near, rest))
    assert evaluation.verdict.state is State.LOCKED
    assert "membership_inference_tpr_excess" in broken(evaluation, RuleKind.PRIVACY)


def test_memorised_outliers_are_locked(stays: tuple[TableSet, TableSet, TableSet]) -> None:
    train, holdout, others = stays
    seen = frames([train.single()])[0]
    assert seen is not None
    points = Space.fit(seen).points(seen)
    distance, _ = nearest(points, points, 1, same=True)
    outliers = np.argsort(-distance[:, 0])[: len(seen) // 50]
    near = jittered(rows_of(train, np.sort(outliers)), np.random.default_rng(4))
    rest = rows_of(others, np.arange(others.single().num_rows - len(outliers)))
    evaluation = judged(train, holdout, joined(near, rest))
    assert evaluation.verdict.state is State.LOCKED
    where = {one.where for one in evaluation.verdict.privacy if one.rule.metric.startswith("membership")}
    assert any("outliers" in place for place in where), evaluation.verdict


def test_a_dropped_minority_class_is_warned_of(survey: tuple[TableSet, TableSet, TableSet]) -> None:
    train, holdout, others = survey
    outcome = others.single().arrays[TARGET].values
    evaluation = judged(train, holdout, rows_of(others, outcome == 0))
    assert evaluation.verdict.state is State.OPEN_WITH_WARNING
    assert "utility_ratio" in broken(evaluation, RuleKind.QUALITY)
    assert not broken(evaluation, RuleKind.PRIVACY)


def test_ignored_correlations_are_warned_of(survey: tuple[TableSet, TableSet, TableSet]) -> None:
    train, holdout, others = survey
    rng = np.random.default_rng(5)
    table = others.single()
    arrays: dict[str, Array] = {
        name: array.take(rng.permutation(table.num_rows)) for name, array in table.arrays.items()
    }
    evaluation = judged(train, holdout, tables(Table(table.schema, arrays)))
    assert evaluation.verdict.state is State.OPEN_WITH_WARNING
    assert {"association_similarity", "c2st_auc", "utility_ratio"} <= broken(evaluation, RuleKind.QUALITY)
    assert not broken(evaluation, RuleKind.PRIVACY)


def test_only_rules_that_lock_lock() -> None:
    assert {rule.effect for rule in Policy().rules if rule.kind is RuleKind.QUALITY} == {Effect.WARN}
    assert {rule.effect for rule in Policy().rules if rule.kind is RuleKind.PRIVACY} == {Effect.LOCK}
