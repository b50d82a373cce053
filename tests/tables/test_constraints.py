"""Rows that break a constraint are left out, and constraints arrive by overrides."""

from __future__ import annotations

import numpy as np
import pytest

from kohort.columns import Array
from kohort.problem import Problem
from kohort.rules import Order, Range
from kohort.schema import Column, Handling, Kind, Schema, SchemaOverrides, Storage, TableOverride, TableSchema
from tables.constraints import kept
from tables.infer import infer
from tables.tableset import Table, TableSet


def visits(low, high, patients, *rules):
    arrays = {
        name: Array.make(Storage.INT64, values)
        for name, values in (("low", low), ("high", high), ("patient", patients))
    }
    columns = tuple(Column(name, Kind.INTEGER, Storage.INT64, Handling.MODEL) for name in arrays)
    return TableSet({"v": Table(TableSchema("v", columns, subject_key="patient", constraints=rules), arrays)})


def test_rows_that_break_a_rule_are_left_out_and_patients_counted():
    n = np.arange(40)
    tables, findings = kept(visits(n, np.where(n < 8, -1, n), n // 2, Order("low", "high")), 4)
    assert tables.single().arrays["low"].values.tolist() == n[8:].tolist()
    (finding,) = findings
    assert (finding.reason, finding.table, finding.column) == ("CONSTRAINT_VIOLATED", "v", "low")
    assert "rows of 4 patients" in finding.message
    assert "high" in finding.message


def test_fewer_than_k_patients_are_not_counted():
    n = np.arange(40)
    _, (finding,) = kept(visits(n, np.where(n < 2, -1, n), n, Order("low", "high")), 4)
    assert "fewer than 4 patients" in finding.message


def test_what_breaks_nothing_comes_back_as_it_is():
    n = np.arange(40)
    tables = visits(n, n, n, Order("low", "high"), Range("low", "0"))
    same, findings = kept(tables, 4)
    assert same.single() is tables.single()
    assert findings == ()


def test_too_few_patients_are_left():
    n = np.arange(40)
    with pytest.raises(Problem) as refused:
        kept(visits(n, np.full(40, 2), n, Order("low", "high")), 4)
    assert refused.value.reason == "TOO_FEW_PATIENTS"
    assert refused.value.violations[0].field == "v"


def test_overrides_add_constraints_and_are_checked():
    n = np.arange(400)
    tables = visits(n % 50, n % 50 + 1, n, Range("low", "0"))
    declared = Schema((tables.single().schema,))
    more = SchemaOverrides(tables=(TableOverride(constraints=(Order("low", "high"), Range("low", "0"))),))
    inferred = infer(tables, declared, more)
    assert inferred.schema.tables[0].constraints == (Range("low", "0"), Order("low", "high"))
    assert infer(tables, inferred.schema).schema == inferred.schema
    wrong = SchemaOverrides(tables=(TableOverride(constraints=(Order("low", "absent"),)),))
    with pytest.raises(Problem) as refused:
        infer(tables, declared, wrong)
    assert refused.value.reason == "INVALID_SCHEMA"
    assert refused.value.violations[0].field == "v.absent"
