"""Clocks, interleaved repeats and ratios: what every benchmark here shares."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Timing:
    """Rows per second of one candidate, one figure per repeat."""

    per_cpu: list[float]
    per_wall: list[float]

    def text(self) -> str:
        """Medians with their range."""
        return f"{spread(self.per_cpu)} rows/cpu-s, {spread(self.per_wall)} rows/s"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median and the range."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def interleave(
    candidates: Mapping[str, Callable[[], int]], repeats: int, server: psutil.Process | None = None
) -> dict[str, Timing]:
    """Runs every candidate once per repeat, in turn, so that a slow minute hits all of them.

    A candidate returns the rows it made. CPU seconds are those of this process
    and, where given, of the server's.
    """
    own = psutil.Process()

    def cpu() -> float:
        times = [p.cpu_times() for p in (own, server) if p is not None]
        return sum(t.user + t.system for t in times)

    found: dict[str, Timing] = {name: Timing([], []) for name in candidates}
    for run in candidates.values():
        run()  # Warm: caches, lazy imports, first allocations.
    for _ in range(repeats):
        for name, run in candidates.items():
            wall, used = time.perf_counter(), cpu()
            rows = run()
            found[name].per_cpu.append(rows / max(cpu() - used, 1e-9))
            found[name].per_wall.append(rows / (time.perf_counter() - wall))
    return found


def ratio(of: Timing, to: Timing) -> tuple[float, float]:
    """Ratio of medians per CPU second, and wall."""
    return (
        statistics.median(of.per_cpu) / statistics.median(to.per_cpu),
        statistics.median(of.per_wall) / statistics.median(to.per_wall),
    )


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
