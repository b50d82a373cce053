"""GPUs as NVML tells of them, by UUID as DCGM labels them; where there is no GPU there are no series."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import Gauge

from server.hostmetrics import HostMetrics
from server.logs import Trouble

_log = structlog.get_logger(log="devices")


class Devices:
    """Reads every GPU that the driver shows to this process; all methods block.

    Args:
        metrics: where the readings go.
        nvml: the module `pynvml`, or what stands in for it.
    """

    def __init__(self, metrics: HostMetrics, nvml: Any = None) -> None:
        if nvml is None:
            import pynvml

            nvml = pynvml
        self._nvml = nvml
        self._readings: tuple[tuple[Gauge, Callable[[Any], float]], ...] = (
            (metrics.device_memory_used, lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used),
            (metrics.device_memory_size, lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total),
            (metrics.device_utilisation, lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
            (
                metrics.device_temperature,
                lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
            ),
        )
        self._troubles: dict[str, Trouble] = {}

    def find(self) -> int:
        """How many GPUs there are; says so once. 0 without a driver."""
        nvml = self._nvml
        try:
            nvml.nvmlInit()
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            uuids = [_text(nvml.nvmlDeviceGetUUID(gpu)) for gpu in handles]
        except nvml.NVMLError as error:
            _log.info("no GPU is watched", reason=type(error).__name__)
            return 0
        self._troubles = {uuid: Trouble(_log, "GPU not read") for uuid in uuids}
        if uuids:
            _log.info("GPUs are watched", gpus=uuids)
        else:
            _log.info("no GPU is watched", reason="none there")
        return len(uuids)

    def look(self) -> None:
        """Reads each once. A GPU that cannot be read has no series until it can."""
        for uuid, trouble in self._troubles.items():
            try:
                # Asked for anew: the handle of a GPU that was lost and came back is of no use.
                self._read(uuid, self._nvml.nvmlDeviceGetHandleByUUID(uuid))
            except self._nvml.NVMLError as error:
                trouble.failed(type(error).__name__, gpu=uuid)
                for gauge, _ in self._readings:
                    _forget(gauge, uuid)
            else:
                trouble.worked()

    def _read(self, uuid: str, gpu: Any) -> None:
        for gauge, reading in self._readings:
            try:
                value = reading(gpu)
            except self._nvml.NVMLError_NotSupported:  # such as the utilisation of a GPU in parts (MIG)
                _forget(gauge, uuid)
            else:
                gauge.labels(uuid).set(value)


def _forget(gauge: Gauge, uuid: str) -> None:
    with contextlib.suppress(KeyError):  # of a client library that minds where there was none
        gauge.remove(uuid)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
