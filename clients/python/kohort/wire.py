"""Between protobuf messages and plain values: schemas, overrides, findings, times, rows.

The server and the SDK both read the wire through this module. Rows are decoded
in `kohort.decoding` and encoded, without protobuf, in `kohort.columns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from kohort.decoding import Dictionaries, check_digest, decode_batch
from kohort.rulewire import constraints_from_proto, constraints_to_proto
from kohort.schema import (
    Column,
    ColumnOverride,
    Finding,
    ForeignKey,
    Handling,
    Kind,
    Schema,
    SchemaOverrides,
    Storage,
    TableOverride,
    TableRole,
    TableSchema,
)
from kohort.specwire import partial_rows_to_proto, sample_spec_from_proto, sample_spec_to_proto
from kohort.v1 import schema_pb2

__all__ = [
    "Dictionaries",
    "EnumMap",
    "check_digest",
    "column_from_proto",
    "column_to_proto",
    "decode_batch",
    "duration_from_proto",
    "duration_to_proto",
    "finding_from_proto",
    "finding_to_proto",
    "overrides_from_proto",
    "overrides_to_proto",
    "partial_rows_to_proto",
    "sample_spec_from_proto",
    "sample_spec_to_proto",
    "schema_from_proto",
    "schema_to_proto",
    "struct_from_proto",
    "struct_to_proto",
    "table_from_proto",
    "table_to_proto",
    "timestamp_from_proto",
    "timestamp_to_proto",
    "value_from_proto",
]

E = TypeVar("E", bound=StrEnum)


class EnumMap(Generic[E]):
    """Values of a `StrEnum` and of the protobuf enum whose names are its own, upper-case, with a prefix."""

    def __init__(self, plain: type[E], proto: Any, prefix: str) -> None:
        self._unspecified = plain("unspecified")
        self._to: dict[E, int] = {v: proto.Value(prefix + v.name) for v in plain}
        self._from: dict[int, E] = {number: v for v, number in self._to.items()}

    def to(self, value: E) -> Any:
        """The number of a value."""
        return self._to[value]

    def read(self, number: int) -> E:
        """The value of a number."""
        # The contract: a value one does not know counts as unspecified.
        return self._from.get(number, self._unspecified)


KINDS = EnumMap(Kind, schema_pb2.ColumnKind, "COLUMN_KIND_")
STORAGES = EnumMap(Storage, schema_pb2.Storage, "STORAGE_")
HANDLINGS = EnumMap(Handling, schema_pb2.Handling, "HANDLING_")
ROLES = EnumMap(TableRole, schema_pb2.TableRole, "TABLE_ROLE_")


# Schemas


def column_to_proto(column: Column) -> schema_pb2.Column:
    """The message of a column."""
    return schema_pb2.Column(
        name=column.name,
        kind=KINDS.to(column.kind),
        storage=STORAGES.to(column.storage),
        handling=HANDLINGS.to(column.handling),
        handling_reason=column.handling_reason,
        nullable=column.nullable,
        scale=column.scale,
        time_zone=column.time_zone,
        vocabulary=column.vocabulary,
        levels=column.levels,
        minimum=column.minimum,
        maximum=column.maximum,
        unit=column.unit,
        description=column.description,
        source_dtype=column.source_dtype,
        fake=column.fake,
    )


def column_from_proto(message: schema_pb2.Column) -> Column:
    """A column of its message."""
    return Column(
        name=message.name,
        kind=KINDS.read(message.kind),
        storage=STORAGES.read(message.storage),
        handling=HANDLINGS.read(message.handling),
        handling_reason=message.handling_reason,
        nullable=message.nullable,
        scale=message.scale,
        time_zone=message.time_zone,
        vocabulary=message.vocabulary,
        levels=tuple(message.levels),
        minimum=message.minimum if message.HasField("minimum") else None,
        maximum=message.maximum if message.HasField("maximum") else None,
        unit=message.unit,
        description=message.description,
        source_dtype=message.source_dtype,
        fake=message.fake,
    )


def table_to_proto(table: TableSchema) -> schema_pb2.TableSchema:
    """The message of a table's schema."""
    return schema_pb2.TableSchema(
        name=table.name,
        columns=[column_to_proto(c) for c in table.columns],
        primary_key=table.primary_key,
        foreign_keys=[
            schema_pb2.ForeignKey(columns=k.columns, table=k.table, referenced_columns=k.referenced_columns)
            for k in table.foreign_keys
        ],
        subject_key=table.subject_key,
        time_column=table.time_column,
        role=ROLES.to(table.role),
        constraints=constraints_to_proto(table.constraints),
    )


def table_from_proto(message: schema_pb2.TableSchema) -> TableSchema:
    """A table's schema of its message."""
    return TableSchema(
        name=message.name,
        columns=tuple(column_from_proto(c) for c in message.columns),
        primary_key=tuple(message.primary_key),
        foreign_keys=tuple(
            ForeignKey(tuple(k.columns), k.table, tuple(k.referenced_columns)) for k in message.foreign_keys
        ),
        subject_key=message.subject_key,
        time_column=message.time_column,
        role=ROLES.read(message.role),
        constraints=constraints_from_proto(message.constraints),
    )


def schema_to_proto(schema: Schema) -> schema_pb2.Schema:
    """The message of a schema."""
    return schema_pb2.Schema(tables=[table_to_proto(t) for t in schema.tables])


def schema_from_proto(message: schema_pb2.Schema) -> Schema:
    """A schema of its message; unknown enum values become UNSPECIFIED. Checks nothing."""
    return Schema(tuple(table_from_proto(t) for t in message.tables))


def overrides_to_proto(overrides: SchemaOverrides) -> schema_pb2.SchemaOverrides:
    """The message of schema overrides."""
    return schema_pb2.SchemaOverrides(
        columns=[
            schema_pb2.ColumnOverride(
                table=c.table,
                column=c.column,
                kind=KINDS.to(c.kind),
                handling=HANDLINGS.to(c.handling),
                acknowledge_identifier=c.acknowledge_identifier,
                vocabulary=c.vocabulary,
                levels=c.levels,
                fake=c.fake,
            )
            for c in overrides.columns
        ],
        tables=[
            schema_pb2.TableOverride(
                table=t.table,
                subject_key=t.subject_key,
                time_column=t.time_column,
                constraints=constraints_to_proto(t.constraints),
            )
            for t in overrides.tables
        ],
    )


def overrides_from_proto(message: schema_pb2.SchemaOverrides) -> SchemaOverrides:
    """Schema overrides of their message."""
    return SchemaOverrides(
        columns=tuple(
            ColumnOverride(
                column=c.column,
                table=c.table,
                kind=KINDS.read(c.kind),
                handling=HANDLINGS.read(c.handling),
                acknowledge_identifier=c.acknowledge_identifier,
                vocabulary=c.vocabulary,
                levels=tuple(c.levels),
                fake=c.fake,
            )
            for c in message.columns
        ),
        tables=tuple(
            TableOverride(
                table=t.table,
                subject_key=t.subject_key if t.HasField("subject_key") else None,
                time_column=t.time_column if t.HasField("time_column") else None,
                constraints=constraints_from_proto(t.constraints),
            )
            for t in message.tables
        ),
    )


def finding_to_proto(finding: Finding) -> schema_pb2.Finding:
    """The message of a finding."""
    return schema_pb2.Finding(
        reason=finding.reason, table=finding.table, column=finding.column, message=finding.message
    )


def finding_from_proto(message: schema_pb2.Finding) -> Finding:
    """A finding of its message."""
    return Finding(message.reason, message.message, message.table, message.column)


# Well-known types


def timestamp_to_proto(moment: float | datetime) -> timestamp_pb2.Timestamp:
    """The message of a moment: Unix seconds, or a datetime (without a zone: UTC). To the microsecond."""
    if isinstance(moment, datetime):
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    else:
        moment = datetime.fromtimestamp(moment, UTC)
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def timestamp_from_proto(message: timestamp_pb2.Timestamp) -> datetime:
    """The moment in UTC."""
    moment: datetime = message.ToDatetime(tzinfo=UTC)
    return moment


def duration_to_proto(length: float | timedelta) -> duration_pb2.Duration:
    """The message of a length of time: seconds, or a timedelta."""
    duration = duration_pb2.Duration()
    duration.FromTimedelta(length if isinstance(length, timedelta) else timedelta(seconds=length))
    return duration


def duration_from_proto(message: duration_pb2.Duration) -> float:
    """Seconds."""
    return message.seconds + message.nanos * 1e-9


def struct_to_proto(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A Struct of a mapping of numbers, strings, booleans, None and lists of those."""
    struct = struct_pb2.Struct()
    struct.update({k: _plain(v) for k, v in values.items()})
    return struct


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    # Numbers of numpy become Python's.
    return value.item() if isinstance(value, np.generic) else value


def struct_from_proto(message: struct_pb2.Struct) -> dict[str, Any]:
    """The mapping of a Struct; whole numbers come back as int, since a Struct knows only doubles."""
    return {k: value_from_proto(v) for k, v in message.fields.items()}


def value_from_proto(message: struct_pb2.Value) -> Any:
    """The plain value of a Value."""
    match message.WhichOneof("kind"):
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case "list_value":
            return [value_from_proto(v) for v in message.list_value.values]
        case "struct_value":
            return struct_from_proto(message.struct_value)
        case _:
            return None
