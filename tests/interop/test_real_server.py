"""Clients in four languages against real servers, with a model trained over the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from drivers import Driver
from real import Real

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

UNITS, SEED = 1500, 7
AFTER = 4


def test_the_sample_is_worth_comparing(real: Real) -> None:
    columns = real.cells(0, UNITS, SEED)["heart"]
    assert all(len(cells) == UNITS for cells in columns.values())
    for name, like in {
        "age": r"\d+",
        "oldpeak": r"\d\.\d",
        "weight": r"\d+\.\d\d",
        "admitted": r"279\d-\d\d-\d\d",
        "discharged": r"279\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}",
        "smoker": "true|false",
    }.items():
        present = [cell for cell in columns[name] if cell is not None]
        assert present
        assert all(re.fullmatch(like, cell) for cell in present), name
    assert {"Zürich – Öst", "日本語"} <= set(columns["ward"])
    assert None in columns["discharged"]


def test_every_language_reads_what_the_bundle_makes(drive: Driver, real: Real, transport: str) -> None:
    where, reach = real.address(transport), real.reach(transport)
    reading = drive("sample", where, real.model, 0, UNITS, SEED, **reach).value
    assert reading["tables"] == real.cells(0, UNITS, SEED)
    assert (reading["units"], reading["seed"], reading["streams"]) == (str(UNITS), str(SEED), 1)
    about = drive("model", where, real.model, **reach).value
    assert about == {"model": real.model, "trainer": "copula", "unit": "row"}


def test_a_stretch_is_the_same_rows(drive: Driver, real: Real) -> None:
    reading = drive("sample", real.address("plain"), real.model, 900, 300, SEED).value
    whole = real.cells(0, UNITS, SEED)["heart"]
    assert reading["tables"]["heart"] == {name: cells[900:1200] for name, cells in whole.items()}


def test_conditions_hold_in_every_language(drive: Driver, real: Real) -> None:
    words = ("ward", "Zürich – Öst", "age", "50", "62")
    reading = drive("sample", real.address("plain"), real.model, 5, 200, SEED, *words).value
    columns = reading["tables"]["heart"]
    assert columns["ward"] == ["Zürich – Öst"] * 200
    assert all(50 <= int(age) <= 62 for age in columns["age"])
    assert reading["tables"] == real.cells(5, 200, SEED, ward="Zürich – Öst", age=(50, 62))


def test_upload(drive: Driver, real: Real, transport: str) -> None:
    where, reach = real.address(transport), real.reach(transport)
    reading = drive("upload", where, real.file, "heart", **reach).value
    assert reading["rows"] == "303"
    assert reading["columns"] == list(real.cells(0, 1, 1)["heart"])


def test_error_details(drive: Driver, real: Real, tmp_path: Path) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n3\n")
    for words, expected in (
        (("sample", "patients", 0, 1, SEED), ("INVALID_ARGUMENT", "INVALID_REQUEST", ["model"])),
        (("sample", "models/" + "0" * 32, 0, 1, SEED), ("NOT_FOUND", "MODEL_NOT_FOUND", [])),
        (
            ("sample", real.model, 0, 2_000_000_000, SEED),
            ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED", ["unit_count"]),
        ),
        (("follow", "jobs/" + "0" * 32, 0), ("NOT_FOUND", "JOB_NOT_FOUND", [])),
    ):
        error = drive(words[0], real.address("plain"), *words[1:]).error
        assert (error["code"], error["reason"], error["fields"]) == expected
        assert re.fullmatch("[0-9a-f-]{32,36}", error["request_id"])
        assert real.logged("plain", error["request_id"])
    error = drive("upload", real.address("plain"), ragged, "t").error
    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "RAGGED_ROW")


def test_a_job_from_start_to_model(drive: Driver, real: Real) -> None:
    where = real.address("plain")
    dataset = drive("upload", where, real.file, "heart").value["dataset"]
    job = drive("train", where, dataset, "slow", 1, "steps", 3).value
    assert (job["state"], job["error"]) == ("SUCCEEDED", None)
    assert job["sequences"] == [1, job["events"]]
    assert job["phases"][-1] == "publishing"
    assert drive("model", where, job["model"]).value["trainer"] == "slow"
    half = drive("follow", where, job["job"], AFTER).value
    later = half.pop("phases")
    assert job.pop("phases")[-len(later) :] == later
    assert half == {**job, "events": job["events"] - AFTER, "sequences": [AFTER + 1, job["events"]]}
