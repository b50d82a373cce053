"""Handing tables in, on both clients."""

import time
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from fake_parts import CODE, Fault
from pandas.testing import assert_frame_equal

import kohort
from kohort import Column, ColumnOverride, Kind, SchemaOverrides, TableSchema

PATIENTS = pd.DataFrame({"age": [61, 70], "sex": pd.Categorical(["f", "m"])})


def test_a_frame_is_uploaded_as_columns(client, fake):
    frame = PATIENTS.assign(day=pd.to_datetime(["2020-01-01", None]))
    schema = TableSchema("ignored", (Column("age", kind=Kind.INTEGER, unit="a", minimum=0),))
    dataset = client.upload(
        frame,
        table="heart",
        schema=schema,
        subject_key="age",
        labels={"a": "b"},
        expires_in=timedelta(days=1),
    )
    (upload,) = fake.uploads
    (table,) = upload.schema.tables
    assert (table.name, table.subject_key) == ("heart", "age")
    assert [c.name for c in table.columns] == ["age", "sex", "day"]
    assert (table.column("age").kind, table.column("age").unit, table.column("age").minimum) == (
        "integer",
        "a",
        0,
    )
    assert table.column("sex").source_dtype == "category:object"
    assert_frame_equal(kohort.frames.to_frame(table, upload.batches[0].arrays), frame)
    left = upload.header.expire_time.seconds - time.time()
    assert 0.9 * 86400 < left < 1.1 * 86400
    assert dataset.name == "datasets/1"
    assert dataset.findings[0].reason == "NO_SUBJECT_KEY"


def test_a_large_frame_is_cut_and_its_digest_announced(client, fake):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300_000), "s": rng.choice(list("abc"), 300_000)})
    frame.loc[5, "s"] = None
    client.upload({"a": frame, "b": PATIENTS})
    (upload,) = fake.uploads
    parts = [b for b in upload.batches if b.table == "a"]
    assert len(parts) > 2
    joined = pd.concat([kohort.frames.to_frame(upload.schema.table("a"), b.arrays) for b in parts])
    assert_frame_equal(joined.reset_index(drop=True), frame)
    for announced in upload.header.digests:
        digest = kohort.columns.ContentDigest()
        for batch in upload.batches:
            if batch.table == announced.table:
                digest.add(batch)
        assert digest.digest() == announced.sha256
    assert {d.table for d in upload.header.digests} == {"a", "b"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx"])
def test_a_file_is_uploaded_as_it_is(client, fake, tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(b"0123456789" * 250_000)
    client.upload(path, table="heart", subject_key="id")
    (upload,) = fake.uploads
    assert upload.files["heart"] == path.read_bytes()
    assert upload.header.digests[0].sha256 == kohort.uploads.hashlib.sha256(path.read_bytes()).digest()
    assert upload.schema.table("heart").subject_key == "id"
    assert upload.messages == 3


def test_other_files_and_bad_frames_are_refused_here(client, fake, tmp_path):
    with pytest.raises(ValueError, match=r"\.csv"):
        client.upload(tmp_path / "rows.sas7bdat")
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "rows.csv")
    with pytest.raises(kohort.InvalidRequest) as caught:
        client.upload(pd.DataFrame({"mrn": [1, "x"]}))
    assert (caught.value.reason, caught.value.violations[0].field) == ("MIXED_TYPES", "table.mrn")
    with pytest.raises(kohort.InvalidRequest) as caught:
        client.upload(PATIENTS, schema=TableSchema("t", (Column("weight"),)))
    assert caught.value.reason == "MISSING_COLUMN"
    assert not fake.calls


def test_an_upload_is_repeated_under_its_request_id(client, fake):
    fake.fail("UploadDataset", Fault(), Fault(after=1))
    client.upload(PATIENTS)
    assert len(fake.calls) == 3
    assert len(fake.uploads) == 1
    assert len(fake.uploads[0].header.request_id) == 36


def test_what_the_server_refuses_midway_reaches_the_caller(client, fake):
    fake.fail(
        "UploadDataset", Fault(CODE.INVALID_ARGUMENT, "x", "MIXED_TYPES", 2, violations={"table.age": "bad"})
    )
    rng = np.random.default_rng(0)
    with pytest.raises(kohort.InvalidRequest) as caught:
        client.upload(pd.DataFrame({"age": rng.normal(size=2_000_000)}))
    assert caught.value.violations[0].field == "table.age"


def test_datasets_are_looked_at_listed_and_deleted(client, fake):
    for _ in range(5):
        dataset = client.upload(PATIENTS)
    overrides = SchemaOverrides((ColumnOverride("age", acknowledge_identifier=True),))
    inferred = dataset.infer_schema(overrides)
    assert inferred.findings[0].reason == "NO_SUBJECT_KEY"
    assert fake.requests("InferSchema")[0].schema_overrides.columns[0].acknowledge_identifier
    assert [d.name for d in client.datasets()] == [f"datasets/{i}" for i in range(1, 6)]
    assert len(fake.requests("ListDatasets")) == 3
    assert dataset.delete() == ("models/one",)
    assert client.dataset("datasets/2").info.name == "datasets/2"


def test_what_is_no_table_is_refused(client, fake, tmp_path):
    with pytest.raises(TypeError, match="not list"):
        client.upload([1, 2])
    (tmp_path / "rows.txt").write_text("a\n1\n")
    with pytest.raises(ValueError, match=r"must end in one of .*; this one ends in \.txt"):
        client.upload(tmp_path / "rows.txt")
    assert not fake.uploads
