"""A server in this process, without workers, and stubs to call it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from kohort.v1 import (
    capabilities_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    evaluation_pb2_grpc,
    sampling_pb2,
    sampling_pb2_grpc,
    training_pb2_grpc,
)
from server.app import Server
from server.settings import Settings
from tests.runtime.parts import bundle_bytes

HEART = Path(__file__).resolve().parents[1] / "data" / "heart.csv"


@dataclass(frozen=True)
class Failure:
    """How a call failed, as a client reads it."""

    code: grpc.StatusCode
    reason: str
    message: str
    fields: tuple[str, ...]
    metadata: dict[str, str]
    retry_after: float | None
    request_id: str


def failure(error: grpc.aio.AioRpcError) -> Failure:
    """Reads the details of an error."""
    status = rpc_status.from_call(error)
    assert status is not None, f"{error.code()}: {error.details()}"
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        wait = error_details_pb2.RetryInfo()
        if detail.Unpack(wait):
            retry = wait.retry_delay.ToMilliseconds() / 1000
    assert info.domain == "kohort"
    trailers = dict(error.trailing_metadata() or ())
    return Failure(
        error.code(),
        info.reason,
        error.details() or "",
        tuple(v.field for v in bad.field_violations),
        dict(info.metadata),
        retry,
        str(trailers.get("x-request-id", "")),
    )


async def fails(call: Any) -> Failure:
    """Runs a unary call or reads a stream that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call if isinstance(call, Awaitable) else collect(call))
    return failure(caught.value)


async def breaks(stream: Any) -> tuple[list[Any], Failure]:
    """Reads a stream that must fail: what came before, and how it failed."""
    received = []

    async def read() -> None:
        async for message in stream:
            received.append(message)  # noqa: PERF401 - what came before the failure must stay

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read()
    return received, failure(caught.value)


class Stubs:
    """Stubs of every service on one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.capabilities: Any = capabilities_pb2_grpc.CapabilitiesServiceStub(channel)
        self.datasets: Any = dataset_pb2_grpc.DatasetServiceStub(channel)
        self.training: Any = training_pb2_grpc.TrainingServiceStub(channel)
        self.evaluation: Any = evaluation_pb2_grpc.EvaluationServiceStub(channel)
        self.sampling: Any = sampling_pb2_grpc.SamplingServiceStub(channel)

    async def upload(self, data: bytes = b"", table: str = "heart", **header: Any) -> dataset_pb2.Dataset:
        """Uploads a CSV file, by default the heart table."""
        data = data or HEART.read_bytes()
        head = dataset_pb2.UploadHeader(format=dataset_pb2.UPLOAD_FORMAT_CSV, **header)
        requests = [dataset_pb2.UploadDatasetRequest(header=head)]
        for start in range(0, len(data), 1 << 20):
            chunk = dataset_pb2.FileChunk(table=table, data=data[start : start + (1 << 20)])
            requests.append(dataset_pb2.UploadDatasetRequest(chunk=chunk))
        return (await self.datasets.UploadDataset(iter(requests))).dataset

    async def import_model(self, data: bytes = b"", **header: Any) -> sampling_pb2.Model:
        """Imports a bundle, by default the handmade one."""
        data = data or bundle_bytes()
        parts = [data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)]
        requests = [sampling_pb2.ImportModelRequest(header=sampling_pb2.ImportHeader(**header))]
        requests += [sampling_pb2.ImportModelRequest(data=part) for part in parts]
        return (await self.sampling.ImportModel(iter(requests))).model


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings of a server for tests: free ports, no workers, any bundle welcome."""
    given = {
        "port": 0,
        "metrics_port": -1,
        "data_dir": folder / "var",
        "devices": "",
        "import_unverified": True,
        "poll_seconds": 0.1,
        "log_level": "error",
        "evaluation_profile": "none",
    }
    return Settings(**{**given, **changes})


Start = Callable[..., Awaitable[tuple[Server, Stubs]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts servers with settings of their own; all are stopped at the end."""
    running: list[tuple[Server, grpc.aio.Channel]] = []

    async def begin(**changes: Any) -> tuple[Server, Stubs]:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        server = Server(settings(folder, **changes))
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        running.append((server, channel))
        return server, Stubs(channel)

    yield begin
    for server, channel in running:
        await channel.close()
        await server.stop()


@pytest.fixture
async def stubs(start: Start) -> Stubs:
    """Stubs of a server with the usual settings."""
    return (await start())[1]


@pytest.fixture
async def house(start: Start, tmp_path: Path) -> AsyncIterator[Any]:
    """See `tests.server.reported.House`."""
    from tests.server.reported import House

    file = tmp_path / "tokens.json"
    tokens = House.tokens(file)
    server, stubs = await start(tokens_file=file, max_evaluations_per_day=3, metrics_port=0)
    made = House(server, stubs, tokens)
    yield made
    made.worker.close()


async def collect(stream: Any) -> list[Any]:
    """Every message of a stream."""
    return [message async for message in stream]


def plain(message: Message) -> bytes:
    """A message as comparable bytes."""
    return message.SerializeToString(deterministic=True)
