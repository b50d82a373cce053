"""Patients that count the same, however many rows are theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.infer import infer, physicalise
from tables.readers import read_file
from tables.statistics import StatisticsSource
from tables.tableset import Table, TableSet
from tests.trainers.conftest import QUICK
from trainers import registry
from trainers.base import FitRequest, Hooks
from trainers.encoding import Encoding

DIABETES = Path(__file__).parent.parent / "data" / "diabetes_130us_excerpt.csv"
TRAINERS = sorted(set(registry.trainers()) - {"auto", "dummy"})
QUICK_TO_FIT = ("arf", "bayesian-network", "copula", "independent")
SHOWN = ("patient_nbr", "race", "gender", "age", "time_in_hospital", "num_lab_procedures", "num_medications")


def diabetes_with_a_frequent_patient() -> Table:
    """Rows of real patients, and one more patient of three times as many who is always the same."""
    raw = read_file(DIABETES, "csv", "visits", None)
    schema = infer(TableSet({"visits": raw})).schema.tables[0]
    table = physicalise(raw, schema)
    assert schema.subject_key == "patient_nbr"
    planted = 3 * table.num_rows
    columns = tuple(schema.column(name) for name in SHOWN)
    arrays = {name: table.arrays[name] for name in SHOWN}
    model = [0] * planted
    often = {name: array.take(np.array(model)) for name, array in arrays.items()}
    often["patient_nbr"] = Array.make(Storage.INT64, np.full(planted, -1))
    both = {name: Array.concat([arrays[name], often[name]]) for name in SHOWN}
    return Table(TableSchema("visits", columns, subject_key="patient_nbr"), both)


@pytest.fixture(scope="module")
def table():
    return diabetes_with_a_frequent_patient()


def shares(arrays, common, weights=None):
    """Of one cell of each category, its share of the rows so weighted."""
    cells = {name: [cell == common[name] for cell in arrays[name].to_python()] for name in common}
    return {name: float(np.average(equal, weights=weights)) for name, equal in cells.items()}


def by_patient(table):
    subjects = table.subjects()
    return 1.0 / np.bincount(subjects)[subjects]


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize(
    "name", [n if n in QUICK_TO_FIT else pytest.param(n, marks=pytest.mark.slow) for n in TRAINERS]
)
def test_shares_are_of_rows_or_of_patients(table, draw, name, equal):
    trainer = registry.trainer(name)
    known = {p.name for p in trainer.info.parameters}
    quick = {key: value for key, value in QUICK.items() if key in known}
    empty = table.take(np.zeros(0, np.intp))
    generator = trainer.fit(
        FitRequest(
            TableSet({"visits": table}),
            TableSet({"visits": empty}),
            trainer.info.resolve(quick),
            seed=3,
            equal_patients=equal,
        ),
        Hooks(),
    )
    often = {name: table.arrays[name].to_python()[-1] for name in ("race", "gender", "age")}
    found = shares(draw(generator, 20_000), often)
    wanted = shares(table.arrays, often, by_patient(table) if equal else None)
    assert found == pytest.approx(wanted, abs=0.1)


def test_quantiles_and_frequencies_follow_the_weights():
    rng = np.random.default_rng(0)
    patients = np.concatenate([np.arange(300), np.full(2_700, 300)])
    x = np.where(patients == 300, 9_000, rng.integers(0, 1_000, 3_000))
    label = (patients == 300).astype(np.int64)
    label[:20] = 1
    arrays = {
        "x": Array.make(Storage.INT64, x),
        "label": Array.make(Storage.INT64, label),
        "patient": Array.make(Storage.INT64, patients),
    }
    columns = (
        Column("x", Kind.INTEGER, Storage.INT64, Handling.MODEL),
        Column("label", Kind.CATEGORY, Storage.INT64, Handling.MODEL),
        Column("patient", Kind.ID, Storage.INT64, Handling.REGENERATE),
    )
    table = Table(TableSchema("t", columns, subject_key="patient"), arrays)
    plain = Encoding.fit(table, StatisticsSource(), 5)
    equal = Encoding.fit(table, StatisticsSource(), 5, by_patient(table))
    assert plain.columns[1].frequencies[1] == pytest.approx(2_720 / 3_000)
    assert equal.columns[1].frequencies[1] == pytest.approx(21 / 301)
    cell = {e: e.columns[0].cells(e.columns[0].quantile([0.5])) for e in (plain, equal)}
    assert cell[plain][0] > 900  # the one patient's rows are moved to the edge of what five support
    assert cell[equal][0] == pytest.approx(500, abs=60)
