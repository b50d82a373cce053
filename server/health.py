"""Health per service, from facts: stores that answer and take writes, and workers that live.

Nothing is probed inside a health check: a background task looks every few
seconds and sets what the checks answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import structlog
from grpc_health.v1 import health, health_pb2

from kohort.problem import Problem
from server.blobs import BlobStore
from server.metrics import Metrics
from server.rpcmetrics import SERVICES
from server.settings import Settings
from server.store import Store
from server.threads import Threads

CAPABILITIES, DATASET, EVALUATION, SAMPLING, TRAINING = (
    "kohort.v1.CapabilitiesService",
    "kohort.v1.DatasetService",
    "kohort.v1.EvaluationService",
    "kohort.v1.SamplingService",
    "kohort.v1.TrainingService",
)
_PATIENCE_SECONDS = 10.0
_log = structlog.get_logger(log="health")


class Health:
    """Keeps the health servicer up to date.

    "" and CapabilitiesService say that the process lives. SamplingService needs
    readable stores (database and blobs), DatasetService a writable database,
    TrainingService and EvaluationService a live worker besides.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        blobs: BlobStore,
        threads: Threads,
        metrics: Metrics,
        every_seconds: float = 5.0,
    ) -> None:
        self.servicer = health.aio.HealthServicer()
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._threads = threads
        self._metrics = metrics
        self._every = every_seconds
        self._over = False
        self._workers: dict[str, int] = {}
        self._ready = dict.fromkeys((s.full_name for s in SERVICES), False)

    async def check(self) -> None:
        """Looks once and publishes what it sees."""
        readable, writable, blobs = await asyncio.gather(
            _holds(self._threads.run(self._count_workers)),
            _holds(self._threads.run(self._check_writable)),
            # Not behind the long transfers of the other threads; it is bounded in time itself.
            _holds(asyncio.to_thread(self._blobs.check)),
        )
        readable, writable = readable and blobs, writable and blobs
        if self._over:
            return
        workers = sum(self._workers.values())
        facts = {
            CAPABILITIES: True,
            SAMPLING: readable,
            DATASET: writable,
            TRAINING: writable and workers > 0,
            EVALUATION: writable and workers > 0,
        }
        serving = health_pb2.HealthCheckResponse
        for service, ready in facts.items():
            if ready != self._ready[service]:
                _log.info("health", service=service, serving=ready)
            self._ready[service] = ready
            self._metrics.ready.labels(service).set(ready)
            await self.servicer.set(service, serving.SERVING if ready else serving.NOT_SERVING)
            if self._over:  # while those who watch were told
                return
        for kind in ("cpu", "cuda"):
            self._metrics.workers.labels(kind).set(self._workers.get(kind, 0))

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(self._every)

    async def shut_down(self) -> None:
        """Answers NOT_SERVING from now on."""
        self._over = True
        for service in self._ready:
            self._metrics.ready.labels(service).set(0)
        await self.servicer.enter_graceful_shutdown()

    def _count_workers(self) -> None:
        counts: dict[str, int] = {}
        for worker in self._store.workers.live(self._settings.lease_seconds):
            counts[worker.kind] = counts.get(worker.kind, 0) + 1
        self._workers = counts

    def _check_writable(self) -> None:
        self._store.check_writable()
        _touch(self._settings.data_dir)


async def _holds(probe: Awaitable[None]) -> bool:
    """Whether a probe succeeds; one that hangs does not."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await probe
    except (Problem, OSError):  # a timeout is an OSError
        return False
    return True


def _touch(folder: Path) -> None:
    probe = folder / ".writable"
    probe.write_bytes(b"1")
    probe.unlink(missing_ok=True)  # of servers that share the folder, another may have been faster
