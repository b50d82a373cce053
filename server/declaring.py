"""How metrics are declared: in one registry, every known label set from the start: rates begin at 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

# When each series began would be a series of its own: a quarter of the page, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Maker:
    """Declares metrics in a registry. `known` holds per label the values that exist."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str, known: Sequence[Iterable[str]] = ()) -> Counter:
        """What only grows."""
        metric = Counter(name, text, labels, registry=self._registry)
        _register(metric, known)
        return metric

    def gauge(self, name: str, text: str, *labels: str, known: Sequence[Iterable[str]] = ()) -> Gauge:
        """What goes up and down."""
        metric = Gauge(name, text, labels, registry=self._registry)
        _register(metric, known)
        return metric

    def histogram(
        self,
        name: str,
        text: str,
        buckets: Sequence[float],
        *labels: str,
        known: Sequence[Iterable[str]] = (),
    ) -> Histogram:
        """What is spread over buckets."""
        metric = Histogram(name, text, labels, buckets=buckets, registry=self._registry)
        _register(metric, known)
        return metric


def serve(registry: CollectorRegistry, host: str, port: int) -> tuple[WSGIServer, int]:
    """Serves a registry over HTTP. Returns the server and its port; raises OSError if it is taken."""
    server, _ = start_http_server(port, host, registry)
    return server, int(server.server_port)


def _register(metric: Counter | Gauge | Histogram, known: Sequence[Iterable[str]]) -> None:
    for values in product(*known) if known else ():
        metric.labels(*values)
