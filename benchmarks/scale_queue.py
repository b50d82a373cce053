"""Throughput and wait of 1 to 8 workers whose device time is simulated: everything else is real.

Server, database, stores, workers, claims, children, export and publication are
those of production; the training itself sleeps. All jobs are queued at once;
what the same jobs would take on as many devices without any cost of ours is
the ideal.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.concurrency import percentile
from benchmarks.measure import cpu_of
from benchmarks.scale_stand import TABLE, Base, Options
from benchmarks.serving import BenchServer
from benchmarks.sleeping_trainer import NAMED, STEPS
from server.records import JobRecord
from server.store import Store

TENANT = "local"
"""Whose jobs are on a server on loopback."""


def durations(count: int, mean: float) -> list[float]:
    """Device times from half to one and a half of the mean, spread evenly in no order; the mean is exact."""
    spread = [0.5 + (n + 0.5) / count for n in range(count)]
    # A stride that shares no factor with the count visits each once.
    stride = next(s for s in range(max(1, round(count * 0.618)), 2 * count) if _coprime(s, count))
    return [mean * spread[n * stride % count] for n in range(count)]


def _coprime(a: int, b: int) -> bool:
    while b:
        a, b = b, a % b
    return a == 1


def ideal(seconds: Sequence[float], workers: int) -> tuple[float, list[float]]:
    """When all is over, and how long each job waits, first come first served, at no cost."""
    free, waits = [0.0] * workers, []
    for needed in seconds:
        begins = heapq.heappop(free)
        waits.append(begins)
        heapq.heappush(free, begins + needed)
    return max(free), waits


def measure(bases: dict[str, Base], options: Options) -> dict[str, Any]:
    """By database and number of workers."""
    runs: dict[str, dict[int, list[dict[str, Any]]]] = {
        kind: {count: [] for count in options.workers} for kind in bases
    }
    for _ in range(options.repeats):
        for count in options.workers:
            for kind, base in bases.items():
                runs[kind][count].append(_run(base, count, options))
    return {kind: {str(n): summary(found) for n, found in by.items()} for kind, by in runs.items()}


def _run(base: Base, workers: int, options: Options) -> dict[str, Any]:
    """One server with so many workers and the jobs that it is given."""
    wanted = durations(max(4, workers * options.jobs_per_worker), options.device_seconds)
    with (
        tempfile.TemporaryDirectory(prefix="kohort-scale-") as name,
        base.database(f"queue{id(wanted)}") as url,
    ):
        flags = ["--devices", f"cpu:{workers}", "--evaluation-profile", "none", "--database-url", url]
        flags += ["--max-running-per-principal", "64", "--max-jobs-per-principal", "500"]
        flags += ["--max-queued-jobs", "500"]
        with BenchServer(Path(name), *flags, environment={"KOHORT_TRAINERS": NAMED}) as server:
            store = Store(url, pool_size=1)
            while len(store.workers.live(60)) < workers:
                time.sleep(0.05)
            with server.client() as client:
                dataset = client.upload(TABLE, table="heart")
                client.train(dataset, trainer="sleeping", parameters={"seconds": 0.0}, seed=0).result()
                before = _cpu(server, base)
                jobs = [
                    client.train(dataset, trainer="sleeping", parameters={"seconds": s}, seed=n)
                    for n, s in enumerate(wanted)
                ]
                names = [job.name.partition("/")[2] for job in jobs]
                memory = {"server": 0.0, "worker": 0.0, "child": 0.0}
                while not all(state.terminal for state, _ in store.jobs.standing(names).values()):
                    memory = {
                        part: max(most, now)
                        for (part, most), now in zip(memory.items(), _memory(server), strict=True)
                    }
                    time.sleep(0.5)
            used = {part: seconds - before[part] for part, seconds in _cpu(server, base).items()}
            found = [store.jobs.get(TENANT, name) for name in names]
            marks = [_marks(store, job, needed) for job, needed in zip(found, wanted, strict=True)]
            store.close()
    return told(found, marks, wanted, workers) | {
        "cpu_per_job": {part: seconds / len(wanted) for part, seconds in used.items()},
        "memory_mib": memory,
    }


def _marks(store: Store, job: JobRecord, needed: float) -> tuple[float, float]:
    """Seconds from claim to the beginning of training, and from its last step to publication."""
    steps = [e.time for e in store.jobs.events(TENANT, job.id, 0, 1000) if e.kind == "progress"]
    if not steps or job.start_time is None or job.end_time is None:
        raise RuntimeError(f"a job of the benchmark ended {job.state}")
    return steps[0] - needed / STEPS - job.start_time, job.end_time - steps[-1]


def _memory(server: BenchServer) -> tuple[float, float, float]:
    """MiB resident of the server, of its largest worker and of the largest child of one, now."""
    workers, children = [0], [0]
    for process in server.process.children(recursive=True):
        try:
            line, resident = " ".join(process.cmdline()), process.memory_info().rss
        except psutil.Error:
            continue  # it has just ended
        (workers if "server.worker" in line else children if "server.child" in line else []).append(resident)
    return tuple(size / 2**20 for size in (server.process.memory_info().rss, max(workers), max(children)))  # type: ignore[return-value]


def _line(process: psutil.Process) -> str:
    """Its command line; empty where it has just ended, as what parses an upload does."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _cpu(server: BenchServer, base: Base) -> dict[str, float]:
    """CPU seconds so far, by part; a child's are known to its worker once it has ended."""
    workers = [p for p in server.process.children() if "server.worker" in _line(p)]
    children = [p.cpu_times() for p in workers]
    return {
        "server": cpu_of(server.process),
        "worker": sum(map(cpu_of, workers)),
        "child": sum(times.children_user + times.children_system for times in children),
        "database": base.cpu(),
    }


def told(
    jobs: Sequence[JobRecord], marks: Sequence[tuple[float, float]], wanted: Sequence[float], workers: int
) -> dict[str, Any]:
    """The figures of one run. Seconds."""
    begun = min(job.create_time for job in jobs)
    over = max(job.end_time or 0.0 for job in jobs)
    least, waits = ideal(wanted, workers)
    return {
        "jobs_per_hour": 3600 * len(jobs) / (over - begun),
        "of_ideal": least / (over - begun),
        "wait": [(job.start_time or 0.0) - job.create_time for job in jobs],
        "ideal_wait": waits,
        "start": [start for start, _ in marks],
        "publish": [publish for _, publish in marks],
        "gap": gaps(jobs),
    }


def gaps(jobs: Sequence[JobRecord]) -> list[float]:
    """Seconds that a slot was free between two jobs."""
    by_slot: dict[str, list[JobRecord]] = {}
    for job in sorted(jobs, key=lambda job: job.start_time or 0.0):
        by_slot.setdefault(job.device, []).append(job)
    pairs = [pair for mine in by_slot.values() for pair in itertools.pairwise(mine)]
    return [(later.start_time or 0.0) - (earlier.end_time or 0.0) for earlier, later in pairs]


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Repeats together: medians of what is one figure per run, percentiles of what is one per job."""
    made: dict[str, Any] = {
        key: statistics.median(run[key] for run in runs) for key in ("jobs_per_hour", "of_ideal")
    }
    for key in ("wait", "ideal_wait", "start", "publish", "gap"):
        values = [value for run in runs for value in run[key]]
        made[key] = {f"p{q}": percentile(values, q) for q in (50, 99)} if values else {}
    parts = runs[0]["cpu_per_job"]
    made["cpu_per_job"] = {p: statistics.median(run["cpu_per_job"][p] for run in runs) for p in parts}
    made["memory_mib"] = {p: max(run["memory_mib"][p] for run in runs) for p in runs[0]["memory_mib"]}
    made["jobs"] = sum(len(run["wait"]) for run in runs)
    return made
