"""Many callers at once: streams, first batches, short calls, watchers, and the memory of a long stream.

The server and its callers are processes of their own. Percentiles are by
nearest rank: the q-th of n figures is the smallest one that at least q·n of
them do not exceed; of few figures the 99th is the worst.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.callers import ENDLESS, Caller
from benchmarks.measure import ROOT, Row, cpu_of, machine, reached
from benchmarks.serving import BenchServer
from kohort.resources import Progress
from server.store import Store

TABLE = ROOT / "benchmarks" / "data" / "encounters_20k.parquet"
STREAMS = (1, 8, 64)
JOBS = (1, 20)
FIRST_ROWS = 100
"""Rows asked for where the first batch is timed."""
_LOAD = 8
"""Streams that run beside what is timed under load."""


@dataclass(frozen=True)
class Options:
    """How much is measured; the defaults take some five minutes on two cores."""

    fit_rows: int = 5_000
    """Rows that the models learn; no figure here depends on it."""
    repeats: int = 3
    """Runs at each number of streams, in turn."""
    rows: int = 589_824
    """Rows of all streams of a run together."""
    first_batches: int = 200
    """First batches of a cached model, on an idle server; half as many under load."""
    cold: int = 10
    """Restarts of the server, and models sampled for the first time under load."""
    calls: int = 300
    """Calls of each kind of short call."""
    watchers: int = 200
    """Status streams."""
    watch_seconds: float = 12.0
    """How long they are measured."""
    stream_rows: int = 10_000_000
    """Rows of the stream whose memory is watched."""


QUICK = Options(
    fit_rows=1_000,
    repeats=1,
    rows=65_536,
    first_batches=10,
    cold=2,
    calls=10,
    watchers=20,
    watch_seconds=2.0,
    stream_rows=200_000,
)
"""Enough to see that every part runs; its figures mean nothing."""


def percentile(values: Sequence[float], q: float) -> float:
    """The q-th percentile (0 < q ≤ 100) by nearest rank."""
    return sorted(values)[math.ceil(q / 100 * len(values)) - 1]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds: median, 99th percentile, and of how many."""
    return {"p50": 1e3 * percentile(seconds, 50), "p99": 1e3 * percentile(seconds, 99), "n": len(seconds)}


def measure(options: Options) -> dict[str, Any]:
    """Everything that this part measures, as plain numbers; times in ms unless a name says otherwise."""
    with tempfile.TemporaryDirectory(prefix="kohort-bench-") as directory:
        sampling, watching = Path(directory) / "sampling", Path(directory) / "watching"
        sampling.mkdir()
        watching.mkdir()
        results: dict[str, Any] = {}
        flags = ("--evaluation-profile", "none", "--max-sample-streams", "128", "--devices", "cpu:2")
        with BenchServer(sampling, *flags) as server:
            results |= _sampling(server, options)
        flags = ("--evaluation-profile", "none", "--devices", "", "--max-jobs-per-principal", "64")
        with BenchServer(watching, *flags) as server:
            results["watchers"] = {str(n): _watched(server, n, options) for n in JOBS}
    return results


def _sampling(server: BenchServer, options: Options) -> dict[str, Any]:
    """What is measured on models of the table: one network, and one that costs little."""
    table = pd.read_parquet(TABLE).head(options.fit_rows)
    with server.client() as client:
        dataset = client.upload(table, table="encounters")
        network = client.train(dataset, trainer="ctgan", epochs=1, seed=1).result()
        cheap_job = client.train(dataset, trainer="copula", seed=1)
        cheap = cheap_job.result()
        file = network.download(server.folder / "network.kohort")
    results: dict[str, Any] = {"first_batch": {"cold": _cold(server, network.name, options)}}
    results["streams"] = _streams(server, network.name, options)
    about = {"address": server.address, "models": [network.name], "rows": FIRST_ROWS}
    short = {"address": server.address, "model": network.name, "job": cheap_job.name}
    short |= {"each": options.calls, "pause": 0.002}
    calls: dict[str, Any] = {}
    results["first_batch"]["cached"] = summary(_done("first_batches", **about, each=options.first_batches))
    calls["alone"] = _by_method(_done("short_calls", **short))
    with _load(server, network.name):
        loaded = _done("first_batches", **about, each=max(1, options.first_batches // 2))
        calls["8 streams"] = _by_method(_done("short_calls", **short))
        with server.client() as client:
            # Models that nobody has sampled from yet are what a cache without them would be.
            copies = [client.import_model(file).name for _ in range(options.cold)]
        fresh = _done("first_batches", address=server.address, models=copies, rows=FIRST_ROWS, each=1)
    results["first_batch"] |= {"cached, 8 streams": summary(loaded), "cold, 8 streams": summary(fresh)}
    with _trainings(server, dataset.name):
        calls["2 trainings"] = _by_method(_done("short_calls", **short))
        results["first_batch"]["cached, 2 trainings"] = summary(
            _done("first_batches", **about, each=max(1, options.first_batches // 2))
        )
    results["calls"] = calls
    results["long_stream"] = _done(
        "long_stream",
        address=server.address,
        model=cheap.name,
        rows=options.stream_rows,
        server=server.process.pid,
    )
    return results


def _done(what: str, **about: Any) -> Any:
    with Caller(what, **about) as caller:
        return caller.go().result()


def _by_method(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    every = [seconds for method in found.values() for seconds in method]
    return {name: summary(seconds) for name, seconds in found.items()} | {"all": summary(every)}


def _cold(server: BenchServer, model: str, options: Options) -> dict[str, float]:
    """First batches of servers that have just started."""
    found = []
    for _ in range(options.cold):
        server.restart()
        found += _done("first_batches", address=server.address, models=[model], rows=FIRST_ROWS, each=1)
    return summary(found)


def _streams(server: BenchServer, model: str, options: Options) -> dict[str, Any]:
    """Rows a second of some streams at once, how fairly they share, and how long the first batches take.

    Fairness is the time of the slowest stream by that of the fastest.
    """
    found: dict[int, list[dict[str, Any]]] = {count: [] for count in STREAMS}
    for repeat in range(options.repeats + 1):
        for count in STREAMS:
            units = max(1, options.rows // count // 1024) * 1024
            with Caller("streams", address=server.address, model=model, count=count, units=units) as caller:
                used = cpu_of(server.process)
                run = caller.go().result()
                run |= {"cpu": run["cpu"] + cpu_of(server.process) - used, "rows": units * count}
            if repeat:  # the first round warms
                found[count].append(run)
    return {
        str(count): {
            "rows_per_second": statistics.median(run["rows"] / max(run["total"]) for run in runs),
            "rows_per_cpu_second": statistics.median(run["rows"] / run["cpu"] for run in runs),
            "slowest_by_fastest": statistics.median(max(run["total"]) / min(run["total"]) for run in runs),
            "first_batch": summary([seconds for run in runs for seconds in run["first"]]),
        }
        for count, runs in found.items()
    }


@contextmanager
def _load(server: BenchServer, model: str) -> Iterator[None]:
    """Streams that do not end beside what the block measures."""
    about = {"address": server.address, "model": model, "count": _LOAD, "units": ENDLESS}
    with Caller("streams", **about) as caller:
        caller.go()
        time.sleep(1)
        yield
        caller.result()


@contextmanager
def _trainings(server: BenchServer, dataset: str) -> Iterator[None]:
    """Two networks that are being fitted beside what the block measures."""
    with server.client() as client:
        jobs = [
            client.train(dataset, trainer=trainer, epochs=10_000, seed=1, **more)
            for trainer, more in (("ctgan", {}), ("argn", {"patience": 10_000}))
        ]
        for job in jobs:
            next(event for event in job.events() if isinstance(event.detail, Progress))
        yield
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.wait()


def _watched(server: BenchServer, jobs: int, options: Options) -> dict[str, float]:
    """Watchers of some running jobs, each of which has an event every half second.

    This process plays the workers and writes the events, as they do, into the database.
    """
    store = Store(f"sqlite:///{server.folder / 'var' / 'kohort.db'}", pool_size=2)
    with server.client() as client:
        dataset = client.upload(pd.read_parquet(TABLE).head(200), table="encounters")
        names = [client.train(dataset, trainer="copula").name for _ in range(jobs)]
    worker = f"bench-{jobs}"
    store.workers.register(worker, "cpu:0", "cpu", "bench")
    claimed = [store.leases.claim(worker, "cpu:0", "cpu", 3600) for _ in range(jobs)]
    before = server.process.memory_info().rss
    with Caller("watchers", address=server.address, jobs=names, count=options.watchers) as caller:
        memory = server.process.memory_info().rss - before
        caller.go()
        used, began, ended = cpu_of(server.process), time.perf_counter(), threading.Event()

        def write() -> None:
            step = 0
            while not ended.wait(0.5 / jobs):
                job = claimed[step % jobs]
                step += 1
                if job is not None:
                    said = {"step": step, "total_steps": 1_000_000, "losses": {"loss": 1.0 / step}}
                    store.leases.progress(job.id, job.attempt, worker, said)

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(options.watch_seconds)
        seconds = time.perf_counter() - began
        used = cpu_of(server.process) - used
        found = caller.result()
        ended.set()
        writer.join()
    for job in claimed:
        if job is not None:
            store.leases.fail(job.id, job.attempt, worker, "TRAINING_FAILED", "the measurement is over")
    store.close()
    return {
        **summary(found["delays"]),
        "server_cpu_percent": 100 * used / seconds,
        "events_per_second": len(found["delays"]) / seconds,
        "kib_per_watcher": memory / options.watchers / 1024,
    }


def rows(results: dict[str, Any]) -> list[Row]:
    """The figures as rows of the table: what, per CPU second, wall, floor, aim, reached."""
    first, table = results["first_batch"], list[Row]()
    for name, figures in first.items():
        floor, aim = (500, 200) if name.startswith("cold") else (50, 10)
        judged = (
            ("", "", "")
            if "," in name
            else (str(floor), str(aim), reached(figures["p50"], floor, aim, lower=True))
        )
        table.append((f"first batch, model {name} (ms)", "", _times(figures), *judged))
    for count, run in results["streams"].items():
        rate, wall = f"{run['rows_per_cpu_second']:,.0f}", f"{run['rows_per_second']:,.0f}"
        fair = f"slowest ÷ fastest {run['slowest_by_fastest']:.2f}"
        table.append((f"{count} Sample streams together (rows/s; {fair})", rate, wall, "", "", ""))
        table.append(
            (f"first batch of {count} begun at once (ms)", "", _times(run["first_batch"]), *[""] * 3)
        )
    for beside, methods in results["calls"].items():
        name = (
            f"GetModel, GetJob, ListModels beside {beside} (ms)"
            if beside != "alone"
            else "GetModel, GetJob, ListModels (ms)"
        )
        table.append((name, "", _times(methods["all"]), "", "", ""))
    for jobs, figures in results["watchers"].items():
        cost = f"{figures['server_cpu_percent']:.0f} % of a core, {figures['kib_per_watcher']:.0f} KiB each"
        name = f"watchers of {jobs} job(s), event to watcher (ms; {cost})"
        table.append((name, "", _times(figures), "", "", ""))
    long = results["long_stream"]
    growth, wall = long["server"], f"{long['server']:.1f} (client {long['client']:.1f})"
    what = f"memory growth of the server over {long['rows']:,} rows, after their first tenth (MiB)"
    return [*table, (what, "", wall, "64", "1", reached(growth, 64, 1, lower=True))]


def _times(figures: dict[str, float]) -> str:
    return f"{figures['p50']:.1f}, p99 {figures['p99']:.1f} (n {figures['n']:.0f})"


def main() -> None:
    """Measures and prints."""
    chosen = argparse.ArgumentParser(description=__doc__)
    chosen.add_argument("--quick", action="store_true", help="small figures, to see that it runs")
    results = measure(QUICK if chosen.parse_args().quick else Options())
    print(json.dumps(results, indent=1))
    print(machine())
    for row in rows(results):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
