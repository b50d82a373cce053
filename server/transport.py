"""How the gRPC server is set up: what every call passes through, its options, what it tells of itself."""

from __future__ import annotations

import grpc

from server.auth import LOCAL, Auth
from server.identities import Certificates, Tokens
from server.interceptors import Chain
from server.layers import AccessLog, Errors, RequestIds, RpcMetricsLayer, Traces
from server.lifecycle import Lifecycle
from server.limits import Admission
from server.metrics import Metrics
from server.rpcmetrics import SERVICES
from server.settings import MESSAGE_BYTES, Settings
from server.tracing import Tracing


def open_server(
    settings: Settings, tracing: Tracing, lifecycle: Lifecycle, metrics: Metrics
) -> grpc.aio.Server:
    """A server without services or ports. Raises OSError or ValueError for the files of identities."""
    tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
    certificates = Certificates(settings.identities_file) if settings.identities_file else None
    chain = Chain(
        [
            RequestIds(),
            Traces(tracing),
            RpcMetricsLayer(metrics.rpc),
            AccessLog(),
            Errors(),
            Auth(tokens, certificates, None if settings.has_identities else LOCAL),
            Admission(settings, lifecycle, metrics),
        ]
    )
    return grpc.aio.server(interceptors=[chain], options=_options(settings))


def _options(settings: Settings) -> list[tuple[str, int]]:
    chosen = [
        # Without this a second server binds the same port and takes half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        # Clients ping every 30 s; by default the core ends their connections for pinging under 300 s. Only
        # this spelling of the option has an effect.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
    if settings.max_connection_age_seconds:
        chosen.append(("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000)))
    return chosen


def add_reflection(server: grpc.aio.Server) -> None:
    """Lets clients ask for the contract."""
    from grpc_reflection.v1alpha import reflection

    names = [service.full_name for service in SERVICES]
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
