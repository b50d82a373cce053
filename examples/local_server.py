"""A Kohort server in a process of its own, on a free port, for a script, a benchmark or a test."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent


class LocalServer:
    """`python -m server` over one data directory; it can be started again after it was stopped.

    Args:
        folder: where its data (`var`), its log and its address go.
        flags: further flags, see docs/settings.md.
        environment: variables on top of this process's own.
    """

    def __init__(self, folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.address = ""
        """host:port, once started."""
        self.popen: subprocess.Popen[bytes] | None = None
        """The process, while it is ours to end."""
        self._flags = flags
        # The packages of this checkout first, whatever else is installed.
        packages = os.pathsep.join(map(str, (ROOT, ROOT / "clients" / "python")))
        self._environment = {**os.environ, "PYTHONPATH": packages, **(environment or {})}

    def start(self, timeout: float = 60) -> Self:
        """Starts it and waits until it answers. Raises RuntimeError, with its log, and ends it otherwise."""
        ready = self.folder / "address"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "server", "--port", "0", "--metrics-port", "0"]
        command += ["--data-dir", str(self.folder / "var"), "--address-file", str(ready), *self._flags]
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        end = time.monotonic() + timeout
        try:
            while not ready.exists():
                status = self.popen.poll()
                if status is not None or time.monotonic() > end:
                    why = "in time" if status is None else f"and ended with status {status}"
                    raise RuntimeError(f"the server did not start {why}; its log:\n{self.log()}")
                time.sleep(0.05)
        except BaseException:
            self.popen.kill()
            self.popen.wait()
            self.popen = None
            raise
        self.address = ready.read_text().strip()
        return self

    def stop(self, *, asked: bool = False) -> int:
        """SIGTERM, unless it was `asked` before (a second one ends the drain); the exit code."""
        if self.popen is None:
            return 0
        if self.popen.poll() is None and not asked:
            self.popen.terminate()
        code = self.popen.wait(120)
        self.popen = None
        return code

    def log(self) -> str:
        """All it has said."""
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stop() and error is None:
            raise RuntimeError(f"the server ended badly; its log:\n{self.log()}")
