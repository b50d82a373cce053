"""A server that plays golden streams and broken ones, notes who asked what, and fails as it is told.

What it does follows from the name of the model, up to the first dot: `models/shaky.4f` is shaky, and a test
that counts calls has a name of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import golden
import grpc
from broken import break_stream
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from papers import Papers
from uploads import Datasets

from kohort.v1 import dataset_pb2_grpc, sampling_pb2, sampling_pb2_grpc

UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
TOO_LONG_MS = 120_000
"""A wait that no deadline of these tests has room for."""
SHORT_MS = 700
WHOLE = 60
"""Messages that no golden stream has."""


@dataclass
class Call:
    """A call as the server saw it."""

    method: str
    subject: str
    """The model or table."""
    request_id: str
    """Of the metadata."""
    request: Any
    """The request; of an upload its header."""
    begun: float = field(default_factory=time.monotonic)
    ended: float | None = None
    cancelled: bool = False
    """Whether it was cut short: the server had more to say, or waited."""


class Calls:
    """The calls so far, oldest first."""

    def __init__(self) -> None:
        self._all: list[Call] = []

    def note(self, method: str, subject: str, request: Any, context: Any) -> Call:
        """Notes a call that begins, and later how it ended."""
        metadata = dict(context.invocation_metadata())
        call = Call(method, subject, str(metadata.get("x-request-id", "")), request)

        def ended(_: Any) -> None:
            call.cancelled = not context.done()
            call.ended = time.monotonic()

        context.add_done_callback(ended)
        self._all.append(call)
        return call

    def of(self, subject: str, method: str = "") -> list[Call]:
        """Those about a model or table."""
        return [c for c in self._all if c.subject == subject and method in ("", c.method)]


class Sampling(sampling_pb2_grpc.SamplingServiceServicer):
    """Plays `models/golden`, `models/broken-…` and the failures of `_fail`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Sample(self, request: Any, context: Any) -> AsyncIterator[sampling_pb2.SampleResponse]:
        self._calls.note("Sample", request.model, request, context)
        number = len(self._calls.of(request.model, "Sample"))
        how = request.model.removeprefix("models/").partition(".")[0]
        await _fail(how, number, context)
        messages = break_stream(golden.stream(request), how.removeprefix("broken-"), number)
        # The first group of batches is whole, the second is cut after its first table.
        last = {"stalled": 2, "torn": 3, "turned": 3, "moved": 3}.get(how, WHOLE) if number < 3 else WHOLE
        batches = 0
        for message in messages:
            batches += message.HasField("batch")
            if batches > last or (how == "untailed" and message.HasField("trailer")):
                break
            yield message
        else:
            return
        if how == "stalled":
            await asyncio.Event().wait()
        await refuse(context, UNAVAILABLE, "SHUTTING_DOWN")

    async def GetModel(self, request: Any, context: Any) -> sampling_pb2.GetModelResponse:
        self._calls.note("GetModel", request.name, request, context)
        for stream in self._calls.of(request.name, "Sample"):
            for _ in range(100):  # ten seconds for a client that left to say so
                if stream.ended is None:
                    await asyncio.sleep(0.1)
        if request.name.startswith("models/none"):
            await refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        return sampling_pb2.GetModelResponse(
            model=sampling_pb2.Model(name=request.name, trainer="golden", unit="patient")
        )


async def _fail(how: str, number: int, context: Any) -> None:
    """What goes wrong before the first message; `number` counts the calls for this model from 1."""
    match how:
        case "none":
            await refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        case "far":
            await refuse(context, grpc.StatusCode.OUT_OF_RANGE, "UNIT_OUT_OF_RANGE", ["start_unit"])
        case "busy":
            await refuse(context, EXHAUSTED, "TOO_MANY_STREAMS", retry_ms=TOO_LONG_MS)
        case "full":
            await refuse(context, EXHAUSTED, "LIMIT_EXCEEDED", ["unit_count"])
        case "defect":
            await refuse(context, grpc.StatusCode.INTERNAL, "INTERNAL", request_id="of-the-server")
        case "mute":
            await asyncio.Event().wait()
        case "down":
            await refuse(context, UNAVAILABLE, "SHUTTING_DOWN")
        case "shaky" if number < 3:
            await refuse(context, UNAVAILABLE, "SHUTTING_DOWN")
        case "hurried" if number < 2:
            await refuse(context, EXHAUSTED, "TOO_MANY_STREAMS", retry_ms=SHORT_MS)


async def refuse(
    context: Any,
    code: grpc.StatusCode,
    reason: str,
    fields: list[str] | None = None,
    retry_ms: int = 0,
    request_id: str = "",
) -> None:
    """Ends the call with google.rpc details as the real server sends them."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="kohort")
    if request_id:
        info.metadata["request_id"] = request_id
    details: list[Any] = [info]
    if fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description="refused")
            for field in fields
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if retry_ms:
        details.append(error_details_pb2.RetryInfo())
        details[-1].retry_delay.FromMilliseconds(retry_ms)
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    status = status_pb2.Status(code=code.value[0], message="refused", details=packed)
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, "refused", trailing_metadata=metadata)


class Fake:
    """The server in a thread of its own, on a port per transport.

    Args:
        folder: where certificates go.
    """

    def __init__(self, folder: Path) -> None:
        self.calls = Calls()
        self.addresses: dict[str, str] = {}
        """By transport: plain, tls, mtls."""
        self.papers = Papers(folder)
        self._loop = asyncio.new_event_loop()
        self._server: Any = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(None), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    async def _serve(self) -> None:
        server = self._server = grpc.aio.server()
        sampling_pb2_grpc.add_SamplingServiceServicer_to_server(Sampling(self.calls), server)
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(Datasets(self.calls, refuse), server)
        pair = [(self.papers.key("server").read_bytes(), self.papers.certificate("server").read_bytes())]
        trusted = self.papers.ca.read_bytes()
        ports = {
            "plain": server.add_insecure_port("127.0.0.1:0"),
            "tls": server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair)),
            "mtls": server.add_secure_port(
                "127.0.0.1:0", grpc.ssl_server_credentials(pair, trusted, require_client_auth=True)
            ),
        }
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        await server.start()
