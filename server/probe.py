"""`python -m server health`: asks a server for its health; for containers, which have no other tool for it.

What Kubernetes' own gRPC probe cannot do: it speaks no TLS.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.settings import Settings, from_flags

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 # what it listens on, not we


@dataclass(frozen=True)
class Question:
    """Whom to ask, about what, and how to know the answer for the server's."""

    address: str
    service: str = ""
    """A full name such as ``kohort.v1.TrainingService``; empty: the process."""
    trust: bytes | None = None
    """PEM certificates that the server's must come from, or be; None: no TLS."""
    server_name: str = ""
    """The name that its certificate must bear; empty: that of the address."""
    identity: tuple[bytes, bytes] | None = None
    """Key and certificate chain to show, where the server demands one."""
    timeout_seconds: float = 3.0


def main(arguments: Sequence[str]) -> int:
    """Prints one word; returns 0 where the server says SERVING, 1 otherwise.

    Raises:
        ValidationError: a flag, or a setting of the server, is wrong.
        ValueError: a file holds no certificate.
    """
    try:
        answer = ask(question(arguments))
    except OSError as error:
        answer = f"{error.filename or 'a file'}: {error.strerror}"
    sys.stdout.write(answer + "\n")
    return 0 if answer == "SERVING" else 1


def question(arguments: Sequence[str]) -> Question:
    """What the flags ask; what they leave out comes from the settings of the server beside which this runs.

    With its `tls_certificate` the server's certificate is expected, exactly that
    one; with its `tls_client_ca` it is also shown, so it must then serve clients
    too (extended key usage), or `--cert` and `--key` name one that does.
    """
    parser = argparse.ArgumentParser(prog="python -m server health", add_help=False, allow_abbrev=False)
    parser.add_argument("--address", help="host:port; else from host, port and address_file")
    parser.add_argument("--service", default="", help="full name of a service; else the process")
    parser.add_argument("--ca", type=Path, help="PEM authorities of the server's certificate")
    parser.add_argument("--server-name", default="", help="name that the certificate bears")
    parser.add_argument("--cert", type=Path, help="PEM certificate chain of the asker")
    parser.add_argument("--key", type=Path, help="PEM key of --cert")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds")
    if {"--help", "-h"} & set(arguments):
        parser.print_help()
        raise SystemExit(0)
    flags, rest = parser.parse_known_args(arguments)
    if (flags.cert is None) != (flags.key is None):
        parser.error("--cert and --key go together")
    settings = from_flags(rest)
    trust, name = None, flags.server_name
    if flags.ca:
        trust = flags.ca.read_bytes()
    elif settings.tls_certificate:
        trust = settings.tls_certificate.read_bytes()
        name = name or _name_of(trust)
    shown = (flags.key, flags.cert) if flags.cert else None
    if shown is None and settings.tls_client_ca and settings.tls_key and settings.tls_certificate:
        shown = (settings.tls_key, settings.tls_certificate)
    identity = (shown[0].read_bytes(), shown[1].read_bytes()) if shown else None
    address = flags.address or _address(settings)
    return Question(address, flags.service, trust, name, identity, flags.timeout)


def ask(about: Question) -> str:
    """The server's answer: SERVING, NOT_SERVING, SERVICE_UNKNOWN, or the status of the call that failed."""
    # A probe of one's own machine or pod goes past any proxy.
    options: list[tuple[str, str | int]] = [("grpc.enable_http_proxy", 0)]
    if about.server_name:
        options.append(("grpc.ssl_target_name_override", about.server_name))
    if about.trust is None:
        channel = grpc.insecure_channel(about.address, options)
    else:
        key, chain = about.identity or (None, None)
        channel = grpc.secure_channel(
            about.address, grpc.ssl_channel_credentials(about.trust, key, chain), options
        )
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=about.service), timeout=about.timeout_seconds
            )
        except grpc.RpcError as error:
            code = error.code()
            return (
                "SERVICE_UNKNOWN" if code is grpc.StatusCode.NOT_FOUND else f"{code.name}: {error.details()}"
            )
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _address(settings: Settings) -> str:
    if settings.port == 0 and settings.address_file:
        return settings.address_file.read_text(encoding="ascii").strip()
    host = _ANYWHERE.get(settings.host, settings.host)
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def _name_of(chain: bytes) -> str:
    """A name that the first certificate bears, for gRPC to look for. Raises ValueError: it bears none."""
    try:
        names = x509.load_pem_x509_certificates(chain)[0].extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        names = None
    if names is not None:
        for name in names.value.get_values_for_type(x509.DNSName):
            return name.replace("*", "any", 1)
        for address in names.value.get_values_for_type(x509.IPAddress):
            return str(address)
    raise ValueError("tls_certificate names no host (no DNS name or address as subject alternative name)")
