"""Admission: how many streams of a kind run at once, and none that begin while the server stops.

gRPC's own limit counts health checks and watchers; here each class has its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from kohort.problem import Problem
from server.context import Call
from server.interceptors import Layer
from server.lifecycle import Lifecycle
from server.metrics import Metrics
from server.settings import Settings

CLASSES: Mapping[str, str] = {
    "/kohort.v1.SamplingService/Sample": "sample",
    "/kohort.v1.SamplingService/DownloadModel": "sample",
    "/kohort.v1.SamplingService/ImportModel": "upload",
    "/kohort.v1.DatasetService/UploadDataset": "upload",
    "/kohort.v1.DatasetService/InferSchema": "upload",
    "/kohort.v1.EvaluationService/DownloadReport": "sample",
    "/kohort.v1.EvaluationService/Evaluate": "watch",
    "/kohort.v1.TrainingService/Train": "watch",
    "/kohort.v1.TrainingService/Status": "watch",
    "/kohort.v1.TrainingService/Cancel": "watch",
}
"""Method → class. Other calls are short and not counted."""

NOT_WHILE_DRAINING = frozenset(
    {
        "/kohort.v1.SamplingService/Sample",
        "/kohort.v1.SamplingService/ImportModel",
        "/kohort.v1.DatasetService/UploadDataset",
        "/kohort.v1.EvaluationService/Evaluate",
        "/kohort.v1.TrainingService/Train",
        "/kohort.v1.TrainingService/Status",
    }
)
"""Calls that another server should take. A cancel is always taken."""


class Admission(Layer):
    """Refuses with TOO_MANY_STREAMS or DRAINING, each with RetryInfo."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self._lifecycle = lifecycle
        self._limits = {
            "sample": settings.max_sample_streams,
            "upload": settings.max_upload_streams,
            "watch": settings.max_watch_streams,
        }
        self._running = dict.fromkeys(self._limits, 0)
        self._metrics = metrics
        for kind, limit in self._limits.items():
            metrics.streams_limit.labels(kind).set(limit)

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Counts the stream while it runs. Raises Problem TOO_MANY_STREAMS or DRAINING."""
        if call.method in NOT_WHILE_DRAINING:
            self._lifecycle.check()
        kind = CLASSES.get(call.method)
        if kind is None:
            yield
            return
        if self._running[kind] >= self._limits[kind]:
            self._metrics.streams_refused.labels(kind).inc()
            raise Problem(
                "TOO_MANY_STREAMS", f"this server runs at most {self._limits[kind]} of these at once"
            )
        self._running[kind] += 1
        gauge = self._metrics.streams.labels(kind)
        gauge.inc()
        try:
            yield
        finally:
            self._running[kind] -= 1
            gauge.dec()
