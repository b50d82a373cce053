"""The stores: one database is queue, history and truth.

`Store` opens it. Every method is short, blocks, and may be called from any
thread; services call them through a bounded thread pool.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from server.store import migrate
from server.store.datasets import DatasetStore
from server.store.demand import Demand, demand
from server.store.deployment import DeploymentStore
from server.store.engine import Database, clock
from server.store.jobs import JobStore
from server.store.leases import LeaseStore
from server.store.models import ModelStore
from server.store.releases import ReleaseStore
from server.store.reports import ReportStore
from server.store.requests import WINDOW_SECONDS, RequestStore
from server.store.schema import turns
from server.store.workers import WorkerStore

__all__ = ["Store"]


class Store:
    """Everything the server remembers.

    Args:
        url: a SQLAlchemy URL, ``sqlite:////…`` or ``postgresql://…``.
        max_queued_jobs: jobs waiting, of all principals.
        max_jobs_per_principal: jobs waiting or running, of one principal.
        max_running_per_principal: jobs of one principal that run at once.
        max_attempts: how often the workers of a job may be lost.
        max_evaluations_per_day: of one model, or of rows made elsewhere against one dataset.
        request_window_s: how long a request id makes a call safe to repeat.
        pool_size: connections at most.
    """

    def __init__(
        self,
        url: str,
        *,
        max_queued_jobs: int = 1000,
        max_jobs_per_principal: int = 100,
        max_running_per_principal: int = 1_000_000,
        max_attempts: int = 3,
        max_evaluations_per_day: int = 20,
        request_window_s: float = WINDOW_SECONDS,
        pool_size: int = 8,
    ) -> None:
        self._database = Database(url, pool_size)
        self._max_running = max_running_per_principal
        self.jobs = JobStore(
            self._database,
            max_queued_jobs,
            max_jobs_per_principal,
            request_window_s,
            max_evaluations_per_day,
        )
        self.leases = LeaseStore(self._database, max_attempts, max_running_per_principal)
        self.datasets = DatasetStore(self._database, request_window_s)
        self.models = ModelStore(self._database, request_window_s)
        self.reports = ReportStore(self._database)
        self.releases = ReleaseStore(self._database)
        self.workers = WorkerStore(self._database)
        self.deployment = DeploymentStore(self._database)
        self.requests = RequestStore(self._database)

    def migrate(self) -> None:
        """Brings the tables to this version; safe when several processes do it at once."""
        migrate.upgrade(self._database)

    def check_version(self) -> None:
        """Raises Problem STORE_UNAVAILABLE when the tables are of a version that this code must not use."""
        migrate.check(self._database)

    def check_writable(self) -> None:
        """Raises Problem STORE_UNAVAILABLE or STORAGE_FULL when nothing can be stored now."""
        with self._database.write() as connection:
            connection.execute(sa.update(turns).where(turns.c.name == "queue").values(name="queue"))

    def size_bytes(self) -> int:
        """Bytes that the database takes on its disk."""
        return self._database.size_bytes()

    def blob_bytes(self) -> dict[str, int]:
        """Bytes of what is stored beside the database, by kind, as the records say."""
        return {
            "datasets": self.datasets.size_bytes(),
            "models": self.models.size_bytes(),
            "reports": self.reports.size_bytes(),
        }

    def now(self) -> float:
        """Seconds since 1970 by the database's clock."""
        with self._database.read() as connection:
            return float(connection.scalar(sa.select(clock())) or 0.0)

    def demand(self, kinds: Sequence[str], started: Collection[str]) -> Demand:
        """What waits for a device, and who has begun; see `server.store.demand`."""
        with self._database.read() as connection:
            return demand(connection, kinds, started, self._max_running)

    def close(self) -> None:
        """Closes idle connections."""
        self._database.close()
