"""Rules for column names, and how a file's columns meet what was declared of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kohort.problem import Problem, Violation
from kohort.schema import Column, Storage, TableSchema

MAX_NAME = 256


@dataclass(frozen=True)
class Limits:
    """What one table may hold."""

    max_rows: int = 10_000_000
    max_columns: int = 2_000
    max_bytes: int = 16 << 30
    """Bytes of a table unpacked: compressed files can be far larger than they look."""

    def check_rows(self, table: str, rows: int) -> None:
        """Raises Problem LIMIT_EXCEEDED."""
        if rows > self.max_rows:
            raise Problem.at("LIMIT_EXCEEDED", table, f"more than {self.max_rows} rows")

    def check_bytes(self, table: str, size: int) -> None:
        """Raises Problem LIMIT_EXCEEDED."""
        if size > self.max_bytes:
            raise Problem.at("LIMIT_EXCEEDED", table, f"more than {self.max_bytes} bytes once unpacked")


def check_names(table: str, names: Sequence[str], limits: Limits) -> None:
    """Checks the column names of a file.

    Raises:
        Problem: EMPTY_TABLE, LIMIT_EXCEEDED, EMPTY_COLUMN_NAME,
            DUPLICATE_COLUMN or INVALID_SCHEMA; columns at fault are named by
            position where the name cannot be shown.
    """
    if not names:
        raise Problem.at("EMPTY_TABLE", table, "no columns")
    if len(names) > limits.max_columns:
        raise Problem.at(
            "LIMIT_EXCEEDED", table, f"{len(names)} columns, at most {limits.max_columns} are taken"
        )
    empty = [i for i, name in enumerate(names, 1) if not name.strip()]
    if empty:
        raise Problem(
            "EMPTY_COLUMN_NAME",
            f"{table}: column {empty[0]} has no name",
            violations=[Violation(f"{table}[{i}]", "has no name") for i in empty[:20]],
        )
    for i, name in enumerate(names, 1):
        if len(name) > MAX_NAME:
            raise Problem.at(
                "INVALID_SCHEMA",
                f"{table}[{i}]",
                f"the name of column {i} is longer than {MAX_NAME} characters",
            )
        if any(unicodedata.category(character) == "Cc" for character in name):
            raise Problem.at(
                "INVALID_SCHEMA", f"{table}[{i}]", f"the name of column {i} holds control characters"
            )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise Problem(
            "DUPLICATE_COLUMN",
            f"{table}: two columns are named {twice[0]}",
            violations=[Violation(f"{table}.{name}", "the name is used twice") for name in twice[:20]],
        )


def declared_columns(table: str, names: Sequence[str], declared: TableSchema | None) -> tuple[Column, ...]:
    """Per name of the file what was declared of it, or nothing.

    Raises:
        Problem: MISSING_COLUMN for declared columns that the file lacks,
            UNKNOWN_COLUMN for keys that name no column.
    """
    if declared is None:
        return tuple(Column(name) for name in names)
    known = {column.name: column for column in declared.columns}
    missing = [name for name in known if name not in set(names)]
    if missing:
        raise Problem(
            "MISSING_COLUMN",
            f"{table}: the file has no column {missing[0]}",
            violations=[
                Violation(f"{table}.{name}", "declared, but the file lacks it") for name in missing[:20]
            ],
        )
    check_keys(declared, names)
    return tuple(known.get(name, Column(name)) for name in names)


def check_keys(schema: TableSchema, names: Sequence[str]) -> None:
    """Raises Problem UNKNOWN_COLUMN when a key or time column of the table is none of `names`."""
    uses = {
        "primary_key": schema.primary_key,
        "subject_key": (schema.subject_key,) if schema.subject_key else (),
        "time_column": (schema.time_column,) if schema.time_column else (),
        "foreign_keys": tuple(name for key in schema.foreign_keys for name in key.columns),
    }
    for use, columns in uses.items():
        for name in columns:
            if name not in names:
                raise Problem.at(
                    "UNKNOWN_COLUMN", f"{schema.name}.{name}", f"named as {use}, but no such column"
                )


def table_schema(table: str, columns: Sequence[Column], declared: TableSchema | None) -> TableSchema:
    """The schema of a table as read: the columns with their keys as declared."""
    if declared is None:
        return TableSchema(table, tuple(columns))
    return replace(declared, name=table, columns=tuple(columns))


def stored(column: Column, storage: Storage, **changes: str | int) -> Column:
    """A column as it was read: with the storage it now has."""
    return replace(column, storage=storage, **changes)  # type: ignore[arg-type]
