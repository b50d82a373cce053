"""Schemas as plain values: what the contract's `schema.proto` says, without protobuf.

Names equal those of the contract (`COLUMN_KIND_INTEGER` is `Kind.INTEGER`);
`kohort.wire` converts. Everything is frozen and turns into JSON and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np

from kohort.problem import Problem
from kohort.rules import Constraint, constraint_from_json, constraint_to_json


class Kind(StrEnum):
    """What a column means (`ColumnKind`)."""

    UNSPECIFIED = "unspecified"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    CATEGORY = "category"
    ORDINAL = "ordinal"
    CODE = "code"
    DATE = "date"
    DATETIME = "datetime"
    DURATION = "duration"
    TEXT = "text"
    ID = "id"
    CODE_LIST = "code_list"


class Storage(StrEnum):
    """How the cells of a column are stored and travel (`Storage`)."""

    UNSPECIFIED = "unspecified"
    BOOL = "bool"
    INT64 = "int64"
    DOUBLE = "double"
    DECIMAL = "decimal"
    STRING = "string"
    DATE = "date"
    DATETIME = "datetime"
    DURATION = "duration"
    STRING_LIST = "string_list"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of the cells; for strings and lists that of dictionary indices."""
        return _DTYPES[self]


_DTYPES: Mapping[Storage, np.dtype[Any]] = {
    Storage.BOOL: np.dtype(np.bool_),
    Storage.INT64: np.dtype("<i8"),
    Storage.DOUBLE: np.dtype("<f8"),
    Storage.DECIMAL: np.dtype("<i8"),
    Storage.STRING: np.dtype("<u4"),
    Storage.DATE: np.dtype("<i4"),
    Storage.DATETIME: np.dtype("<i8"),
    Storage.DURATION: np.dtype("<i8"),
    Storage.STRING_LIST: np.dtype("<u4"),
}


class Handling(StrEnum):
    """What training does with a column (`Handling`)."""

    UNSPECIFIED = "unspecified"
    MODEL = "model"
    DROP = "drop"
    REGENERATE = "regenerate"


class TableRole(StrEnum):
    """What a table is among the tables of a dataset (`TableRole`)."""

    UNSPECIFIED = "unspecified"
    STATIC = "static"
    SERIES = "series"
    EVENTS = "events"


@dataclass(frozen=True)
class Column:
    """One column (`Column`); the contract documents each field."""

    name: str
    kind: Kind = Kind.UNSPECIFIED
    storage: Storage = Storage.UNSPECIFIED
    handling: Handling = Handling.UNSPECIFIED
    handling_reason: str = ""
    nullable: bool = True
    scale: int = 0
    time_zone: str = ""
    vocabulary: str = ""
    levels: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    description: str = ""
    source_dtype: str = ""
    fake: str = ""


@dataclass(frozen=True)
class ForeignKey:
    """A reference to the key of another table (`ForeignKey`)."""

    columns: tuple[str, ...]
    table: str
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True)
class TableSchema:
    """One table (`TableSchema`)."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    subject_key: str = ""
    time_column: str = ""
    role: TableRole = TableRole.UNSPECIFIED
    constraints: tuple[Constraint, ...] = ()

    def column(self, name: str) -> Column:
        """The column of that name. Raises Problem UNKNOWN_COLUMN."""
        for column in self.columns:
            if column.name == name:
                return column
        raise Problem.at("UNKNOWN_COLUMN", f"{self.name}.{name}", "the table has no such column")

    @property
    def emitted(self) -> tuple[Column, ...]:
        """The columns a generator emits: all that are not dropped."""
        return tuple(c for c in self.columns if c.handling is not Handling.DROP)

    def with_columns(self, columns: tuple[Column, ...]) -> TableSchema:
        """This table with other columns."""
        return replace(self, columns=columns)


@dataclass(frozen=True)
class Schema:
    """The tables of a dataset (`Schema`)."""

    tables: tuple[TableSchema, ...] = ()

    def __iter__(self) -> Iterator[TableSchema]:
        return iter(self.tables)

    def table(self, name: str) -> TableSchema:
        """The table of that name. Raises Problem UNKNOWN_TABLE."""
        for table in self.tables:
            if table.name == name:
                return table
        raise Problem.at("UNKNOWN_TABLE", name, "the schema has no such table")

    def to_json(self) -> dict[str, Any]:
        """A JSON value; unset fields are left out."""
        return {"tables": [_to_json(t) for t in self.tables]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schema:
        """The inverse of `to_json`. Raises Problem INVALID_SCHEMA on anything else."""
        try:
            return cls(tuple(_table(t) for t in value["tables"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Problem("INVALID_SCHEMA", "the schema is not of the documented shape") from error


@dataclass(frozen=True)
class Finding:
    """Something a person should know about a schema or a job (`Finding`)."""

    reason: str
    message: str
    table: str = ""
    column: str = ""

    def to_json(self) -> dict[str, str]:
        """A JSON value."""
        return {"reason": self.reason, "message": self.message, "table": self.table, "column": self.column}


@dataclass(frozen=True)
class ColumnOverride:
    """A change to one column (`ColumnOverride`)."""

    column: str
    table: str = ""
    kind: Kind = Kind.UNSPECIFIED
    handling: Handling = Handling.UNSPECIFIED
    acknowledge_identifier: bool = False
    vocabulary: str = ""
    levels: tuple[str, ...] = ()
    fake: str = ""


@dataclass(frozen=True)
class TableOverride:
    """A change to one table (`TableOverride`); None leaves a field as it is."""

    table: str = ""
    subject_key: str | None = None
    time_column: str | None = None
    constraints: tuple[Constraint, ...] = ()
    """Added to those that the table has."""


@dataclass(frozen=True)
class SchemaOverrides:
    """Changes to a schema, applied before training (`SchemaOverrides`)."""

    columns: tuple[ColumnOverride, ...] = ()
    tables: tuple[TableOverride, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A JSON value; unset fields are left out."""
        return {
            "columns": [_to_json(c) for c in self.columns],
            "tables": [_to_json(t) for t in self.tables],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SchemaOverrides:
        """The inverse of `to_json`."""
        return cls(
            tuple(
                ColumnOverride(
                    **{
                        **c,
                        "kind": Kind(c.get("kind", "unspecified")),
                        "handling": Handling(c.get("handling", "unspecified")),
                        "levels": tuple(c.get("levels", ())),
                    }
                )
                for c in value.get("columns", ())
            ),
            tuple(TableOverride(**{**t, "constraints": _constraints(t)}) for t in value.get("tables", ())),
        )


def _to_json(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_to_json(v) for v in value]
    if isinstance(value, Constraint):
        return constraint_to_json(value)
    if hasattr(value, "__dataclass_fields__"):
        return {
            f.name: _to_json(getattr(value, f.name))
            for f in fields(value)
            if getattr(value, f.name) != f.default
        }
    return value.value if isinstance(value, StrEnum) else value


def _column(value: Mapping[str, Any]) -> Column:
    known = dict(value)
    for name, enum in (("kind", Kind), ("storage", Storage), ("handling", Handling)):
        if name in known:
            known[name] = enum(known[name])
    known["levels"] = tuple(value.get("levels", ()))
    return Column(**known)


def _table(value: Mapping[str, Any]) -> TableSchema:
    known = dict(value)
    known["columns"] = tuple(_column(c) for c in value["columns"])
    known["primary_key"] = tuple(value.get("primary_key", ()))
    known["foreign_keys"] = tuple(
        ForeignKey(tuple(k["columns"]), k["table"], tuple(k["referenced_columns"]))
        for k in value.get("foreign_keys", ())
    )
    known["role"] = TableRole(value.get("role", "unspecified"))
    known["constraints"] = _constraints(value)
    return TableSchema(**known)


def _constraints(value: Mapping[str, Any]) -> tuple[Constraint, ...]:
    return tuple(constraint_from_json(entry) for entry in value.get("constraints", ()))
