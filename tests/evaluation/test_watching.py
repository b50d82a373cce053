"""Alerts while a model is trained: raised by what learns rows by heart, not by what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from evaluators import watching
from evaluators.watching import COPIES, MEMBERSHIP, WatchedAlert, Watcher
from kohort.schema import Handling, Kind
from tables.infer import infer, physicalise_all
from tables.tableset import Table, TableSet
from tests.evaluation.cases import rows_of, split, tables
from tests.evaluation.copying import only
from trainers import registry
from trainers.base import Doubles, FitRequest, Floats, Generator, Hooks, Indices, Noise, Ops, Progress
from trainers.encoding import Encoding
from trainers.rows import encode_rows

ATTACK = WatchedAlert(MEMBERSHIP, 0.6, stop=True)
Sides = tuple[TableSet, TableSet]


@dataclass(frozen=True, eq=False)
class Parrot:
    """Says training rows."""

    encoding: Encoding
    features: Sequence[Indices | Doubles]

    @property
    def noise(self) -> Noise:
        return Noise(1, 0)

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        raise NotImplementedError

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        rows = (uniform[:, 0].astype(np.float64) * len(self.features[0])).astype(np.int64)
        return [feature[rows] for feature in self.features]


def requested(
    train: TableSet, validation: TableSet, parameters: dict[str, object] | None = None
) -> FitRequest:
    return FitRequest(train, validation, parameters or {}, 1)


def parrot(train: TableSet, validation: TableSet) -> Generator:
    rows = encode_rows(requested(train, validation), Hooks(), np.random.default_rng(0))
    return Parrot(rows.encoding, rows.features)


def copula(train: TableSet, validation: TableSet) -> Generator:
    trainer = registry.trainer("copula")
    return trainer.fit(requested(train, validation, trainer.info.resolve({})), Hooks())


@pytest.fixture(scope="module")
def sides(cdc: Table) -> Sides:
    some = rows_of(tables(cdc), np.random.default_rng(0).permutation(cdc.num_rows)[:3000])
    parts = split(physicalise_all(some, infer(some).schema).single(), 0.4)
    return parts.train, parts.holdout


def test_a_generator_that_says_training_rows_is_found_out(sides: Sides) -> None:
    copies = WatchedAlert(COPIES, 0.3)
    watcher = Watcher(*sides, [ATTACK, copies])
    raised = watcher.look(parrot(*sides))
    assert [found.alert for found in raised] == [ATTACK, copies]
    assert all(found.value == watcher.values[found.alert.metric] for found in raised)
    # Of as many draws as rows 63 % are said.
    assert watcher.values[MEMBERSHIP] > 0.75
    assert watcher.values[COPIES] > 0.95
    assert not watcher.asks_for_rows
    assert watcher.look(parrot(*sides)) == ()


def test_an_honest_copula_raises_nothing(sides: Sides) -> None:
    watcher = Watcher(*sides, [ATTACK, WatchedAlert(COPIES, 0.3)])
    assert watcher.look(copula(*sides)) == ()
    assert abs(watcher.values[MEMBERSHIP] - 0.5) < 0.05
    assert watcher.values[COPIES] < 0.1
    assert watcher.asks_for_rows


def test_of_few_validation_patients_membership_is_not_told(sides: Sides) -> None:
    train, validation = sides
    few = rows_of(validation, np.arange(watching.FEWEST_PATIENTS - 1))
    watcher = Watcher(train, few, [ATTACK, replace(ATTACK, below=True, threshold=1.0)])
    assert watcher.look(parrot(*sides)) == ()
    assert MEMBERSHIP not in watcher.values
    assert str(watching.FEWEST_PATIENTS) in watcher.why_unknown(MEMBERSHIP)
    none = Watcher(train, rows_of(validation, np.arange(0)), [ATTACK, WatchedAlert(COPIES, 0.5)])
    assert [found.alert.metric for found in none.look(parrot(*sides))] == [COPIES]


def test_a_patient_with_many_rows_is_attacked_once(diabetes: Table) -> None:
    subjects = diabetes.subjects()
    rng = np.random.default_rng(1)
    rows = watching._one_each(subjects, rng)
    assert len(np.unique(subjects[rows])) == len(rows) == min(2000, len(np.unique(subjects)))
    again = watching._one_each(subjects, np.random.default_rng(2))
    assert list(rows) != list(again)


def test_rows_are_drawn_and_patients_chosen_by_the_seed(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MATCHED", 700)
    monkeypatch.setattr(watching, "PATIENTS", 200)
    found = []
    for seed in (1, 1, 2):
        watcher = Watcher(*sides, [WatchedAlert(MEMBERSHIP, 2.0), WatchedAlert(COPIES, 2.0)], seed)
        watcher.look(parrot(*sides))
        found.append(dict(watcher.values))
    assert found[0] == found[1] != found[2]
    assert 0.3 < found[0][COPIES] < 0.5  # 700 of 1,800 rows are compared with
    assert found[0][MEMBERSHIP] > 0.7


def test_losses_and_gradients_raise_alerts_once_and_nan_never() -> None:
    nothing = TableSet({})
    alerts = [
        WatchedAlert("validation", 2.0),
        WatchedAlert("loss", 0.5, below=True, stop=True),
        WatchedAlert("gradient_norm", 10.0),
        WatchedAlert("gradient_norm", 0.1, below=True),
    ]
    watcher = Watcher(nothing, nothing, alerts)
    assert not watcher.asks_for_rows
    assert watcher.take(Progress(1, 9, {"train": 3.0, "validation": float("nan")})) == ()
    assert watcher.take(Progress(2, 9, {"train": 1.0, "validation": 2.0}, gradient_norm=10.0)) == ()
    raised = watcher.take(Progress(3, 9, {"loss": 0.4, "validation": 2.5}, gradient_norm=11.0))
    assert [found.alert for found in raised] == alerts[:3]
    assert [found.value for found in raised] == [2.5, 0.4, 11.0]
    assert watcher.take(Progress(4, 9, {"loss": 0.1, "validation": 9.0}, gradient_norm=99.0)) == ()
    assert watcher.take(Progress(5, 9, {}, gradient_norm=0.05))[0].alert is alerts[3]


def test_looks_take_no_more_than_their_share_of_the_time(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = [0.0], []
    watcher = Watcher(*sides, [ATTACK], clock=lambda: now[0])

    def attacked(generator: Generator) -> dict[str, float]:
        looks.append(now[0])
        now[0] += 4.0
        return {MEMBERSHIP: 0.5}

    monkeypatch.setattr(watcher, "_attacked", attacked)
    honest = parrot(*sides)
    for _ in range(400):
        now[0] += 1.0
        assert watcher.watch(lambda: honest) == ()
    assert looks[0] == 10.0  # thought to take a second
    assert len(looks) > 5
    spent = 4.0 * len(looks)
    assert spent <= 0.1 * (now[0] - spent)


def test_without_an_alert_on_rows_no_generator_is_made(sides: Sides) -> None:
    now = [0.0]
    watcher = Watcher(*sides, [WatchedAlert("loss", 1.0)], clock=lambda: now[0])
    now[0] = 1e6

    def make() -> Generator:
        raise AssertionError

    assert watcher.watch(make) == ()


def test_the_key_of_patients_of_many_rows_is_not_looked_for_in_drawn_ones(diabetes: Table) -> None:
    assert diabetes.schema.subject_key
    short = only(diabetes, ["patient_nbr", "gender", "age", "time_in_hospital", "num_medications"])
    key, *learned = short.schema.columns
    schema = short.schema.with_columns((replace(key, kind=Kind.ID, handling=Handling.REGENERATE), *learned))
    half = diabetes.num_rows // 2
    one, other = (
        rows_of(tables(Table(schema, short.arrays)), rows) for rows in np.split(np.arange(2 * half), 2)
    )
    watcher = Watcher(one, other, [WatchedAlert(COPIES, 0.5)])
    assert watcher.look(parrot(one, other))
