"""What nobody else cleans: lost leases, expired datasets, and what a kill left lying about."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from itertools import chain
from pathlib import Path

import structlog

from kohort.problem import Problem
from server.blobs import CHECKPOINTS, UPLOADS, BlobStore
from server.jobspans import tell_lost
from server.layout import DataDir
from server.logs import Trouble
from server.records import HELD, JobState
from server.store import Store
from server.threads import Threads
from server.tracing import Tracing

log = structlog.get_logger(log="janitor")

KEPT_EVENTS = 20_000
"""Events of a job that are kept."""
_ORPHAN_SECONDS = 24 * 3600.0
_RECORDED = ("datasets", "lineage", "models", "reports", UPLOADS)
"""Where a blob must be named by a record, or is left over. What else is in a bucket may be another's."""


class Janitor:
    """Sweeps until cancelled. Several may sweep one database: each step may be done twice.

    Args:
        store: the database.
        blobs: the blob store.
        folders: of this machine.
        threads: where the work runs.
        lease_every_s: how often lost leases are looked for.
        sweep_every_s: how often all else is swept.
        blobs_every_s: how often the blob store is listed, at most.
        orphan_s: how old a blob that no record names must be; younger ones may be of an upload under way.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        folders: DataDir,
        threads: Threads,
        tracing: Tracing | None = None,
        *,
        lease_every_s: float = 1.0,
        sweep_every_s: float = 60.0,
        blobs_every_s: float = 0.0,
        orphan_s: float = _ORPHAN_SECONDS,
    ) -> None:
        self._store, self._blobs, self._folders, self._threads = store, blobs, folders, threads
        self._tracing = tracing or Tracing()
        self._lease_every_s, self._sweep_every_s, self._orphan_s = lease_every_s, sweep_every_s, orphan_s
        self._blobs_every_s, self._blobs_swept = blobs_every_s, -math.inf

    async def run(self) -> None:
        """Sweeps until cancelled."""
        swept = -self._sweep_every_s
        trouble = Trouble(log, "sweep failed")
        while True:
            try:
                await self._threads.run(self.requeue)
                if time.monotonic() - swept >= self._sweep_every_s:
                    swept = time.monotonic()
                    await self._threads.run(self.sweep)
            except Problem as problem:
                trouble.failed(problem.reason)
            else:
                trouble.worked()
            await asyncio.sleep(self._lease_every_s)

    def requeue(self) -> None:
        """Takes jobs from workers that were not heard of."""
        for taken in self._store.leases.requeue_expired():
            ids = tell_lost(self._tracing, taken).log_fields
            log.warning("lease expired", job=taken.job.id, state=taken.state.value, **ids)

    def sweep(self) -> None:
        """Everything else, once. Raises Problem of the stores."""
        expired = self._store.datasets.expire()
        purge_tombstones(self._store, self._blobs)
        self._store.requests.forget_expired()
        self._store.workers.forget_dead()
        self._store.jobs.compact_events(KEPT_EVENTS)
        sweep_folders(self._store, self._folders)
        _sweep_spool(self._folders.root / "spool", self._orphan_s)
        orphans = 0
        if time.monotonic() - self._blobs_swept >= self._blobs_every_s:
            self._blobs_swept = time.monotonic()
            sweep_checkpoints(self._store, self._blobs)
            orphans = self._sweep_blobs()
        if expired or orphans:
            log.info("swept", expired_datasets=len(expired), orphaned_blobs=orphans)

    def _sweep_blobs(self) -> int:
        # Blobs first, records second: what became a record in between is spared.
        oldest = time.time() - self._orphan_s
        found = chain.from_iterable(self._blobs.list(root) for root in _RECORDED)
        old = [blob.key for blob in found if blob.put_time < oldest]
        kept = self._store.models.blob_keys() | self._store.reports.blob_keys()
        prefixes = self._store.datasets.blob_prefixes()
        orphans = [key for key in old if key not in kept and not _below(key, prefixes)]
        for key in orphans:
            self._blobs.delete(key)
        return len(orphans)


def purge_tombstones(store: Store, blobs: BlobStore) -> None:
    """Deletes the bytes of every tombstone that still has some. Raises Problem of the stores."""
    for dataset in store.datasets.unpurged():
        blobs.delete(dataset.blob_prefix)
        store.datasets.purged(dataset.id)


def sweep_folders(store: Store, folders: DataDir) -> None:
    """Removes scratch of attempts that are over and checkpoints of jobs that are over, on this machine."""
    scratch = [(path.parent.name, path) for path in folders.scratch.glob("*/*")]
    checkpoints = [(path.name, path) for path in folders.checkpoints.glob("*")]
    known = store.jobs.standing({job for job, _ in scratch + checkpoints})
    for job, path in scratch:
        state, attempt = known.get(job, (JobState.FAILED, 0))
        if state not in HELD or path.name != str(attempt):
            folders.close_scratch(job, int(path.name) if path.name.isdecimal() else 0)
    for job, _ in checkpoints:
        state, _attempt = known.get(job, (JobState.FAILED, 0))
        if state.terminal:
            folders.close_checkpoints(job)


def sweep_checkpoints(store: Store, blobs: BlobStore) -> None:
    """Removes from the blob store the checkpoints of jobs that are over. Raises Problem of the stores."""
    found = {blob.key.split("/")[1] for blob in blobs.list(CHECKPOINTS)}
    known = store.jobs.standing(found)
    for job in found:
        if job not in known or known[job][0].terminal:
            blobs.delete(f"{CHECKPOINTS}/{job}")


def _sweep_spool(spool: Path, older_s: float) -> None:
    """Uploads that a kill interrupted."""
    oldest = time.time() - older_s
    for path in spool.glob("*"):
        try:
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:
            continue


def _below(key: str, prefixes: set[str]) -> bool:
    """Whether the key or a folder above it is among the prefixes."""
    parts = key.split("/")
    return any("/".join(parts[:end]) in prefixes for end in range(1, len(parts) + 1))
