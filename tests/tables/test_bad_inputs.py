# One case, one line:
# ruff: noqa: E501
"""A corpus of bad files: each is refused for its own reason, at its own place, and no message holds a cell."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kohort.problem import Problem
from kohort.schema import (
    Column,
    ColumnOverride,
    ForeignKey,
    Handling,
    Kind,
    SchemaOverrides,
    Storage,
    TableOverride,
    TableSchema,
)
from tables.readers import Limits

WORD, NUMBER = "Zebra", "48151623"
SECRETS = (WORD, NUMBER, "4815", "1987-06-05")


@dataclass(frozen=True)
class Case:
    family: str
    name: str
    content: bytes
    reason: str
    where: str = "t"
    says: str = ""
    format: str = "csv"
    declared: TableSchema | None = None
    options: dict[str, Any] = field(default_factory=dict)


def table(*columns: Column, **keys: Any) -> TableSchema:
    return TableSchema("t", columns, **keys)


def parquet(columns: dict[str, Any] | pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), out)
    return out.getvalue()


def excel(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return out.getvalue()


def with_sheet(xml: bytes) -> bytes:
    """A workbook whose sheet is replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(excel(["a"], [1]))) as whole, zipfile.ZipFile(out, "w") as zipped:
        for entry in whole.infolist():
            content = xml if entry.filename == "xl/worksheets/sheet1.xml" else whole.read(entry)
            zipped.writestr(entry.filename, content)
    return out.getvalue()


def far_cell() -> bytes:
    book = openpyxl.Workbook()
    book.active["A1"] = "a"
    book.active["A2"] = 1
    book.active.cell(row=1_048_576, column=16_384, value=1)
    return saved(book)


def corrupt(content: bytes, start: int, stop: int) -> bytes:
    return content[:start] + bytes(b ^ 0x5A for b in content[start:stop]) + content[stop:]


def declared(kind: Kind, **more: Any) -> TableSchema:
    return table(Column("a", kind, **more))


def lines(*cells: Any, header: str = "a") -> bytes:
    return "\n".join([header, *map(str, cells)]).encode() + b"\n"


_GOOD_PARQUET = parquet({"a": list(range(2000)), "b": [WORD] * 2000})
_GOOD_EXCEL = excel(["a", "b"], [1, WORD])
_NUMBERS = [NUMBER] * 60
_EMAILS = lines(*(f"p{i}@{WORD}.org" for i in range(30)), header="contact")

CASES = [
    Case("malformed CSV", "a quote left open", b'a,b\n1,"x"\n2,"Zebra\n3,4\n', "FILE_MALFORMED", says="line 3: a quote"),
    Case("ragged", "too many cells", b"a,b\n1,2\n1,2,Zebra\n", "RAGGED_ROW", says="line 3: 3 cells"),
    Case("ragged", "too few cells", b"a,b\r\nZebra\r\n", "RAGGED_ROW", says="line 2: 1 cell where"),
    Case("ragged", "a blank line amid", b"a,b\n1,2\n\n1,Zebra\n", "RAGGED_ROW", says="line 3 is blank"),
    Case("ragged", "after a line break in quotes", b'a,b\n"Ze\nbra",2\n1\n', "RAGGED_ROW", says="line 4"),
    Case("ragged", "an unquoted comma", b"a,b\n48,15,16\n", "RAGGED_ROW", says="line 2: 3 cells"),
    Case("encoding", "Latin-1", "a,b\n1,Zebr\u00e4\n".encode("latin-1"), "BAD_ENCODING", says="line 2"),
    Case("encoding", "UTF-16", f"a\n{WORD}\n".encode("utf-16"), "BAD_ENCODING", says="UTF-16"),
    Case("encoding", "UTF-32", f"a\n{WORD}\n".encode("utf-32"), "BAD_ENCODING", says="UTF-32"),
    Case("encoding", "cut within a character", b"a\nZebra\n\xe2\x82", "BAD_ENCODING", says="line 3"),
    Case("encoding", "a surrogate", b"a\nZebra\xed\xa0\x80\n", "BAD_ENCODING", says="line 2"),
    Case("duplicate header", "CSV", b"a,b,a\n1,2,3\n", "DUPLICATE_COLUMN", "t.a"),
    Case("duplicate header", "quoted or not", b'"a b",a b\n1,2\n', "DUPLICATE_COLUMN", "t.a b"),
    Case("duplicate header", "Parquet", parquet(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])), "DUPLICATE_COLUMN", "t.x", format="parquet"),
    Case("duplicate header", "Excel", excel(["x", "y", "x"], [1, 2, 3]), "DUPLICATE_COLUMN", "t.x", format="excel"),
    Case("empty name", "CSV", b"a,,c\n1,Zebra,3\n", "EMPTY_COLUMN_NAME", "t[2]"),
    Case("empty name", "blanks", b"a, \t\n1,Zebra\n", "EMPTY_COLUMN_NAME", "t[2]"),
    Case("empty name", "Excel", excel(["a", None, "c"], [1, WORD, 3]), "EMPTY_COLUMN_NAME", "t[2]", format="excel"),
    Case("empty name", "cells right of the header", excel(["a"], [1, WORD]), "EMPTY_COLUMN_NAME", "t[2]", format="excel"),
    Case("empty name", "Parquet", parquet({"": [1]}), "EMPTY_COLUMN_NAME", "t[1]", format="parquet"),
    Case("empty table", "no bytes", b"", "EMPTY_TABLE"),
    Case("empty table", "a header alone", b"a,b\n", "EMPTY_TABLE"),
    Case("empty table", "blank lines", b"\r\n\r\n\n", "EMPTY_TABLE"),
    Case("empty table", "a byte order mark alone", b"\xef\xbb\xbf", "EMPTY_TABLE"),
    Case("empty table", "Parquet without rows", parquet({"a": pa.array([], pa.int64())}), "EMPTY_TABLE", format="parquet"),
    Case("empty table", "Parquet without columns", parquet(pa.table({})), "EMPTY_TABLE", format="parquet"),
    Case("empty table", "an empty sheet", excel(), "EMPTY_TABLE", format="excel"),
    Case("empty table", "a sheet with a header alone", excel(["a", "b"]), "EMPTY_TABLE", format="excel"),
    Case("malformed CSV", "an open quote", b'a,b\n"Zebra,2\n', "FILE_MALFORMED"),
    Case("malformed CSV", "a quote within a cell", b'a,b\nZe"bra"x,2\n', "FILE_MALFORMED", says="line 2"),
    Case("malformed CSV", "text behind a quote", b'a,b\n1,2\n"Ze"bra,2\n', "FILE_MALFORMED", says="line 3"),
    Case("malformed CSV", "a NUL", b"a\nZe\x00bra\n", "FILE_MALFORMED", says="line 2"),
    Case("malformed CSV", "a lone carriage return", b"a\nZe\rbra\n", "FILE_MALFORMED", says="line 2"),
    Case("malformed CSV", "semicolons", b"a;b\n1;Zebra\n", "FILE_MALFORMED", says="semicolons"),
    Case("malformed CSV", "tabs", b"a\tb\n1\tZebra\n", "FILE_MALFORMED", says="tabs"),
    Case("malformed CSV", "a workbook", _GOOD_EXCEL, "FILE_MALFORMED"),
    Case("malformed CSV", "no header", b"48151623,1\n48151623,2\n", "FILE_MALFORMED", says="line 1"),
    Case("malformed Parquet", "text", b"a,b\n1,Zebra\n" * 9, "FILE_MALFORMED", format="parquet"),
    Case("malformed Parquet", "cut short", _GOOD_PARQUET[:-50], "FILE_MALFORMED", format="parquet"),
    Case("malformed Parquet", "cut at the front", _GOOD_PARQUET[60:], "FILE_MALFORMED", format="parquet"),
    Case("malformed Parquet", "broken pages", corrupt(_GOOD_PARQUET, 4, 400), "FILE_MALFORMED", format="parquet"),
    Case("malformed Parquet", "a broken footer", corrupt(_GOOD_PARQUET, -200, -20), "FILE_MALFORMED", format="parquet"),
    Case("malformed Parquet", "no bytes", b"", "FILE_MALFORMED", format="parquet"),
    Case("malformed Excel", "text", b"a,b\n1,Zebra\n", "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "cut short", _GOOD_EXCEL[:-300], "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "broken pages", corrupt(_GOOD_EXCEL, 60, len(_GOOD_EXCEL) - 900), "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "some archive", archive(**{"Zebra.txt": b"x"}), "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "a sheet without a workbook", archive(**{"xl/worksheets/sheet1.xml": b"<x/>"}), "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "broken XML", with_sheet(b"<worksheet><sheetData><row r='1'><c r='A1'><v>Zebra"), "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "the old format", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "FILE_MALFORMED", format="excel"),
    Case("malformed Excel", "no header", excel([48151623, 1], [48151623, 2]), "FILE_MALFORMED", format="excel"),
    Case("mixed types", "a word among numbers", lines(*_NUMBERS, WORD), "MIXED_TYPES", "t.a", "line 62"),
    Case("mixed types", "a bound among decimals", lines(*["4.5"] * 40, "<4815"), "MIXED_TYPES", "t.a", "line 42"),
    Case("mixed types", "a word among dates", lines(*["1987-06-05"] * 30, WORD), "MIXED_TYPES", "t.a", "line 32"),
    Case("mixed types", "a day that is none", lines(*["1987-06-05"] * 30, "1987-02-30"), "MIXED_TYPES", "t.a", "line 32"),
    Case("mixed types", "Excel", excel(["a"], *[[4815]] * 30, [WORD]), "MIXED_TYPES", "t.a", "row 32", format="excel"),
    Case("mixed types", "declared integer", lines(1, 2, WORD), "MIXED_TYPES", "t.a", "line 4", declared=declared(Kind.INTEGER)),
    Case("mixed types", "declared decimal", lines(1.5, "<4815"), "MIXED_TYPES", "t.a", "line 3", declared=declared(Kind.DECIMAL)),
    Case("mixed types", "declared date", lines("1987-06-05", "05.06.1987"), "MIXED_TYPES", "t.a", "line 3", declared=declared(Kind.DATE)),
    Case("mixed types", "zones here and there", lines("1987-06-05T10:00:00Z", "1987-06-05T10:00:00"), "MIXED_TYPES", "t.a", "line 3", declared=declared(Kind.DATETIME)),
    Case("mixed types", "declared integer, Parquet text", parquet({"a": ["1", "2", WORD]}), "MIXED_TYPES", "t.a", "row 3", "parquet", declared(Kind.INTEGER)),
    Case("not of kind", "half a whole number", lines(1, 2.5), "VALUE_NOT_OF_KIND", "t.a", "line 3", declared=declared(Kind.INTEGER)),
    Case("not of kind", "no boolean", lines("yes", WORD), "VALUE_NOT_OF_KIND", "t.a", "line 3", declared=declared(Kind.BOOLEAN)),
    Case("not of kind", "words as dates", lines(WORD, WORD, "1987-06-05"), "VALUE_NOT_OF_KIND", "t.a", "line 2", declared=declared(Kind.DATE)),
    Case("not of kind", "numbers as durations", lines(NUMBER, "PT5M", NUMBER), "VALUE_NOT_OF_KIND", "t.a", "line 2", declared=declared(Kind.DURATION)),
    Case("not of kind", "more digits than declared", lines(1.5, 1.25), "VALUE_NOT_OF_KIND", "t.a", "row 2", declared=declared(Kind.DECIMAL, scale=1)),
    Case("not of kind", "an infinite number", parquet({"a": [1.5, float("inf")]}), "VALUE_NOT_OF_KIND", "t.a", "row 2", "parquet"),
    Case("not of kind", "half a whole number, Excel", excel(["a"], [1], [2.5]), "VALUE_NOT_OF_KIND", "t.a", "row 2", "excel", declared(Kind.INTEGER)),
    Case("not of kind", "times as dates", parquet({"a": pa.array([1, 2], pa.timestamp("us"))}), "VALUE_NOT_OF_KIND", "t.a", "row 1", "parquet", declared(Kind.DATE)),
    Case("not of kind", "truths as dates", parquet({"a": [True, False]}), "VALUE_NOT_OF_KIND", "t.a", "bool", "parquet", declared(Kind.DATE)),
    Case("out of bounds", "above the maximum", lines(1, 48151623), "VALUE_OUT_OF_BOUNDS", "t.a", "row 2", declared=declared(Kind.INTEGER, maximum=100)),
    Case("out of bounds", "below the minimum", lines(0.5, -0.5), "VALUE_OUT_OF_BOUNDS", "t.a", "row 2", declared=declared(Kind.DECIMAL, minimum=0)),
    Case("out of bounds", "none of the levels", lines("low", WORD), "VALUE_OUT_OF_BOUNDS", "t.a", "row 2", declared=declared(Kind.ORDINAL, levels=("low", "high"))),
    Case("out of bounds", "none of the number levels", lines(1, 48151623), "VALUE_OUT_OF_BOUNDS", "t.a", "row 2", declared=declared(Kind.ORDINAL, levels=("1", "2"))),
    Case("out of bounds", "beyond 64 bits", lines(1, NUMBER * 3), "VALUE_OUT_OF_BOUNDS", "t.a", "line 3", declared=declared(Kind.INTEGER)),
    Case("out of bounds", "unsigned in Parquet", parquet({"a": pa.array([2**64 - 1], pa.uint64())}), "VALUE_OUT_OF_BOUNDS", "t.a", format="parquet"),
    Case("out of bounds", "a long decimal in Parquet", parquet({"a": pa.array([Decimal(10) ** 30], pa.decimal128(38, 2))}), "VALUE_OUT_OF_BOUNDS", "t.a", format="parquet"),
    Case("out of bounds", "an instant in Parquet", parquet({"a": pa.array([2**62], pa.timestamp("ms"))}), "VALUE_OUT_OF_BOUNDS", "t.a", format="parquet"),
    Case("unknown column", "subject key", lines(1, 2), "UNKNOWN_COLUMN", "t.patient", declared=table(subject_key="patient")),
    Case("unknown column", "primary key", lines(1, 2), "UNKNOWN_COLUMN", "t.key", declared=table(primary_key=("key",))),
    Case("unknown column", "time column", lines(1, 2), "UNKNOWN_COLUMN", "t.day", declared=table(time_column="day")),
    Case("unknown column", "foreign key", lines(1, 2), "UNKNOWN_COLUMN", "t.other", declared=table(foreign_keys=(ForeignKey(("other",), "t", ("a",)),))),
    Case("unknown column", "referenced column", lines(1, 2), "UNKNOWN_COLUMN", "t.other", declared=table(foreign_keys=(ForeignKey(("a",), "t", ("other",)),))),
    Case("unknown column", "column override", lines(1, 2), "UNKNOWN_COLUMN", "t.b", options={"overrides": SchemaOverrides((ColumnOverride("b"),))}),
    Case("unknown column", "subject key override", lines(1, 2), "UNKNOWN_COLUMN", "t.b", options={"overrides": SchemaOverrides((), (TableOverride(subject_key="b"),))}),
    Case("unknown table", "column override", lines(1, 2), "UNKNOWN_TABLE", "u", options={"overrides": SchemaOverrides((ColumnOverride("a", "u"),))}),
    Case("unknown table", "table override", lines(1, 2), "UNKNOWN_TABLE", "u", options={"overrides": SchemaOverrides((), (TableOverride("u"),))}),
    Case("unknown table", "foreign key", lines(1, 2), "UNKNOWN_TABLE", "u", declared=table(foreign_keys=(ForeignKey(("a",), "u", ("a",)),))),
    Case("missing column", "CSV", lines(1, 2), "MISSING_COLUMN", "t.b", declared=table(Column("a"), Column("b"))),
    Case("missing column", "Parquet", parquet({"a": [1]}), "MISSING_COLUMN", "t.B", format="parquet", declared=table(Column("B"))),
    Case("missing column", "Excel", excel(["a"], [1]), "MISSING_COLUMN", "t.a ", format="excel", declared=table(Column("a "))),
    Case("limits", "rows, CSV", lines(1, 2, 3), "LIMIT_EXCEEDED", options={"limits": Limits(max_rows=2)}),
    Case("limits", "rows, Parquet", parquet({"a": [1, 2, 3]}), "LIMIT_EXCEEDED", format="parquet", options={"limits": Limits(max_rows=2)}),
    Case("limits", "rows, Excel", excel(["a"], [1], [2], [3]), "LIMIT_EXCEEDED", format="excel", options={"limits": Limits(max_rows=2)}),
    Case("limits", "columns", b"a,b,c\n1,2,3\n", "LIMIT_EXCEEDED", options={"limits": Limits(max_columns=2)}),
    Case("limits", "bytes unpacked, Parquet", parquet({"a": [0] * 90_000}), "LIMIT_EXCEEDED", format="parquet", options={"limits": Limits(max_bytes=50)}),
    Case("limits", "bytes unpacked, Excel", with_sheet(b"<worksheet>" + b" " * 3_000_000), "LIMIT_EXCEEDED", format="excel", options={"limits": Limits(max_bytes=100_000)}),
    Case("limits", "a cell far out", far_cell(), "LIMIT_EXCEEDED", format="excel"),
    Case("limits", "an endless first line", b"a" * (2 << 20) + b"\n1\n", "LIMIT_EXCEEDED"),
    Case("unsupported", "a structure", parquet({"a": [{"x": WORD}]}), "FORMAT_UNSUPPORTED", "t.a", format="parquet"),
    Case("unsupported", "bytes", parquet({"a": [b"Zebra"]}), "FORMAT_UNSUPPORTED", "t.a", format="parquet"),
    Case("unsupported", "lists of numbers", parquet({"a": [[0.5]]}), "FORMAT_UNSUPPORTED", "t.a", format="parquet"),
    Case("unsupported", "lists in CSV", lines(WORD), "FORMAT_UNSUPPORTED", "t.a", declared=declared(Kind.CODE_LIST)),
    Case("unsupported", "another format", b"", "FORMAT_UNSUPPORTED", format="orc"),
    Case("invalid schema", "a long name", b"a" * 257 + b"\n1\n", "INVALID_SCHEMA", "t[1]"),
    Case("invalid schema", "a huge name", b"a" * 200_000 + b"\n1\n", "INVALID_SCHEMA"),
    Case("invalid schema", "a control character", b"a\x07\n1\n", "INVALID_SCHEMA", "t[1]"),
    Case("invalid schema", "a line break in a name", b'"a\nb"\n1\n', "INVALID_SCHEMA", "t[1]"),
    Case("invalid schema", "free text to learn", lines(WORD), "INVALID_SCHEMA", "t.a", declared=declared(Kind.TEXT, handling=Handling.MODEL)),
    Case("invalid schema", "keys to learn", lines(1), "INVALID_SCHEMA", "t.a", declared=declared(Kind.ID, handling=Handling.MODEL)),
    Case("invalid schema", "floating-point labels", parquet({"a": [1 / 3, 2 / 3]}), "INVALID_SCHEMA", "t.a", format="parquet", declared=declared(Kind.CATEGORY)),
    Case("invalid schema", "overridden twice", lines(1), "INVALID_SCHEMA", "t.a", options={"overrides": SchemaOverrides((ColumnOverride("a"), ColumnOverride("a", "t")))}),
    Case("identifiers", "by name", lines(*[f"{WORD}{chr(97 + i)}" for i in range(20)], header="last_name"), "IDENTIFIER_UNACKNOWLEDGED", "t.last_name", declared=table(Column("last_name", Kind.CATEGORY, handling=Handling.MODEL))),
    Case("identifiers", "nothing else in the file", _EMAILS, "NO_USABLE_COLUMNS", ""),
    Case("identifiers", "numbers by name", lines(*range(481516230, 481516290, 3), header="SSN"), "IDENTIFIER_UNACKNOWLEDGED", "t.SSN", declared=table(Column("SSN", Kind.CATEGORY, handling=Handling.MODEL))),
    Case("identifiers", "learned without a word", _EMAILS, "IDENTIFIER_UNACKNOWLEDGED", "t.contact", declared=table(Column("contact", Kind.CATEGORY, handling=Handling.MODEL))),
    Case("nothing to learn", "keys alone", lines(*range(30), header="patient_id"), "NO_USABLE_COLUMNS", ""),
    Case("nothing to learn", "nulls alone", b"a,b\n,\n,\n", "NO_USABLE_COLUMNS", ""),
    Case("nothing to learn", "all dropped", lines(1, 2), "NO_USABLE_COLUMNS", "", options={"overrides": SchemaOverrides((ColumnOverride("a", handling=Handling.DROP),))}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family}-{case.name}")
def test_refused(case, take_in):
    with pytest.raises(Problem) as raised:
        take_in(case.content, case.format, case.declared, **case.options)
    problem = raised.value
    assert problem.reason == case.reason, problem.message
    assert [v.field for v in problem.violations][:1] == ([case.where] if case.where else [])
    told = " ".join([problem.message, *(v.description for v in problem.violations)])
    assert case.says in told
    assert not [secret for secret in SECRETS if secret in told]
    assert problem.__cause__ is None  # an exception's text may hold a cell


def test_families_are_many_and_full():
    counts = Counter(case.family for case in CASES)
    assert len(counts) >= 18
    assert min(counts.values()) >= 3


def test_reasons_are_those_of_the_contract():
    from kohort.v1 import errors_pb2

    known = {name.removeprefix("ERROR_REASON_") for name in dict(errors_pb2.ErrorReason.items())}
    assert {case.reason for case in CASES} <= known


@pytest.mark.parametrize("kind", [Kind.CATEGORY, Kind.ORDINAL, Kind.CODE, Kind.TEXT])
def test_text_among_numbers_is_fine_where_declared(kind, read):
    declared_ = replace(declared(kind), columns=(Column("a", kind, Storage.UNSPECIFIED),))
    array = read(lines(*_NUMBERS, WORD), declared=declared_).arrays["a"]
    assert array.to_python()[-1] == WORD
