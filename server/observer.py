"""Metrics of jobs, made from what the store records, whoever ran them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from kohort.problem import Problem
from server.logs import Trouble
from server.metrics import LOSSES, PHASES, STATES, Metrics
from server.records import TERMINAL, EventRecord, JobState
from server.store import Store
from server.threads import Threads

_log = structlog.get_logger(log="observer")


@dataclass
class _Seen:
    trainer: str
    created: float | None = None
    started: float | None = None
    phase: str = ""
    phase_time: float = 0.0
    step: int = 0
    progress_time: float = 0.0
    speed: float = 0.0
    end: float = 0.0


class Observer:
    """Reads every event once, from those after its start on, and counts.

    Each server counts all jobs of its database: of several, ask one.
    """

    def __init__(self, store: Store, threads: Threads, metrics: Metrics, every_seconds: float) -> None:
        self._store = store
        self._threads = threads
        self._metrics = metrics
        self._every = every_seconds
        self._number: int | None = None
        self._jobs: dict[str, _Seen] = {}

    async def run(self) -> None:
        """Counts until cancelled."""
        trouble = Trouble(_log, "jobs not observed")
        while True:
            try:
                await self.look()
            except Problem as problem:
                trouble.failed(problem.reason)
            else:
                trouble.worked()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Counts what is new."""
        if self._number is None:
            self._number = await self._threads.run(self._store.jobs.last_event_number)
        while events := await self._threads.run(self._store.jobs.tail, self._number):
            for number, trainer, event in events:
                self._number = number
                self._count(trainer, event)
        counts = await self._threads.run(self._store.jobs.counts)
        for state in STATES:
            self._metrics.jobs.labels(state).set(counts[JobState(state)])

    def _count(self, trainer: str, event: EventRecord) -> None:
        seen = self._jobs.setdefault(event.job, _Seen(trainer))
        match event.kind:
            case "state":
                self._state(trainer, event, seen, JobState(event.payload["state"]))
            case "phase":
                self._end_phase(seen, event.time)
                seen.phase, seen.step = event.payload["phase"], 0
                seen.phase_time = seen.progress_time = event.time
                seen.speed = seen.end = 0.0
                self._pace(trainer, event.time)
            case "progress":
                self._progress(trainer, event, seen)
            case "warning":
                if event.payload.get("reason") == "WORKER_LOST":
                    self._metrics.attempts_lost.inc()

    def _state(self, trainer: str, event: EventRecord, seen: _Seen, state: JobState) -> None:
        if state is JobState.QUEUED and seen.created is None:
            seen.created = event.time
        if state is JobState.RUNNING and seen.started is None:
            seen.started = event.time
            if seen.created is not None:
                self._metrics.job_queue_seconds.observe(max(0.0, event.time - seen.created))
        if state is not JobState.RUNNING and state is not JobState.CANCELLING:
            self._end_phase(seen, event.time)
            seen.phase, seen.step = "", 0
            seen.speed = seen.end = 0.0
            self._pace(trainer, event.time)
        if state in TERMINAL:
            self._metrics.jobs_ended.labels(trainer, state.value).inc()
            if seen.started is not None:
                seconds = max(0.0, event.time - seen.started)
                self._metrics.job_seconds.labels(trainer, state.value).observe(seconds)
            del self._jobs[event.job]

    def _end_phase(self, seen: _Seen, now: float) -> None:
        if seen.phase:
            phase = seen.phase if seen.phase in PHASES else "other"
            self._metrics.phase_seconds.labels(phase).observe(max(0.0, now - seen.phase_time))

    def _progress(self, trainer: str, event: EventRecord, seen: _Seen) -> None:
        step = int(event.payload.get("step") or 0)
        rate = float(event.payload.get("rows_per_second") or 0.0)
        for name, loss in (event.payload.get("losses") or {}).items():
            known = name if name in LOSSES else "other"
            self._metrics.train_loss.labels(trainer, known).set(loss)
        self._metrics.gradient_norm.labels(trainer).set(event.payload.get("gradient_norm") or 0.0)
        seen.speed, seen.end = rate, event.time + float(event.payload.get("eta_s") or 0.0)
        self._pace(trainer, event.time)
        if step > seen.step:
            self._metrics.epochs.labels(trainer).inc(step - seen.step)
            self._metrics.train_rows.labels(trainer).inc(max(0.0, rate * (event.time - seen.progress_time)))
            seen.step, seen.progress_time = step, event.time

    def _pace(self, trainer: str, now: float) -> None:
        fitting = [seen for seen in self._jobs.values() if seen.trainer == trainer]
        self._metrics.train_speed.labels(trainer).set(sum(seen.speed for seen in fitting))
        left = max((seen.end - now for seen in fitting if seen.end), default=0.0)
        self._metrics.train_eta.labels(trainer).set(max(0.0, left))
