from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Storage, TableSchema
from tables.split import Side, SplitRule, cap_rows_per_patient, split_by_patient
from tables.tableset import Table, TableSet

SALT = bytes(range(16))


def keyed(patients, name="t", valid=None):
    patients = np.asarray(patients)
    key = Array.make(Storage.INT64, patients, valid)
    arrays = {"patient": key, "row": Array.make(Storage.INT64, np.arange(patients.size))}
    columns = tuple(Column(n, storage=a.storage) for n, a in arrays.items())
    return Table(TableSchema(name, columns, subject_key="patient"), arrays)


def rows(tables, name="t"):
    return tables.tables[name].arrays["row"].values.tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=200), st.binary(min_size=1, max_size=64))
def test_patients_are_on_one_side_and_rows_on_exactly_one(patients, salt):
    table = keyed(patients)
    if not (SplitRule(salt, 0.2, 0.2).sides(table) == Side.TRAIN).any():
        with pytest.raises(Problem, match="TOO_FEW_PATIENTS"):
            split_by_patient(TableSet({"t": table}), salt, 0.2, 0.2)
        return
    split = split_by_patient(TableSet({"t": table}), salt, 0.2, 0.2)
    parts = [split.train, split.validation, split.holdout]
    assert sorted(row for part in parts for row in rows(part)) == list(range(len(patients)))
    sides = [set(p.single().arrays["patient"].values.tolist()) for p in parts]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    assert all(rows(p) == sorted(rows(p)) for p in parts)


def test_the_rule_is_stored_and_stays_as_it_is():
    rule = SplitRule(SALT, 0.3, 0.2)
    again = SplitRule.from_json(json.loads(json.dumps(rule.to_json())))
    table = keyed(range(12))
    assert again == rule
    # Written down once: a model's hold-out must be found again in any later version.
    assert rule.sides(table).tolist() == GOLDEN
    assert again.sides(table.take(np.arange(12)[::-1].copy())).tolist() == GOLDEN[::-1]


GOLDEN = [1, 2, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0]


def test_a_patient_stays_on_his_side_in_other_tables_and_types():
    rule = SplitRule(SALT, 0.3, 0.3)
    sides = rule.sides(keyed(range(50)))
    later = rule.sides(keyed(np.arange(50)[::-1].copy()))
    assert sides.tolist() == later[::-1].tolist()
    for array in (
        Array.make(Storage.DOUBLE, np.arange(50.0)),
        Array.make(Storage.STRING, [str(i) for i in range(50)]),
    ):
        schema = TableSchema("t", (Column("patient", storage=array.storage),), subject_key="patient")
        assert rule.sides(Table(schema, {"patient": array})).tolist() == sides.tolist()


def test_shares_are_about_what_was_asked_for():
    counts = np.bincount(SplitRule(SALT, 0.2, 0.1).sides(keyed(range(20_000))), minlength=3) / 20_000
    assert np.allclose(counts, [0.7, 0.1, 0.2], atol=0.015)


def test_null_keys_are_patients_of_their_own():
    table = keyed(np.zeros(2000, int), valid=np.zeros(2000, bool))
    sides = SplitRule(SALT, 0.25, 0.25).sides(table)
    assert set(sides.tolist()) == {Side.TRAIN, Side.VALIDATION, Side.HOLDOUT}


def test_rows_are_patients_without_a_key():
    schema = TableSchema("t", (Column("x", storage=Storage.INT64),))
    table = Table(schema, {"x": Array.make(Storage.INT64, np.zeros(1000, int))})
    split = split_by_patient(TableSet({"t": table}), "some text", 0.1, 0.1)
    assert 0 < split.holdout.single().num_rows < 200


def test_tables_that_describe_no_patient_go_to_every_side():
    schema = TableSchema("codes", (Column("x", storage=Storage.INT64),))
    codes = Table(schema, {"x": Array.make(Storage.INT64, [1, 2])})
    split = split_by_patient(TableSet({"t": keyed(range(40)), "codes": codes}), SALT, 0.3, 0.3)
    assert {s.tables["codes"].num_rows for s in (split.train, split.validation, split.holdout)} == {2}


@pytest.mark.parametrize(("holdout", "validation"), [(0.5, 0.5), (-0.1, 0.2), (1.0, 0.0)])
def test_something_must_be_left(holdout, validation):
    with pytest.raises(Problem, match="INVALID_REQUEST"):
        SplitRule(SALT, holdout, validation)


def test_too_few_patients():
    with pytest.raises(Problem, match="TOO_FEW_PATIENTS"):
        split_by_patient(TableSet({"t": keyed([1] * 50 + [2] * 50)}), SALT, 0.0, 0.0, min_patients=5)


def test_an_unknown_rule_is_refused():
    with pytest.raises(Problem, match="INVALID_REQUEST"):
        SplitRule.from_json({**SplitRule(SALT, 0.1, 0.1).to_json(), "scheme": "other"})


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(1, 4))
def test_capped_rows(patients, cap):
    table = keyed(patients)
    capped = cap_rows_per_patient(table, cap, seed=3)
    counts = np.bincount(np.array(patients))
    assert np.bincount(capped.arrays["patient"].values).tolist() == np.minimum(counts, cap).tolist()
    kept = capped.arrays["row"].values
    assert np.all(np.diff(kept) > 0)
    assert capped.arrays["patient"].values.tolist() == np.array(patients)[kept].tolist()
    assert cap_rows_per_patient(table, cap, seed=3).arrays["row"].values.tolist() == kept.tolist()


def test_no_cap_and_no_key_keep_all_rows():
    table = keyed([1] * 9)
    assert cap_rows_per_patient(table, 0, 1) is table
    assert len({tuple(cap_rows_per_patient(table, 3, s).arrays["row"].values) for s in range(20)}) > 5
