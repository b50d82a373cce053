"""Membership inference: plain generators raise no alarm, planted leaks do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Case
from evaluators.intervals import auc
from evaluators.privacy import attacks, membership
from evaluators.privacy.attacks import Parts
from evaluators.privacy.scores import Scores, best_rows, exceedance_chance, excess
from evaluators.results import Figure, LeftOut, Metric
from evaluators.space import Space, nearest
from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table, TableSet
from tests.evaluation.cases import ROOT, case, joined, rows_of, table_of, tables
from trainers.base import FitRequest, Hooks, Stopped
from trainers.copula import CopulaTrainer
from trainers.drawing import draw

TRAIN, HELD = 3_000, 1_200
"""Rows of the training part and of the hold-out; the rows after them are of third patients."""


@pytest.fixture(scope="module")
def stays() -> Table:
    """Hospital stays, one per patient, numbers and codes."""
    return table_of(pd.read_parquet(ROOT / "benchmarks" / "data" / "encounters_20k.parquet"))


def parts_of(table: Table) -> tuple[TableSet, TableSet, TableSet]:
    """Training rows, hold-out, and rows of third patients, as many as training rows."""
    order = np.random.default_rng(2).permutation(table.num_rows)[: 2 * TRAIN + HELD]
    first, second, third = (rows_of(tables(table), part) for part in np.split(order, [TRAIN, TRAIN + HELD]))
    return first, second, third


def ran(found: Case) -> list[Any]:
    return list(membership.run(found))


def metric(results: Iterable[Any], name: str, **detail: str) -> Metric:
    """The one of that name and detail."""
    (found,) = [r for r in results if isinstance(r, Metric) and r.name == name and r.detail == detail]
    return found


def alarms(results: Iterable[Any]) -> set[str]:
    """The attacks with a significant excess."""
    return {
        ", ".join(f"{k} {v}" for k, v in r.detail.items() if k != "fpr")
        for r in results
        if isinstance(r, Metric) and r.name == membership.EXCESS.name and r.interval and r.interval.low > 0
    }


def areas(results: Iterable[Any]) -> dict[str, Metric]:
    return {r.where: r for r in results if isinstance(r, Metric) and r.name == membership.AUC.name}


def copula(train: TableSet, rows: int) -> TableSet:
    """Rows of a Gaussian copula: it knows margins and correlations alone."""
    single = train.single()
    request = FitRequest(train, rows_of(train, np.zeros(0, np.int64)), {}, 0)
    return tables(draw(CopulaTrainer().fit(request, Hooks()), single.schema, rows, 1))


def test_rows_of_third_patients_tell_nothing_even_where_many_rows_are_alike(cdc: Table) -> None:
    train, held, third = parts_of(cdc)

    results = ran(case(train, third, held))

    assert not alarms(results)
    assert len(areas(results)) == 4
    for area in areas(results).values():
        assert area.interval is not None
        assert area.interval.low < 0.5
        assert abs(area.value - 0.5) < 0.06


def test_an_honest_generator_raises_no_alarm(stays: Table) -> None:
    train, held, _ = parts_of(stays)

    results = ran(case(train, copula(train, TRAIN), held))

    assert not alarms(results)
    assert all(area.interval and area.interval.low < 0.5 for area in areas(results).values())


@pytest.mark.parametrize("name", ["cdc", "stays"])
def test_one_copy_among_twenty_rows_is_found_at_few_false_positives(
    name: str, request: pytest.FixtureRequest
) -> None:
    train, held, third = parts_of(request.getfixturevalue(name))
    copies = rows_of(train, np.arange(0, TRAIN, 20))

    results = ran(case(train, joined(rows_of(third, np.arange(TRAIN - TRAIN // 20)), copies), held))

    assert "attack domias" in alarms(results)
    found = metric(results, "membership_inference_tpr_excess", attack="domias", fpr="0.01")
    assert 0.02 < found.value < 0.08
    assert found.interval is not None and found.interval.low > 0


def test_copies_with_a_little_noise_are_told_from_others_by_every_attack(stays: Table) -> None:
    train, held, _ = parts_of(stays)
    rng = np.random.default_rng(0)
    single = train.single()
    arrays = dict(single.arrays)
    for name in (c.name for c in single.schema.columns if c.kind is Kind.INTEGER):
        noise = rng.integers(-1, 2, TRAIN) * (rng.random(TRAIN) < 0.3)
        arrays[name] = Array.make(Storage.INT64, arrays[name].values + noise)

    results = ran(case(train, tables(Table(single.schema, arrays)), held))

    found = {where: area.value for where, area in areas(results).items()}
    assert found["attack distance"] > 0.9
    assert found["attack domias"] > 0.9
    assert found["attack distance, records outliers"] > 0.9
    assert found["attack error_prediction"] > 0.65
    assert len(alarms(results)) == 4


def test_a_generator_that_repeats_outliers_alone_is_caught_on_outliers_alone(stays: Table) -> None:
    train, held, third = parts_of(stays)
    frame = case(train, third, held).train
    points = Space.fit(frame).points(frame)
    remote = np.argsort(-nearest(points, points, same=True)[0][:, 0])[: TRAIN // 50]

    results = ran(case(train, joined(third, rows_of(train, remote)), held))

    everyone = metric(results, "membership_inference_auc", attack="distance").interval
    exposed = metric(results, "membership_inference_auc", attack="distance", records="outliers").interval
    assert everyone is not None and everyone.low < 0.5 < everyone.high
    assert exposed is not None and exposed.low > 0.5
    assert "attack distance, records outliers" in alarms(results)


def test_patients_count_once_however_many_rows_they_have(diabetes: Table) -> None:
    subjects = diabetes.subjects()
    mine = tables(diabetes.take(np.flatnonzero(subjects % 3 < 2)))
    held = tables(diabetes.take(np.flatnonzero(subjects % 3 == 2)))

    results = ran(case(mine, mine, held))

    area = metric(results, "membership_inference_auc", attack="distance")
    patients = len(np.unique(subjects[subjects % 3 == 2]))
    assert area.size < len(np.unique(subjects)) <= len(subjects)
    assert area.size == patients + len(np.unique(subjects[subjects % 3 < 2])) // 2
    assert area.value > 0.95
    few = [r.part for r in results if isinstance(r, LeftOut)]
    assert "membership:distance:fpr 0.001" in few
    assert not any(isinstance(r, Metric) and r.detail.get("fpr") == "0.001" for r in results)


def test_few_rows_and_empty_columns_are_left_out_with_a_reason() -> None:
    numbers = pd.DataFrame({"a": np.arange(30.0), "b": np.full(30, np.nan), "c": ["x"] * 30})
    few = tables(table_of(numbers))
    lone = tables(table_of(numbers[["c"]]))

    small = ran(case(rows_of(few, np.arange(8)), few, rows_of(few, np.arange(5))))
    plain = ran(case(few, few, few))
    single = ran(case(lone, lone, lone))

    assert [type(r) for r in small] == [LeftOut]
    assert any(isinstance(r, Metric) for r in plain)
    assert all(r.value == 0.5 for r in single if isinstance(r, Metric) and r.name == membership.AUC.name)
    assert not alarms(single)


def test_the_curve_starts_where_as_many_patients_are_wrong_as_may_be_shown(stays: Table) -> None:
    train, held, third = parts_of(stays)

    (figure,) = [r for r in ran(case(train, third, held)) if isinstance(r, Figure)]

    assert figure.name == "membership:roc"
    assert [series.name for series in figure.series][-1] == "knows nothing"
    assert len(figure.series) == 5
    for series in figure.series:
        assert series.x[-1] == series.y[-1] == 1 or series.x[-1] == 1
        assert list(series.x) == sorted(series.x)
    assert figure.series[0].x[0] == pytest.approx(5 / HELD)


def test_it_stops_between_columns(heart: Table) -> None:
    every = tables(heart)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 8

    with pytest.raises(Stopped):
        list(membership.run(case(every, every, every, should_stop=stop)))
    assert len(asked) == 9


def test_no_attack_sees_a_scored_patient_twice(diabetes: Table) -> None:
    subjects = diabetes.subjects()
    mine = tables(diabetes.take(np.flatnonzero(subjects % 3 < 2)))
    held = tables(diabetes.take(np.flatnonzero(subjects % 3 == 2)))

    parts = Parts.of(case(mine, mine, held))

    assert not set(parts.members.subjects) & set(parts.reference.subjects)
    assert parts.members.patients + parts.reference.patients == mine.single().subjects().max() + 1


def test_the_same_seed_gives_the_same_values(heart: Table) -> None:
    every = tables(heart)
    train, held = rows_of(every, np.arange(200)), rows_of(every, np.arange(200, 303))

    first, second = (ran(case(train, train, held)) for _ in range(2))

    assert [r.to_json() for r in first] == [r.to_json() for r in second]
    assert areas(first)["attack distance"].value > 0.9


def test_the_chance_of_exceedances_is_that_of_random_orders() -> None:
    members, others, rank = 30, 20, 3
    rng = np.random.default_rng(1)
    orders = rng.permuted(np.tile(np.arange(members + others), (40_000, 1)), axis=1)
    thresholds = np.sort(orders[:, members:], axis=1)[:, -rank]
    above = (orders[:, :members] > thresholds[:, None]).sum(axis=1)

    for hits in (1, 5, 9, 14):
        assert exceedance_chance(hits, members, rank, others) == pytest.approx(
            np.mean(above >= hits), abs=0.01
        )


def test_the_lower_bound_is_above_nothing_when_chance_is_out_of_question() -> None:
    level = 0.99
    for members, rank, others in ((50, 1, 100), (4_000, 4, 4_000), (300, 10, 1_000)):
        for hits in range(0, members // 2, max(1, members // 97)):
            low, high = excess(hits, hits, members, rank, others, level)
            chance = exceedance_chance(hits, members, rank, others)
            assert low <= high
            if abs(chance - (1 - level) / 2) > 1e-6:
                assert (low > 0) == (chance < (1 - level) / 2)


def test_the_interval_holds_the_share_of_members_who_are_recognised() -> None:
    rng = np.random.default_rng(2)
    share, members, others = 0.05, 400, 300
    covered = 0
    for _ in range(200):
        mine = np.where(rng.random(members) < share, 9.0, rng.normal(size=members))
        interval = Scores(mine, rng.normal(size=others)).excess_interval(0.01, 0.9)
        covered += interval.low <= share * 0.99 <= interval.high

    assert 0.86 <= covered / 200 <= 0.99


@pytest.mark.parametrize("ties", [False, True])
def test_false_alarms_are_rarer_than_one_in_twenty(ties: bool) -> None:
    """All attacks and rates of a report together, when nobody knows anything."""
    rng = np.random.default_rng(3)
    members, others, reports = 900, 1_000, 400
    rates = membership.RATES
    tail = 0.05 / (4 * len(rates)) / 2
    alarmed = 0
    for _ in range(reports):
        seen = False
        base = rng.normal(size=members + others)
        for _ in range(4):
            every = base + rng.normal(size=members + others)
            if ties:  # most rows alike, as in surveys, and many of them equal to a synthetic one
                every = np.minimum(np.round(every), 1.0)
            found = Scores(every[:members], every[members:])
            ranks = [found.rank(rate) for rate in rates]
            seen |= any(exceedance_chance(found.hits(rank), members, rank, others) < tail for rank in ranks)
        alarmed += seen

    assert alarmed / reports <= 0.05


def test_a_threshold_that_many_share_counts_for_nobody() -> None:
    found = Scores(np.array([1.0] * 60 + [0.0] * 40), np.array([1.0] * 50 + [0.0] * 50))

    interval = found.excess_interval(0.1)

    assert found.hits(found.rank(0.1)) == 0
    assert interval.low <= 0 < interval.high


def test_the_advantage_is_the_greatest_distance_of_the_curves() -> None:
    rng = np.random.default_rng(4)
    found = Scores(rng.normal(1.0, 1, 400), rng.normal(0.0, 1, 300))
    every = np.concatenate([found.members, found.others])

    brute = max(float((found.members > t).mean() - (found.others > t).mean()) for t in every)

    assert found.advantage == pytest.approx(brute)
    assert found.advantage_interval(0.95).low < 0.383 < found.advantage_interval(0.95).high
    assert auc(found.members, found.others) > 0.7


def test_the_best_row_of_a_patient_is_the_patients_score() -> None:
    subjects = np.array([3, 1, 3, 0, 1])

    assert best_rows(np.array([1.0, 5.0, 2.0, 0.0, 4.0]), subjects).tolist() == [0.0, 5.0, 2.0]
    assert len(best_rows(np.zeros(0), np.zeros(0, np.int64))) == 0


def test_no_patient_brings_more_rows_than_may_be_looked_at() -> None:
    frame = pd.DataFrame({"who": [0] * 90 + list(range(1, 31)), "a": np.arange(120.0)})
    both = tables(table_of(frame, subject_key="who"))

    parts = Parts.of(case(both, both, both))

    assert np.bincount(parts.others.subjects).max() == attacks.PATIENT_ROWS[1]
    assert parts.others.patients == 31
