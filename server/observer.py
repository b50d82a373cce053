"""Metrics of jobs, made from what the store records, whoever ran them."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

import structlog

from kohort.problem import Problem
from server.census import Census
from server.logs import Trouble
from server.metrics import FAILURES, LOSSES, PHASES, PROFILES, STATES, Metrics
from server.records import ACTIVE, TERMINAL, EventRecord, JobKind, JobState
from server.store import Store
from server.threads import Threads

_EVALUATING = "evaluating"
CENSUS_SECONDS = 5.0
SIZES_SECONDS = 15.0
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
    alerts: int = 0
    """Raised, and not yet counted."""
    evaluated: bool = False
    """Whether it is, or ends with, an evaluation; of one by itself `trainer` is empty."""


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
        self._census = Census(store, metrics)
        self._census_at = self._sizes_at = -math.inf
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
        """Counts what is new, and every few seconds what there is."""
        if self._number is None:
            self._number = await self._threads.run(self._store.jobs.last_event_number)
        while events := await self._threads.run(self._store.jobs.tail, self._number):
            for number, trainer, event in events:
                self._number = number
                if self._count(trainer, event):
                    await self._threads.run(self._evaluated, event)
        counts = await self._threads.run(self._store.jobs.counts, ACTIVE)
        for state in STATES:
            self._metrics.jobs.labels(state).set(counts[JobState(state)])
        self._metrics.oldest_queued.set(await self._threads.run(self._store.jobs.oldest_queued))
        if time.monotonic() - self._census_at >= CENSUS_SECONDS:
            await self._threads.run(self._census.take)
            self._census_at = time.monotonic()
        if time.monotonic() - self._sizes_at >= SIZES_SECONDS:
            await self._threads.run(self._weigh)
            self._sizes_at = time.monotonic()

    def _weigh(self) -> None:
        """Reads how much is stored; blocking."""
        self._metrics.database_bytes.set(self._store.size_bytes())
        for kind, size in self._store.blob_bytes().items():
            self._metrics.blob_bytes.labels(kind).set(size)

    def _count(self, trainer: str, event: EventRecord) -> bool:
        """Whether an evaluation ended with it."""
        seen = self._jobs.setdefault(event.job, _Seen(trainer, evaluated=not trainer))
        self._alerts(event, seen)
        match event.kind:
            case "state":
                self._state(trainer, event, seen, JobState(event.payload["state"]))
            case "phase":
                self._end_phase(seen, event.time)
                seen.evaluated |= event.payload["phase"] == _EVALUATING
                seen.phase, seen.step = event.payload["phase"], 0
                seen.phase_time = seen.progress_time = event.time
                seen.speed = seen.end = 0.0
                self._pace(trainer, event.time)
            case "progress" if seen.phase != _EVALUATING:
                self._progress(trainer, event, seen)
            case "warning":
                if event.payload.get("reason") == "WORKER_LOST":
                    self._metrics.attempts_lost.inc()
        return seen.evaluated and event.job not in self._jobs

    def _alerts(self, event: EventRecord, seen: _Seen) -> None:
        """An alert that stops is raised like any other: only what follows it tells."""
        if event.kind == "warning":
            seen.alerts += event.payload.get("reason") == "ALERT_RAISED"
            return
        if event.kind == "state" and event.payload.get("message") == "ALERT_STOPPED_TRAINING":
            self._metrics.alerts_raised.labels("STOP_TRAINING").inc()
            seen.alerts = max(0, seen.alerts - 1)
        self._metrics.alerts_raised.labels("NOTIFY").inc(seen.alerts)
        seen.alerts = 0

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
        if state is JobState.FAILED:
            reason = event.payload.get("message")
            self._metrics.jobs_failed.labels(reason if reason in FAILURES else "OTHER").inc()
        if state in TERMINAL:
            del self._jobs[event.job]
            if not trainer:
                return
            self._metrics.jobs_ended.labels(trainer, state.value).inc()
            if seen.started is not None:
                seconds = max(0.0, event.time - seen.started)
                self._metrics.job_seconds.labels(trainer, state.value).observe(seconds)

    def _end_phase(self, seen: _Seen, now: float) -> None:
        if seen.phase:
            phase = seen.phase if seen.phase in PHASES else "other"
            self._metrics.phase_seconds.labels(phase).observe(max(0.0, now - seen.phase_time))
        if seen.phase == _EVALUATING:
            self._metrics.evaluation_seconds.observe(max(0.0, now - seen.phase_time))

    def _evaluated(self, event: EventRecord) -> None:
        """Counts how an evaluation ended; blocking."""
        kind, profile, report = self._store.jobs.evaluation(event.job)
        outcome = JobState(event.payload["state"])
        if kind is JobKind.TRAIN and outcome is JobState.SUCCEEDED and not report:
            outcome = JobState.FAILED
        if profile in PROFILES:
            self._metrics.evaluations.labels(profile, outcome.value).inc()

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
        if not trainer:
            return
        fitting = [seen for seen in self._jobs.values() if seen.trainer == trainer]
        self._metrics.train_speed.labels(trainer).set(sum(seen.speed for seen in fitting))
        left = max((seen.end - now for seen in fitting if seen.end), default=0.0)
        self._metrics.train_eta.labels(trainer).set(max(0.0, left))
