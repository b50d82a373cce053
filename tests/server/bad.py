"""How bad requests are made and judged, for the tests that list them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kohort.v1 import dataset_pb2, sampling_pb2, schema_pb2, table_pb2, training_pb2
from server import errors
from tests.server.conftest import Start, Stubs, fails
from tests.server.test_dataset_rpc import columns_upload, rows

UUID = "31234567-89ab-4cde-8f01-23456789abcd"
INVALID = "INVALID_REQUEST"
COLUMNS, CSV = dataset_pb2.UPLOAD_FORMAT_COLUMNS, dataset_pb2.UPLOAD_FORMAT_CSV
PARQUET, EXCEL = dataset_pb2.UPLOAD_FORMAT_PARQUET, dataset_pb2.UPLOAD_FORMAT_EXCEL
Table, Schema = schema_pb2.TableSchema, schema_pb2.Schema


@dataclass(frozen=True)
class Bench:
    """A server with a dataset, and one that imports what nobody signed."""

    stubs: Stubs
    lenient: Stubs
    dataset: str


Make = Callable[[Bench], Any]
Case = tuple[str, Make, str, str]
"""What is wrong, the call, the reason, the fields ("*" for whichever)."""


async def set_up(start: Start) -> Bench:
    """A bench with small limits."""
    limits = {"max_upload_bytes": 3_000_000, "max_columns": 50, "max_rows": 5000, "max_bundle_bytes": 200_000}
    _, stubs = await start(import_unverified=False, max_units=10**9, **limits)
    _, lenient = await start()
    return Bench(stubs, lenient, (await stubs.upload()).name)


async def judge(bench: Bench, cases: Sequence[Case]) -> None:
    """Every call of a family fails as it should."""
    assert len(cases) >= 3
    wrong = {}
    for name, make, reason, fields in cases:
        found = await asyncio.wait_for(fails(make(bench)), 100)
        told = ",".join(found.fields)
        if found.reason != reason or fields not in ("*", told):
            wrong[name] = f"{found.reason} {told!r}: {found.message}"
        assert found.code is errors.REASONS[found.reason]
        assert found.request_id
    assert not wrong


def train(**fields: Any) -> Make:
    """A Train of the dataset."""
    request = training_pb2.TrainRequest
    return lambda b: b.stubs.training.Train(request(**{"dataset": b.dataset, **fields}))


def parameter(value: Any, name: str = "shrinkage") -> Make:
    """A Train with one parameter."""

    def make(bench: Bench) -> Any:
        request = training_pb2.TrainRequest(dataset=bench.dataset, trainer="copula")
        request.parameters.update({name: value})
        return bench.stubs.training.Train(request)

    return make


def override(**fields: Any) -> Make:
    """An InferSchema with one column override."""

    def make(bench: Bench) -> Any:
        request = dataset_pb2.InferSchemaRequest(dataset=bench.dataset)
        request.schema_overrides.columns.add(**fields)
        return bench.stubs.datasets.InferSchema(request)

    return make


def sample(**fields: Any) -> Make:
    """A Sample of a model that is not there: what is wrong is told first."""
    request = sampling_pb2.SampleRequest(**{"model": "models/x", "unit_count": 1, **fields})
    return lambda b: b.stubs.sampling.Sample(request)


def bundle(data: bytes, lenient: bool = False, **header: Any) -> Make:
    """An ImportModel; `lenient` where an unsigned bundle is welcome."""
    request, head = sampling_pb2.ImportModelRequest, sampling_pb2.ImportHeader(**header)

    def make(bench: Bench) -> Any:
        stubs = bench.lenient if lenient else bench.stubs
        return stubs.sampling.ImportModel(iter([request(header=head), request(data=data)]))

    return make


def upload(*messages: Any) -> Make:
    """An UploadDataset of these messages."""
    return lambda b: b.stubs.datasets.UploadDataset(iter(messages))


def head(format_: int = CSV, **fields: Any) -> Any:
    """The header of an upload."""
    return dataset_pb2.UploadDatasetRequest(header=dataset_pb2.UploadHeader(format=format_, **fields))


def chunk(data: bytes = b"a\n1\n", table: str = "t") -> Any:
    """A stretch of a file."""
    return dataset_pb2.UploadDatasetRequest(chunk=dataset_pb2.FileChunk(table=table, data=data))


def csv(data: bytes = b"a\n1\n", **header: Any) -> Make:
    """An upload of a CSV file."""
    return upload(head(**header), chunk(data))


def digest(table: str = "t", sha256: bytes = b"x" * 32) -> Any:
    """What a table should hash to."""
    return dataset_pb2.ExpectedDigest(table=table, sha256=sha256)


def column(name: str = "a", **fields: Any) -> Any:
    """A declared column."""
    return schema_pb2.Column(name=name, **fields)


def declared(*columns: Any, data: bytes = b"a,b\n1,2\n", **table: Any) -> Make:
    """An upload of a CSV file that declares columns."""
    return csv(data, schema=Schema(tables=[Table(**{"name": "t", "columns": columns, **table})]))


def batches(change: Callable[[list[Any]], Any]) -> Make:
    """An upload in COLUMNS with something changed: header, dictionary, one batch (age, sex, score)."""

    def make(bench: Bench) -> Any:
        messages = columns_upload(rows(20), 1)
        change(messages)
        return bench.stubs.datasets.UploadDataset(iter(messages))

    return make


def stray_dictionary() -> Any:
    """A chunk of a dictionary without its beginning."""
    part = table_pb2.Dictionary(table="people", column="sex", first_index=5, total=9)
    return dataset_pb2.UploadDatasetRequest(dictionary=part)
