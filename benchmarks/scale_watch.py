"""What a watcher costs the server and its database, while nothing happens and for each event it is told."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.callers import Caller
from benchmarks.measure import cpu_of
from benchmarks.scale_stand import TABLE, Base, Options
from benchmarks.serving import BenchServer
from server.records import JobRecord
from server.store import Store

_JOBS = 10
"""Running jobs that the watchers are dealt over."""
_EVENTS_PER_SECOND = 20.0
"""Of all jobs together."""
_WORKER = "bench"


def measure(bases: dict[str, Base], options: Options) -> dict[str, Any]:
    """By database and number of watchers: CPU of server and database, idle and while events come."""
    found: dict[str, Any] = {}
    for kind, base in bases.items():
        runs: dict[int, list[dict[str, float]]] = {count: [] for count in options.watchers}
        with tempfile.TemporaryDirectory(prefix="kohort-scale-") as name, base.database("watch") as url:
            flags = ("--evaluation-profile", "none", "--devices", "", "--database-url", url)
            with BenchServer(Path(name), *flags, "--max-jobs-per-principal", "64") as server:
                names, held, store = _jobs(server, url)

                def cpu(server: BenchServer = server, base: Base = base) -> float:
                    return cpu_of(server.process) + base.cpu()

                for _ in range(options.repeats):
                    for count in options.watchers:
                        runs[count].append(_run(server, store, names, held, count, cpu, options))
                for job in held:
                    store.leases.fail(job.id, job.attempt, _WORKER, "TRAINING_FAILED", "measured")
                store.close()
        medians = {
            count: {key: statistics.median(run[key] for run in of) for key in of[0]}
            for count, of in runs.items()
        }
        found[kind] = costs(medians)
    return found


def costs(runs: dict[int, dict[str, float]]) -> dict[str, Any]:
    """What each number of watchers costs beyond none: µs per watcher-second and per event delivered."""
    none, made = runs[0], {}
    for count, run in runs.items():
        if not count:
            continue
        idle = run["idle"] - none["idle"]
        busy = (run["busy"] - run["idle"]) - (none["busy"] - none["idle"])
        made[str(count)] = {
            "idle_us_per_watcher_second": 1e6 * idle / count,
            "us_per_event_delivered": 1e6 * busy / run["delivered"] if run["delivered"] else None,
            "delay_p50_ms": run["delay"],
        }
    return {"none": {key: 1e3 * none[key] for key in ("idle", "busy")}, "watchers": made}


def _jobs(server: BenchServer, url: str) -> tuple[list[str], list[JobRecord], Store]:
    """Jobs that this process runs in the place of workers."""
    store = Store(url, pool_size=1)
    with server.client() as client:
        dataset = client.upload(TABLE, table="heart")
        names = [client.train(dataset, trainer="copula").name for _ in range(_JOBS)]
    store.workers.register(_WORKER, "cpu:0", "cpu", "bench")
    claimed = [store.leases.claim(_WORKER, "cpu:0", "cpu", 3600) for _ in range(_JOBS)]
    return names, [job for job in claimed if job is not None], store


def _run(
    server: BenchServer,
    store: Store,
    names: Sequence[str],
    held: Sequence[JobRecord],
    count: int,
    cpu: Callable[[], float],
    options: Options,
) -> dict[str, float]:
    """CPU seconds per second, idle and busy, and events delivered per second."""
    if not count:
        idle = _spent(cpu, options.watch_seconds)
        with _Events(store, held):
            return {"idle": idle, "busy": _spent(cpu, options.watch_seconds), "delivered": 0.0, "delay": 0.0}
    with Caller("watchers", address=server.address, jobs=list(names), count=count) as caller:
        time.sleep(0.5)  # what happened before they came has been told
        idle = _spent(cpu, options.watch_seconds)
        caller.go()
        with _Events(store, held):
            began = time.perf_counter()
            busy = _spent(cpu, options.watch_seconds)
            seconds = time.perf_counter() - began
        delays = caller.result()["delays"]
    delay = 1e3 * statistics.median(delays) if delays else 0.0
    return {"idle": idle, "busy": busy, "delivered": len(delays) / seconds, "delay": delay}


def _spent(cpu: Callable[[], float], seconds: float) -> float:
    """CPU seconds per second over that time."""
    used, began = cpu(), time.perf_counter()
    time.sleep(seconds)
    return (cpu() - used) / (time.perf_counter() - began)


class _Events:
    """Writes events of the jobs in turn, from a thread, until the block ends."""

    def __init__(self, store: Store, held: Sequence[JobRecord]) -> None:
        self._store, self._held, self._ended = store, held, threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        step = 0
        while not self._ended.wait(1 / _EVENTS_PER_SECOND):
            job, step = self._held[step % len(self._held)], step + 1
            said = {"step": step, "total_steps": 1_000_000, "losses": {"loss": 1.0 / step}}
            self._store.leases.progress(job.id, job.attempt, _WORKER, said)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
