"""What the benchmark of scale shares: a database of either kind whose CPU can be read, and its options."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.measure import cpu_of
from examples.local_postgres import LocalPostgres

KINDS = ("SQLite", "PostgreSQL")
TABLE = pd.DataFrame({"age": [50 + n % 30 for n in range(200)], "sex": ["f", "m"] * 100})
"""What jobs here train on: nothing here depends on it."""


@dataclass(frozen=True)
class Options:
    """How much is measured; the defaults take some nine minutes on two cores."""

    repeats: int = 2
    """Interleaved runs of everything."""
    workers: tuple[int, ...] = (1, 2, 4, 8)
    device_seconds: float = 4.0
    """Mean simulated device time of a job; jobs take from half to one and a half of it."""
    jobs_per_worker: int = 3
    waiting: tuple[int, ...] = (0, 1, 100, 1_000, 10_000)
    """Jobs that wait where claims are timed; as many events are in the table."""
    each: int = 40
    """Timed operations of each kind, per repeat."""
    claimers: int = 8
    """Processes that claim at once."""
    watchers: tuple[int, ...] = (0, 1, 50, 200)
    watch_seconds: float = 3.0
    """How long an idle and a busy phase of watchers last."""


QUICK = Options(
    repeats=1,
    workers=(1, 2),
    device_seconds=0.5,
    jobs_per_worker=1,
    waiting=(0, 1, 20),
    each=3,
    claimers=2,
    watchers=(0, 2),
    watch_seconds=1.0,
)
"""Enough to see that every part runs; its figures mean nothing."""


@dataclass
class Base:
    """Where the databases of one kind are made."""

    kind: str
    folder: Path
    cpu: Callable[[], float]
    """CPU seconds of the database's own processes; 0 for SQLite, which has none."""
    postgres: LocalPostgres | None = None

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URL of a fresh database."""
        if self.postgres is None:
            yield f"sqlite:///{self.folder}/{name}.db"
        else:
            with self.postgres.database() as url:
                yield url


@contextmanager
def bases() -> Iterator[dict[str, Base]]:
    """Both kinds; PostgreSQL only where it is installed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kohort-scale-")))
        found = {"SQLite": Base("SQLite", folder, lambda: 0.0)}
        if LocalPostgres.installed():
            server = stack.enter_context(LocalPostgres(durable=True))
            cpu = Family(psutil.Process(server.pid()))
            found["PostgreSQL"] = Base("PostgreSQL", folder, cpu, server)
        yield found


class Family:
    """CPU seconds of a process and of all it ever started: those that ended count by what they had last."""

    def __init__(self, parent: psutil.Process) -> None:
        self._parent = parent
        self._last: dict[int, float] = {}

    def __call__(self) -> float:
        """Seconds so far."""
        for process in (self._parent, *self._parent.children(recursive=True)):
            try:
                self._last[process.pid] = cpu_of(process)
            except (psutil.Error, OSError):
                continue  # it has just ended
        return sum(self._last.values())


def slope(figures: Mapping[int, float]) -> float | None:
    """The exponent by which figures grow with sizes above 1: the slope of log figure over log size.

    0 does not grow, 1 is in proportion. None of fewer than two sizes.
    """
    points = [(math.log(size), math.log(value)) for size, value in figures.items() if size > 1 and value > 0]
    if len(points) < 2:
        return None
    return statistics.linear_regression(*zip(*points, strict=True)).slope
