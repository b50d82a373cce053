"""What an operation asks of the world, so that its logic is written once for both clients.

An operation is a generator: it yields effects and is sent their results, or is
thrown an `RpcError`. `kohort.client` performs effects on grpc's threads,
`kohort.aio` on its event loop; neither knows what an operation is about.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Method:
    """An RPC: its path and how its messages are read and written."""

    path: str
    request: type[Any]
    response: type[Any]
    client_streaming: bool = False
    server_streaming: bool = False

    @staticmethod
    def serialize(message: Any) -> bytes:
        """The bytes of a request; bytes are a request already (rows are encoded without protobuf)."""
        return message if isinstance(message, bytes) else message.SerializeToString()


@dataclass(frozen=True)
class Invoke:
    """Calls an RPC that answers once. Result: the response.

    `request` is a message, or for a client stream a function that gives the
    messages from the start.
    """

    method: Method
    request: Any
    timeout: float | None


@dataclass(frozen=True)
class Open:
    """Opens an RPC that answers with a stream, in place of the one that is open. Result: None."""

    method: Method
    request: Any
    timeout: float | None


@dataclass(frozen=True)
class Read:
    """Reads the open stream. Result: the next message, or END."""


@dataclass(frozen=True)
class Sleep:
    """Waits some seconds. Result: None."""

    seconds: float


@dataclass(frozen=True)
class Offload:
    """Runs something slow; on an event loop, in a thread. Result: what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit:
    """Hands a value to whoever iterates over the operation. Result: None."""

    value: Any


END: Final = object()
"""What `Read` gives at the end of a stream that ended well."""

Effect: TypeAlias = Invoke | Open | Read | Sleep | Offload | Emit
Operation: TypeAlias = Generator[Effect, Any, T]
Messages: TypeAlias = Callable[[], Iterator[Any]]
