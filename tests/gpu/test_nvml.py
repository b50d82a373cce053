"""The real driver's readings; tests/core/test_devices.py has a stand-in for it."""

from __future__ import annotations

import pynvml
import pytest
from prometheus_client import CollectorRegistry

from server.declaring import Maker
from server.devices import Devices
from server.hostmetrics import HostMetrics


def present() -> bool:
    try:
        pynvml.nvmlInit()
        return bool(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return False


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not present(), reason="needs a GPU and its driver")]


def test_every_gpu_has_the_memory_and_the_heat_of_one() -> None:
    registry = CollectorRegistry()
    devices = Devices(HostMetrics(Maker(registry)))
    count = devices.find()
    devices.look()
    used, size, heat = (
        {
            sample.labels["gpu"]: sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == f"kohort_device_{part}"
        }
        for part in ("memory_used_bytes", "memory_size_bytes", "temperature_celsius")
    )
    assert len(size) == count == pynvml.nvmlDeviceGetCount()
    assert used.keys() == size.keys() == heat.keys()
    assert all(0 <= used[gpu] <= size[gpu] and size[gpu] > 1 << 30 for gpu in size)
    assert all(0 < degrees < 120 for degrees in heat.values())
