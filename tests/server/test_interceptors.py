"""The chain around every call: four kinds, nothing leaks, everything counts, streams end in their task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf import wrappers_pb2
from structlog.testing import capture_logs

from kohort.problem import Problem
from server.context import Call
from server.interceptors import Chain
from server.layers import AccessLog, Errors, RequestIds, RpcMetricsLayer
from server.metrics import Metrics
from tests.core.support import eventually
from tests.server.conftest import Failure, failure

SECRET = "MRN 1234567"
KINDS = ("Unary", "ServerStream", "ClientStream", "Bidi")
Text = wrappers_pb2.StringValue


class Handlers:
    """One behaviour, in each of the four kinds."""

    def __init__(self) -> None:
        self.cleaned: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def act(self, text: str) -> Text:
        match text:
            case "leak":
                raise ValueError(f"could not parse {SECRET}")
            case "problem":
                raise Problem.at("INVALID_REQUEST", "text", "is wrong")
            case "odd":
                raise Problem("NO_SUCH_REASON", "a defect")
        return Text(value=text)

    async def unary(self, request: Text, context: Any) -> Text:
        return self.act(request.value)

    async def client_stream(self, requests: AsyncIterator[Text], context: Any) -> Text:
        return self.act("".join([request.value async for request in requests]))

    async def server_stream(self, request: Text, context: Any) -> AsyncIterator[Text]:
        task = asyncio.current_task()
        try:
            yield Text(value="first")
            yield self.act(request.value)
            while request.value == "forever":
                yield Text(value="x" * 1000)
        finally:
            if not self.cleaned.done():
                self.cleaned.set_result(asyncio.current_task() is task)

    async def bidi(self, requests: AsyncIterator[Text], context: Any) -> AsyncIterator[Text]:
        async for request in requests:
            yield self.act(request.value)
            yield b"\n\x03raw"  # type: ignore[misc]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[grpc.aio.Channel, Metrics, Handlers]]:
    metrics, handlers = Metrics(), Handlers()
    server = grpc.aio.server(
        interceptors=[Chain([RequestIds(), RpcMetricsLayer(metrics.rpc), AccessLog(), Errors()])]
    )
    codec = {"request_deserializer": Text.FromString, "response_serializer": Text.SerializeToString}
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(handlers.unary, **codec),
        "ServerStream": grpc.unary_stream_rpc_method_handler(handlers.server_stream, **codec),
        "ClientStream": grpc.stream_unary_rpc_method_handler(handlers.client_stream, **codec),
        "Bidi": grpc.stream_stream_rpc_method_handler(handlers.bidi, **codec),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, metrics, handlers
    await server.stop(0)


def method(channel: grpc.aio.Channel, kind: str, raw: bool = False) -> Any:
    make = {
        "Unary": channel.unary_unary,
        "ServerStream": channel.unary_stream,
        "ClientStream": channel.stream_unary,
        "Bidi": channel.stream_stream,
    }[kind]
    return make(
        f"/t.T/{kind}",
        request_serializer=None if raw else Text.SerializeToString,
        response_deserializer=Text.FromString,
    )


async def call(channel: grpc.aio.Channel, kind: str, request: Any, **options: Any) -> list[str]:
    made = method(channel, kind, raw=isinstance(request, bytes))
    argument = iter([request]) if kind in ("ClientStream", "Bidi") else request
    reply = made(argument, **options)
    if kind in ("Unary", "ClientStream"):
        return [(await reply).value]
    return [message.value async for message in reply]


async def fail(channel: grpc.aio.Channel, kind: str, request: Any, **options: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, kind, request, **options)
    return failure(caught.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exception_does_not_leak(kind: str) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        async with serving() as (channel, _, _handlers):
            failed = await fail(channel, kind, Text(value="leak"))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert SECRET not in repr(failed)
    assert "ValueError" not in repr(failed)
    defect = next(line for line in logs if line["event"] == "defect")
    assert defect["request_id"] == failed.request_id == failed.metadata["request_id"]
    assert defect["error"][0] == "ValueError"
    assert SECRET not in repr(logs)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_problem_becomes_its_status(kind: str) -> None:
    async with serving() as (channel, _, _handlers):
        failed = await fail(channel, kind, Text(value="problem"), metadata=(("x-request-id", "mine-1"),))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert failed.fields == ("text",)
    assert failed.request_id == failed.metadata["request_id"] == "mine-1"


@pytest.mark.parametrize("kind", KINDS)
async def test_bytes_that_are_no_message(kind: str) -> None:
    async with serving() as (channel, _, _handlers):
        failed = await fail(channel, kind, b"\xff\xff\xff\xff")
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_an_unlisted_reason_is_a_defect() -> None:
    async with serving() as (channel, _, _handlers):
        failed = await fail(channel, "Unary", Text(value="odd"))
    assert failed.code is grpc.StatusCode.INTERNAL


def counted(metrics: Metrics, kind: str) -> dict[tuple[str, str | None], float]:
    """The samples of a method by name and code."""
    return {
        (sample.name, sample.labels.get("grpc_code")): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("grpc_method") == kind
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Unary", ["ok"]), ("ServerStream", ["first", "ok"]), ("ClientStream", ["ok"]), ("Bidi", ["ok", "raw"])],
)
async def test_success_is_counted_once(kind: str, expected: list[str]) -> None:
    async with serving() as (channel, metrics, _):
        assert await call(channel, kind, Text(value="ok")) == expected
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, kind, Text(value="problem"))
        # The client has its status before the handler has left its layers.
        both = "grpc_server_handling_seconds_count", None
        await eventually(lambda: counted(metrics, kind)[both] == 2, "both calls to end")
        series = counted(metrics, kind)
    assert series["grpc_server_started_total", None] == 2
    assert series["grpc_server_handled_total", "OK"] == 1
    assert series["grpc_server_handled_total", "InvalidArgument"] == 1
    assert series["grpc_server_handling_seconds_count", None] == 2
    assert series["grpc_server_msg_received_total", None] == 2
    assert series["grpc_server_msg_sent_total", None] == len(expected) + (kind == "ServerStream")


async def test_a_stream_is_closed_in_its_own_task_when_the_client_leaves() -> None:
    async with serving() as (channel, metrics, handlers):
        stream = method(channel, "ServerStream")(Text(value="forever"))
        assert (await stream.read()).value == "first"
        stream.cancel()
        assert await asyncio.wait_for(handlers.cleaned, 60)
        cancelled = metrics.rpc.of("/t.T/ServerStream").handled("Canceled")
        await eventually(lambda: cancelled._value.get() == 1, "the call to be counted")


async def test_a_client_that_leaves_amid_a_message_is_no_defect() -> None:
    class Gone:
        async def write(self, message: Text) -> None:
            raise grpc.aio.InternalError("failed to send")

        def code(self) -> None:
            return None

        def time_remaining(self) -> None:
            return None

    async def replies() -> AsyncIterator[Text]:
        yield Text(value="lost")

    one = Call("/t.T/ServerStream", "server_stream", {}, Gone())  # type: ignore[arg-type]
    metrics = Metrics()
    counting = RpcMetricsLayer(metrics.rpc)
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        async with counting.around(one), Errors().around(one):
            await Chain([counting])._stream(one, replies())
    assert not [line for line in logs if line["event"] == "defect"]
    assert metrics.rpc.of("/t.T/ServerStream").handled("Canceled")._value.get() == 1


async def test_a_deadline_is_told_from_a_cancel() -> None:
    async with serving() as (channel, metrics, handlers):
        await call(channel, "Unary", Text(value="ok"))  # To connect is not to count against the deadline.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "ServerStream", Text(value="forever"), timeout=1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(handlers.cleaned, 60)
        seconds = metrics.rpc.of("/t.T/ServerStream").seconds
        await eventually(lambda: seconds._sum.get() > 0, "the call to be counted")
    assert metrics.rpc.of("/t.T/ServerStream").handled("DeadlineExceeded")._value.get() == 1


@pytest.mark.parametrize(
    ("left", "code"),
    [(None, "Canceled"), (5.0, "Canceled"), (0.05, "DeadlineExceeded"), (-1.0, "DeadlineExceeded")],
)
async def test_a_deadline_that_this_side_counts_a_little_later_is_one(left: float | None, code: str) -> None:
    """The client counts from when it asks and cancels by itself, the server from when it hears of it."""

    class Context:
        def code(self) -> None:
            return None

        def time_remaining(self) -> float | None:
            return left

    one = Call("/t.T/ServerStream", "server_stream", {}, Context())  # type: ignore[arg-type]
    metrics = Metrics()
    with pytest.raises(asyncio.CancelledError):
        async with RpcMetricsLayer(metrics.rpc).around(one):
            raise asyncio.CancelledError
    assert metrics.rpc.of("/t.T/ServerStream").handled(code)._value.get() == 1


async def test_request_ids_are_echoed_or_made() -> None:
    async with serving() as (channel, _, _handlers):
        for given, kept in (("abc-1", True), ("bad id\u00e9".encode("ascii", "ignore").decode(), False)):
            reply = method(channel, "Unary")(Text(value="ok"), metadata=(("x-request-id", given),))
            await reply
            echoed = dict(await reply.trailing_metadata())["x-request-id"]
            assert (echoed == given) is kept
            assert echoed


async def test_an_unknown_method_stays_unimplemented() -> None:
    async with serving() as (channel, _, _handlers):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.T/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
