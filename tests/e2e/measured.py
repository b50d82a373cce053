"""A training child that notes what its work cost: what `server.run_job` does, with a meter beside it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from server.child import Reporter
from server.protocol import ChildSpec
from server.run_job import run_job

ENTRY = "tests.e2e.measured:run"
_EXPORT = frozenset({"exporting", "verifying"})


class _Meter:
    """Passes all on, and keeps the process's CPU time at which the export began."""

    def __init__(self, below: Reporter) -> None:
        self._below = below
        self.export_at: float | None = None

    def phase(self, name: str) -> None:
        if name in _EXPORT and self.export_at is None:
            self.export_at = time.process_time()
        self._below.phase(name)

    def progress(self, values: dict[str, Any], *, last: bool = False) -> None:
        self._below.progress(values, last=last)

    def warn(self, finding: dict[str, str]) -> None:
        self._below.warn(finding)

    def should_stop(self) -> bool:
        return self._below.should_stop()


def run(spec: ChildSpec, reporter: Reporter) -> dict[str, Any] | None:
    """As `run_job`, and writes `cost.json` beside the bundle; CPU time is of all threads."""
    meter = _Meter(reporter)
    result = run_job(spec, meter)
    end = time.process_time()
    assert meter.export_at is not None
    cost = {"peak_bytes": _peak_memory(), "fit_cpu_s": meter.export_at, "export_cpu_s": end - meter.export_at}
    (Path(spec.bundle).parent / "cost.json").write_text(json.dumps(cost))
    return result


def _peak_memory() -> int:
    """Largest resident set of this program. Not getrusage's, which begins with that of who forked it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
