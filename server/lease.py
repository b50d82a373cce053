"""The heartbeat of a worker: one thread that keeps its presence and its job alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kohort.problem import Problem
from server.logs import Trouble
from server.records import LeaseLost
from server.store import Store

log = structlog.get_logger(log="worker")


@dataclass
class Lease:
    """A job held: what the thread that renews it has learnt."""

    job: str
    attempt: int
    renewed: float
    """By this machine's monotonic clock, taken before the renewal was asked for."""
    cancel: bool = False
    lost: bool = False


class Heart:
    """Renews every `every_s` seconds the worker's presence and the lease of its job.

    `forgotten` is called when the presence is not known any more, and may raise Problem.
    Every `look_s` seconds it looks whether the job is to be stopped, and tries
    again what failed. When no renewal got through for `lease_s` seconds, the lease counts as lost
    without asking: the database may give the job to another worker then.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        forgotten: Callable[[], None],
        every_s: float,
        look_s: float,
        lease_s: float,
    ) -> None:
        self._store, self._worker, self._forgotten = store, worker, forgotten
        self._every_s, self._look_s, self._lease_s = every_s, min(look_s, every_s), lease_s
        self._beat_at = -every_s
        self._trouble = Trouble(log, "heartbeat failed")
        self._lease: Lease | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def hold(self, job: str, attempt: int, claimed: float) -> Lease:
        """Begins to renew a job claimed at that monotonic time."""
        with self._changed:
            self._lease = Lease(job, attempt, claimed)
            self._changed.notify()
            return self._lease

    def let_go(self) -> None:
        """Ends renewing."""
        with self._changed:
            self._lease = None

    def is_lost(self, lease: Lease) -> bool:
        """Whether the job may be another's by now."""
        return lease.lost or time.monotonic() - lease.renewed >= self._lease_s

    def stop(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(self._look_s)
                if self._ended:
                    return
                lease = self._lease
            self._beat(lease)

    def _beat(self, lease: Lease | None) -> None:
        asked = time.monotonic()
        try:
            if asked - self._beat_at < self._every_s:
                if lease is not None and not lease.lost:
                    lease.cancel = lease.cancel or self._store.leases.stop_asked(lease.job)
                return
            if not self._store.workers.beat(self._worker):
                self._forgotten()
            if lease is not None and not lease.lost:
                lease.cancel = self._store.leases.heartbeat(
                    lease.job, lease.attempt, self._worker, self._lease_s
                )
                lease.renewed = asked
            self._beat_at = asked
        except LeaseLost:
            if lease is not None:
                lease.lost = True
        except Problem as problem:
            self._trouble.failed(problem.reason)
        else:
            self._trouble.worked()
