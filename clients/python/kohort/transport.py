"""Performs operations on grpc's synchronous API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import grpc

from kohort.channel import CallMetadata, Endpoint
from kohort.effects import END, Effect, Emit, Invoke, Method, Offload, Open, Operation, Read, Sleep
from kohort.errors import RpcError
from kohort.status import from_grpc
from kohort.tracing import CallSpan

T = TypeVar("T")


class Source:
    """The messages of a client stream, remembering what making them raised.

    grpc turns an exception in a request iterator into a cancelled call and tells
    nobody why.
    """

    def __init__(self, messages: Iterator[Any]) -> None:
        self._messages = messages
        self.failure: BaseException | None = None

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise


def translate(error: Any, endpoint: Endpoint, request_id: str) -> RpcError:
    """The exception for a grpc error, which becomes its cause."""
    found = from_grpc(error, endpoint, request_id)
    found.__cause__ = error
    return found


class Transport:
    """A channel and how operations run on it. Safe to use from several threads."""

    def __init__(self, channel: grpc.Channel, endpoint: Endpoint, metadata: CallMetadata) -> None:
        self._channel = channel
        self._endpoint = endpoint
        self._metadata = metadata
        self._callables: dict[str, Any] = {}
        self._closed = False

    def close(self) -> None:
        """Closes the channel; calls under way raise CallCancelled."""
        self._closed = True
        self._channel.close()

    def run(self, operation: Operation[T]) -> T:
        """The result of an operation."""
        steps = self.iterate(operation)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def iterate(self, operation: Operation[T]) -> Generator[Any, None, T]:
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
                    value: T = stop.value
                    return value
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
                            result = next(stream, END)
                        case Invoke():
                            result = self._invoke(effect, request_id, span)
                        case Sleep(seconds=seconds):
                            time.sleep(seconds)
                        case Offload(function=function):
                            result = function()
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

    def _invoke(self, effect: Invoke, request_id: str, span: CallSpan) -> Any:
        method = self._callable(effect.method)
        metadata = self._metadata.of(request_id, *span.metadata(effect.method.path))
        if not effect.method.client_streaming:
            return method(effect.request, timeout=effect.timeout, metadata=metadata)
        source = Source(effect.request())
        try:
            return method(source, timeout=effect.timeout, metadata=metadata)
        except grpc.RpcError:
            if source.failure is not None:
                raise source.failure from None
            raise

    def _callable(self, method: Method) -> Any:
        if self._closed:
            raise ValueError("the client is closed")
        if method.path not in self._callables:
            self._callables[method.path] = multicallable(self._channel, method)
        return self._callables[method.path]


def multicallable(channel: Any, method: Method) -> Any:
    """The method on a channel of either API."""
    shapes = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
    }
    make = shapes[method.client_streaming, method.server_streaming]
    return make(
        method.path, request_serializer=Method.serialize, response_deserializer=method.response.FromString
    )
