"""Metrics of every RPC, under the names of go-grpc-prometheus, which existing dashboards query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from google.protobuf import descriptor
from prometheus_client import CollectorRegistry, Counter, Histogram

from kohort.v1 import capabilities_pb2, dataset_pb2, evaluation_pb2, sampling_pb2, training_pb2

RPC_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600)

SERVICES: tuple[descriptor.ServiceDescriptor, ...] = tuple(
    service
    for module in (capabilities_pb2, dataset_pb2, evaluation_pb2, sampling_pb2, training_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
"""Every service of the contract."""

SPELLING = {
    code: "OK" if code.name == "OK" else "".join(part.capitalize() for part in code.name.split("_"))
    for code in grpc.StatusCode
}
"""Go's names of the codes, such as InvalidArgument: dashboards made for Go servers query them."""
SPELLING[grpc.StatusCode.CANCELLED] = "Canceled"

_RPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")


@dataclass(frozen=True)
class RpcSeries:
    """The series of one method."""

    started: Counter
    received: Counter
    sent: Counter
    seconds: Histogram
    _handled: Counter
    _labels: tuple[str, str, str]

    def handled(self, code: str) -> Counter:
        """The counter of calls that ended with that code."""
        return self._handled.labels(*self._labels, code)


class RpcMetrics:
    """The series of every method."""

    def __init__(self, registry: CollectorRegistry, codes: Iterable[str]) -> None:
        self._started = Counter(
            "grpc_server_started_total", "RPCs started on the server.", _RPC_LABELS, registry=registry
        )
        self._handled = Counter(
            "grpc_server_handled_total",
            "RPCs completed on the server, whatever the code.",
            (*_RPC_LABELS, "grpc_code"),
            registry=registry,
        )
        self._received = Counter(
            "grpc_server_msg_received_total",
            "Messages from clients.",
            _RPC_LABELS,
            registry=registry,
        )
        self._sent = Counter(
            "grpc_server_msg_sent_total", "Messages to clients.", _RPC_LABELS, registry=registry
        )
        self._seconds = Histogram(
            "grpc_server_handling_seconds",
            "Seconds from the start of an RPC to its end; a stream ends with its last message.",
            _RPC_LABELS,
            buckets=RPC_BUCKETS,
            registry=registry,
        )
        self._codes = tuple(codes)
        self._series: dict[str, RpcSeries] = {}
        for service in SERVICES:
            for method in service.methods:
                self._add(service.full_name, method.name, _type(method))

    def of(self, method: str) -> RpcSeries:
        """The series of a method such as "/kohort.v1.TrainingService/Train"."""
        series = self._series.get(method)
        if series is None:  # health and reflection: only what this server serves comes here
            _, service, name = method.split("/")
            stream = name in ("Watch", "ServerReflectionInfo")
            series = self._add(service, name, "server_stream" if stream else "unary")
        return series

    def _add(self, service: str, name: str, kind: str) -> RpcSeries:
        labels = (kind, service, name)
        for code in self._codes:
            self._handled.labels(*labels, code)
        series = RpcSeries(
            self._started.labels(*labels),
            self._received.labels(*labels),
            self._sent.labels(*labels),
            self._seconds.labels(*labels),
            self._handled,
            labels,
        )
        self._series[f"/{service}/{name}"] = series
        return series


def _type(method: descriptor.MethodDescriptor) -> str:
    return {
        (False, False): "unary",
        (False, True): "server_stream",
        (True, False): "client_stream",
        (True, True): "bidi_stream",
    }[method.client_streaming, method.server_streaming]
