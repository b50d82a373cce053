"""A real server in a process of its own, and a wire that can be cut."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

import kohort

ROOT = Path(__file__).resolve().parents[2]
SLOW = "slow=tests.e2e.slow_trainer:SlowTrainer"


class Server:
    """`python -m server` over one data directory; start, stop, kill, start again."""

    def __init__(self, data: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        self.data = data
        self._flags = flags
        self._env = env or {}
        self._popen: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start(self) -> Server:
        ready = self.data / "address"
        ready.unlink(missing_ok=True)
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KOHORT_TRAINERS": SLOW,
            "KOHORT_POLL_SECONDS": "0.2",
            **self._env,
        }
        command = [sys.executable, "-m", "server", "--port", "0", "--metrics-port", "0"]
        command += ["--data-dir", str(self.data / "var"), "--address-file", str(ready), *self._flags]
        with (self.data / "server.log").open("ab") as log:
            self._popen = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        until(
            lambda: ready.exists() or self._popen is None or self._popen.poll() is not None,
            "the server to listen",
        )
        assert ready.exists(), self.log()
        self.address = ready.read_text().strip()
        return self

    @property
    def process(self) -> psutil.Process:
        assert self._popen is not None
        return psutil.Process(self._popen.pid)

    def log(self) -> str:
        return (self.data / "server.log").read_text()

    def client(self) -> kohort.Client:
        return kohort.Client(self.address)

    def signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def stop(self, *, asked: bool = False) -> int:
        """SIGTERM, unless it was `asked` before (a second one ends the drain); the exit code."""
        if self._popen is None:
            return 0
        if self._popen.poll() is None and not asked:
            self._popen.terminate()
        code = self._popen.wait(60)
        self._popen = None
        return code

    def kill(self) -> list[psutil.Process]:
        """kill -9; returns what it had started, once none of that lives."""
        below = self.process.children(recursive=True)
        assert self._popen is not None
        self._popen.kill()
        self._popen.wait(10)
        self._popen = None
        until(lambda: not any(alive(p) for p in below), "everything the server started to end")
        return below


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def training_child(server: Server) -> psutil.Process:
    """The process that trains."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [
            p for p in server.process.children(recursive=True) if "server.child" in " ".join(_cmdline(p))
        ]
        return bool(found)

    until(look, "a training child")
    return found[0]


def worker(server: Server) -> psutil.Process:
    """The worker process."""
    child = training_child(server)
    return child.parent() or child


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


class Wire:
    """A TCP proxy on loopback: `cut` breaks what is open, after so many bytes where asked."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._budget: int | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_after(self, received: int) -> None:
        """Cuts once so many further bytes came from the server."""
        self._budget = received

    def cut(self) -> None:
        self.cuts += 1
        with self._lock:
            doomed, self._open = self._open, set()
        for one in doomed:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_server: bool) -> None:
        try:
            while data := source.recv(65536):
                if from_server and self._budget is not None:
                    self._budget -= len(data)
                    if self._budget <= 0:
                        self._budget = None
                        self.cut()
                        return
                sink.sendall(data)
        except OSError:
            return
        finally:
            for one in (source, sink):
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
