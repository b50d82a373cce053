"""Uploads are read in a process that may neither hang nor eat the memory."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from kohort.columns import Array, Batch, ContentDigest
from kohort.problem import Problem
from kohort.protobytes import encode_dictionary_chunks, encode_field, encode_record_batch
from kohort.schema import (
    Column,
    ColumnOverride,
    Handling,
    Kind,
    Schema,
    SchemaOverrides,
    Storage,
    TableSchema,
)
from server.lineage import HASH_BYTES, holds, load_key
from server.parsing import AbandonedError, Bounds, Upload, infer_schema, parse_upload
from tables.store import read_tableset
from tests.core.support import until

HEART = Path(__file__).parents[1] / "data" / "heart.csv"
VISITS = Schema(
    (
        TableSchema(
            "visits",
            (
                Column("patient", Kind.ID, Storage.STRING),
                Column("sys", Kind.INTEGER, Storage.INT64, maximum=300),
            ),
            subject_key="patient",
        ),
    )
)


def test_a_csv_file(tmp_path: Path) -> None:
    parsed = parse_upload(Upload("csv", {"heart": HEART}, tmp_path / "out"), Bounds())
    assert parsed.row_counts == {"heart": 303}
    assert [c.name for c in parsed.schema.tables[0].columns][:2] == ["age", "sex"]
    assert all(c.kind is not Kind.UNSPECIFIED for c in parsed.schema.tables[0].columns)
    assert {f.reason for f in parsed.findings} == {"NO_SUBJECT_KEY"}
    assert parsed.has_lineage is False
    assert parsed.size_bytes == sum(p.stat().st_size for p in (tmp_path / "out").iterdir())
    again = parse_upload(Upload("csv", {"heart": HEART}, tmp_path / "again"), Bounds())
    assert again.digest == parsed.digest
    assert len(parsed.digest) == 32


def test_inference_again_under_overrides(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    parse_upload(Upload("csv", {"heart": HEART}, folder), Bounds())
    drop_age = SchemaOverrides((ColumnOverride("age", handling=Handling.DROP),))
    effective = infer_schema(folder, drop_age, 5, Bounds(), trainable=True)
    assert effective.schema.tables[0].column("age").handling is Handling.DROP
    with pytest.raises(Problem) as error:
        infer_schema(folder, SchemaOverrides((ColumnOverride("agee"),)), 5, Bounds())
    assert error.value.reason == "UNKNOWN_COLUMN"
    names = [c.name for c in effective.schema.tables[0].columns]
    nothing = SchemaOverrides(tuple(ColumnOverride(n, handling=Handling.DROP) for n in names))
    assert infer_schema(folder, nothing, 5, Bounds()).schema
    with pytest.raises(Problem) as error:
        infer_schema(folder, nothing, 5, Bounds(), trainable=True)
    assert error.value.reason == "NO_USABLE_COLUMNS"


def test_damage_to_stored_tables_is_not_the_callers_fault(tmp_path: Path) -> None:
    (tmp_path / "declared.json").write_text('{"tables": []}')
    with pytest.raises(Problem) as caught:
        infer_schema(tmp_path, SchemaOverrides(), 5, Bounds())
    assert caught.value.reason == "INTERNAL"


def test_what_is_wrong_with_the_bytes_names_the_place_and_no_cell(tmp_path: Path) -> None:
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n3,SECRET,5\n")
    with pytest.raises(Problem) as error:
        parse_upload(Upload("csv", {"t": ragged}, tmp_path / "out"), Bounds())
    assert error.value.reason == "RAGGED_ROW"
    assert error.value.violations
    assert "SECRET" not in str(error.value) + str(error.value.violations)


def test_limits_on_rows(tmp_path: Path) -> None:
    with pytest.raises(Problem) as error:
        parse_upload(Upload("csv", {"heart": HEART}, tmp_path / "out", max_rows=100), Bounds())
    assert error.value.reason == "LIMIT_EXCEEDED"


def test_patients_are_hashed(tmp_path: Path) -> None:
    table = tmp_path / "v.csv"
    table.write_text("patient,sys\n" + "".join(f"p{i % 7},{100 + i}\n" for i in range(40)) + ",120\n")
    upload = Upload(
        "csv",
        {"visits": table},
        tmp_path / "out",
        declared=VISITS,
        tenant="north",
        patient_key=tmp_path / "keys" / "patients",
        lineage=tmp_path / "lineage",
    )
    assert parse_upload(upload, Bounds()).has_lineage
    hashes, key = (tmp_path / "lineage").read_bytes(), load_key(tmp_path / "keys" / "patients")
    assert len(hashes) == 7 * HASH_BYTES
    assert holds(hashes, key, "north", "p3")
    assert not holds(hashes, key, "north", "p7")


def spool(path: Path, values: list[int], digest: bytes | None = None) -> ContentDigest:
    """Two batches of visits as the front spools them."""
    names = tuple(f"p{i}" for i in range(5))
    total = ContentDigest(VISITS)
    with path.open("wb") as file:

        def put(number: int, message: bytes) -> None:
            framed = encode_field(number, message)
            file.write(len(framed).to_bytes(4, "little") + framed)

        for chunk in encode_dictionary_chunks("visits", "patient", names):
            put(2, chunk)
        half = len(values) // 2
        for part in (values[:half], values[half:]):
            arrays = {
                "patient": Array.make(Storage.STRING, [i % 5 for i in range(len(part))], dictionary=names),
                "sys": Array.make(Storage.INT64, part),
            }
            batch = Batch("visits", arrays)
            total.add(batch)
            put(3, encode_record_batch(batch))
    return total


def test_columns(tmp_path: Path) -> None:
    total = spool(tmp_path / "spool", list(range(100, 160)))
    upload = Upload(
        "columns", {"": tmp_path / "spool"}, tmp_path / "out", VISITS, digests={"visits": total.digest()}
    )
    parsed = parse_upload(upload, Bounds())
    assert parsed.row_counts == {"visits": 60}
    table = read_tableset(tmp_path / "out").single()
    assert table.arrays["sys"].to_python() == list(range(100, 160))
    assert table.arrays["patient"].to_python()[:6] == ["p0", "p1", "p2", "p3", "p4", "p0"]


def test_columns_with_another_digest_or_beyond_their_bounds(tmp_path: Path) -> None:
    spool(tmp_path / "spool", list(range(100, 160)))
    upload = Upload(
        "columns", {"": tmp_path / "spool"}, tmp_path / "out", VISITS, digests={"visits": bytes(32)}
    )
    with pytest.raises(Problem) as error:
        parse_upload(upload, Bounds())
    assert error.value.reason == "DIGEST_MISMATCH"
    spool(tmp_path / "high", [301] * 60)
    with pytest.raises(Problem) as error:
        parse_upload(Upload("columns", {"": tmp_path / "high"}, tmp_path / "out2", VISITS), Bounds())
    assert error.value.reason == "VALUE_OUT_OF_BOUNDS"


def test_a_parser_may_take_only_so_much(tmp_path: Path) -> None:
    upload = Upload("csv", {"heart": HEART}, tmp_path / "out")
    before = set(psutil.Process().children())
    with pytest.raises(Problem) as error:
        parse_upload(upload, Bounds(seconds=0.01))
    assert error.value.reason == "LIMIT_EXCEEDED"
    large = tmp_path / "large.csv"
    large.write_text("a,b,c\n" + "1.25,2.5,some text\n" * 500_000)
    with pytest.raises(Problem) as error:
        parse_upload(Upload("csv", {"large": large}, tmp_path / "out"), Bounds(memory_bytes=16 << 20))
    assert error.value.reason == "LIMIT_EXCEEDED"
    parse_upload(Upload("csv", {"large": large}, tmp_path / "fits"), Bounds())
    assert set(psutil.Process().children()) <= before


def test_a_parser_whose_caller_left_ends(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    left = threading.Event()
    left.set()
    with pytest.raises(AbandonedError):
        parse_upload(Upload("csv", {"heart": HEART}, tmp_path / "out"), Bounds(), left)
    until(lambda: set(psutil.Process().children()) <= before, "the parser to end")


def test_a_parser_gives_way_to_the_server(tmp_path: Path) -> None:
    before, left = set(psutil.Process().children()), threading.Event()
    os.mkfifo(tmp_path / "endless.csv")
    upload = Upload("csv", {"endless": tmp_path / "endless.csv"}, tmp_path / "out")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(parse_upload, upload, Bounds(), left)
        until(
            lambda: (
                [p.nice() for p in set(psutil.Process().children()) - before] == [min(19, os.nice(0) + 10)]
            ),
            "the parser to give way",
        )
        left.set()
        assert isinstance(reading.exception(), AbandonedError)
