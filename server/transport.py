"""How the gRPC server is set up: its options, and what it tells of itself."""

from __future__ import annotations

import grpc

from server.rpcmetrics import SERVICES
from server.settings import MESSAGE_BYTES, Settings


def options(settings: Settings) -> list[tuple[str, int]]:
    """The options of the gRPC core."""
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
