"""What a claim, an event and a heartbeat cost, with up to 10,000 jobs waiting, on both databases.

The calls are those that workers make. Every size has a database of its own, made
before anything is timed; then all of them are visited in turn.
"""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa

from benchmarks.concurrency import percentile
from benchmarks.scale_stand import Base, Options, slope
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from server.records import DatasetRecord, JobSpec
from server.store import Store, rows
from server.store.engine import Database
from server.store.schema import events, jobs

SCHEMA = Schema((TableSchema("heart", (Column("age", Kind.INTEGER, Storage.INT64, Handling.MODEL),)),))
TENANT, MANY, ONE = "north", "ada", "bob"
"""`MANY` has all the waiting jobs, `ONE` the very last."""
_SLOT = ("cpu:0", "cpu")
_LEASE = 3600.0
BLOCKED_FROM = 100
"""Jobs from which on a claim behind somebody who must wait is timed."""

OPERATIONS = {
    "claim": "claim",
    "crowd": "claim, {claimers} claimers at once",
    "blocked": "claim behind jobs that may not run yet",
    "event": "event appended",
    "heartbeat": "heartbeat (worker and lease)",
}


def measure(bases: dict[str, Base], options: Options) -> dict[str, Any]:
    """By database and operation: the figures at each number of waiting jobs, and how they grow."""
    found: dict[str, dict[str, dict[int, list[dict[str, float]]]]] = {}
    with ExitStack() as stack:
        crowd = stack.enter_context(claimers(options.claimers))
        made = {
            kind: {n: stack.enter_context(base.database(f"waiting{n}")) for n in options.waiting}
            for kind, base in bases.items()
        }
        for urls in made.values():
            for waiting, url in urls.items():
                fill(url, waiting)
        for _ in range(options.repeats):
            for waiting in options.waiting:
                for kind, urls in made.items():
                    figures = _visit(urls[waiting], waiting, bases[kind].cpu, options)
                    figures["crowd"] = _crowd(urls[waiting], crowd, options.each)
                    for name, values in figures.items():
                        by_size = found.setdefault(kind, {}).setdefault(name, {})
                        by_size.setdefault(waiting, []).append(values)
    return {
        kind: {name: _told(by_size) for name, by_size in operations.items()}
        for kind, operations in found.items()
    } | {"claimers": options.claimers}


def _told(by_size: dict[int, list[dict[str, float]]]) -> dict[str, Any]:
    """The best median of the repeats at each size: what is slower was the machine's doing."""
    sizes = {n: min(runs, key=lambda run: run["p50_ms"]) for n, runs in by_size.items()}
    return {
        "sizes": {str(n): run for n, run in sizes.items()},
        "slope": slope({n: run["p50_ms"] for n, run in sizes.items()}),
    }


def fill(url: str, waiting: int) -> None:
    """So many waiting jobs of one principal and as many events; one job of another where it is many."""
    store = Store(url, max_queued_jobs=10**6, max_jobs_per_principal=10**6, pool_size=2)
    store.migrate()
    store.workers.register("filler", *_SLOT, "bench")
    dataset = store.datasets.create(_dataset(store.now()))[0].id
    spec = rows.spec_to_json(
        JobSpec(dataset=dataset, trainer="copula", parameters={}, schema=SCHEMA, seed=1, max_runtime_s=1e6)
    )
    now = time.time()
    blank = {"tenant": TENANT, "dataset": dataset, "trainer": "copula", "spec": spec, "max_runtime_s": 1e6}
    blank |= {"state": "QUEUED", "create_time": now, "update_time": now, "last_sequence": 1}
    principals = [MANY] * waiting + [ONE] * (waiting >= BLOCKED_FROM)
    made = [{**blank, "id": uuid.uuid4().hex, "principal": principal} for principal in principals]
    told = [
        {"job": job["id"], "sequence": 1, "time": now, "attempt": 0, "kind": "state", "payload": {}}
        for job in made
    ]
    database = Database(url, 1)
    with database.write() as connection:
        for start in range(0, len(made), 1000):
            connection.execute(sa.insert(jobs), made[start : start + 1000])
            connection.execute(sa.insert(events), told[start : start + 1000])
    database.close()
    store.close()


def _dataset(now: float) -> DatasetRecord:
    identifier = uuid.uuid4().hex
    return DatasetRecord(
        id=identifier, tenant=TENANT, principal=MANY, display_name="", labels={}, schema=SCHEMA, findings=(),
        row_counts={"heart": 1}, size_bytes=1, digest=b"\1" * 32, create_time=0.0, expire_time=now + 1e6,
        delete_after_training=False, delete_time=None, blob_prefix=f"datasets/{TENANT}/{identifier}",
        lineage_key="",
    )  # fmt: skip


def _visit(url: str, waiting: int, cpu: Callable[[], float], options: Options) -> dict[str, dict[str, float]]:
    """All operations of one claimer on one database, in which nothing has changed afterwards."""
    store, worker = Store(url, pool_size=1), uuid.uuid4().hex
    strict = Store(url, max_running_per_principal=1, pool_size=1)
    store.workers.register(worker, *_SLOT, "bench")
    leases, timer = store.leases, _Timer(cpu, options.each)
    found: dict[str, dict[str, float]] = {}

    def give_back(job: Any) -> None:
        if job is not None:
            leases.give_back(job.id, job.attempt, worker, lost=False, message="")

    found["claim"] = timer.run(lambda: leases.claim(worker, *_SLOT, _LEASE), give_back)
    held = leases.claim(worker, *_SLOT, _LEASE)
    if held is not None:
        said = {"step": 1, "total_steps": 100, "losses": {"loss": 0.5}}
        found["event"] = timer.run(lambda: leases.progress(held.id, held.attempt, worker, said))

        def beat() -> None:
            store.workers.beat(worker)
            leases.heartbeat(held.id, held.attempt, worker, _LEASE)

        found["heartbeat"] = timer.run(beat)
        if waiting >= BLOCKED_FROM:
            blocked = timer.run(lambda: strict.leases.claim(worker, *_SLOT, _LEASE), give_back)
            found["blocked"] = blocked
        give_back(held)
    store.workers.leave(worker)
    strict.close()
    store.close()
    return found


class _Timer:
    """Times an operation again and again; what undoes it is not timed."""

    def __init__(self, cpu: Callable[[], float], each: int) -> None:
        self._cpu, self._each = cpu, each

    def run(
        self, operation: Callable[[], Any], undo: Callable[[Any], object] = lambda _: None
    ) -> dict[str, float]:
        undo(operation())  # warm: connections, compiled statements
        walls, cpus = [], []
        for _ in range(self._each):
            theirs, ours, began = self._cpu(), time.process_time(), time.perf_counter()
            made = operation()
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - ours)  # read first: to ask for theirs costs, too
            cpus[-1] += self._cpu() - theirs
            undo(made)
        return {**told(walls), "cpu_us": 1e6 * percentile(cpus, 50)}


def told(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds of the median and the 99th percentile."""
    return {"p50_ms": 1e3 * percentile(seconds, 50), "p99_ms": 1e3 * percentile(seconds, 99)}


@contextmanager
def claimers(count: int) -> Iterator[list[Connection]]:
    """Processes that claim when they are told to."""
    context = multiprocessing.get_context("spawn")
    ends, processes = [], []
    try:
        for _ in range(count):
            near, far = context.Pipe()
            process = context.Process(target=_claimer, args=(far,), daemon=True)
            process.start()
            ends.append(near)
            processes.append(process)
        yield ends
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


def _crowd(url: str, crowd: Sequence[Connection], each: int) -> dict[str, float]:
    """Claims of all of them at once."""
    for end in crowd:
        end.send((url, each))
    for end in crowd:
        end.recv()  # it is ready
    began = time.perf_counter()
    for end in crowd:
        end.send("go")
    walls = [seconds for end in crowd for seconds in end.recv()]
    return {**told(walls), "per_second": len(walls) / (time.perf_counter() - began)}


def _claimer(orders: Connection) -> None:
    """A process that claims and gives back until its pipe is closed."""
    worker = uuid.uuid4().hex
    while True:
        try:
            url, each = orders.recv()
        except EOFError:
            return
        store, walls = Store(url, pool_size=1), []
        store.workers.register(worker, *_SLOT, "bench")
        orders.send("ready")
        orders.recv()
        for _ in range(each):
            began = time.perf_counter()
            job = store.leases.claim(worker, *_SLOT, _LEASE)
            walls.append(time.perf_counter() - began)
            if job is not None:
                store.leases.give_back(job.id, job.attempt, worker, lost=False, message="")
        store.workers.leave(worker)
        store.close()
        orders.send(walls)
