"""Between `SampleRequest` messages and `SampleSpec`."""

from __future__ import annotations

from typing import Any

from kohort.columns import Batch, encode_dictionary_chunks, encode_record_batch
from kohort.conditions import Condition, PartialRows, Rebalancing
from kohort.decoding import Dictionaries, check_digest, decode_batch
from kohort.problem import Problem
from kohort.schema import Schema
from kohort.spec import MAX_ATTEMPTS, SampleSpec
from kohort.v1 import sampling_pb2, table_pb2


def sample_spec_from_proto(request: sampling_pb2.SampleRequest, schema: Schema, seed: int) -> SampleSpec:
    """What a request asks for, besides its range of units. `kohort.programs.check_spec` checks the rest.

    Args:
        request: `start_unit` is the unit of the first partial row.
        schema: the tables that the model emits.
        seed: the one in use.

    Raises:
        Problem: INVALID_REQUEST naming the field, UNKNOWN_TABLE, UNKNOWN_COLUMN, or as
            `kohort.wire.decode_batch` for partial rows.
    """
    spec = SampleSpec(
        seed=seed,
        conditions=tuple(_condition(message, i) for i, message in enumerate(request.conditions)),
        rebalancing=_rebalancing(request.rebalancing) if request.HasField("rebalancing") else None,
        partial=_partial(request, schema) if request.HasField("partial_rows") else None,
        temperature=request.temperature if request.HasField("temperature") else 1.0,
        top_p=request.top_p if request.HasField("top_p") else 1.0,
        max_attempts=request.max_attempts or MAX_ATTEMPTS,
    )
    spec.check()
    return spec


def sample_spec_to_proto(spec: SampleSpec, request: sampling_pb2.SampleRequest) -> None:
    """Writes what a spec asks for into a request; the seed and partial rows are the caller's."""
    for condition in spec.conditions:
        message = request.conditions.add(table=condition.table, column=condition.column)
        if condition.one_of is not None:
            message.one_of.values.extend(condition.one_of)
        if condition.is_null is not None:
            message.is_null = condition.is_null
        if condition.minimum is not None or condition.maximum is not None:
            message.range.CopyFrom(
                sampling_pb2.ValueRange(minimum=condition.minimum, maximum=condition.maximum)
            )
    if spec.rebalancing is not None:
        request.rebalancing.table, request.rebalancing.column = (
            spec.rebalancing.table,
            spec.rebalancing.column,
        )
        request.rebalancing.shares.update(spec.rebalancing.shares)
    if spec.temperature != 1.0:
        request.temperature = spec.temperature
    if spec.top_p != 1.0:
        request.top_p = spec.top_p
    if spec.max_attempts != MAX_ATTEMPTS:
        request.max_attempts = spec.max_attempts


def partial_rows_to_proto(partial: PartialRows) -> sampling_pb2.PartialRows:
    """The message of partial rows; they begin at the unit of the request."""
    message = sampling_pb2.PartialRows(columns=list(partial.arrays))
    for name, array in partial.arrays.items():
        if array.dictionary is not None:
            for chunk in encode_dictionary_chunks(partial.table, name, array.dictionary):
                message.dictionaries.append(table_pb2.Dictionary.FromString(chunk))
    encoded = encode_record_batch(Batch(partial.table, partial.arrays))
    message.batch.CopyFrom(table_pb2.RecordBatch.FromString(encoded))
    return message


def _condition(message: sampling_pb2.Condition, index: int) -> Condition:
    found: dict[str, Any] = {}
    match message.WhichOneof("test"):
        case "one_of":
            found["one_of"] = tuple(message.one_of.values)
        case "range":
            for name in ("minimum", "maximum"):
                if message.range.HasField(name):
                    found[name] = getattr(message.range, name)
        case "is_null":
            found["is_null"] = message.is_null
    if not found:
        raise Problem.at("INVALID_REQUEST", f"conditions[{index}]", "needs a test with a value or a bound")
    return Condition(message.column, table=message.table, **found)


def _rebalancing(message: sampling_pb2.Rebalancing) -> Rebalancing:
    # A map has no order on the wire; the draw needs one.
    return Rebalancing(message.column, tuple(sorted(message.shares.items())), message.table)


def _partial(request: sampling_pb2.SampleRequest, schema: Schema) -> PartialRows:
    message = request.partial_rows
    name = message.batch.table
    if not name and len(schema.tables) != 1:
        raise Problem.at("INVALID_REQUEST", "partial_rows.batch.table", "must name one of the tables")
    table = schema.table(name) if name else schema.tables[0]
    columns = [table.column(column) for column in message.columns]
    if not columns or len(set(message.columns)) != len(columns):
        raise Problem.at("INVALID_REQUEST", "partial_rows.columns", "must name each column once")
    if message.batch.row_count < 1:
        raise Problem.at("INVALID_REQUEST", "partial_rows.batch", "needs at least one row")
    if request.unit_count not in (0, message.batch.row_count):
        raise Problem.at("INVALID_REQUEST", "unit_count", "must be the number of partial rows, or 0")
    dictionaries = Dictionaries()
    for dictionary in message.dictionaries:
        chunk = table_pb2.Dictionary()
        chunk.CopyFrom(dictionary)
        chunk.table = table.name
        dictionaries.add(chunk)
    batch = decode_batch(message.batch, table, dictionaries, columns)
    if message.batch.digest:
        check_digest(batch, message.batch.digest)
    return PartialRows(batch.arrays, request.start_unit, table.name)
