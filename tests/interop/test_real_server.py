"""Clients in four languages against a real server, with a model trained over the wire."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from canonical import FAILED_CALL
from readers import Reader, read_here
from real import train, write_patients

from examples.local_server import LocalServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

UNITS = 1500


@dataclass(frozen=True)
class Served:
    """A server, a model on it, and what Python reads of the model."""

    address: str
    model: str
    file: Path
    sample: dict[str, Any]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("real")
    file = directory / "patients.csv"
    write_patients(file)
    with LocalServer(directory, environment={"KOHORT_EVALUATION_PROFILE": "none"}) as server:
        address = server.address
        model = train(address, file)
        reading = read_here("sample", address, model, 0, UNITS, 7)
        assert reading.status == 0, reading.result
        yield Served(address, model, file, reading.result)


def test_the_sample_is_worth_comparing(served: Served) -> None:
    columns = served.sample["tables"]["heart"]
    assert served.sample["units"] == str(UNITS)
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


def test_every_language_reads_the_same(read: Reader, served: Served) -> None:
    reading = read("sample", served.address, served.model, 0, UNITS, 7)
    assert reading.status == 0, reading.result
    assert reading.result == served.sample


def test_a_stretch_is_the_same_rows(read: Reader, served: Served) -> None:
    reading = read("sample", served.address, served.model, 900, 300, 7)
    assert reading.status == 0, reading.result
    for name, cells in reading.result["tables"]["heart"].items():
        assert cells == served.sample["tables"]["heart"][name][900:1200], name


def test_conditions_hold_in_every_language(read: Reader, served: Served) -> None:
    words = ("ward", "Zürich – Öst", "age", "50", "62")
    reading = read("sample", served.address, served.model, 5, 200, 7, *words)
    assert reading.status == 0, reading.result
    columns = reading.result["tables"]["heart"]
    assert columns["ward"] == ["Zürich – Öst"] * 200
    assert all(50 <= int(age) <= 62 for age in columns["age"])
    assert reading.result == read_here("sample", served.address, served.model, 5, 200, 7, *words).result


def test_upload(read: Reader, served: Served) -> None:
    reading = read("upload", served.address, served.file, "heart")
    assert reading.status == 0, reading.result
    assert reading.result["rows"] == "303"
    assert reading.result["columns"] == list(served.sample["tables"]["heart"])


def test_error_details(read: Reader, served: Served, tmp_path: Path) -> None:
    for model, start, expected in (
        ("patients", 0, ("INVALID_ARGUMENT", "INVALID_REQUEST", ["model"])),
        ("models/" + "0" * 32, 0, ("NOT_FOUND", "MODEL_NOT_FOUND", [])),
        (served.model, -1, ("OUT_OF_RANGE", "UNIT_OUT_OF_RANGE", ["start_unit"])),
    ):
        reading = read("sample", served.address, model, start, 1, 7)
        assert reading.status == FAILED_CALL
        error = reading.result["error"]
        assert (error["code"], error["reason"], error["fields"]) == expected
        assert error["domain"] == "kohort"
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n3\n")
    reading = read("upload", served.address, ragged, "t")
    assert reading.status == FAILED_CALL
    assert reading.result["error"]["reason"] == "RAGGED_ROW"
