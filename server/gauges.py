"""Metrics of what changes without a call: the certificate, the embedded workers."""

from __future__ import annotations

import asyncio

from server.metrics import Metrics
from server.supervisor import Supervisor
from server.tls import Certificate


class Gauges:
    """Reads them again and again; nothing here blocks.

    Args:
        metrics: where they go.
        certificate: the server's, None without TLS.
        supervisor: of the workers of this machine.
        every_s: how often.
    """

    def __init__(
        self, metrics: Metrics, certificate: Certificate | None, supervisor: Supervisor, every_s: float
    ) -> None:
        self._metrics, self._certificate, self._supervisor = metrics, certificate, supervisor
        self._every_s = every_s
        self._restarts: dict[str, int] = {}

    async def run(self) -> None:
        """Reads until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self._every_s)

    def look(self) -> None:
        """Reads once."""
        if self._certificate:
            self._metrics.certificate_expiry.set(self._certificate.expires)
        for slot, restarts in self._supervisor.restarts.items():
            self._metrics.worker_restarts.labels(slot).inc(restarts - self._restarts.get(slot, 0))
            self._restarts[slot] = restarts
