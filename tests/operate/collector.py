"""An OpenTelemetry collector for tests: takes spans over OTLP on a free port of loopback, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.core.support import until


@dataclass(frozen=True)
class Seen:
    """A span as it arrived; times are seconds since 1970."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    attributes: Mapping[str, Any]
    failed: bool


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Serves from `with` on."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        if credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.url = f"http{'s' if credentials else ''}://127.0.0.1:{self.port}"

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            self.requests.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
        return trace_service_pb2.ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait(10)

    @property
    def spans(self) -> list[Seen]:
        """All that arrived, by their start."""
        with self._lock:
            requests = list(self.requests)
        found = []
        for request in requests:
            for resource in request.resource_spans:
                service = _values(resource.resource.attributes)["service.name"]
                found += [_seen(service, span) for scope in resource.scope_spans for span in scope.spans]
        return sorted(found, key=lambda span: span.start)

    def texts(self) -> list[str]:
        """Every text and number that arrived, ids of traces and spans apart."""
        return [text for request in self.requests for text in _texts(json_format.MessageToDict(request))]

    def wait(
        self, condition: Callable[[list[Seen]], object], what: str, say: Callable[[], str]
    ) -> list[Seen]:
        """All spans, once they meet a condition."""
        until(lambda: condition(self.spans), what, say=lambda: f"{[s.name for s in self.spans]}\n{say()}")
        return self.spans


def _seen(service: str, span: trace_pb2.Span) -> Seen:
    return Seen(
        service,
        span.name,
        trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        _values(span.attributes),
        span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            if key not in ("traceId", "spanId", "parentSpanId"):
                yield from _texts(below)
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below)
    else:
        yield str(value)


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
