"""Performs operations on grpc's asyncio API."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from kohort.channel import CallMetadata, Endpoint
from kohort.effects import END, Effect, Emit, Invoke, Method, Offload, Open, Operation, Read, Sleep
from kohort.errors import RpcError
from kohort.tracing import CallSpan
from kohort.transport import Source, multicallable, translate

T = TypeVar("T")

_LOST = "Internal error from Core"
"""What grpc.aio says when sending a message failed, whatever the status that ended the stream."""


class AsyncTransport:
    """A channel and how operations run on it, on one event loop.

    The channel is made at the first call: an aio channel belongs to the loop it is made on.
    """

    def __init__(
        self, connect: Callable[[], grpc.aio.Channel], endpoint: Endpoint, metadata: CallMetadata
    ) -> None:
        self._connect = connect
        self._channel: grpc.aio.Channel | None = None
        self._endpoint = endpoint
        self._metadata = metadata
        self._callables: dict[str, Any] = {}
        self._closed = False

    async def close(self) -> None:
        """Closes the channel; calls under way raise CallCancelled."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def run(self, operation: Operation[T]) -> T:
        """The result of an operation."""
        result: list[T] = []
        async for _ in self.iterate(operation, result.append):
            pass
        return result[0]

    async def iterate(
        self, operation: Operation[T], returned: Callable[[T], None] = lambda _: None
    ) -> AsyncGenerator[Any, None]:
        """What an operation emits; leaving the iteration cancels its stream."""
        request_id = uuid.uuid4().hex
        span = CallSpan(request_id)
        stream: Any = None
        result: Any = None
        failure: RpcError | None = None
        try:
            while True:
                try:
                    effect: Effect = operation.send(result) if failure is None else operation.throw(failure)
                except StopIteration as stop:
                    returned(stop.value)
                    return
                result = failure = None
                try:
                    match effect:
                        case Emit(value=emitted):
                            yield emitted
                        case Open():
                            if stream is not None:
                                stream.cancel()
                            stream = self._open(effect, request_id, span)
                        case Read():
                            message = await stream.read()
                            result = END if message is grpc.aio.EOF else message
                        case Invoke():
                            result = await self._invoke(effect, request_id, span)
                        case Sleep(seconds=seconds):
                            await asyncio.sleep(seconds)
                        case Offload(function=function):
                            result = await asyncio.to_thread(function)
                except grpc.RpcError as error:
                    failure = translate(error, self._endpoint, request_id)
        except BaseException as error:
            span.end(error)
            raise
        finally:
            span.end()
            operation.close()
            if stream is not None:
                stream.cancel()

    def _open(self, effect: Open, request_id: str, span: CallSpan) -> Any:
        metadata = self._metadata.of(request_id, *span.metadata(effect.method.path))
        return self._callable(effect.method)(effect.request, timeout=effect.timeout, metadata=metadata)

    async def _invoke(self, effect: Invoke, request_id: str, span: CallSpan) -> Any:
        method = self._callable(effect.method)
        metadata = self._metadata.of(request_id, *span.metadata(effect.method.path))
        if not effect.method.client_streaming:
            return await method(effect.request, timeout=effect.timeout, metadata=metadata)
        source = Source(effect.request())
        try:
            return await method(source, timeout=effect.timeout, metadata=metadata)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            if source.failure is not None:
                raise source.failure from None
            if not isinstance(error, grpc.aio.AioRpcError) or error.details() != _LOST:
                raise
            # The stream ended while a message was being sent, and grpc forgot why: as if it had broken.
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE,
                error.initial_metadata(),
                error.trailing_metadata(),
                "the stream ended while sending",
            ) from error

    def _callable(self, method: Method) -> Any:
        if self._closed:
            raise ValueError("the client is closed")
        if self._channel is None:
            self._channel = self._connect()
        if method.path not in self._callables:
            self._callables[method.path] = multicallable(self._channel, method)
        return self._callables[method.path]
