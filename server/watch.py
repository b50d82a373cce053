"""Following jobs: every watcher pulls events with its own cursor, and one poller wakes them all.

Nothing is pushed into queues, so a slow reader costs no memory, and a watcher
that comes back goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator

import structlog

from kohort.problem import Problem
from kohort.v1 import training_pb2
from server import convert
from server.lifecycle import Lifecycle, draining
from server.logs import Trouble
from server.records import JobRecord
from server.store import Store
from server.threads import Threads

HEARTBEAT_SECONDS = 15.0
SOONEST_SECONDS = 0.1
"""The least time between two looks at the store."""
WAKES_PER_SECOND = 400
"""Watchers that looks at the store may wake: where many watch, each look wakes many, and they are rarer."""
_EVENTS = 256
_log = structlog.get_logger(log="watch")


class Watch:
    """Tells watchers that their job has news.

    Workers are other processes: their writes are noticed by one query for all
    jobs that are watched, at least every `poll_seconds`; this process's own at once.
    """

    def __init__(self, store: Store, threads: Threads, lifecycle: Lifecycle, poll_seconds: float) -> None:
        self._store = store
        self._threads = threads
        self._lifecycle = lifecycle
        self._poll_seconds = poll_seconds
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._seen: dict[str, int] = {}
        self._trouble = Trouble(_log, "poll failed")
        self._reading: dict[str, dict[tuple[str, int], asyncio.Task[list[training_pb2.JobUpdate]]]] = {}

    def wake(self, job: str) -> None:
        """Wakes the watchers of a job that this process has changed."""
        self._reading.pop(job, None)  # began before the news
        for event in self._waiting.get(job, ()):
            event.set()

    async def run(self) -> None:
        """Polls until cancelled; at the end of the server, wakes everybody."""
        ending = asyncio.create_task(self._lifecycle.ending.wait())
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=self._pause())
                await self._poll()
        finally:
            ending.cancel()
            for job in list(self._waiting):
                self.wake(job)

    async def follow(self, tenant: str, job: str, after: int) -> AsyncGenerator[training_pb2.JobUpdate, None]:
        """The job, its events after a sequence, and what comes; the last message is the job that is over.

        Raises:
            Problem: JOB_NOT_FOUND, EVENTS_COMPACTED; DRAINING when the server stops first.
        """
        news = asyncio.Event()
        self._waiting[job].add(news)
        try:
            record = await self._get(tenant, job)
            yield await self._job(record, after)
            told, sequence, quiet_since = True, after, _now()
            while True:
                news.clear()
                updates = await self._events(tenant, job, sequence)
                for update in updates:
                    sequence = update.sequence
                    told = False
                    yield update
                if updates:
                    quiet_since = _now()
                    if any(update.event.HasField("state_changed") for update in updates):
                        latest = await self._get(tenant, job)
                        if (latest.state, latest.attempt) != (record.state, record.attempt):
                            told = True
                            yield await self._job(latest, sequence)
                        record = latest
                    continue
                if record.state.terminal and record.last_sequence <= sequence:
                    if not told:
                        yield await self._job(record, sequence)
                    return
                if self._lifecycle.ending.is_set():
                    raise draining()
                if _now() - quiet_since >= HEARTBEAT_SECONDS:
                    yield training_pb2.JobUpdate(sequence=sequence, heartbeat=training_pb2.Heartbeat())
                    quiet_since = _now()
                self._seen[job] = min(self._seen.get(job, sequence), sequence)
                await _wait(news, quiet_since + HEARTBEAT_SECONDS - _now())
        finally:
            self._waiting[job].discard(news)
            if not self._waiting[job]:
                del self._waiting[job]
                self._seen.pop(job, None)

    async def _events(self, tenant: str, job: str, after: int) -> list[training_pb2.JobUpdate]:
        """The next events: of many watchers at the same place one asks the store for all."""
        reading = self._reading.setdefault(job, {})
        task = reading.get((tenant, after))
        if task is None:
            task = reading[tenant, after] = asyncio.create_task(self._read(tenant, job, after))
            task.add_done_callback(lambda done: self._read_done(reading, job, (tenant, after), done))
        # One watcher that leaves must not take the events away from the others.
        return await asyncio.shield(task)

    async def _read(self, tenant: str, job: str, after: int) -> list[training_pb2.JobUpdate]:
        events = await self._threads.run(self._store.jobs.events, tenant, job, after, _EVENTS)
        return [training_pb2.JobUpdate(sequence=e.sequence, event=convert.event(e)) for e in events]

    def _read_done(
        self,
        reading: dict[tuple[str, int], asyncio.Task[list[training_pb2.JobUpdate]]],
        job: str,
        key: tuple[str, int],
        done: asyncio.Task[list[training_pb2.JobUpdate]],
    ) -> None:
        del reading[key]
        if not reading and self._reading.get(job) is reading:
            del self._reading[job]
        if not done.cancelled():
            done.exception()  # everybody who waited for it may have left

    async def _get(self, tenant: str, job: str) -> JobRecord:
        return await self._threads.run(self._store.jobs.get, tenant, job)

    async def _job(self, record: JobRecord, sequence: int) -> training_pb2.JobUpdate:
        outlook = await self._threads.run(self._store.jobs.outlook, record)
        return training_pb2.JobUpdate(sequence=sequence, job=convert.job(record, outlook))

    def _pause(self) -> float:
        """Seconds until the next look at the store."""
        watchers = sum(map(len, self._waiting.values()))
        return min(self._poll_seconds, max(SOONEST_SECONDS, watchers / WAKES_PER_SECOND))

    async def _poll(self) -> None:
        if not self._waiting:
            return
        try:
            latest = await self._threads.run(self._store.jobs.sequences, list(self._waiting))
        except Problem as problem:
            # The watchers themselves will meet it, and tell their clients.
            self._trouble.failed(problem.reason)
            return
        self._trouble.worked()
        for job, sequence in latest.items():
            if sequence > self._seen.get(job, -1):
                self._seen[job] = sequence
                self.wake(job)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), max(seconds, 0))
    except TimeoutError:
        return


def _now() -> float:
    return asyncio.get_running_loop().time()
