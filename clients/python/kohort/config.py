"""How a client connects: frozen settings, every field documented below it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHORTEST_PING = 10
"""Seconds between pings that a Kohort server allows; it answers more with GOAWAY too_many_pings."""


@dataclass(frozen=True)
class TLS:
    """How the server is recognised, and how this client proves who it is.

    Each certificate or key is PEM: the bytes themselves, or the path of a file.
    """

    root_certificates: bytes | str | Path | None = None
    """Authorities that may have signed the server's certificate; None trusts those of the system."""

    certificate: bytes | str | Path | None = None
    """This client's certificate chain, for servers that ask for one (mTLS). Needs `key`."""

    key: bytes | str | Path | None = None
    """The private key of `certificate`."""

    server_name: str | None = None
    """The name that the server's certificate must bear, where it is not the host of the target."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS: certificate and key belong together")


@dataclass(frozen=True)
class Retry:
    """When a call is tried again.

    Only what cannot harm is repeated: calls that the server did not take
    (UNAVAILABLE), or declined for now naming a time to wait (RetryInfo). Calls
    that create something carry a request id, so a repeat finds what the first
    try made. Each call's timeout covers all of its tries.
    """

    attempts: int = 5
    """Tries of a call, the first included. 1 never retries."""

    initial_backoff: float = 0.2
    """Seconds before the second try."""

    multiplier: float = 2.0
    """How much longer each further wait is."""

    max_backoff: float = 5.0
    """The longest wait in seconds, unless the server names a longer one."""

    jitter: float = 0.2
    """The share by which each wait is randomly longer or shorter, so that clients do not return in step."""

    stream_patience: float = 60.0
    """Seconds for which a stream that has begun is resumed without progress, as over a restart."""


@dataclass(frozen=True)
class KeepAlive:
    """Pings that notice a dead connection.

    A Kohort server allows one ping every 10 seconds; other servers and proxies
    may close connections that ping more often than every 5 minutes.
    """

    interval: float = 30.0
    """Seconds between pings; at least 10, or the server would send the client away."""

    timeout: float = 15.0
    """Seconds without an answer after which the connection counts as dead."""

    without_calls: bool = True
    """Whether to ping while no call is under way."""

    def __post_init__(self) -> None:
        if self.interval < SHORTEST_PING:
            raise ValueError(f"KeepAlive: an interval below {SHORTEST_PING} s is more than servers allow")


@dataclass(frozen=True)
class Timeouts:
    """How long calls may take, in seconds, all tries together; None is no limit.

    Every method takes `timeout=` to differ for one call.
    """

    connect: float = 5.0
    """For one try to open a connection."""

    call: float | None = 30.0
    """For calls that ask one thing and get one answer."""

    transfer: float | None = 3600.0
    """For uploads, samples, downloads and imports."""


DEFAULT_RETRY = Retry()
DEFAULT_KEEPALIVE = KeepAlive()
DEFAULT_TIMEOUTS = Timeouts()
