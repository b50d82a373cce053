"""Metrics of the machine that a process runs on: its disk, the processes below it, its GPUs."""

from __future__ import annotations

import math

from server.declaring import Maker

PARTS = ("server", "worker", "training", "parsing")
"""What processes are for: to serve, to claim jobs, to run one, to read an upload."""


class HostMetrics:
    """Those of one machine; a server has them, and a worker on another machine where it is asked."""

    def __init__(self, new: Maker) -> None:
        self.disk_free = new.gauge(
            "kohort_disk_free_bytes", "Bytes that may still be written to the file system of data_dir."
        )
        self.disk_size = new.gauge("kohort_disk_size_bytes", "Bytes of the file system of data_dir.")
        self.disk_free.set(math.nan)  # not 0, which is a full disk
        self.disk_size.set(math.nan)
        self.resident = new.gauge(
            "kohort_processes_resident_bytes",
            "Memory of this process and those below it, by what they are for; shared pages count in each.",
            "part",
            known=[PARTS],
        )
        self.cpu_seconds = new.counter(
            "kohort_processes_cpu_seconds_total",
            "CPU seconds of this process and those below it, by what they are for.",
            "part",
            known=[PARTS],
        )
        self.device_memory_used = new.gauge(
            "kohort_device_memory_used_bytes", "Memory of a GPU in use, by whomever.", "gpu"
        )
        self.device_memory_size = new.gauge("kohort_device_memory_size_bytes", "Memory of a GPU.", "gpu")
        self.device_utilisation = new.gauge(
            "kohort_device_utilisation_ratio",
            "Share of the driver's last sampling period in which a GPU ran something.",
            "gpu",
        )
        self.device_temperature = new.gauge(
            "kohort_device_temperature_celsius", "Temperature of a GPU.", "gpu"
        )
