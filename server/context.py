"""What is known of the call being served."""

from __future__ import annotations

import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

from server.records import Principal
from server.tracing import SILENT, Span


@dataclass
class Call:
    """One call, from its first byte to its last. Interceptors fill it in; handlers read `principal`."""

    method: str
    """Such as "/kohort.v1.TrainingService/Train"."""
    kind: str
    """"unary", "client_stream", "server_stream" or "bidi_stream"."""
    metadata: dict[str, str]
    context: grpc.aio.ServicerContext[Any, Any]
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    principal: Principal | None = None
    reason: str = ""
    """Why it failed: an ErrorReason."""
    span: Span = SILENT
    """Of this call, in the trace of its client."""
    started: float = field(default_factory=time.perf_counter)
    received: int = 0
    sent: int = 0

    @property
    def service(self) -> str:
        """Such as "kohort.v1.TrainingService"."""
        return self.method.split("/")[1]

    @property
    def is_infrastructure(self) -> bool:
        """Whether it is one of gRPC's own services, such as health, which come every second."""
        return self.service.startswith("grpc.")

    @property
    def name(self) -> str:
        """Such as "Train"."""
        return self.method.split("/")[2]


_CURRENT: ContextVar[Call] = ContextVar("call")


def enter(call: Call) -> None:
    """Makes `call` the current one of this task."""
    _CURRENT.set(call)


def current() -> Call:
    """The call that this task serves."""
    return _CURRENT.get()


def span() -> Span:
    """The span of the call that this task serves; outside of calls one that nobody records."""
    call = _CURRENT.get(None)
    return SILENT if call is None else call.span


def principal() -> Principal:
    """Who calls; auth has run before any handler."""
    who = current().principal
    assert who is not None, "a handler ran without an identity"
    return who
