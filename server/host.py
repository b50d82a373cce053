"""Watches the machine beside everything else: in threads of its own, since a driver or a disk may hang."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from server.declaring import Maker, serve
from server.devices import Devices
from server.hostmetrics import HostMetrics
from server.logs import Trouble
from server.usage import Usage

LOOK_SECONDS = 5.0
_LEAVE_SECONDS = 1.0
_log = structlog.get_logger(log="host")


class Host:
    """Reads disk, processes and GPUs every few seconds, from `start` to `stop`.

    Args:
        metrics: where it goes.
        data_dir: the directory whose file system is watched.
        part: what this process is for, of `server.hostmetrics.PARTS`.
        every_s: how often.
        nvml: stands in for `pynvml`.
    """

    def __init__(
        self,
        metrics: HostMetrics,
        data_dir: Path,
        part: str,
        every_s: float = LOOK_SECONDS,
        nvml: Any = None,
    ) -> None:
        self._metrics, self._data_dir, self._every_s = metrics, data_dir, every_s
        self._usage = Usage(metrics, part)
        self._devices = Devices(metrics, nvml)
        self._over = threading.Event()
        # Daemons: what hangs in a driver must not keep the process.
        self._threads = [
            threading.Thread(target=self._repeat, args=("disk not read", self._look_at_disk), daemon=True),
            threading.Thread(target=self._repeat, args=("processes not read", self._usage.look), daemon=True),
            threading.Thread(target=self._watch_devices, daemon=True),
        ]

    def start(self) -> None:
        """Begins to look."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Looks no more."""
        self._over.set()
        for thread in self._threads:
            thread.join(_LEAVE_SECONDS)

    def _watch_devices(self) -> None:
        if self._devices.find():
            self._repeat("GPUs not read", self._devices.look)

    def _look_at_disk(self) -> None:
        try:
            usage = shutil.disk_usage(self._data_dir)
        except OSError:
            self._metrics.disk_free.set(math.nan)
            raise
        self._metrics.disk_free.set(usage.free)
        self._metrics.disk_size.set(usage.total)

    def _repeat(self, event: str, look: Callable[[], None]) -> None:
        trouble = Trouble(_log, event)
        while not self._over.is_set():
            try:
                look()
            except OSError as error:
                trouble.failed(type(error).__name__)
            else:
                trouble.worked()
            self._over.wait(self._every_s)


@contextmanager
def served(data_dir: Path, host: str, port: int) -> Iterator[int]:
    """Serves the metrics of this machine alone, for a worker that no server started; gives the port.

    Raises OSError if the port is taken.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    watch = Host(HostMetrics(Maker(registry)), data_dir, "worker")
    server, bound = serve(registry, host, port)
    watch.start()
    try:
        yield bound
    finally:
        watch.stop()
        server.shutdown()
        server.server_close()
