"""Datasets: four formats in, nothing out, nothing kept of a stream that breaks."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pytest

from kohort import wire
from kohort.columns import Array, Batch, ContentDigest, encode_dictionary_chunks, encode_record_batch
from kohort.schema import Column, Schema, Storage, TableSchema
from kohort.v1 import dataset_pb2, schema_pb2, table_pb2, training_pb2
from server.spool import SpoolFolder
from tests.core.support import eventually
from tests.server.conftest import HEART, Start, Stubs, fails

UUID = "11234567-89ab-4cde-8f01-23456789abcd"
PEOPLE = TableSchema(
    "people",
    (
        Column("age", storage=Storage.INT64),
        Column("sex", storage=Storage.STRING),
        Column("score", storage=Storage.DOUBLE),
    ),
)


def rows(count: int = 200, seed: int = 1) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        "age": Array.make(Storage.INT64, random.integers(20, 90, count)),
        "sex": Array.make(
            Storage.STRING, random.integers(0, 2, count), random.random(count) < 0.9, ("f", "m")
        ),
        "score": Array.make(Storage.DOUBLE, random.normal(size=count)),
    }


def columns_upload(arrays: dict[str, Array], cuts: int = 2, digest: bytes = b"") -> list[Any]:
    """The messages of a COLUMNS upload."""
    header = dataset_pb2.UploadHeader(
        format=dataset_pb2.UPLOAD_FORMAT_COLUMNS, schema=wire.schema_to_proto(Schema((PEOPLE,)))
    )
    if digest:
        header.digests.add(table="people", sha256=digest)
    request = dataset_pb2.UploadDatasetRequest
    messages = [request(header=header)]
    chunks = encode_dictionary_chunks("people", "sex", ("f", "m"))
    messages += [request(dictionary=table_pb2.Dictionary.FromString(chunk)) for chunk in chunks]
    count = len(arrays["age"])
    edges = np.linspace(0, count, cuts + 1).astype(int)
    for low, high in pairwise(edges):
        batch = Batch("people", {name: a.slice(low, high) for name, a in arrays.items()})
        messages.append(request(batch=table_pb2.RecordBatch.FromString(encode_record_batch(batch))))
    return messages


def file(format_: str) -> bytes:
    if format_ == "csv":
        return HEART.read_bytes()
    out, frame = io.BytesIO(), pd.read_csv(HEART)
    if format_ == "parquet":
        frame.to_parquet(out)
    else:
        frame.to_excel(out, index=False)
    return out.getvalue()


async def send(stubs: Stubs, messages: list[Any]) -> dataset_pb2.Dataset:
    return (await stubs.datasets.UploadDataset(iter(messages))).dataset


@pytest.mark.parametrize("format_", ["csv", "parquet", "excel"])
async def test_files(stubs: Stubs, format_: str) -> None:
    data = file(format_)
    number = dataset_pb2.UploadFormat.Value(f"UPLOAD_FORMAT_{format_.upper()}")
    header = dataset_pb2.UploadHeader(format=number, display_name="Heart", labels={"site": "c"})
    header.digests.add(sha256=hashlib.sha256(data).digest())
    request = dataset_pb2.UploadDatasetRequest
    middle = len(data) // 2
    dataset = await send(
        stubs,
        [
            request(header=header),
            request(chunk=dataset_pb2.FileChunk(data=data[:middle])),
            request(chunk=dataset_pb2.FileChunk(data=data[middle:])),
        ],
    )
    assert dict(dataset.row_counts) == {"table": 303}
    assert len(dataset.digest) == 32
    assert dataset.size_bytes > 0
    assert (dataset.display_name, dict(dataset.labels)) == ("Heart", {"site": "c"})
    assert [c.name for c in dataset.schema.tables[0].columns][:3] == ["age", "sex", "cp"]
    complete = dataset.schema.tables[0].columns
    assert all(c.kind and c.storage and c.handling for c in complete)
    lasts = dataset.expire_time.seconds - time.time()
    assert abs(lasts - 7 * 86400) < 60


async def test_columns(stubs: Stubs) -> None:
    arrays = rows()
    digest = ContentDigest(Schema((PEOPLE,)))
    digest.add(Batch("people", arrays))
    first = await send(stubs, columns_upload(arrays, 1, digest.digest()))
    second = await send(stubs, columns_upload(arrays, 7))
    assert dict(first.row_counts) == {"people": 200}
    assert first.digest == second.digest, "how rows were cut does not matter"
    failed = await fails(stubs.datasets.UploadDataset(iter(columns_upload(arrays, 2, b"x" * 32))))
    assert (failed.reason, failed.fields) == ("DIGEST_MISMATCH", ("people",))


async def test_several_files_are_several_tables(stubs: Stubs) -> None:
    request, chunk = dataset_pb2.UploadDatasetRequest, dataset_pb2.FileChunk
    patients = b"".join(b"%d,%d\n" % (i, 20 + i % 50) for i in range(60))
    visits = b"".join(b"%d,%d\n" % (i % 60, i % 7) for i in range(200))
    dataset = await send(
        stubs,
        [
            request(header=dataset_pb2.UploadHeader(format=dataset_pb2.UPLOAD_FORMAT_CSV)),
            request(chunk=chunk(table="patients", data=b"patient,age\n" + patients)),
            request(chunk=chunk(table="visits", data=b"patient,ward\n" + visits[:99])),
            request(chunk=chunk(table="visits", data=visits[99:])),
        ],
    )
    assert dict(dataset.row_counts) == {"patients": 60, "visits": 200}
    failed = await fails(stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNIMPLEMENTED, "MULTI_TABLE_UNSUPPORTED")


async def test_an_upload_may_be_repeated(start: Start) -> None:
    server, stubs = await start()
    first = await stubs.upload(request_id=UUID)
    assert await stubs.upload(request_id=UUID) == first
    assert len((await stubs.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest())).datasets) == 1
    other = HEART.read_bytes().replace(b"\n63,", b"\n64,", 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.upload(other, request_id=UUID)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    blobs = {p.name for p in (server.settings.data_dir / "blobs" / "datasets").rglob("*") if p.is_file()}
    assert blobs, "the first upload is still there"


async def test_what_is_declared_stays(stubs: Stubs) -> None:
    schema = schema_pb2.Schema()
    table = schema.tables.add(name="heart")
    table.columns.add(name="cp", kind=schema_pb2.COLUMN_KIND_CATEGORY, description="Chest pain")
    table.columns.add(name="chol", handling=schema_pb2.HANDLING_DROP)
    dataset = await stubs.upload(schema=schema)
    columns = {c.name: c for c in dataset.schema.tables[0].columns}
    assert columns["cp"].kind == schema_pb2.COLUMN_KIND_CATEGORY
    assert columns["cp"].description == "Chest pain"
    assert columns["chol"].handling == schema_pb2.HANDLING_DROP
    assert len(columns) == 14


async def test_infer_schema_tries_overrides(stubs: Stubs) -> None:
    dataset = await stubs.upload()
    request = dataset_pb2.InferSchemaRequest(dataset=dataset.name)
    assert (await stubs.datasets.InferSchema(request)).schema == dataset.schema
    request.schema_overrides.columns.add(column="chol", handling=schema_pb2.HANDLING_DROP)
    changed = (await stubs.datasets.InferSchema(request)).schema
    handling = {c.name: c.handling for c in changed.tables[0].columns}
    assert handling["chol"] == schema_pb2.HANDLING_DROP
    assert (
        await stubs.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=dataset.name))
    ).dataset == dataset


async def test_deleting_leaves_a_tombstone(start: Start) -> None:
    server, stubs = await start()
    dataset = await stubs.upload()
    delete = dataset_pb2.DeleteDatasetRequest(name=dataset.name)
    gone = await stubs.datasets.DeleteDataset(delete)
    assert gone.dataset.HasField("delete_time")
    assert gone.dataset.digest == dataset.digest
    assert not list((server.settings.data_dir / "blobs" / "datasets").rglob("*.arrow"))
    assert (await stubs.datasets.DeleteDataset(delete)).dataset == gone.dataset
    for call in (
        stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name)),
        stubs.datasets.InferSchema(dataset_pb2.InferSchemaRequest(dataset=dataset.name)),
    ):
        failed = await fails(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DATASET_EXPIRED")


async def test_a_dataset_in_use_stays(stubs: Stubs) -> None:
    dataset = await stubs.upload()
    stream = stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name))
    job = (await stream.read()).update.job.name
    stream.cancel()
    delete = dataset_pb2.DeleteDatasetRequest(name=dataset.name)
    failed = await fails(stubs.datasets.DeleteDataset(delete))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DATASET_IN_USE")
    cancel = stubs.training.Cancel(training_pb2.CancelRequest(job=job))
    assert (await cancel.read()).update.job.state == training_pb2.JOB_STATE_CANCELLED
    assert not (await stubs.datasets.DeleteDataset(delete)).models


async def test_nothing_is_kept_of_an_upload_that_breaks(start: Start) -> None:
    server, stubs = await start()
    spool = server.settings.data_dir / "spool"

    async def endless() -> Any:
        yield dataset_pb2.UploadDatasetRequest(
            header=dataset_pb2.UploadHeader(format=dataset_pb2.UPLOAD_FORMAT_CSV)
        )
        while True:
            yield dataset_pb2.UploadDatasetRequest(chunk=dataset_pb2.FileChunk(data=b"a,b\n" * 100_000))
            await asyncio.sleep(0.01)

    call = stubs.datasets.UploadDataset(endless())
    await eventually(lambda: any(p.stat().st_size > 1 << 20 for p in spool.rglob("*.bytes")), "a megabyte")
    call.cancel()
    await eventually(lambda: not list(spool.iterdir()), "the spool to be empty")
    assert not (await stubs.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest())).datasets


async def test_what_a_killed_server_left_is_removed(start: Start, tmp_path: Path) -> None:
    left = tmp_path / "var" / "spool" / "left"
    left.mkdir(parents=True)
    (left / "0.bytes").write_bytes(b"age\n63\n")
    await start(data_dir=tmp_path / "var")
    assert not left.exists()


def test_what_a_living_server_has_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    flock = fcntl.flock

    def noted(descriptor: int, operation: int) -> None:
        flags.append(fcntl.fcntl(descriptor, fcntl.F_GETFL))
        flock(descriptor, operation)

    monkeypatch.setattr("server.spool.fcntl.flock", noted)
    with SpoolFolder(tmp_path).scratch() as scratch:
        SpoolFolder(tmp_path)
        assert scratch.exists()
    assert not scratch.exists()
    # flock(2): a network file system takes an exclusive lock on nothing but a file open for writing.
    assert flags
    assert all(flag & os.O_ACCMODE == os.O_RDWR for flag in flags)


async def test_a_life_is_capped(start: Start) -> None:
    _, stubs = await start(max_dataset_ttl_seconds=3600)
    header: dict[str, Any] = {"expire_time": wire.timestamp_to_proto(time.time() + 10**9)}
    dataset = await stubs.upload(**header)
    assert abs(dataset.expire_time.seconds - time.time() - 3600) < 60


async def test_limits(start: Start) -> None:
    _, stubs = await start(max_upload_bytes=10_000, max_rows=100, max_columns=14)
    failed = await fails(_upload(stubs, HEART.read_bytes()))
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    small = b"a,b\n" + b"1,2\n" * 101
    assert (await fails(_upload(stubs, small))).reason == "LIMIT_EXCEEDED"
    wide = ",".join(map(str, range(15))).encode() + b"\n" + b"1," * 14 + b"1\n"
    assert (await fails(_upload(stubs, wide))).reason == "LIMIT_EXCEEDED"


def _upload(stubs: Stubs, data: bytes) -> Any:
    request = dataset_pb2.UploadDatasetRequest
    header = dataset_pb2.UploadHeader(format=dataset_pb2.UPLOAD_FORMAT_CSV)
    return stubs.datasets.UploadDataset(
        iter([request(header=header), request(chunk=dataset_pb2.FileChunk(data=data))])
    )
