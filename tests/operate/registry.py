"""The metrics that the server has, read from the server's own registry."""

from __future__ import annotations

from functools import cache

from server.metrics import Metrics

TARGET = frozenset({"job", "namespace", "instance"})
"""The labels that Prometheus itself gives to every series; `namespace` tells installations apart."""


@cache
def known() -> dict[str, frozenset[str]]:
    """Each series by its name as Prometheus scrapes it (`…_total`, `…_bucket`): its labels and `TARGET`."""
    metrics = Metrics(trainers=["gaussian_copula"], version="1", slots=["cpu:0"])
    host, registry = metrics.host, metrics.registry
    # Their label is known only where there is a GPU.
    for gauge in (
        host.device_memory_used,
        host.device_memory_size,
        host.device_utilisation,
        host.device_temperature,
    ):
        gauge.labels("GPU-0")
    found: dict[str, set[str]] = {"up": set()}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {name: TARGET | labels for name, labels in found.items()}
