"""The complete schema that training uses: declared where declared, inferred elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kohort.constraints import check_constraints
from kohort.problem import Problem
from kohort.schema import (
    Column,
    ColumnOverride,
    Finding,
    Handling,
    Kind,
    Schema,
    SchemaOverrides,
    TableOverride,
    TableRole,
    TableSchema,
)
from tables import names
from tables.decide import Declared, decide
from tables.facts import Facts
from tables.headers import check_keys
from tables.identifiers import check_trainable
from tables.physical import normalised, physicalise
from tables.statistics import patient_count
from tables.tableset import Table, TableSet

__all__ = ["Inferred", "check_trainable", "infer", "physicalise", "physicalise_all"]


@dataclass(frozen=True)
class Inferred:
    """A complete schema and what a person should know of it."""

    schema: Schema
    findings: tuple[Finding, ...]

    @property
    def unacknowledged(self) -> tuple[Finding, ...]:
        """Likely direct identifiers that are to be learned and that nobody acknowledged."""
        return tuple(f for f in self.findings if f.reason == "IDENTIFIER_UNACKNOWLEDGED")

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"schema": self.schema.to_json(), "findings": [f.to_json() for f in self.findings]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Inferred:
        """The inverse of `to_json`."""
        return cls(Schema.from_json(value["schema"]), tuple(Finding(**f) for f in value["findings"]))


def infer(
    tableset: TableSet,
    declared: Schema | None = None,
    overrides: SchemaOverrides | None = None,
    min_patients: int = 5,
) -> Inferred:
    """The schema that training would use of these tables.

    What `declared` (by default the tables' own schema) leaves unset is
    inferred; `overrides` go before both. Whether cells may be null is always
    read from the cells. Given a schema that it returned, it returns the same.

    Raises:
        Problem: UNKNOWN_TABLE, UNKNOWN_COLUMN or MISSING_COLUMN when schemas
            and tables differ, INVALID_SCHEMA when a schema contradicts itself.
    """
    changes = overrides or SchemaOverrides()
    columns, tables = _addressed(tableset, changes)
    told = {table.name: table for table in declared or ()}
    for name in told:
        if name not in tableset.tables:
            raise Problem.at("UNKNOWN_TABLE", name, "declared, but the dataset has no such table")
    schemas = []
    findings: list[Finding] = []
    for table in map(normalised, tableset):
        own = table.schema
        if own.name in told:
            own = _merged(own, told[own.name])
        schema, found = _infer_table(table, own, columns, tables.get(own.name), min_patients)
        schemas.append(schema)
        findings += found
    complete = Schema(tuple(schemas))
    _check_references(complete)
    for schema in complete:
        check_constraints(schema)
    return Inferred(complete, tuple(findings))


def physicalise_all(tableset: TableSet, schema: Schema) -> TableSet:
    """Every table with exactly the storage of the schema; see `physicalise`."""
    return TableSet({t.schema.name: physicalise(t, schema.table(t.schema.name)) for t in tableset})


def _addressed(
    tableset: TableSet, overrides: SchemaOverrides
) -> tuple[dict[tuple[str, str], ColumnOverride], dict[str, TableOverride]]:
    """Overrides by table and column. Raises Problem for those that name nothing, or the same thing twice."""
    columns: dict[tuple[str, str], ColumnOverride] = {}
    for i, change in enumerate(overrides.columns):
        table = _table_named(tableset, change.table, f"schema_overrides.columns[{i}].table")
        tableset.tables[table].schema.column(change.column)
        if (table, change.column) in columns:
            raise Problem.at("INVALID_SCHEMA", f"{table}.{change.column}", "overridden twice")
        columns[table, change.column] = change
    tables: dict[str, TableOverride] = {}
    for i, override in enumerate(overrides.tables):
        table = _table_named(tableset, override.table, f"schema_overrides.tables[{i}].table")
        if table in tables:
            raise Problem.at("INVALID_SCHEMA", table, "overridden twice")
        tables[table] = override
    return columns, tables


def _table_named(tableset: TableSet, name: str, field: str) -> str:
    if not name and len(tableset.tables) == 1:
        return next(iter(tableset.tables))
    if not name:
        raise Problem.at("INVALID_SCHEMA", field, "must name one of the dataset's tables")
    if name not in tableset.tables:
        raise Problem.at("UNKNOWN_TABLE", name, "the dataset has no such table")
    return name


def _merged(own: TableSchema, declared: TableSchema) -> TableSchema:
    """What is declared, put over what reading told; columns in the table's order."""
    known = {column.name: column for column in declared.columns}
    have = {column.name for column in own.columns}
    for name in known:
        if name not in have:
            raise Problem.at("MISSING_COLUMN", f"{own.name}.{name}", "declared, but the table lacks it")
    columns = []
    for column in own.columns:
        told = known.get(column.name, column)
        columns.append(
            replace(
                told,
                storage=column.storage,
                scale=column.scale or told.scale,
                time_zone=told.time_zone or column.time_zone,
            )
        )
    return replace(declared, columns=tuple(columns))


def _infer_table(
    table: Table,
    schema: TableSchema,
    overrides: Mapping[tuple[str, str], ColumnOverride],
    change: TableOverride | None,
    min_patients: int,
) -> tuple[TableSchema, list[Finding]]:
    if change is not None and change.subject_key is not None:
        schema = replace(schema, subject_key=change.subject_key)
    elif not schema.subject_key:
        schema = replace(schema, subject_key=_subject_key(table, schema, overrides))
    if change is not None and change.time_column is not None:
        schema = replace(schema, time_column=change.time_column)
    if change is not None:
        more = (rule for rule in change.constraints if rule not in schema.constraints)
        schema = replace(schema, constraints=(*schema.constraints, *dict.fromkeys(more)))
    check_keys(schema, [column.name for column in schema.columns])
    subjects = Table(schema, table.arrays).subjects()
    keys = {schema.subject_key, *(schema.primary_key if len(schema.primary_key) == 1 else ())}
    columns = []
    findings = []
    unique_keys = []
    for column in schema.columns:
        override = overrides.get((schema.name, column.name))
        facts = Facts(table.arrays[column.name], subjects, min_patients)
        declared = Declared(
            _overridden(column, override),
            column.name in keys,
            override is not None and override.acknowledge_identifier,
        )
        done, finding = decide(schema.name, declared, facts)
        columns.append(done)
        findings += [finding] if finding else []
        if done.kind is Kind.ID and done.handling is Handling.REGENERATE and facts.unique and not done.fake:
            unique_keys.append(done.name)
    repeated = bool(schema.subject_key) and patient_count(subjects) < table.num_rows
    role = schema.role
    if role is TableRole.UNSPECIFIED:
        role = TableRole.EVENTS if repeated else TableRole.STATIC
    schema = replace(
        schema, columns=tuple(columns), primary_key=schema.primary_key or tuple(unique_keys[:1]), role=role
    )
    if not schema.subject_key:
        findings.append(
            Finding("NO_SUBJECT_KEY", "no subject key: every row counts as a patient", schema.name)
        )
    return schema, findings


def _subject_key(
    table: Table, schema: TableSchema, overrides: Mapping[tuple[str, str], ColumnOverride]
) -> str:
    """The column that a person would take for the patient's key, or "".

    A key named after patients; without one, a key of stays or records that
    repeats, since rows of one record must not be torn apart.
    """
    alone = np.arange(table.num_rows, dtype=np.int64)
    records: list[tuple[int, str]] = []
    for column in schema.columns:
        override = overrides.get((schema.name, column.name))
        kind = _overridden(column, override).kind
        patient, record = names.is_patient_key(column.name), names.is_record_key(column.name)
        if kind not in (Kind.UNSPECIFIED, Kind.ID) or not (patient or record):
            continue
        facts = Facts(table.arrays[column.name], alone, 1)
        if kind is Kind.UNSPECIFIED:
            kind = decide(schema.name, Declared(Column(column.name), False, True), facts)[0].kind
        if kind is Kind.ID and patient:
            return column.name
        if kind is Kind.ID and facts.distinct < facts.present:
            records.append((facts.distinct, column.name))
    return min(records)[1] if records else ""


def _overridden(column: Column, override: ColumnOverride | None) -> Column:
    if override is None:
        return column
    if override.kind is not Kind.UNSPECIFIED:
        column = replace(column, kind=override.kind, handling_reason="")
        if override.handling is Handling.UNSPECIFIED:
            column = replace(column, handling=Handling.UNSPECIFIED)
    if override.handling is not Handling.UNSPECIFIED:
        column = replace(column, handling=override.handling, handling_reason="", fake="")
    if override.fake:
        asked = Handling.REGENERATE if override.handling is Handling.UNSPECIFIED else override.handling
        column = replace(column, handling=asked, handling_reason="", fake=override.fake)
    if override.vocabulary:
        column = replace(column, vocabulary=override.vocabulary)
    return replace(column, levels=override.levels) if override.levels else column


def _check_references(schema: Schema) -> None:
    for table in schema:
        for key in table.foreign_keys:
            target = schema.table(key.table)
            if len(key.columns) != len(key.referenced_columns):
                raise Problem.at(
                    "INVALID_SCHEMA", table.name, "a foreign key pairs columns of unequal number"
                )
            for name in key.referenced_columns:
                target.column(name)
