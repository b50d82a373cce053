"""Channels: targets, credentials, options. Used by both clients."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from kohort.config import TLS, KeepAlive, Timeouts
from kohort.version import __version__

DEFAULT_PORT = 50051

Token = str | Callable[[], str]
Extra = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Endpoint:
    """Where a client connects, and whether in the clear."""

    target: str
    secure: bool


def endpoint(target: str, tls: TLS | bool | None) -> Endpoint:
    """The target as grpc wants it; TLS unless it is this machine or `tls` is False.

    Raises:
        ValueError: the target is a URL, empty or without a port that can be.
    """
    if target.startswith(("http://", "https://", "grpc://", "grpcs://")):
        raise ValueError(f"the target is host:port, such as localhost:{DEFAULT_PORT}, not a URL")
    if not target.strip():
        raise ValueError(f"the target is empty; it is host:port, such as localhost:{DEFAULT_PORT}")
    local = target.startswith(("unix:", "unix-abstract:"))
    prefix, address = "", target
    if "://" in target and not local:
        scheme, _, rest = target.partition("://")
        authority, _, address = rest.partition("/")
        prefix = f"{scheme}://{authority}/"
    elif target.startswith(("dns:", "ipv4:", "ipv6:")):
        scheme, _, address = target.partition(":")
        prefix = f"{scheme}:"
    if not local:
        host, port = _split(address)
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"the target is host:port, such as localhost:{DEFAULT_PORT}, not {target}")
        local = _is_loopback(host)
        shown = f"[{host}]" if ":" in host else host
        target = f"{prefix}{shown}:{port or DEFAULT_PORT}"
    secure = tls is not False and (isinstance(tls, TLS) or tls is True or not local)
    return Endpoint(target, secure)


def _split(address: str) -> tuple[str, str]:
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, rest.removeprefix(":")
    if address.count(":") > 1:
        return address, ""
    host, _, port = address.partition(":")
    return host, port


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def answers_here(target: str) -> bool:
    """Whether something listens at a port of "localhost", at either of its addresses. At once: no network."""
    host, port = _split(target)
    if host != "localhost":
        return False
    for address in ("127.0.0.1", "::1"):
        try:
            socket.create_connection((address, int(port)), timeout=0.5).close()
        except OSError:
            continue
        return True
    return False


def credentials(tls: TLS | bool | None) -> grpc.ChannelCredentials:
    """Channel credentials.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is no PEM.
    """
    tls = tls if isinstance(tls, TLS) else TLS()
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("root_certificates", tls.root_certificates),
        private_key=_pem("key", tls.key),
        certificate_chain=_pem("certificate", tls.certificate),
    )


def _pem(name: str, value: bytes | str | Path | None) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str) and value.lstrip().startswith("-----BEGIN"):
        return value.encode()
    content = value if isinstance(value, bytes) else Path(value).expanduser().read_bytes()
    # grpc would find out at the first handshake, and not say so.
    if (b"PRIVATE KEY-----" if name == "key" else b"-----BEGIN CERTIFICATE-----") not in content:
        raise ValueError(f"TLS: {name} holds no {'private key' if name == 'key' else 'certificate'} in PEM")
    return content


def options(tls: TLS | bool | None, keepalive: KeepAlive, timeouts: Timeouts) -> list[tuple[str, str | int]]:
    """Channel options."""
    found: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"kohort-python/{__version__}"),
        # Batches and chunks are far smaller; a larger message is a defect.
        ("grpc.max_receive_message_length", 4 * 1024 * 1024),
        # Tries are counted in kohort.retry, under one deadline; grpc's own would multiply them.
        ("grpc.enable_retries", 0),
        ("grpc.keepalive_time_ms", int(keepalive.interval * 1000)),
        ("grpc.keepalive_timeout_ms", int(keepalive.timeout * 1000)),
        ("grpc.keepalive_permit_without_calls", int(keepalive.without_calls)),
        # Without a limit only data would allow pings, and an idle watch has none.
        ("grpc.http2.max_pings_without_data", 0),
        # The first of these bounds one try to connect.
        ("grpc.min_reconnect_backoff_ms", int(timeouts.connect * 1000)),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5000),
    ]
    if isinstance(tls, TLS) and tls.server_name:
        found.append(("grpc.ssl_target_name_override", tls.server_name))
    return found


class CallMetadata:
    """The metadata of every call: the caller's own, the token as it is now, and a request id."""

    def __init__(self, token: Token | None, extra: Extra | None) -> None:
        self._token = token
        items = extra.items() if isinstance(extra, Mapping) else (extra or ())
        self._extra = tuple((k.lower(), v) for k, v in items)

    def of(self, request_id: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """The metadata of a call with that request id."""
        return (*self._extra, *self._authorization(), ("x-request-id", request_id), *more)

    def _authorization(self) -> Iterator[tuple[str, str]]:
        token = self._token() if callable(self._token) else self._token
        # Whoever reads a file has its line break, too.
        if token := (token or "").strip():
            if not all("!" <= c <= "~" for c in token):
                raise ValueError("the token holds a character that no bearer token has")
            yield ("authorization", f"Bearer {token}")
