"""The server's own workers, or its dispatcher: started again when they die, gone when the server is.

A thread of its own starts them, since the kernel's death signal goes out when
the *thread* that started a process ends. The other way round a worker sees the
end of its lifeline pipe. Neither needs this server to do anything.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog

from server.dispatcher import DispatcherConfig
from server.processes import bury, hang_up, start_supervised, stop_group
from server.worker import WorkerConfig

log = structlog.get_logger(log="supervisor")

_TICK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0


@dataclass
class _Slot:
    config: WorkerConfig | DispatcherConfig
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    pause: float = _FIRST_PAUSE_SECONDS
    restarts: int = 0

    def wait(self, now: float) -> None:
        """A worker that cannot live is tried ever more seldom."""
        self.start_at = now + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE_SECONDS)


class Supervisor:
    """Keeps one process per configuration running, from `start` to `stop`."""

    def __init__(self, configs: Sequence[WorkerConfig | DispatcherConfig], stop_s: float = 20.0) -> None:
        """`stop_s`: how long workers may take to leave before they are killed."""
        self._slots = [_Slot(config) for config in configs]
        self._stop_s = stop_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Starts the workers."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the workers to leave, waits, and kills those that stay. Running jobs go back to the queue."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def restarts(self) -> dict[str, int]:
        """By slot, how often its worker was started again."""
        return {slot.config.slot: slot.restarts for slot in self._slots}

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            for slot in self._slots:
                self._tend(slot)
        self._end()

    def _tend(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is None:
            if now >= slot.start_at:
                self._start(slot, now)
            return
        status = slot.process.poll()
        if status is None:
            return
        log.error("worker died", slot=slot.config.slot, status=status)
        hang_up(slot.process)
        slot.process = None
        slot.restarts += 1
        if now - slot.started > _HEALTHY_SECONDS:
            slot.pause = _FIRST_PAUSE_SECONDS
        slot.wait(now)

    @staticmethod
    def _start(slot: _Slot, now: float) -> None:
        try:
            config = slot.config
            slot.process, slot.started = start_supervised(config.module, asdict(config)), now
        except OSError as error:  # no process or memory to be had just now
            log.warning("worker not started", slot=slot.config.slot, error=error.strerror)
            slot.wait(now)

    def _end(self) -> None:
        processes = [slot.process for slot in self._slots if slot.process is not None]
        for process in processes:
            stop_group(process, signal.SIGTERM)
        end = time.monotonic() + self._stop_s
        for process in processes:
            bury(process, max(end - time.monotonic(), 0.0))
            hang_up(process)
