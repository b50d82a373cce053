"""The dispatcher: has Ray place a worker for every job that waits, and keeps nothing in Ray.

The database stays queue and truth. A task is a worker for one job, which it
claims once it is placed: nothing waits under a lease, a task too many finds
nothing to do, and when dispatcher or cluster are lost the jobs are not.
The only module that imports Ray, besides a line in `server.placed`.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import structlog

from kohort.problem import Problem
from server import logs
from server.placed import place
from server.processes import supervised
from server.store import Store
from server.worker import EMPTY

if TYPE_CHECKING:
    from server.settings import Settings

log = structlog.get_logger(log="dispatcher")

RAY = "ray"
"""The name of the dispatcher among the processes that a server keeps."""
_CONNECT_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_ASKING_SECONDS = 2.0
_HUNG_SECONDS = 120.0
"""Longer than any question to the database may take."""


class ClusterUnavailable(Exception):
    """The Ray cluster cannot be used; the text says why, for the operator."""


@dataclass(frozen=True)
class DispatcherConfig:
    """What a dispatcher needs to know. Times are seconds; see the settings of the same names."""

    database_url: str
    address: str
    kinds: tuple[str, ...]
    cpus_per_job: float = 1.0
    max_jobs: int = 16
    max_running_per_principal: int = 1_000_000
    poll_s: float = 1.0
    lease_s: float = 30.0
    """A cluster that is silent for so long is gone."""
    heartbeat_s: float = 5.0
    stop_s: float = 15.0
    """How long workers may take to leave."""
    log_level: str = "info"
    log_format: Literal["json", "console"] = "json"
    slot: str = RAY

    @property
    def module(self) -> str:
        """What a supervisor runs."""
        return "server.dispatcher"


def dispatcher_config(settings: Settings) -> DispatcherConfig:
    """What the settings say."""
    return DispatcherConfig(
        database_url=settings.database,
        address=settings.ray_address,
        kinds=settings.kinds(),
        cpus_per_job=settings.ray_cpus_per_job,
        max_jobs=settings.ray_max_jobs,
        max_running_per_principal=settings.max_running_per_principal,
        poll_s=settings.poll_seconds,
        lease_s=settings.lease_seconds,
        heartbeat_s=settings.heartbeat_seconds,
        stop_s=settings.cancel_grace_seconds + settings.terminate_grace_seconds,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


@dataclass
class _Task:
    """One worker that Ray was asked for."""

    kind: str
    id: str
    reference: Any
    held: bool = False
    """Whether it was seen to hold a job."""
    cancelled: bool = False


@dataclass
class _Pause:
    """After tasks that came to nothing the next ones come later and later."""

    seconds: float = _FIRST_PAUSE_SECONDS
    until: float = 0.0

    def extend(self) -> None:
        """Another one came to nothing; those of the same moment count once."""
        now = time.monotonic()
        if now >= self.until:
            self.until = now + self.seconds
            self.seconds = min(self.seconds * 2, _LONGEST_PAUSE_SECONDS)


@dataclass
class _Lane:
    """What is with Ray for one kind of device."""

    kind: str
    presence: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The id under which the dispatcher answers for this kind, among the workers."""
    tasks: list[_Task] = field(default_factory=list)
    pause: _Pause = field(default_factory=_Pause)


class Dispatcher:
    """Keeps as many tasks with Ray as jobs wait, from `run` until `leave`."""

    def __init__(self, config: DispatcherConfig) -> None:
        self._config = config
        self._leaving = threading.Event()
        self._lanes = [_Lane(kind) for kind in config.kinds]
        self._beat_at = -config.heartbeat_s
        self._empty = logs.Trouble(log, "tasks end without a job")
        self._store = Store(
            config.database_url, max_running_per_principal=config.max_running_per_principal, pool_size=2
        )

    def leave(self) -> None:
        """Asks for an end: what Ray runs is asked to leave, and its jobs go back to the queue."""
        self._leaving.set()

    def attach(self, ray: Any) -> None:
        """Takes the Ray module, connected."""
        self._ray = ray
        self._task = ray.remote(max_retries=0)(place)

    def run(self) -> None:
        """Dispatches until `leave`.

        A cluster that is lost ends this process, by Ray's own hand or by an
        exception: whoever supervises starts it again, and it finds all in the database.

        Raises:
            ClusterUnavailable: Ray is not installed, or the cluster does not answer.
            Problem: the database does not answer or is of another version.
        """
        self._store.check_version()
        self.attach(_connect(self._config.address))
        self._listen()
        self._seen = time.monotonic()
        threading.Thread(target=self._watch_cluster, name="cluster", daemon=True).start()
        try:
            self._dispatch()
        except ClusterUnavailable:
            self.close()  # to the cluster nothing can be said any more
            raise
        except BaseException:
            self._end()
            raise
        else:
            self._end()

    def _dispatch(self) -> None:
        trouble = logs.Trouble(log, "dispatch failed")
        for lane in self._lanes:
            self._register(lane)
        log.info("dispatcher started", kinds=self._config.kinds)
        while not self._leaving.is_set():
            if time.monotonic() - self._seen > self._config.lease_s:
                raise ClusterUnavailable("the Ray cluster was not heard of")
            # Ray may hang rather than fail: then this process ends, and its supervisor starts another.
            faulthandler.dump_traceback_later(self._config.lease_s + _HUNG_SECONDS, exit=True)
            try:
                self.look()
            except Problem as problem:
                trouble.failed(problem.reason)
            else:
                trouble.worked()
            self._leaving.wait(self._config.poll_s)

    def _register(self, lane: _Lane) -> None:
        self._store.workers.register(lane.presence, lane.kind, lane.kind, socket.gethostname())

    def _watch_cluster(self) -> None:
        """In a thread: asks the cluster again and again. Without one the question hangs; one that
        took the place of another ends this process, by a check of Ray's own."""
        trouble = logs.Trouble(log, "cluster does not answer")
        while not self._leaving.is_set():
            try:
                self._ray.nodes()
            except Exception as error:  # Ray's are of many kinds; silence is judged by its length
                trouble.failed(type(error).__name__)
            else:
                self._seen = time.monotonic()
                trouble.worked()
            self._leaving.wait(self._config.heartbeat_s)

    def _listen(self) -> None:
        def on_signal(number: int, frame: FrameType | None) -> None:
            self.leave()

        # After Ray was initialised, which takes SIGTERM for itself.
        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)

    def look(self) -> None:
        """Once: forgets what ended, submits what is missing, takes back what is too much."""
        for lane in self._lanes:
            self._reap(lane)
        if time.monotonic() - self._beat_at >= self._config.heartbeat_s:
            for lane in self._lanes:
                if not self._store.workers.beat(lane.presence):
                    self._register(lane)
            self._beat_at = time.monotonic()
        tasks = [task for lane in self._lanes for task in lane.tasks]
        demand = self._store.demand(self._config.kinds, [task.id for task in tasks])
        for task in tasks:
            task.held |= task.id in demand.holding
        for lane in self._lanes:
            self._balance(lane, demand.waiting[lane.kind])

    def _balance(self, lane: _Lane, waiting: int) -> None:
        idle = [task for task in lane.tasks if not task.held and not task.cancelled]
        # Another worker was faster, or a job that waited is no longer wanted. One that claims a job
        # in this very moment gives it back.
        for task in idle[waiting:]:
            self._cancel(task)
        if time.monotonic() < lane.pause.until:
            return
        for _ in range(min(waiting - len(idle), self._config.max_jobs - len(lane.tasks))):
            worker = uuid.uuid4().hex
            options = {
                "num_cpus": self._config.cpus_per_job,
                "num_gpus": 1 if lane.kind == "cuda" else 0,
                "name": f"kohort-{lane.kind}",
            }
            reference = self._task.options(**options).remote(lane.kind, worker)
            lane.tasks.append(_Task(lane.kind, worker, reference))
            log.info("task submitted", kind=lane.kind, worker=worker)

    def _reap(self, lane: _Lane) -> None:
        if not lane.tasks:
            return
        references = [task.reference for task in lane.tasks]
        ended, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        over = set(ended)
        for task in lane.tasks:
            if task.reference in over:
                self._judge(lane, task)
        lane.tasks = [task for task in lane.tasks if task.reference not in over]

    def _judge(self, lane: _Lane, task: _Task) -> None:
        status: int | None
        try:
            status, error = self._ray.get(task.reference), None
        except self._ray.exceptions.RayError as failure:
            status, error = None, type(failure).__name__
        log.info("task ended", kind=task.kind, worker=task.id, status=status, error=error)
        if task.held or status == 0:
            lane.pause = _Pause()
            self._empty.worked()
        elif not task.cancelled:
            lane.pause.extend()
            if status != EMPTY:
                self._empty.failed(error or f"exit status {status}", kind=task.kind)

    def _cancel(self, task: _Task) -> None:
        task.cancelled = True
        self._ray.cancel(task.reference, force=False)

    def _end(self) -> None:
        """Has all workers leave and waits for them; Ray ends those that stay with this process."""
        faulthandler.cancel_dump_traceback_later()
        tasks = {task.reference: task for lane in self._lanes for task in lane.tasks}
        for task in tasks.values():
            self._cancel(task)
        left, end = list(tasks), time.monotonic() + self._config.stop_s
        while left and time.monotonic() < end:
            # Ray asks a task once, by an exception that may not get there; a worker that only begins is not
            # known to the database yet.
            self._dismiss([tasks[one].id for one in left])
            _, left = self._ray.wait(left, num_returns=len(left), timeout=_ASKING_SECONDS)
        self.close()
        self._ray.shutdown()

    def close(self) -> None:
        """Answers for nothing any more."""
        self._dismiss([lane.presence for lane in self._lanes])
        self._store.close()
        log.info("dispatcher ended")

    def _dismiss(self, workers: list[str]) -> None:
        try:
            self._store.workers.dismiss(workers)
        except Problem as problem:
            log.warning("leaving unsaid", reason=problem.reason)


def _connect(address: str) -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing of a hospital is told to anybody
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ClusterUnavailable("Ray is not installed: pip install 'kohort-server[ray]'") from error
    where = address or os.environ.get("RAY_ADDRESS", "")
    if not _listens(where):
        raise ClusterUnavailable(f"no Ray cluster answers at {where}")
    try:
        # "auto": RAY_ADDRESS, else a cluster of this machine; never a new one.
        ray.init(address=address or "auto", namespace="kohort", log_to_driver=False, configure_logging=False)
    except Exception as error:
        message = f"the Ray cluster at {where or 'this machine'} cannot be used: {type(error).__name__}"
        raise ClusterUnavailable(message) from error
    return ray


def _listens(address: str) -> bool:
    """Whether somebody does, where the address says where: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def serve(values: dict[str, Any]) -> int:
    """Runs a dispatcher that a supervisor started; the exit status: 0 when asked to leave, else 1."""
    config = DispatcherConfig(**(values | {"kinds": tuple(values["kinds"])}))
    logs.configure(config.log_level, config.log_format)
    try:
        Dispatcher(config).run()
    except Problem as problem:
        log.warning("dispatcher failed", reason=problem.reason)
    except ClusterUnavailable as error:
        log.warning("dispatcher failed", reason=str(error))
    else:
        return 0
    return 1


if __name__ == "__main__":
    supervised(serve)
