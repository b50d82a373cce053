"""How many workers, cores and gigabytes hospitals of some sizes need, from what was measured.

The load of each size is an assumption that the table states. Everything else is
computed from `benchmarks/scale_results.json` (overhead, CPU and memory of a
job) and `benchmarks/results.json` (CPU of a sampled row).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BUSIEST_HOUR = 0.2
"""The share of a day's work that falls into its busiest hour."""
PATIENCE_MINUTES = 10.0
PATIENT_SHARE = 0.95
"""That share of the jobs of the busiest hour waits less than `PATIENCE_MINUTES`."""
FILLED = 0.5
"""How much of a core's time sampling may take in the busiest hour."""
WORKERS_PER_MACHINE = 8
_MODEL = "ctgan"


@dataclass(frozen=True)
class Load:
    """What a hospital asks for."""

    who: str
    trainings: int
    """A working day."""
    minutes: float
    """Device time of one, with its evaluation."""
    million_rows: float
    """Sampled a day."""


LOADS = (
    Load("one department", 10, 15, 1),
    Load("a hospital", 60, 20, 20),
    Load("a university hospital", 300, 30, 200),
    Load("a network of hospitals", 1500, 30, 2000),
)


def waits(workers: int, per_hour: float, service_hours: float, patience_hours: float) -> float:
    """The share of jobs that waits longer than that, with so many workers and arrivals at random.

    Source: Erlang C (M/M/c); Gross & Harris, Fundamentals of Queueing Theory, 2.3.
    """
    load = per_hour * service_hours
    if load >= workers:
        return 1.0
    term = total = 1.0
    for n in range(1, workers):
        term *= load / n
        total += term
    last = term * load / workers * workers / (workers - load)
    return last / (total + last) * math.exp(-(workers - load) / service_hours * patience_hours)


def workers_for(load: Load, overhead_seconds: float) -> int:
    """The fewest workers with which `PATIENT_SHARE` of the jobs of the busiest hour wait less than the patience."""
    service = (load.minutes * 60 + overhead_seconds) / 3600
    per_hour, count = load.trainings * BUSIEST_HOUR, 1
    while waits(count, per_hour, service, PATIENCE_MINUTES / 60) > 1 - PATIENT_SHARE:
        count += 1
    return count


def rows(scale: Mapping[str, Any], sampling: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The sizing table: load, workers, cores, memory, machines."""
    one = scale["queue"]["SQLite"]["1"]
    overhead = one["start"]["p50"] + one["publish"]["p50"]
    per_row = sampling["stages"][_MODEL]["whole"]["median"] / 1e6
    made = []
    for load in LOADS:
        count = workers_for(load, overhead)
        busy = load.million_rows * 1e6 * BUSIEST_HOUR / 3600 * per_row / FILLED
        cores = max(1, math.ceil(busy))
        memory = one["memory_mib"]
        gigabytes = (memory["server"] + count * (memory["worker"] + memory["child"])) / 1024
        made.append(
            (
                load.who,
                f"{load.trainings:,} × {load.minutes:g} min",
                f"{load.million_rows:,g} M",
                f"{count}",
                f"{cores}",
                f"{gigabytes:.1f} GiB",
                machines(count, cores),
            )
        )
    return made


def machines(workers: int, cores: int) -> str:
    """What to set up."""
    if workers <= WORKERS_PER_MACHINE:
        return "one machine, SQLite, a directory"
    needed = math.ceil(workers / WORKERS_PER_MACHINE)
    servers = max(2, math.ceil(cores / 16))
    return f"{needed} worker machines, {servers} servers, PostgreSQL, S3"


HEADS = (
    "who",
    "trainings a day",
    "rows sampled a day",
    "workers",
    "cores for sampling",
    "memory at least",
    "machines",
)
