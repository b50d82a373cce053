"""Traces: which one a call or a job belongs to, and its spans where somebody collects them.

Every call and job has a trace id, its client's or one begun here, so that log
lines can be told together. Spans are made and sent only where `otlp_endpoint`
is set: `server.spans` does, and alone imports OpenTelemetry.

Source of the header: W3C Trace Context, https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kohort.problem import Problem
from server.secretfiles import read_secret

KEY = "traceparent"
"""Its name in the metadata of a call."""

Attributes = Mapping[str, str | int | float | bool]
Kind = Literal["internal", "server", "consumer"]

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class TraceContext:
    """A place in a trace."""

    trace_id: str
    """32 hexadecimal digits, not all zero."""
    span_id: str
    """16 hexadecimal digits, not all zero."""
    sampled: bool
    """Whether somebody records the trace."""

    @classmethod
    def new(cls) -> TraceContext:
        """A trace of its own, that nobody records."""
        return cls(_digits(16), _digits(8), False)

    @classmethod
    def read(cls, header: str) -> TraceContext | None:
        """The place that a ``traceparent`` names; None for one that is not valid and so is to be ignored."""
        found = _HEADER.fullmatch(header)
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        # What a later version appends is passed over; this one appends nothing.
        if version == "ff" or (version == "00" and more is not None):
            return None
        if not trace_id.strip("0") or not span_id.strip("0"):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & 1))

    def header(self) -> str:
        """The ``traceparent`` that names it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


@dataclass(frozen=True)
class TracingConfig:
    """Where spans go."""

    endpoint: str = ""
    """URL of an OTLP collector over gRPC; empty: nowhere."""
    sample_ratio: float = 1.0
    """Share of the traces begun here that are recorded."""
    ca: str = ""
    """File of PEM authorities of the collector; empty: the usual ones."""
    headers_file: str = ""
    """File of ``name: value`` lines sent with every export."""


class Span:
    """A stretch of work within a trace; this one is recorded by nobody."""

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    @property
    def log_fields(self) -> dict[str, str]:
        """What log lines say of it."""
        return {"trace_id": self.context.trace_id}

    def begin(self, name: str, attributes: Attributes | None = None, *, start: float | None = None) -> Span:
        """A span within this one. `start` is in seconds since 1970; None: now."""
        return self

    @contextmanager
    def part(self, name: str, attributes: Attributes | None = None) -> Iterator[Span]:
        """A span within this one for as long as the block runs; what it raises is told by its reason."""
        span = self.begin(name, attributes)
        try:
            yield span
        except Exception as error:
            span.failed(error.reason if isinstance(error, Problem) else type(error).__name__)
            raise
        finally:
            span.end()

    def note(self, attributes: Attributes) -> None:
        """Says something about it: never of whom, and never what the data hold."""

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Says that something happened now."""

    def failed(self, reason: str) -> None:
        """It failed for a reason of the contract, or with an exception of that name."""

    def end(self, at: float | None = None) -> None:
        """It is over, now or at `at` in seconds since 1970."""


class Tracing:
    """Makes spans; this one makes such as nobody records."""

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
        return Span(parent or TraceContext.new())

    def close(self) -> None:
        """Sends what waits, for a few seconds at most, and ends."""


SILENT = Span(TraceContext("0" * 32, "0" * 16, False))
"""Of work that belongs to no call."""


def open_tracing(config: TracingConfig, service: str, instance: str) -> Tracing:
    """What makes the spans of this process.

    Args:
        config: where they go.
        service: ``kohort`` or ``kohort-worker``.
        instance: tells this process from the others of the service.

    Raises:
        ValueError: spans are asked for and OpenTelemetry is not installed, or a file is wrong.
        OSError: a file cannot be read.
    """
    if not config.endpoint:
        return Tracing()
    try:
        from server.spans import Exporting
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ValueError("otlp_endpoint needs the extra: pip install 'kohort-server[otel]'") from error
    ca = Path(config.ca).read_bytes() if config.ca else None
    headers = _headers(Path(config.headers_file)) if config.headers_file else ()
    return Exporting(config.endpoint, config.sample_ratio, service, instance, ca, headers)


def _headers(path: Path) -> tuple[tuple[str, str], ...]:
    lines = [line.strip() for line in read_secret(path, "otlp_headers_file").splitlines()]
    found = []
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        # As gRPC wants the keys of its metadata.
        if not colon or not re.fullmatch(r"[a-z0-9_.-]+", name.strip().lower()):
            raise ValueError("otlp_headers_file holds a line that is not 'name: value'")
        found.append((name.strip().lower(), value.strip()))
    return tuple(found)


def _digits(size: int) -> str:
    while not (found := secrets.token_hex(size)).strip("0"):
        pass
    return found
