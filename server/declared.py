"""What a client declares of its tables, against the limits that schema.proto documents."""

from __future__ import annotations

import math
import re
from collections import Counter
from zoneinfo import available_timezones

from kohort.problem import Problem
from kohort.schema import Column, Schema, Storage, TableSchema
from server.validation import Checks

MAX_TABLES = 64
MAX_SCALE = 12
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def check_declared(schema: Schema, max_columns: int, *, complete: bool) -> None:
    """Checks a declared schema.

    Args:
        schema: as it came.
        max_columns: of one table.
        complete: whether every table MUST have its columns, each with its storage.

    Raises:
        Problem: INVALID_SCHEMA, EMPTY_COLUMN_NAME, DUPLICATE_COLUMN, LIMIT_EXCEEDED.
    """
    checks = Checks("INVALID_SCHEMA")
    checks.require(len(schema.tables) <= MAX_TABLES, "schema.tables", f"at most {MAX_TABLES}")
    if complete:
        checks.require(bool(schema.tables), "schema.tables", "must name every table with its columns")
    repeated = [name for name, count in Counter(t.name for t in schema).items() if count > 1]
    checks.require(not repeated, "schema.tables", "two tables have one name")
    for index, table in enumerate(schema.tables[:MAX_TABLES]):
        _check_table(checks, table, f"schema.tables[{index}]", schema, max_columns, complete)
    checks.done()


def check_table_name(name: str, field: str) -> None:
    """Raises Problem INVALID_SCHEMA for a name that no table may have."""
    if not _TABLE_NAME.fullmatch(name):
        raise Problem.at("INVALID_SCHEMA", field, "1 to 128 characters of [A-Za-z0-9_.-]")


def _check_table(
    checks: Checks, table: TableSchema, where: str, schema: Schema, max_columns: int, complete: bool
) -> None:
    named = _TABLE_NAME.fullmatch(table.name) is not None
    checks.require(named, f"{where}.name", "1 to 128 characters of [A-Za-z0-9_.-]")
    if len(table.columns) > max_columns:
        raise Problem.at("LIMIT_EXCEEDED", f"{where}.columns", f"at most {max_columns} columns")
    if complete:
        checks.require(bool(table.columns), f"{where}.columns", "must name every column with its storage")
    names = [column.name for column in table.columns]
    for index, column in enumerate(table.columns):
        if not column.name.strip():
            raise Problem.at("EMPTY_COLUMN_NAME", f"{where}.columns[{index}].name", "must not be empty")
    for name, count in Counter(names).items():
        if count > 1:
            first = names.index(name)
            raise Problem.at("DUPLICATE_COLUMN", f"{where}.columns[{first}].name", "is there twice")
    for index, column in enumerate(table.columns):
        _check_column(checks, column, f"{where}.columns[{index}]", complete)
    known = set(names)
    for field, columns in (
        ("primary_key", table.primary_key),
        ("subject_key", (table.subject_key,) if table.subject_key else ()),
        ("time_column", (table.time_column,) if table.time_column else ()),
    ):
        # Of a file not every column need be declared: reading it tells.
        fits = not complete or known.issuperset(columns)
        checks.require(fits, f"{where}.{field}", "names a column that the table does not have")
    for index, key in enumerate(table.foreign_keys):
        at = f"{where}.foreign_keys[{index}]"
        checks.require(1 <= len(key.columns) <= 8, f"{at}.columns", "1 to 8 columns")
        checks.require(
            len(key.columns) == len(key.referenced_columns),
            f"{at}.referenced_columns",
            "must be as many as columns",
        )
        checks.require(
            key.table in {t.name for t in schema},
            f"{at}.table",
            "names a table that the schema does not have",
        )


def _check_column(checks: Checks, column: Column, where: str, complete: bool) -> None:
    fits = len(column.name) <= 256 and column.name.isprintable()
    checks.require(fits, f"{where}.name", "1 to 256 characters, none of them a control character")
    checks.require(0 <= column.scale <= MAX_SCALE, f"{where}.scale", f"0 to {MAX_SCALE}")
    if complete:
        declared = column.storage is not Storage.UNSPECIFIED
        checks.require(declared, f"{where}.storage", "must be declared")
    zone = column.time_zone
    checks.require(not zone or zone in _zones(), f"{where}.time_zone", "must be an IANA zone name")
    for bound in ("minimum", "maximum"):
        value = getattr(column, bound)
        checks.require(value is None or math.isfinite(value), f"{where}.{bound}", "must be finite")
    if column.minimum is not None and column.maximum is not None:
        checks.require(column.minimum <= column.maximum, f"{where}.minimum", "must not exceed maximum")
    distinct = len(set(column.levels)) == len(column.levels)
    checks.require(distinct, f"{where}.levels", "two levels are equal")


_ZONES: set[str] = set()


def _zones() -> set[str]:
    if not _ZONES:
        _ZONES.update(available_timezones(), ("UTC",))
    return _ZONES
