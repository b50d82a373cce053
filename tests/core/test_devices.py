"""GPUs by a driver that says what a test wants: no machine of CI has one."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from server.__main__ import worker
from server.declaring import Maker
from server.devices import Devices
from server.host import Host, served
from server.hostmetrics import PARTS, HostMetrics
from tests.core.support import until

NAMES = ("memory_used_bytes", "memory_size_bytes", "utilisation_ratio", "temperature_celsius")


@dataclass
class Driver:
    """Stands in for the module `pynvml`."""

    gpus: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: type[Exception] | None = None
    calls: int = 0

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):
        pass

    class NVMLError_GpuIsLost(NVMLError):
        pass

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.broken

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return list(self.gpus)[index]

    def nvmlDeviceGetUUID(self, gpu: str) -> str:
        return gpu

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.calls += 1
        if self.broken:
            raise self.broken
        return uuid

    def nvmlDeviceGetMemoryInfo(self, gpu: str) -> Any:
        return SimpleNamespace(used=self.gpus[gpu]["used"], total=80 << 30)

    def nvmlDeviceGetUtilizationRates(self, gpu: str) -> Any:
        if self.gpus[gpu]["busy"] is None:
            raise self.NVMLError_NotSupported
        return SimpleNamespace(gpu=self.gpus[gpu]["busy"])

    def nvmlDeviceGetTemperature(self, gpu: str, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return 61


def readings(registry: CollectorRegistry, gpu: str) -> list[float | None]:
    return [registry.get_sample_value(f"kohort_device_{name}", {"gpu": gpu}) for name in NAMES]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_every_gpu_is_read_by_its_uuid(registry: CollectorRegistry) -> None:
    driver = Driver({"GPU-a": {"used": 5 << 30, "busy": 40}, "MIG-b": {"used": 1 << 30, "busy": None}})
    devices = Devices(HostMetrics(Maker(registry)), driver)
    assert devices.find() == 2
    devices.look()
    assert readings(registry, "GPU-a") == [5 << 30, 80 << 30, 0.4, 61]
    assert readings(registry, "MIG-b") == [1 << 30, 80 << 30, None, 61], "what it does not know has no series"


def test_a_gpu_that_is_lost_loses_its_series_is_told_once_and_may_come_back(
    registry: CollectorRegistry,
) -> None:
    driver = Driver({"GPU-a": {"used": 5, "busy": 40}})
    devices = Devices(HostMetrics(Maker(registry)), driver)
    devices.find()
    devices.look()
    with capture_logs() as lines:
        driver.broken = Driver.NVMLError_GpuIsLost
        for _ in range(3):
            devices.look()
        assert readings(registry, "GPU-a") == [None] * 4
        driver.broken = None
        devices.look()
    assert readings(registry, "GPU-a") == [5, 80 << 30, 0.4, 61]
    assert [line["event"] for line in lines] == ["GPU not read", "works again"]


@pytest.mark.parametrize("broken", [None, Driver.NVMLError])
def test_without_a_gpu_there_are_no_series_and_one_line(
    registry: CollectorRegistry, broken: type[Exception] | None, tmp_path: Path
) -> None:
    driver = Driver(broken=broken)
    with capture_logs() as lines:
        host = Host(HostMetrics(Maker(registry)), tmp_path, "server", every_s=0.01, nvml=driver)
        host.start()
        free = {"name": "kohort_disk_free_bytes"}
        until(lambda: (registry.get_sample_value(free["name"]) or 0) > 0, "a look at the disk")
        host.stop()
    assert driver.calls == 0
    assert [line["event"] for line in lines] == ["no GPU is watched"]
    assert not [s for f in registry.collect() for s in f.samples if "device" in s.name]


def test_the_disk_of_a_directory_that_went_away_is_unknown_and_told_once(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    with capture_logs() as lines:
        host = Host(HostMetrics(Maker(registry)), folder, "server", every_s=0.01, nvml=Driver())
        host.start()
        until(lambda: (registry.get_sample_value("kohort_disk_size_bytes") or 0) > 0, "a look at the disk")
        folder.rmdir()

        def unknown() -> bool:
            value = registry.get_sample_value("kohort_disk_free_bytes")
            return value is not None and value != value

        until(unknown, "a disk that cannot be read")
        host.stop()
    assert [line["event"] for line in lines].count("disk not read") == 1


def test_a_worker_that_is_asked_serves_its_machine_and_nothing_else(tmp_path: Path) -> None:
    with served(tmp_path, "127.0.0.1", 0) as port:

        def page() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
                return str(reply.read().decode())

        text = until(
            lambda: (found := page()) and "kohort_disk_free_bytes NaN" not in found and found, "a look"
        )
    assert "process_resident_memory_bytes" in text
    assert {f'kohort_processes_resident_bytes{{part="{part}"}}' in text for part in PARTS} == {True}
    assert "kohort_jobs" not in text


def test_a_worker_serves_metrics_only_where_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[str] = []
    asked: list[int] = []

    @contextmanager
    def record(data_dir: Path, host: str, port: int) -> Iterator[int]:
        asked.append(port)
        with served(data_dir, host, port) as bound:
            yield bound

    monkeypatch.setattr("server.worker.run_worker", lambda config: runs.append(config.slot))
    monkeypatch.setattr("server.host.served", record)
    monkeypatch.setenv("KOHORT_METRICS_PORT", "9464")  # of a server with the same environment
    flags = ["--slot", "cpu:0", "--data-dir", str(tmp_path)]
    assert worker(flags) == 0
    assert worker([*flags, "--metrics-port", "-1"]) == 0
    assert (runs, asked) == (["cpu:0", "cpu:0"], [])
    assert worker([*flags, "--metrics-port", "0"]) == 0
    assert (runs[2:], asked) == (["cpu:0"], [0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert worker([*flags, "--metrics-port", str(taken.getsockname()[1])]) == 1
    assert len(runs) == 3
    assert "--metrics-port is taken" in capsys.readouterr().err
