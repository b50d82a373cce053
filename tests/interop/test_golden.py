"""Clients in four languages read the same bytes as the same values, and refuse the same broken streams."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import golden
import pytest
from broken import BROKEN, RESUMED
from drivers import Driver
from fake import TOO_LONG_MS, Fake

from kohort.schema import Kind, Storage

# Builds download what they need the first time.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


def test_every_language_reads_the_same_values(drive: Driver, fake: Fake, transport: str) -> None:
    where, papers = fake.addresses[transport], fake.papers.reach(transport)
    reading = drive("sample", where, "models/golden", 0, golden.UNITS, -5, **papers).value
    tables = reading.pop("tables")
    for name, columns in golden.texts(0, golden.UNITS).items():
        for column, cells in columns.items():
            assert tables[name][column] == cells, f"{name}.{column}"
    assert len(reading.pop("digest")) == 64
    assert reading == {
        "model": "models/golden",
        "seed": "-5",
        "synthetic": True,
        "runtime_fingerprint": "golden/1",
        "units": str(golden.UNITS),
        "next_unit": str(golden.UNITS),
        "streams": 1,
    }


def test_a_stretch_in_the_middle_and_a_unit_without_rows(drive: Driver, fake: Fake) -> None:
    for start, count in ((1000, 3), (0, 1)):
        reading = drive("sample", fake.addresses["plain"], "models/golden", start, count, 0).value
        assert reading["tables"] == golden.texts(start, start + count)
    assert reading["tables"]["visits"]["at"] == []


@pytest.mark.parametrize("how", ["batches", "rows", "csv"])
def test_every_form_has_every_row(drive: Driver, fake: Fake, how: str) -> None:
    reading = drive("read", fake.addresses["plain"], "models/golden", 0, golden.UNITS, 1, how).value
    rows = {table: str(len(columns[0])) for table, columns in golden.cells(0, golden.UNITS).items()}
    assert (reading["rows"], reading["streams"]) == (rows, 1)
    if how == "csv":
        assert reading["bytes"] > 100 * golden.UNITS


def test_every_kind_of_column_travels() -> None:
    columns = [column for table in golden.SCHEMA for column in table.columns]
    assert {column.kind for column in columns} == set(Kind) - {Kind.UNSPECIFIED}
    assert {column.storage for column in columns} == set(Storage) - {Storage.UNSPECIFIED}


def test_the_canonical_form_is_what_it_says() -> None:
    patients = golden.texts(0, 20)["patients"]
    assert patients["alive"][:3] == ["true", None, "false"]
    assert patients["count"][2:6] == ["9223372036854775807", "-9223372036854775808", "9007199254740993", None]
    assert patients["ratio"][0] == "7ff8000000000000"
    assert patients["ratio"][3] == "8000000000000000"
    assert patients["dose"][:5] == ["0.00", "-0.01", "0.05", "-2.50", "92233720368547758.07"]
    assert patients["whole"][1] == "-7"
    assert patients["trace"][0] == "0.000000000001"
    assert patients["born"][:7] == [
        "1970-01-01",
        "1969-12-31",
        None,
        "0001-01-01",
        "1582-10-04",
        "2795-02-28",
        "9999-12-31",
    ]
    assert patients["local"][1:3] == ["1969-12-31T23:59:59.999999", "0001-01-01T00:00:00.000000"]
    assert patients["moment"][4] == "2795-06-30T23:59:59.999999Z"
    assert patients["stay"][1:3] == ["0.000001s", "-90.000001s"]
    assert patients["ward"][:2] == ["", "Ward A"]
    assert patients["remark"][:2] == ["", None]
    assert patients["never"][0] is None
    assert patients["drugs"][:4] == [[], None, ["aspirin"], ["δ", "", "naïve", "δ"]]


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_stream_is_refused(drive: Driver, fake: Fake, how: str) -> None:
    outcome = drive("sample", fake.addresses["plain"], f"models/broken-{how}", 0, 2000, 1)
    assert outcome.status == 1, outcome.result
    assert re.search(BROKEN[how], outcome.result), outcome.result


@pytest.mark.parametrize("how", RESUMED)
def test_a_stream_that_goes_on_as_another_is_refused(drive: Driver, fake: Fake, how: str) -> None:
    model = f"models/{how}.{drive.language}"
    outcome = drive("sample", fake.addresses["plain"], model, 0, golden.UNITS, 1)
    assert outcome.status == 1, outcome.result
    assert re.search(RESUMED[how], outcome.result), outcome.result
    assert len(fake.calls.of(model)) == 2


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("none", {"code": "NOT_FOUND", "reason": "MODEL_NOT_FOUND"}),
        ("far", {"code": "OUT_OF_RANGE", "reason": "UNIT_OUT_OF_RANGE", "fields": ["start_unit"]}),
        ("full", {"code": "RESOURCE_EXHAUSTED", "reason": "LIMIT_EXCEEDED", "fields": ["unit_count"]}),
        ("busy", {"code": "RESOURCE_EXHAUSTED", "reason": "TOO_MANY_STREAMS", "retry_ms": TOO_LONG_MS}),
        ("defect", {"code": "INTERNAL", "reason": "INTERNAL"}),
    ],
)
def test_error_details(drive: Driver, fake: Fake, model: str, expected: dict[str, Any]) -> None:
    name = f"models/{model}.{drive.language}"
    error = drive("sample", fake.addresses["plain"], name, 0, 1, 1).error
    (call,) = fake.calls.of(name)  # none of these is tried again
    # The server's word for the call counts, else the client's own.
    assert error.pop("request_id") == ("of-the-server" if model == "defect" else call.request_id) != ""
    assert error == {"fields": [], "hint": "", **expected}


def test_upload_by_chunks(drive: Driver, fake: Fake, transport: str, tmp_path: Path) -> None:
    file, table = tmp_path / "visits.csv", f"visits.{transport}.{drive.language}"
    file.write_text("id,größe\n" + "".join(f"{i},{i % 250}\n" for i in range(300_000)))
    assert file.stat().st_size > 2 << 20  # several chunks
    papers = fake.papers.reach(transport)
    reading = drive("upload", fake.addresses[transport], file, table, **papers).value
    assert reading.pop("dataset")
    assert reading == {
        "rows": "300000",
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "columns": ["id", "größe"],
    }
    error = drive("upload", fake.addresses[transport], file, "refused", **papers).error
    assert (error["reason"], error["fields"]) == ("INVALID_SCHEMA", ["schema.tables[0].name"])
