"""A server in a process of its own, for benchmarks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import psutil

import kohort
from benchmarks.measure import ROOT


class BenchServer:
    """`python -m server` on a free port over one data directory; `restart` empties its caches."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def __enter__(self) -> BenchServer:
        ready = self._data / "server.address"
        ready.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "server",
            "--port",
            "0",
            "--metrics-port",
            "0",
            "--data-dir",
            str(self._data),
        ]
        with (self._data / "server.log").open("ab") as log:
            self._popen = subprocess.Popen(
                [*command, "--address-file", str(ready)], cwd=ROOT, stdout=log, stderr=log
            )
        end = time.monotonic() + 60
        while not ready.exists():
            if self._popen.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server did not start:\n{(self._data / 'server.log').read_text()}")
            time.sleep(0.05)
        self.address = ready.read_text().strip()
        self.process = psutil.Process(self._popen.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._popen.send_signal(signal.SIGTERM)
        self._popen.wait(timeout=60)

    def restart(self) -> None:
        """Stops the server and starts it again on the same data."""
        self.__exit__(None, None, None)
        self.__enter__()

    def client(self) -> kohort.Client:
        """A client of this server."""
        return kohort.Client(self.address)
