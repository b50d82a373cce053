"""A stream with everything that travels badly, written cell by cell with the generated messages.

Nothing here uses `kohort.columns`: encoding and digest are the contract's text
once more, in the plainest Python, so that they can disagree with the real ones.
"""

import hashlib
import struct
from collections.abc import Iterator
from datetime import date, datetime
from itertools import cycle, islice
from typing import Any

from canonical import column_texts

from kohort.schema import Column, Kind, Schema, Storage, TableSchema
from kohort.v1 import sampling_pb2, table_pb2
from kohort.wire import schema_to_proto

UNITS = 2600
UNITS_PER_BATCH = 997  # no multiple of 8: validity bitmaps end within a byte
STRINGS_PER_CHUNK = 3000
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
EPOCH = datetime(1970, 1, 1)

WARDS = (
    "",
    "Ward A",
    "Zürich – Öst",
    "日本語",
    "👩🏽‍⚕️",
    "e\u0301",
    'a"b\\c',
    "line\nbreak\ttab\r",
    "nul\0",
    "\u2028 \ufeff",
)
CODES = tuple(f"C{i:05d}" for i in range(10_000))
DRUGS = ("aspirin", "", "naïve", "δ")


def _days(*dates: date) -> list[int]:
    return [(day - EPOCH.date()).days for day in dates]


def _micros(*moments: datetime) -> list[int]:
    spans = [moment - EPOCH for moment in moments]
    return [(span.days * 86_400 + span.seconds) * 10**6 + span.microseconds for span in spans]


# Column, cells (repeated to the number of rows), dictionary. A string column without one travels as it is.
_DATES = _days(date(1, 1, 1), date(1582, 10, 4), date(2795, 2, 28), date(9999, 12, 31))
_TIMES = _micros(
    datetime(1, 1, 1),
    datetime(1969, 12, 31, 23, 59, 59, 1),
    datetime(2262, 4, 12),
    datetime(2795, 6, 30, 23, 59, 59, 999_999),
)
_PATIENTS: list[tuple[Column, list[Any], tuple[str, ...] | None]] = [
    (Column("id", Kind.ID, Storage.STRING, nullable=False), [f"syn-{i:06d}" for i in range(UNITS)], None),
    (Column("alive", Kind.BOOLEAN, Storage.BOOL), [True, None, False], None),
    (Column("seen", Kind.BOOLEAN, Storage.BOOL, nullable=False), [True, False], None),
    (Column("count", Kind.INTEGER, Storage.INT64), [0, -1, LARGEST, SMALLEST, 2**53 + 1, None], None),
    (
        Column("ratio", Kind.DECIMAL, Storage.DOUBLE),
        [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308, 0.1, None],
        None,
    ),
    (Column("dose", Kind.DECIMAL, Storage.DECIMAL, scale=2), [0, -1, 5, -250, LARGEST, SMALLEST, None], None),
    (Column("whole", Kind.DECIMAL, Storage.DECIMAL, scale=0), [7, -7, SMALLEST], None),
    (Column("trace", Kind.DECIMAL, Storage.DECIMAL, scale=12), [1, -(10**12), LARGEST, None], None),
    (Column("born", Kind.DATE, Storage.DATE), [0, -1, None, *_DATES], None),
    (Column("local", Kind.DATETIME, Storage.DATETIME), [0, -1, *_TIMES, None], None),
    (Column("moment", Kind.DATETIME, Storage.DATETIME, time_zone="Europe/Zurich"), [None, *_TIMES], None),
    (Column("stay", Kind.DURATION, Storage.DURATION), [0, 1, -90_000_001, LARGEST, SMALLEST, None], None),
    (Column("ward", Kind.CATEGORY, Storage.STRING), [*WARDS, None], WARDS),
    (Column("code", Kind.CODE, Storage.STRING), [CODES[i * 7 % 10_000] for i in range(UNITS)], CODES),
    (Column("remark", Kind.CATEGORY, Storage.STRING), ["", None, "ü" * 70, *WARDS], None),
    (Column("never", Kind.CATEGORY, Storage.STRING), [None], ()),
    (
        Column("drugs", Kind.CODE_LIST, Storage.STRING_LIST),
        [[], None, ["aspirin"], ["δ", "", "naïve", "δ"], ["naïve"] * 40],
        DRUGS,
    ),
    (Column("grade", Kind.ORDINAL, Storage.INT64), [3, 1, None, 2], None),
    (Column("unit", Kind.CATEGORY, Storage.INT64), [None, -1, LARGEST], None),
    (Column("note", Kind.TEXT, Storage.STRING), ["", "ß" * 5000, None, *WARDS], None),
]
_VISITS: list[tuple[Column, list[Any], tuple[str, ...] | None]] = [
    (Column("at", Kind.DATETIME, Storage.DATETIME, nullable=False), [*_TIMES, 12_345], None),
    (Column("code", Kind.CODE, Storage.STRING), [None, *CODES[:50]], CODES),
]

SCHEMA = Schema(
    (
        TableSchema("patients", tuple(column for column, _, _ in _PATIENTS), subject_key="id"),
        TableSchema("visits", tuple(column for column, _, _ in _VISITS)),
    )
)
DICTIONARIES = {
    (table, column.name): strings
    for table, columns in (("patients", _PATIENTS), ("visits", _VISITS))
    for column, _, strings in columns
    if strings is not None
}


def _first_visit(unit: int) -> int:
    """Visits of all units before this one: unit i has i mod 3."""
    return unit // 3 * 3 + (unit % 3) * (unit % 3 - 1) // 2


def cells(start: int, stop: int) -> dict[str, list[list[Any]]]:
    """The cells of units [start, stop) by table, column by column."""
    first, last = _first_visit(start), _first_visit(stop)
    return {
        "patients": [list(islice(cycle(values), start, stop)) for _, values, _ in _PATIENTS],
        "visits": [list(islice(cycle(values), first, last)) for _, values, _ in _VISITS],
    }


def texts(start: int, stop: int) -> dict[str, dict[str, list[Any]]]:
    """What a reader of units [start, stop) must print under `tables`."""
    tables = cells(start, stop)
    return {
        table.name: {
            column.name: column_texts(column, values)
            for column, values in zip(table.columns, tables[table.name], strict=True)
        }
        for table in SCHEMA
    }


def stream(request: sampling_pb2.SampleRequest) -> Iterator[sampling_pb2.SampleResponse]:
    """The whole answer to a request of units within [0, UNITS)."""
    start, stop = request.start_unit, request.start_unit + request.unit_count
    header = sampling_pb2.SampleHeader(
        model=request.model,
        content_digest=bytes(32),
        seed=request.seed,
        start_unit=start,
        unit_count=request.unit_count,
        schema=schema_to_proto(SCHEMA),
        runtime_fingerprint="golden/1",
        synthetic=True,
    )
    yield sampling_pb2.SampleResponse(header=header)
    for (table, column), strings in DICTIONARIES.items():
        for first in range(0, max(len(strings), 1), STRINGS_PER_CHUNK):
            chunk = table_pb2.Dictionary(
                table=table,
                column=column,
                first_index=first,
                values=strings[first : first + STRINGS_PER_CHUNK],
                total=len(strings),
            )
            yield sampling_pb2.SampleResponse(dictionary=chunk)
    for first in range(start, stop, UNITS_PER_BATCH):
        last = min(first + UNITS_PER_BATCH, stop)
        part = cells(first, last)
        for table in SCHEMA:
            # Unit 0, 3, 6 … has no visit. Only the last table of a group completes its units.
            visits = table.name == "visits"
            batch = _batch(
                table, part[table.name], first + (visits and first % 3 == 0), last if visits else first
            )
            yield sampling_pb2.SampleResponse(batch=batch)
    whole = cells(start, stop)
    trailer = sampling_pb2.SampleTrailer(
        row_counts={name: len(columns[0]) for name, columns in whole.items()},
        unit_count=request.unit_count,
        digest=_digest((table, whole[table.name]) for table in SCHEMA),
    )
    yield sampling_pb2.SampleResponse(trailer=trailer)


def _batch(
    table: TableSchema, columns: list[list[Any]], first_unit: int, next_unit: int
) -> table_pb2.RecordBatch:
    return table_pb2.RecordBatch(
        table=table.name,
        first_unit=first_unit,
        next_unit=next_unit,
        row_count=len(columns[0]),
        columns=[_data(table.name, c, values) for c, values in zip(table.columns, columns, strict=True)],
        digest=_digest([(table, columns)]),
    )


def _data(table: str, column: Column, values: list[Any]) -> table_pb2.ColumnData:
    data = table_pb2.ColumnData()
    if None in values:
        bits = sum(1 << i for i, value in enumerate(values) if value is not None)
        data.validity = bits.to_bytes((len(values) + 7) // 8, "little")
    strings = DICTIONARIES.get((table, column.name))
    position = {string: i for i, string in enumerate(strings or ())}
    match column.storage:
        case Storage.BOOL:
            data.bools.values.extend(value or False for value in values)
            data.bools.SetInParent()
        case Storage.DOUBLE:
            data.doubles.values.extend(0.0 if value is None else value for value in values)
            data.doubles.SetInParent()
        case Storage.DATE:
            data.dates.values.extend(value or 0 for value in values)
            data.dates.SetInParent()
        case Storage.STRING_LIST:
            data.lists.offsets.append(0)
            for value in values:
                data.lists.values.extend(position[string] for string in value or ())
                data.lists.offsets.append(len(data.lists.values))
        case Storage.STRING if strings is None:
            data.strings.values.extend(value or "" for value in values)
            data.strings.SetInParent()
        case Storage.STRING:
            data.indices.values.extend(0 if value is None else position[value] for value in values)
            data.indices.SetInParent()
        case _:
            data.int64s.values.extend(value or 0 for value in values)
            data.int64s.SetInParent()
    return data


def _digest(tables: Any) -> bytes:
    """The content digest, cell by cell."""
    whole = hashlib.sha256()
    for table, columns in tables:
        for column, values in zip(table.columns, columns, strict=True):
            validity = hashlib.sha256(bytes(value is not None for value in values)).digest()
            content = hashlib.sha256(b"".join(_bytes(table.name, column, value) for value in values)).digest()
            whole.update(hashlib.sha256(validity + content).digest())
    return whole.digest()


def _bytes(table: str, column: Column, value: Any) -> bytes:
    strings = DICTIONARIES.get((table, column.name))
    match column.storage:
        case Storage.BOOL:
            return struct.pack("<?", value or False)
        case Storage.DOUBLE:
            return struct.pack("<d", 0.0 if value is None else value)
        case Storage.DATE:
            return struct.pack("<i", value or 0)
        case Storage.STRING_LIST:
            indices = [_POSITIONS[table, column.name][string] for string in value or ()]
            return struct.pack(f"<{len(indices) + 1}I", len(indices), *indices)
        case Storage.STRING if strings is None:
            text = (value or "").encode()
            return struct.pack("<I", len(text)) + text
        case Storage.STRING:
            return struct.pack("<I", 0 if value is None else _POSITIONS[table, column.name][value])
        case _:
            return struct.pack("<q", value or 0)


_POSITIONS = {key: {string: i for i, string in enumerate(strings)} for key, strings in DICTIONARIES.items()}
