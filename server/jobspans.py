"""The spans of a job on a worker: how long it waited, each attempt, and the phases within.

They continue the trace of the call that asked for the job. They are made here
of what the training child says; the child knows nothing of traces.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from kohort.problem import Problem
from server.protocol import PHASES
from server.records import JobRecord, TakenJob
from server.store import Store
from server.tracing import Attributes, Span, TraceContext, Tracing


class JobSpans:
    """The spans of one attempt.

    Args:
        tracing: makes them.
        job: as it was claimed.
        queued: when its waiting began, in seconds since 1970 by the database's clock; None: unknown.
    """

    def __init__(self, tracing: Tracing, job: JobRecord, queued: float | None) -> None:
        parent = TraceContext.read(job.traceparent or "")
        about = _about(job)
        if queued is not None:
            waited = tracing.begin("job.queue", parent, attributes=about, start=queued)
            waited.end(job.attempt_time)
            parent = parent or waited.context
        self.span = tracing.begin(
            "job.run",
            parent,
            "consumer",
            about | {"kohort.trainer": job.spec.trainer, "kohort.slot": job.device},
        )
        self._phase: Span | None = None

    @property
    def log_fields(self) -> dict[str, str]:
        """What every log line of the attempt says."""
        return self.span.log_fields

    def phase(self, name: str) -> None:
        """A phase begins, and the one before it is over."""
        self._end_phase()
        self._phase = self.span.begin(f"job.{name if name in PHASES else 'other'}")

    def part(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[Span]:
        """A stretch of the phase."""
        return (self._phase or self.span).part(name, attributes)

    def outcome(self, outcome: str, reason: str = "") -> None:
        """How the attempt ended: a state of the job, or why the job is no longer this worker's."""
        self.span.note({"kohort.outcome": outcome})
        if reason:
            self.span.failed(reason)

    def end(self) -> None:
        """The attempt is over."""
        self._end_phase()
        self.span.end()

    def _end_phase(self) -> None:
        if self._phase is not None:
            self._phase.end()
            self._phase = None


def queued_since(store: Store, job: JobRecord) -> float | None:
    """When a job that was just claimed began to wait, in seconds since 1970 by the database's clock."""
    if job.attempt == 1:
        return job.create_time
    try:
        # The last event is the claim, the one before it the return to the queue.
        before = store.jobs.events(job.tenant, job.id, job.last_sequence - 2, 1)
    except Problem:
        return None
    return before[0].time if before else None


def tell_lost(tracing: Tracing, taken: TakenJob) -> Span:
    """Records the attempt that a job was taken from: its own worker can no longer. Returns the span."""
    job = taken.job
    span = tracing.begin(
        "job.lost",
        TraceContext.read(job.traceparent or ""),
        attributes=_about(job) | {"kohort.slot": job.device, "kohort.outcome": taken.state.value},
        start=job.attempt_time if job.attempt_time is not None else time.time(),
    )
    span.failed("WORKER_LOST")
    span.end()
    return span


def _about(job: JobRecord) -> dict[str, str | int | float | bool]:
    return {
        "kohort.job": f"jobs/{job.id}",
        "kohort.kind": job.spec.kind.value,
        "kohort.attempt": job.attempt,
    }
