"""Clients in four languages read the same bytes as the same values, and refuse the same broken streams."""

import asyncio
import filecmp
import hashlib
from pathlib import Path
from typing import Any

import fake
import golden
import pytest
from canonical import FAILED_CALL
from readers import GO, ROOT, Reader, command, need

# Builds download what they need the first time.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


async def test_every_language_reads_the_same_values(read: Reader, address: str) -> None:
    reading = await asyncio.to_thread(read, "sample", address, "models/golden", 0, golden.UNITS, -5)
    assert reading.status == 0, reading.result
    tables = reading.result.pop("tables")
    for name, columns in golden.texts(0, golden.UNITS).items():
        for column, cells in columns.items():
            assert tables[name][column] == cells, f"{name}.{column}"
    assert len(reading.result.pop("digest")) == 64
    assert reading.result == {
        "model": "models/golden",
        "seed": "-5",
        "synthetic": True,
        "runtime_fingerprint": "golden/1",
        "units": str(golden.UNITS),
        "next_unit": str(golden.UNITS),
    }


async def test_a_stretch_in_the_middle_and_a_unit_without_rows(read: Reader, address: str) -> None:
    for start, count in ((1000, 3), (0, 1)):
        reading = await asyncio.to_thread(read, "sample", address, "models/golden", start, count, 0)
        assert reading.status == 0, reading.result
        assert reading.result["tables"] == golden.texts(start, start + count)
    assert reading.result["tables"]["visits"]["at"] == []


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


@pytest.mark.parametrize("how", fake.BROKEN)
async def test_a_broken_stream_is_refused(read: Reader, address: str, how: str) -> None:
    reading = await asyncio.to_thread(read, "sample", address, f"models/broken-{how}", 0, 2000, 1)
    assert reading.status == 1, reading.result
    assert fake.BROKEN[how] in reading.result


@pytest.mark.parametrize(
    ("model", "start", "expected"),
    [
        ("none", 0, {"code": "NOT_FOUND", "reason": "MODEL_NOT_FOUND"}),
        ("golden", -1, {"code": "OUT_OF_RANGE", "reason": "UNIT_OUT_OF_RANGE", "fields": ["start_unit"]}),
        ("busy", 0, {"code": "RESOURCE_EXHAUSTED", "reason": "TOO_MANY_STREAMS", "retry_ms": 1500}),
    ],
)
async def test_error_details(
    read: Reader, address: str, model: str, start: int, expected: dict[str, Any]
) -> None:
    reading = await asyncio.to_thread(read, "sample", address, f"models/{model}", start, 1, 1)
    assert reading.status == FAILED_CALL
    assert reading.result == {"error": {"domain": "kohort", "fields": [], **expected}}


async def test_upload_by_chunks(read: Reader, address: str, tmp_path: Path) -> None:
    file = tmp_path / "visits.csv"
    file.write_text("id,größe\n" + "".join(f"{i},{i % 250}\n" for i in range(300_000)))
    assert file.stat().st_size > 2 << 20  # several chunks
    reading = await asyncio.to_thread(read, "upload", address, file, "visits")
    assert reading.status == 0, reading.result
    assert reading.result == {
        "dataset": "datasets/fake",
        "rows": "300000",
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "columns": ["id", "größe"],
    }
    reading = await asyncio.to_thread(read, "upload", address, file, "refused")
    assert reading.status == FAILED_CALL
    assert reading.result["error"]["reason"] == "INVALID_SCHEMA"


def test_the_go_code_is_fresh(tmp_path: Path) -> None:
    need("go")
    buf = ROOT / ".venv" / "bin" / "buf"
    command(buf, "generate", "--template", "buf.gen.go.yaml", "--output", tmp_path, cwd=GO)
    fresh, committed = tmp_path / "kohort" / "v1", GO / "kohort" / "v1"
    names = sorted(path.name for path in committed.iterdir())
    assert sorted(path.name for path in fresh.iterdir()) == names
    assert filecmp.cmpfiles(fresh, committed, names, shallow=False) == (names, [], [])


def test_the_go_module_is_tidy() -> None:
    need("go")
    command("go", "vet", "./...", cwd=GO)
    command("go", "mod", "tidy", "-diff", cwd=GO)
    command("go", "mod", "verify", cwd=GO)
