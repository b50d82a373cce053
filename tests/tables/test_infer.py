"""Schemas of real tables are what a person would write down, and declared facts stand."""

from __future__ import annotations

import numpy as np
import pytest

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import (
    Column,
    ColumnOverride,
    Handling,
    Kind,
    Schema,
    SchemaOverrides,
    Storage,
    TableOverride,
    TableRole,
    TableSchema,
)
from tables.infer import Inferred, infer, physicalise_all
from tables.readers import read_file
from tables.tableset import Table, TableSet


@pytest.fixture
def real(data):
    def run(file, format="csv"):
        return TableSet({"t": read_file(data / file, format, "t")})

    return run


def one(values, name="a", storage=None, rows=200, **declared):
    """A table whose column `name` repeats values; strings become dictionary-coded."""
    cells = [values[i % len(values)] for i in range(rows)] if rows > len(values) else list(values)
    valid = [cell is not None for cell in cells]
    if any(isinstance(cell, str) for cell in cells):
        array = Array.make(Storage.STRING, [cell or "" for cell in cells], valid)
    else:
        wanted = storage or (
            Storage.INT64 if all(type(c) in (int, type(None)) for c in cells) else Storage.DOUBLE
        )
        array = Array.make(wanted, np.array([cell or 0 for cell in cells], wanted.dtype), valid)
    column = Column(name, storage=array.storage, **declared)
    return TableSet({"t": Table(TableSchema("t", (column,)), {name: array})})


def column_of(tables, **options):
    return infer(tables, **options).schema.tables[0].columns[0]


def kinds(inferred):
    return {c.name: c.kind for c in inferred.schema.tables[0].columns}


def test_heart(real):
    inferred = infer(real("heart.csv"))
    table = inferred.schema.tables[0]
    assert {c.name for c in table.columns if c.kind is Kind.INTEGER} == {"age", "trestbps", "chol", "thalach"}
    oldpeak = table.column("oldpeak")
    assert (oldpeak.kind, oldpeak.storage, oldpeak.scale) == (Kind.DECIMAL, Storage.DECIMAL, 1)
    labels = {"sex", "cp", "fbs", "restecg", "exang", "slope", "ca", "thal", "num"}
    assert {c.name for c in table.columns if c.kind is Kind.CATEGORY} == labels
    assert {c.storage for c in table.columns if c.name in labels} == {Storage.INT64}
    assert {c.name for c in table.columns if c.nullable} == {"ca", "thal"}
    assert {c.handling for c in table.columns} == {Handling.MODEL}
    assert [f.reason for f in inferred.findings] == ["NO_SUBJECT_KEY"]
    assert (table.subject_key, table.role) == ("", TableRole.STATIC)


def test_diabetes(real):
    inferred = infer(real("diabetes_130us_excerpt.csv"))
    table = inferred.schema.tables[0]
    assert table.subject_key == "patient_nbr"
    assert table.primary_key == ("encounter_id",)
    assert table.role is TableRole.EVENTS
    for name in ("patient_nbr", "encounter_id"):
        key = table.column(name)
        assert (key.kind, key.handling, key.handling_reason) == (
            Kind.ID,
            Handling.REGENERATE,
            "KEY_REGENERATED",
        )
    for name in ("diag_1", "diag_2", "diag_3"):
        assert (table.column(name).kind, table.column(name).vocabulary) == (Kind.CODE, "ICD-9-CM")
    known = kinds(inferred)
    assert known["admission_type_id"] is Kind.CATEGORY
    assert known["discharge_disposition_id"] is Kind.CATEGORY
    assert {known[n] for n in ("time_in_hospital", "num_medications", "number_diagnoses")} == {Kind.INTEGER}
    assert not table.column("A1Cresult").nullable  # its literal None is a finding of the laboratory
    assert (table.column("weight").handling, table.column("weight").handling_reason) == (
        Handling.DROP,
        "NEARLY_UNIQUE",
    )


def test_synthea(real):
    table = infer(real("synthea_encounters_excerpt.parquet", "parquet")).schema.tables[0]
    assert table.subject_key == "patient_id"
    assert {c.name for c in table.columns if c.kind is Kind.DATE} == {
        "birth_date",
        "visit_start_date",
        "visit_end_date",
    }
    assert table.column("age_at_visit").kind is Kind.INTEGER


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("heart.csv", "csv"),
        ("diabetes_130us_excerpt.csv", "csv"),
        ("synthea_encounters_excerpt.parquet", "parquet"),
    ],
)
def test_inferring_again_changes_nothing(real, file, format):
    raw = real(file, format)
    first = infer(raw)
    stored = physicalise_all(raw, first.schema)
    for array, column in zip(stored.single().arrays.values(), first.schema.tables[0].columns, strict=True):
        assert array.storage is column.storage
        assert (array.valid is not None) == column.nullable
    assert infer(stored) == first
    assert infer(raw, first.schema) == first
    assert Inferred.from_json(first.to_json()) == first


@pytest.mark.parametrize(
    ("values", "name", "kind", "storage"),
    [
        ([0, 1], "flag", Kind.CATEGORY, Storage.INT64),
        ([7], "constant", Kind.CATEGORY, Storage.INT64),
        ([0.0, 1.0, 2.0], "grade", Kind.CATEGORY, Storage.INT64),
        ([30, 31, 32], "age", Kind.INTEGER, Storage.INT64),
        (list(range(60)), "reading", Kind.INTEGER, Storage.INT64),
        ([0.5, 1.25], "dose", Kind.DECIMAL, Storage.DECIMAL),
        ([1 / 3, 2 / 3], "share", Kind.DECIMAL, Storage.DOUBLE),
        ([1e300, 5.0], "huge", Kind.DECIMAL, Storage.DOUBLE),
        ([73761001, 430193006, 428191000], "source_value", Kind.CATEGORY, Storage.INT64),
        ([8507, 8532], "gender_concept_id", Kind.CODE, Storage.INT64),
        (["2020-01-01", "2020-02-01"], "day", Kind.DATE, Storage.DATE),
        (["2020-01-01", "2020-02-01T10:00:00"], "at", Kind.DATETIME, Storage.DATETIME),
        (["I10", "E11.9", "N18.3"], "icd_code", Kind.CODE, Storage.STRING),
        (["a", "b", None], "group", Kind.CATEGORY, Storage.STRING),
        ([f"{i}-{i % 10}" for i in range(1000, 1030)], "test", Kind.CODE, Storage.STRING),
    ],
)
def test_kinds(values, name, kind, storage):
    column = column_of(one(values, name, rows=600))
    assert (column.kind, column.storage, column.handling) == (kind, storage, Handling.MODEL)


@pytest.mark.parametrize(
    ("values", "name", "kind", "handling", "reason"),
    [
        (range(200), "nr", Kind.ID, Handling.REGENERATE, "KEY_REGENERATED"),
        (range(0, 2000, 10), "patient_id", Kind.ID, Handling.REGENERATE, "KEY_REGENERATED"),
        (range(0, 2000, 10), "StayID", Kind.ID, Handling.REGENERATE, "KEY_REGENERATED"),
        ([f"{i:032x}" for i in range(200)], "token", Kind.ID, Handling.REGENERATE, "KEY_REGENERATED"),
        ([f"word{i}" for i in range(200)], "label", Kind.CATEGORY, Handling.DROP, "NEARLY_UNIQUE"),
        ([f"seen in clinic, case {i}" for i in range(200)], "note", Kind.TEXT, Handling.DROP, "FREE_TEXT"),
        ([None] * 200, "void", Kind.DECIMAL, Handling.DROP, "ALL_NULL"),
        ([None] * 197 + [1.5, 2.5, 3.5], "rare", Kind.DECIMAL, Handling.DROP, "NEARLY_UNIQUE"),
    ],
)
def test_what_is_not_learned_says_why(values, name, kind, handling, reason):
    tables = one(list(values), name, storage=Storage.DOUBLE if None in values else None)
    inferred = infer(tables)
    column = inferred.schema.tables[0].columns[0]
    assert (column.kind, column.handling, column.handling_reason) == (kind, handling, reason)
    assert (reason, name) in [(f.reason, f.column) for f in inferred.findings]


def test_single_precision_keeps_the_digits_that_were_meant():
    cells = np.array([0.1, 2.7, 35.35], dtype=np.float32).astype(np.float64)
    tables = one(cells.tolist(), "temp")
    column = column_of(tables)
    assert (column.storage, column.scale) == (Storage.DECIMAL, 2)
    stored = physicalise_all(tables, infer(tables).schema)
    assert stored.single().arrays["temp"].to_python()[:3] == [10, 270, 3535]


def test_nan_is_null():
    tables = one([1.0, float("nan"), 3.0], "a", storage=Storage.DOUBLE)
    column = column_of(tables)
    assert (column.storage, column.nullable) == (Storage.INT64, True)


def test_declared_kinds_and_handlings_stand():
    declared = Column("a", Kind.DECIMAL, handling=Handling.DROP, unit="mg", description="of a dose")
    column = column_of(one([1, 2]), declared=Schema((TableSchema("t", (declared,)),)))
    assert (column.kind, column.storage, column.handling) == (Kind.DECIMAL, Storage.DECIMAL, Handling.DROP)
    assert (column.unit, column.description, column.handling_reason) == ("mg", "of a dose", "")


def test_an_empty_declaration_declares_nothing():
    tables = one([1, 2, 3])
    assert infer(tables, Schema()) == infer(tables)
    with pytest.raises(Problem, match="UNKNOWN_TABLE"):
        infer(tables, Schema((TableSchema("u", ()),)))


def test_overrides_go_before_declarations():
    tables = one([1, 2, 3], kind=Kind.INTEGER)
    change = ColumnOverride("a", kind=Kind.ORDINAL, levels=("1", "2", "3"), handling=Handling.REGENERATE)
    column = column_of(tables, overrides=SchemaOverrides((change,)))
    assert (column.kind, column.levels, column.handling) == (
        Kind.ORDINAL,
        ("1", "2", "3"),
        Handling.REGENERATE,
    )


def test_an_override_undoes_what_the_server_decided():
    tables = one([f"word{i}" for i in range(200)], "label")
    dropped = infer(tables).schema
    assert dropped.tables[0].columns[0].handling is Handling.DROP
    change = SchemaOverrides((ColumnOverride("label", handling=Handling.MODEL),))
    column = infer(tables, dropped, change).schema.tables[0].columns[0]
    assert (column.handling, column.handling_reason) == (Handling.MODEL, "")


def test_a_subject_key_can_be_named_or_denied(real):
    raw = real("diabetes_130us_excerpt.csv")
    named = infer(raw, overrides=SchemaOverrides((), (TableOverride(subject_key="encounter_id"),)))
    assert named.schema.tables[0].subject_key == "encounter_id"
    assert named.schema.tables[0].role is TableRole.STATIC
    denied = infer(raw, overrides=SchemaOverrides((), (TableOverride(subject_key=""),)))
    assert denied.schema.tables[0].subject_key == ""
    assert "NO_SUBJECT_KEY" in [f.reason for f in denied.findings]


def test_rows_of_one_record_stay_together_without_a_patient_key():
    record = np.repeat(np.arange(100), 4)
    arrays = {
        "record_id": Array.make(Storage.INT64, record),
        "x": Array.make(Storage.INT64, np.arange(400) % 7),
    }
    schema = TableSchema("t", tuple(Column(n, storage=Storage.INT64) for n in arrays))
    assert infer(TableSet({"t": Table(schema, arrays)})).schema.tables[0].subject_key == "record_id"


def test_support_is_counted_in_patients_and_not_in_rows():
    person = np.repeat(np.arange(40), 10)
    labels = [f"word{p // 2}" for p in person]  # 20 rows each, and 2 patients
    arrays = {"person_id": Array.make(Storage.INT64, person), "label": Array.make(Storage.STRING, labels)}
    columns = (Column("person_id", storage=Storage.INT64), Column("label", storage=Storage.STRING))
    inferred = infer(TableSet({"t": Table(TableSchema("t", columns), arrays)}))
    assert inferred.schema.tables[0].column("label").handling_reason == "NEARLY_UNIQUE"


@pytest.mark.parametrize("storage", [Storage.DATE, Storage.BOOL, Storage.DECIMAL])
@pytest.mark.parametrize("declared", [{"kind": Kind.ID}, {"handling": Handling.REGENERATE}])
def test_only_whole_numbers_and_texts_can_be_keys(storage, declared):
    values = np.arange(200) % 2 if storage is Storage.BOOL else np.arange(200) * 3
    column = Column("a", storage=storage, scale=1, **declared)
    table = Table(TableSchema("t", (column,)), {"a": Array.make(storage, values.astype(storage.dtype))})
    with pytest.raises(Problem) as refused:
        infer(TableSet({"t": table}))
    assert refused.value.reason == "INVALID_SCHEMA"
    assert refused.value.violations[0].field == "t.a"


def test_whole_decimals_can_be_keys():
    column = Column("a", kind=Kind.ID, storage=Storage.DECIMAL, scale=2)
    array = Array.make(Storage.DECIMAL, np.arange(200) * 100)
    tables = TableSet({"t": Table(TableSchema("t", (column,)), {"a": array})})
    schema = infer(tables).schema
    assert schema.tables[0].columns[0].storage is Storage.INT64
    assert physicalise_all(tables, schema).single().arrays["a"].to_python() == list(range(200))
