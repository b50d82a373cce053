"""A real server in a process of its own, and a wire that can be cut."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import psutil

import kohort
from examples.local_server import LocalServer
from tests.core.support import alive, until
from tests.e2e.slow_trainer import RELEASED

SLOW = "slow=tests.e2e.slow_trainer:SlowTrainer"


class Server(LocalServer):
    """A local server that knows the slow trainer, and can be killed."""

    def __init__(self, data: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        quick = {
            "KOHORT_TRAINERS": SLOW,
            "KOHORT_POLL_SECONDS": "0.2",
            RELEASED: str(data / "released"),
            # Who tests evaluation asks for one.
            "KOHORT_EVALUATION_PROFILE": "none",
        }
        super().__init__(data, *flags, environment={**quick, **(env or {})})
        self.data = data

    @property
    def process(self) -> psutil.Process:
        assert self.popen is not None
        return psutil.Process(self.popen.pid)

    def client(self) -> kohort.Client:
        return kohort.Client(self.address)

    def release(self) -> None:
        """Lets the jobs of the slow trainer end, however many steps they were to take."""
        (self.data / "released").touch()

    def signal(self, number: signal.Signals) -> None:
        assert self.popen is not None
        self.popen.send_signal(number)

    def kill(self) -> list[psutil.Process]:
        """kill -9; returns what it had started, once none of that lives."""
        below = self.process.children(recursive=True)
        assert self.popen is not None
        self.popen.kill()
        self.popen.wait(60)
        self.popen = None
        until(lambda: not any(alive(p) for p in below), "everything the server started to end")
        return below


def training_child(server: Server) -> psutil.Process:
    """The process that trains."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [
            p for p in server.process.children(recursive=True) if "server.child" in " ".join(_cmdline(p))
        ]
        return bool(found)

    until(look, "a training child", 120)
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


class Wire:
    """A TCP proxy on loopback: `cut` breaks what is open, after so many bytes where asked."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._budgets: dict[bool, int] = {}
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_after(self, count: int, *, from_server: bool = True) -> None:
        """Cuts once so many further bytes came from the server, or from the client."""
        self._budgets[from_server] = count

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

    def _breaks(self, data: bytes, from_server: bool) -> bool:
        """Shown what comes before it is passed on: whether it is lost and all is cut instead."""
        if from_server not in self._budgets:
            return False
        self._budgets[from_server] -= len(data)
        if self._budgets[from_server] > 0:
            return False
        del self._budgets[from_server]
        return True

    def _reach(self) -> socket.socket:
        return socket.create_connection(self._target)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = self._reach()
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
                if self._breaks(data, from_server):
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
