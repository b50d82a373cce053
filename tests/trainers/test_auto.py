"""The trainer that chooses, and what it may promise for those it chooses from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Finding, Kind, Storage
from tables.tableset import Table
from trainers import auto, registry
from trainers.auto import RULES, Chooser, Facts, choose
from trainers.base import ConditionSupport, Hooks, TrainerInfo

MODELLED = frozenset({Kind.INTEGER, Kind.CATEGORY})


def trainer_like(name: str, **fields: Any) -> type:
    class Found:
        info: ClassVar[TrainerInfo] = TrainerInfo(name, name, "", "", (), **{"kinds": MODELLED, **fields})

    return Found


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Every candidate is installed; tests may take some away."""
    known = {name: trainer_like(name) for name in auto.CANDIDATES}
    monkeypatch.setattr(registry, "installed", known.get)
    return known


def facts(rows: int = 20_000, columns: int = 20, **fields: Any) -> Facts:
    return Facts(**{"rows": rows, "columns": columns, "cuda": False, "seconds": 3600.0, **fields})


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (facts(150), "copula"),
        (facts(151), "argn"),
        (facts(150, cuda=True), "copula"),
        (facts(20_000, columns=600), "argn"),
        (facts(20_000, seconds=129), "arf"),
        (facts(20_000, seconds=131), "argn"),
        (facts(20_000, seconds=30, cuda=True), "argn"),
        (facts(1_000_000), "arf"),
        (facts(1_000_000, seconds=7_200.0), "argn"),
    ],
)
def test_the_table_decides(everything: dict[str, type], given: Facts, chosen: str) -> None:
    choice = choose(given)
    assert choice.trainer == chosen
    assert choice.why.startswith(f"{chosen}: {given.rows:,} rows to learn from, {given.columns:,} columns; ")


def test_what_is_not_installed_or_cannot_model_a_column_is_passed_over(everything: dict[str, type]) -> None:
    del everything["argn"]
    assert choose(facts()).trainer == "arf"
    everything["argn"] = trainer_like("argn", kinds=MODELLED | {Kind.TEXT})
    assert choose(facts(300, kinds=frozenset({Kind.TEXT}))).trainer == "argn"
    with pytest.raises(Problem) as caught:
        choose(facts(kinds=frozenset({Kind.CODE_LIST})))
    assert caught.value.reason == "COLUMN_UNSUPPORTED"


def test_it_promises_what_the_weakest_of_its_candidates_can(everything: dict[str, type]) -> None:
    strong = {"equals": ConditionSupport.NATIVE, "range": ConditionSupport.NATIVE}
    for name in auto.CANDIDATES:
        everything[name] = trainer_like(name, conditions=strong, imputation=True, gpu=False)
    weak = {"equals": ConditionSupport.REJECTION}
    everything["copula"] = trainer_like("copula", kinds=MODELLED - {Kind.INTEGER}, conditions=weak)
    info = auto._info()
    assert info.conditions == {"equals": ConditionSupport.REJECTION, "range": ConditionSupport.NONE}
    assert not info.imputation
    assert info.kinds == MODELLED - {Kind.INTEGER}


def test_every_rule_has_a_trainer_that_needs_no_torch() -> None:
    assert all({"arf", "copula"} & set(rule.trainers) for rule in RULES)


def test_it_fits_the_one_it_chose_with_that_ones_defaults(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(0)
    table: Table = build({"x": (Kind.INTEGER, Array.make(Storage.INT64, rng.integers(20, 90, 200)))})
    found: list[Finding] = []
    generator = fit("auto", table, Hooks(warn=found.append))
    (said,) = [f for f in found if f.reason == "TRAINER_CHOSEN"]
    name = said.message.partition(":")[0]
    assert "200 rows to learn from, 1 columns" in said.message
    plain = fit(name, table, quick={})
    assert np.array_equal(draw(generator, 50)["x"].values, draw(plain, 50)["x"].values)


def test_it_has_no_parameters_of_its_own() -> None:
    trainer = registry.trainer("auto")
    assert isinstance(trainer, Chooser)
    assert not isinstance(registry.trainer("copula"), Chooser)
    with pytest.raises(Problem, match="no such parameter"):
        trainer.info.resolve({"epochs": 5})
