"""Spans to a collector, by OpenTelemetry: imported only where `otlp_endpoint` is set.

Spans wait in a bounded queue for a thread of their own. A collector that is
slow, down or wrong costs spans, and no call and no job.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

import grpc
import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from kohort.version import __version__
from server.logs import Trouble, tell_once
from server.tracing import Attributes, Kind, Span, TraceContext, Tracing

_EVERY_SECONDS = 1.0
_EXPORT_SECONDS = 3.0
_CLOSE_SECONDS = 5.0
_QUEUE, _BATCH = 4096, 512
_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
}
log = structlog.get_logger(log="tracing")


class Exporting(Tracing):
    """Makes spans and sends them.

    Args:
        endpoint: URL of the collector.
        sample_ratio: share of the traces begun here that are recorded.
        service: name of the program.
        instance: of this process.
        ca: PEM authorities of the collector; None: the usual ones.
        headers: sent with every export.
    """

    def __init__(
        self,
        endpoint: str,
        sample_ratio: float,
        service: str,
        instance: str,
        ca: bytes | None,
        headers: Sequence[tuple[str, str]],
    ) -> None:
        tell_once("opentelemetry")
        # What it has to say of a failing export, `_Telling` says.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        secure = endpoint.startswith("https:")
        exporter = OTLPSpanExporter(
            endpoint=endpoint,
            insecure=not secure,
            credentials=grpc.ssl_channel_credentials(ca) if secure else None,
            headers=headers or None,
            timeout=_EXPORT_SECONDS,
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create(
                {"service.name": service, "service.version": __version__, "service.instance.id": instance}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Telling(exporter),
                max_queue_size=_QUEUE,
                schedule_delay_millis=_EVERY_SECONDS * 1000,
                max_export_batch_size=_BATCH,
            )
        )
        self._tracer = self._provider.get_tracer("kohort", __version__)

    def begin(
        self,
        name: str,
        parent: TraceContext | None,
        kind: Kind = "internal",
        attributes: Attributes | None = None,
        *,
        start: float | None = None,
    ) -> Span:
        """A span in the trace of `parent`, or in one of its own."""
        return self.start(name, _context(parent), _KINDS[kind], attributes, start)

    def start(
        self,
        name: str,
        context: Context,
        kind: SpanKind,
        attributes: Attributes | None,
        start: float | None,
    ) -> Span:
        """A span within OpenTelemetry's own `context`."""
        made = self._tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(start))
        return _Recorded(self, made)

    def close(self) -> None:
        """Sends what waits, for a few seconds at most, and ends."""
        # By itself the provider would wait for half a minute.
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


class _Recorded(Span):
    def __init__(self, tracing: Exporting, span: OtelSpan) -> None:
        made = span.get_span_context()
        super().__init__(
            TraceContext(f"{made.trace_id:032x}", f"{made.span_id:016x}", made.trace_flags.sampled)
        )
        self._tracing, self._span = tracing, span

    @property
    def log_fields(self) -> dict[str, str]:
        return super().log_fields | {"span_id": self.context.span_id}

    def begin(self, name: str, attributes: Attributes | None = None, *, start: float | None = None) -> Span:
        within = set_span_in_context(self._span, Context())
        return self._tracing.start(name, within, SpanKind.INTERNAL, attributes, start)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self._span.add_event(name, attributes)

    def failed(self, reason: str) -> None:
        self._span.set_attribute("error.type", reason)
        # Without a text: the texts of exceptions may quote data.
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, at: float | None = None) -> None:
        self._span.end(_nanoseconds(at))


class _Telling(SpanExporter):
    """Tells once that exports fail, and once that they work again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._trouble = Trouble(log, "spans lost")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._trouble.worked()
        else:
            self._trouble.failed("COLLECTOR_UNAVAILABLE")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


def _context(parent: TraceContext | None) -> Context:
    if parent is None:
        return Context()
    place = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT),
    )
    return set_span_in_context(NonRecordingSpan(place), Context())


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)
