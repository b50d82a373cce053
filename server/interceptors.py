"""What happens around every call, whatever it does.

gRPC's own interceptors would each have to treat four kinds of RPC. Here one of
them, `Chain`, does, and drives a list of `Layer`s: outermost first request id,
metrics, access log, errors, auth, admission.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, nullcontext
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from kohort.problem import Problem
from server.context import Call, enter

Context = grpc.aio.ServicerContext[Any, Any]


class Layer:
    """One concern around every call. The defaults do nothing."""

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Entered before the handler runs; sees every exception that leaves it."""
        return nullcontext()

    def received(self, call: Call, message: Any) -> None:
        """Called for every message of the client."""

    def sent(self, call: Call, message: Any) -> None:
        """Called for every message that was written."""


class Malformed:
    """Stands for a message that is not what the contract says."""


class Chain(grpc.aio.ServerInterceptor):
    """Drives handlers within layers.

    Streams of responses are iterated here, in the task of the call, and closed
    when the client leaves: grpc.aio would finalise them in another task. A
    response may be bytes that are a message already.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler of a known method; an unknown one stays UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        kind, behaviour = _kind(handler)
        run = self._stream if handler.response_streaming else self._single

        async def serve(request: Any, context: Context) -> Any:
            metadata = {k: v for k, v in handler_call_details.invocation_metadata or () if isinstance(v, str)}
            call = Call(handler_call_details.method, kind, metadata, context)
            enter(call)
            async with AsyncExitStack() as stack:
                for layer in self._layers:
                    await stack.enter_async_context(layer.around(call))
                if handler.request_streaming:
                    async with aclosing(self._requests(call, request)) as requests:
                        return await run(call, behaviour(requests, context))
                self._received(call, request)
                return await run(call, behaviour(request, context))

        return _HANDLERS[kind](
            serve,
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=_passing(handler.response_serializer),
        )

    async def _single(self, call: Call, reply: Awaitable[Any]) -> Any:
        message = await reply
        self._sent(call, message)
        return message

    async def _stream(self, call: Call, replies: Any) -> None:
        if not hasattr(replies, "__aiter__"):  # a coroutine that writes by itself, as the health service has
            await replies
            return
        async with aclosing(replies):
            async for message in replies:
                try:
                    await call.context.write(message)
                except grpc.aio.InternalError as error:
                    # The client has left, and the task is about to be told so. No message fails otherwise.
                    raise asyncio.CancelledError from error
                self._sent(call, message)

    async def _requests(self, call: Call, messages: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        async for message in messages:
            self._received(call, message)
            yield message

    def _received(self, call: Call, message: Any) -> None:
        if isinstance(message, Malformed):
            raise Problem("INVALID_REQUEST", "the message is not one of the contract")
        call.received += 1
        for layer in self._layers:
            layer.received(call, message)

    def _sent(self, call: Call, message: Any) -> None:
        call.sent += 1
        for layer in self._layers:
            layer.sent(call, message)


_HANDLERS: dict[str, Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    "unary": grpc.unary_unary_rpc_method_handler,
    "server_stream": grpc.unary_stream_rpc_method_handler,
    "client_stream": grpc.stream_unary_rpc_method_handler,
    "bidi_stream": grpc.stream_stream_rpc_method_handler,
}


def _kind(handler: grpc.RpcMethodHandler[Any, Any]) -> tuple[str, Callable[[Any, Context], Any]]:
    kinds: dict[tuple[bool, bool], tuple[str, Any]] = {
        (False, False): ("unary", handler.unary_unary),
        (False, True): ("server_stream", handler.unary_stream),
        (True, False): ("client_stream", handler.stream_unary),
        (True, True): ("bidi_stream", handler.stream_stream),
    }
    return kinds[bool(handler.request_streaming), bool(handler.response_streaming)]


def _tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    # grpc.aio would answer UNKNOWN with the parser's own text.
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Malformed()

    return read


def _passing(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    if serialize is None:
        return None
    return lambda message: message if isinstance(message, bytes) else serialize(message)
