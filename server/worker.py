"""The worker: claims jobs for one slot, has a child run each, publishes what comes of it.

The same program embedded (the server starts it, `server.supervisor`) and on
another machine (``python -m server worker``). It holds no state: the database
is queue and truth, so it may be killed at any moment.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import structlog

from kohort.problem import Problem
from server import logs
from server.blobs import BlobPlace, BlobStore, open_blobs
from server.checkpointing import Checkpoints
from server.janitor import sweep_folders
from server.jobrun import JobRun
from server.jobspans import JobSpans, queued_since, tell_lost
from server.layout import DataDir
from server.lease import Heart
from server.lineage import settle_key
from server.processes import SlotLock, host_id, supervised
from server.signing import check_signing_key
from server.store import Store
from server.tracing import TracingConfig, open_tracing

if TYPE_CHECKING:
    from server.settings import Settings

log = structlog.get_logger(log="worker")

EMPTY = 4
"""The exit status of a worker that was to run one job and found none."""


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs to know. Times are seconds."""

    data_dir: str
    database_url: str
    slot: str
    """Such as ``cpu:0`` or ``cuda:1``; ``cpu:*`` is the first of this machine that is free."""
    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    poll_s: float = 1.0
    max_attempts: int = 3
    max_running_per_principal: int = 1_000_000
    cancel_grace_s: float = 10.0
    terminate_grace_s: float = 5.0
    silence_s: float = 300.0
    """A child that says nothing for so long is dead or stuck."""
    threads: int = 1
    """Of numpy, torch and their like in a child."""
    blobs: Mapping[str, str] = field(default_factory=dict)
    """A `BlobPlace`, by field."""
    patient_key_file: str = ""
    """Empty: the one in `data_dir`."""
    signing_key_file: str = ""
    checkpoint_s: float = 30.0
    """How often a checkpoint goes to the bucket, at most."""
    entry: str = "server.run_job:run_job"
    """What the child runs."""
    otlp_endpoint: str = ""
    """Of the settings of the same names, as are the next three."""
    otlp_ca: str = ""
    otlp_headers_file: str = ""
    trace_sample_ratio: float = 1.0
    log_level: str = "info"
    log_format: Literal["json", "console"] = "json"
    id: str = ""
    """Of the worker; empty: a new one."""
    once: bool = False
    """Whether it leaves after one job, at once where there is none for it, and when it is dismissed
    (`WorkerStore.dismiss`)."""

    @property
    def tracing(self) -> TracingConfig:
        """Where spans go."""
        return TracingConfig(
            self.otlp_endpoint, self.trace_sample_ratio, self.otlp_ca, self.otlp_headers_file
        )

    @property
    def module(self) -> str:
        """What a supervisor runs."""
        return "server.worker"


def worker_config(settings: Settings, slot: str, **changes: Any) -> WorkerConfig:
    """What a worker of this machine needs to know; `changes` are further fields."""
    return WorkerConfig(
        data_dir=str(settings.data_dir.absolute()),
        database_url=settings.database,
        slot=slot,
        lease_s=settings.lease_seconds,
        heartbeat_s=settings.heartbeat_seconds,
        poll_s=settings.poll_seconds,
        max_attempts=settings.max_attempts,
        max_running_per_principal=settings.max_running_per_principal,
        cancel_grace_s=settings.cancel_grace_seconds,
        terminate_grace_s=settings.terminate_grace_seconds,
        blobs=asdict(settings.blob_place),
        patient_key_file=str(settings.patient_key_file.absolute()),
        signing_key_file=str(settings.signing_key_file.absolute()),
        checkpoint_s=settings.checkpoint_seconds,
        otlp_endpoint=settings.tracing.endpoint,
        otlp_ca=settings.tracing.ca,
        otlp_headers_file=settings.tracing.headers_file,
        trace_sample_ratio=settings.tracing.sample_ratio,
        log_level=settings.log_level,
        log_format=settings.log_format,
        **changes,
    )


class Worker:
    """Claims and runs, one job at a time, until it is asked to leave."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.id = config.id or uuid.uuid4().hex
        self.claimed = 0
        """Jobs it has taken."""
        self._leaving = threading.Event()
        key = Path(config.patient_key_file) if config.patient_key_file else None
        self._folders = DataDir(Path(config.data_dir).absolute(), key)
        self._store = Store(
            config.database_url,
            max_attempts=config.max_attempts,
            max_running_per_principal=config.max_running_per_principal,
            pool_size=2,
        )

    def leave(self) -> None:
        """Asks for an end: a running job is stopped and goes back to the queue."""
        self._leaving.set()

    def run(self) -> None:
        """Works until `leave`. Call it on the main thread: children die with the thread that starts them.

        Raises:
            Problem: a store does not answer or is of another version.
            ValueError: the blob store cannot be had as it is asked for, or a key is not the deployment's.
            ValueError, OSError: spans cannot be sent as the configuration says, see `open_tracing`.
        """
        config = self.config
        self._tracing = open_tracing(config.tracing, "kohort-worker", self.id)
        try:
            self._run()
        finally:
            # This process may end by `os._exit`, which flushes nothing.
            self._tracing.close()

    def _run(self) -> None:
        config = self.config
        place = BlobPlace(**config.blobs)
        if not place.url and not self._folders.blobs.is_dir():
            # It would fail every job of the queue, one by one, for bytes that are elsewhere.
            raise Problem(
                "STORE_UNAVAILABLE",
                "data_dir is not the server's, or is not mounted; a machine without it needs blob_url",
            )
        self._store.check_version()
        self._folders.prepare()
        settle_key(self._folders.patient_key, self._store.deployment, make=not place.url)
        if config.signing_key_file:
            check_signing_key(Path(config.signing_key_file))
        blobs = open_blobs(place, self._folders.blobs)
        blobs.check(write=True)
        checkpoints = Checkpoints(self._folders, blobs if place.url else None, config.checkpoint_s)
        lock = self._take_slot()
        if lock is None:
            return
        config = self.config
        kind, host = config.slot.partition(":")[0], host_id(self._folders.slots)
        register = partial(self._store.workers.register, self.id, config.slot, kind, host)
        register()
        # Who is there for one job was dismissed; any other was silent for so long that it was forgotten.
        forgotten = self.leave if config.once else register
        heart = Heart(self._store, self.id, forgotten, config.heartbeat_s, config.poll_s, config.lease_s)
        heart.start()
        log.info("worker started", slot=config.slot, worker=self.id)
        try:
            self._recover()
            sweep_folders(self._store, self._folders)
            self._work(heart, blobs, checkpoints)
        finally:
            heart.stop()
            try:
                self._store.workers.leave(self.id)
            except Problem as problem:
                log.warning("leaving unsaid", reason=problem.reason)
            self._store.close()
            lock.release()
            log.info("worker ended", slot=config.slot, worker=self.id)

    def _take_slot(self) -> SlotLock | None:
        """Locks the slot, or the first that is free where it may choose; None when it is to leave before."""
        kind, _, index = self.config.slot.partition(":")
        if index != "*":
            lock = SlotLock(self._folders.slots, self.config.slot, "worker")
            return lock if lock.acquire(self._leaving.is_set) else None
        for number in itertools.count():
            slot = f"{kind}:{number}"
            lock = SlotLock(self._folders.slots, slot, "worker")
            if lock.acquire(lambda: True):
                self.config = replace(self.config, slot=slot)
                return lock
        raise AssertionError("there is always a further slot")

    def _recover(self) -> None:
        """Takes back what an earlier worker of this slot left, once its child is surely gone."""
        child = SlotLock(self._folders.slots, self.config.slot, "child")
        if child.acquire(self._leaving.is_set):
            child.release()
            for taken in self._store.leases.recover(self.id):
                ids = tell_lost(self._tracing, taken).log_fields
                log.warning("job recovered", job=taken.job.id, state=taken.state.value, **ids)

    def _work(self, heart: Heart, blobs: BlobStore, checkpoints: Checkpoints) -> None:
        config = self.config
        kind = config.slot.partition(":")[0]
        trouble = logs.Trouble(log, "claim failed")
        while not self._leaving.is_set():
            claimed = time.monotonic()
            try:
                job = self._store.leases.claim(self.id, config.slot, kind, config.lease_s)
            except Problem as problem:
                if config.once:
                    raise
                trouble.failed(problem.reason)
                job = None
            else:
                trouble.worked()
            if job is None:
                if config.once:
                    return
                self._leaving.wait(config.poll_s)
                continue
            self.claimed += 1
            spans = JobSpans(self._tracing, job, queued_since(self._store, job))
            lease = heart.hold(job.id, job.attempt, claimed)
            try:
                with structlog.contextvars.bound_contextvars(**spans.log_fields):
                    log.info("job claimed", job=job.id, attempt=job.attempt, slot=config.slot)
                    run = JobRun(
                        config, self.id, self._store, blobs, self._folders, checkpoints, heart, lease, spans
                    )
                    run.run(job, self._leaving.is_set)
            finally:
                spans.end()
                heart.let_go()
            if config.once:
                return


def run_worker(config: WorkerConfig) -> int:
    """Runs a worker until SIGTERM or SIGINT; how many jobs it took. Raises Problem, see `Worker.run`."""
    worker = Worker(config)

    def on_signal(number: int, frame: FrameType | None) -> None:
        worker.leave()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    worker.run()
    return worker.claimed


def serve(config: WorkerConfig) -> int:
    """Runs a worker that a supervisor started; the exit status.

    0 after it was asked to leave or ran the one job it was to run, `EMPTY` when
    there was none, 1 after a problem.
    """
    logs.configure(config.log_level, config.log_format)
    try:
        claimed = run_worker(config)
    except Problem as problem:
        log.warning("worker failed", slot=config.slot, reason=problem.reason, message=problem.message)
        return 1
    except ValueError as error:
        log.warning("worker failed", slot=config.slot, message=str(error))
        return 1
    return EMPTY if config.once and not claimed else 0


if __name__ == "__main__":
    supervised(lambda values: serve(WorkerConfig(**values)))
