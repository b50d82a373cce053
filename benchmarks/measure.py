"""Clocks, interleaved repeats and ratios: what every benchmark here shares."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Told:
    """What a candidate in a process of its own says about one run of it."""

    rows: int
    cpu: float
    """CPU seconds of its process."""
    wall: float


@dataclass(frozen=True)
class Timing:
    """Rows per second of one candidate, one figure per repeat."""

    per_cpu: list[float]
    per_wall: list[float]

    def text(self) -> str:
        """Medians with their range."""
        return f"{spread(self.per_cpu)} rows/cpu-s, {spread(self.per_wall)} rows/s"

    def plain(self) -> dict[str, dict[str, float]]:
        """The same as numbers."""
        return {"rows_per_cpu_second": summary(self.per_cpu), "rows_per_second": summary(self.per_wall)}

    @property
    def costs(self) -> list[float]:
        """Microseconds of CPU per row, one figure per repeat."""
        return [1e6 / rate for rate in self.per_cpu]


def summary(values: Sequence[float]) -> dict[str, float]:
    """The median and the range, as numbers."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median and the range."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of that process, all its threads."""
    if sys.platform == "linux":
        # The process's own clock counts nanoseconds; /proc counts hundredths of a second.
        return time.clock_gettime((~process.pid << 3) | 2)
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_seconds(*processes: psutil.Process | None) -> float:
    """CPU seconds of this process and of those, all their threads."""
    return time.process_time() + sum(cpu_of(process) for process in processes if process is not None)


def interleave(
    candidates: Mapping[str, Callable[[], int | Told]],
    repeats: int,
    *servers: psutil.Process | None,
    warm: bool = True,
) -> dict[str, Timing]:
    """Runs every candidate once per repeat, in turn, so that a slow minute hits all of them.

    A candidate returns the rows it made, or what another process told of it.
    CPU seconds are those of this process and, where given, of servers.
    """
    found: dict[str, Timing] = {name: Timing([], []) for name in candidates}
    for run in candidates.values() if warm else ():
        run()  # Warm: caches, lazy imports, first allocations.
    for _ in range(repeats):
        for name, run in candidates.items():
            wall, used = time.perf_counter(), cpu_seconds(*servers)
            made = run()
            if not isinstance(made, Told):
                made = Told(made, cpu_seconds(*servers) - used, time.perf_counter() - wall)
            found[name].per_cpu.append(made.rows / max(made.cpu, 1e-9))
            found[name].per_wall.append(made.rows / max(made.wall, 1e-9))
    return found


def ratio(of: Timing, to: Timing) -> tuple[float, float]:
    """Ratio of medians per CPU second, and wall."""
    return (
        statistics.median(of.per_cpu) / statistics.median(to.per_cpu),
        statistics.median(of.per_wall) / statistics.median(to.per_wall),
    )


def compared(of: Timing, to: Timing) -> dict[str, dict[str, float]]:
    """Ratios of medians, per CPU second and wall, with the range of the ratios within one repeat."""
    cpu, wall = ratio(of, to)
    found = {}
    for name, median, ours, theirs in (
        ("cpu", cpu, of.per_cpu, to.per_cpu),
        ("wall", wall, of.per_wall, to.per_wall),
    ):
        paired = [a / b for a, b in zip(ours, theirs, strict=True)]
        found[name] = {"median": median, "low": min(paired), "high": max(paired)}
    return found


Row = tuple[str, str, str, str, str, str]
"""A row of the design's table: what, per CPU second, wall, floor, aim, reached."""


def reached(value: float, floor: float, aim: float, *, lower: bool = False) -> str:
    """Whether a figure meets its aim, its floor or neither; `lower` where less is better."""
    if lower:
        value, floor, aim = -value, -floor, -aim
    return "aim" if value >= aim else "floor" if value >= floor else "BELOW FLOOR"


def rounded(value: Any) -> Any:
    """The same with five significant digits: more would be noise in every diff."""
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def machine() -> str:
    """The machine and the commit, for the head of a result."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    cores = f"{psutil.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return f"{cpu}, {cores}, Python {platform.python_version()}, commit {commit or 'none'}"


def replaced(page: str, mark: str, text: str) -> str:
    """The page with another text between ``<!-- mark -->`` and ``<!-- /mark -->``; ValueError without them."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page has no {begin.strip()} … {end}")
    return page.partition(begin)[0] + begin + text + end + page.partition(end)[2]
