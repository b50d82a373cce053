"""The shapes that calls have, retries included: one answer, and a stream that resumes.

Everything here is a generator of `kohort.effects`; nothing waits, sends or reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from kohort.config import Retry
from kohort.effects import END, Invoke, Method, Open, Operation, Read, Sleep
from kohort.errors import RpcError, Unavailable
from kohort.retry import Attempts
from kohort.v1 import capabilities_pb2, dataset_pb2, evaluation_pb2, sampling_pb2, training_pb2


class Unset:
    """The type of DEFAULT."""

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Unset()
"""The client's own timeout of `Timeouts`, where None means no limit."""

Timeout = float | None | Unset


def _methods(file: Any) -> dict[str, Method]:
    found = {}
    for service in file.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            found[method.name] = Method(
                path=f"/{service.full_name}/{method.name}",
                request=getattr(file, method.input_type.name),
                response=getattr(file, method.output_type.name),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
            )
    return found


METHODS: Mapping[str, Method] = {
    name: method
    for file in (capabilities_pb2, dataset_pb2, evaluation_pb2, sampling_pb2, training_pb2)
    for name, method in _methods(file).items()
}
"""Every RPC of the contract by name, read from its descriptors."""


class Resumable(Protocol):
    """The state of a server stream that can be resumed where it broke."""

    method: Method

    def request(self) -> Any:
        """The request that goes on where the messages so far ended."""

    def receive(self, message: Any) -> Operation[None]:
        """Takes a message; emits what it gives."""

    def ended(self) -> bool:
        """The server ended the stream well: whether it is complete. False resumes it."""

    def broken(self, error: RpcError) -> bool:
        """The stream broke: whether the error is dealt with and the request to be sent again at once."""

    def complete(self) -> bool:
        """Whether nothing is missing, so that a break no longer matters."""


def call(name: str, request: Any, retry: Retry, timeout: float | None) -> Operation[Any]:
    """An RPC that answers once, tried again where that is safe.

    Raises:
        RpcError: of the last try.
    """
    method = METHODS[name]
    attempts = Attempts(retry, timeout)
    while True:
        try:
            return (yield Invoke(method, request, attempts.remaining()))
        except RpcError as error:
            yield Sleep(attempts.wait_after(error))


def follow(
    state: Resumable, retry: Retry, timeout: float | None, attempts: Attempts | None = None
) -> Operation[None]:
    """A server stream, resumed until it is complete.

    Args:
        state: of the stream.
        retry: when to try again.
        timeout: seconds for all of it.
        attempts: in place of both, where several streams share them.

    Raises:
        RpcError: what could not be mended in time.
    """
    attempts = attempts or Attempts(retry, timeout)
    while True:
        try:
            yield Open(state.method, state.request(), attempts.remaining())
            while (message := (yield Read())) is not END:
                attempts.progressed()
                yield from state.receive(message)
            if state.ended():
                return
            # Ended well but too early, as by a proxy's time limit: no different from a break.
            raise Unavailable("UNAVAILABLE", "the stream ended early")
        except RpcError as error:
            if state.complete():
                return
            if not state.broken(error):
                yield Sleep(attempts.wait_after(error))


def timeout_of(given: Timeout, default: float | None) -> float | None:
    """The timeout of a call: its own, else the client's."""
    return default if isinstance(given, Unset) else given
