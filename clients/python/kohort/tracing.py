"""The span of a call, in the trace of whoever calls.

There is one where the application has set up OpenTelemetry. Nothing here
imports it: an application that records traces has, and others pay nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import grpc

from kohort.errors import RpcError
from kohort.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_CODES = {code.name: code.value[0] for code in grpc.StatusCode}


class CallSpan:
    """One call of a client: a single span over all its tries and resumptions.

    It is nobody's current span, since a stream is read while other things go on.

    Args:
        request_id: of the call.
    """

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._span: Span | None = None

    def metadata(self, path: str) -> tuple[tuple[str, str], ...]:
        """What the next RPC says of its trace; with the first one the span begins.

        Args:
            path: of the method, such as ``/kohort.v1.TrainingService/Train``.
        """
        trace: Any = sys.modules.get("opentelemetry.trace")
        if trace is None:
            return ()
        if self._span is None:
            _, service, method = path.split("/")
            self._span = trace.get_tracer("kohort", __version__).start_span(
                path[1:],
                kind=trace.SpanKind.CLIENT,
                attributes={
                    "rpc.system": "grpc",
                    "rpc.service": service,
                    "rpc.method": method,
                    "kohort.request_id": self._request_id,
                },
            )
        else:
            self._span.add_event("resumed", {"rpc.method": path.rpartition("/")[2]})
        place = self._span.get_span_context()
        if not place.is_valid:
            return ()
        sampled = int(place.trace_flags.sampled)
        return (("traceparent", f"00-{place.trace_id:032x}-{place.span_id:016x}-{sampled:02x}"),)

    def end(self, error: BaseException | None = None) -> None:
        """The call is over; `error` is what it raised, told by its code and reason alone."""
        if self._span is None:
            return
        if error is None:
            self._span.set_attribute("rpc.grpc.status_code", 0)
        elif isinstance(error, Exception):
            trace: Any = sys.modules["opentelemetry.trace"]
            self._span.set_status(trace.Status(trace.StatusCode.ERROR))
            if isinstance(error, RpcError):
                self._span.set_attribute("rpc.grpc.status_code", _CODES.get(error.code, _CODES["UNKNOWN"]))
                self._span.set_attribute("error.type", error.reason or error.code)
            else:
                self._span.set_attribute("error.type", type(error).__name__)
        self._span.end()
        self._span = None
