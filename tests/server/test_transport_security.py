"""TLS from files, replaced without a restart; client certificates as identities."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from pydantic import ValidationError

from kohort.v1 import capabilities_pb2, capabilities_pb2_grpc
from server import tls
from server.app import Server, StartError
from server.settings import Settings
from tests.authority import LOOPBACK, Authority
from tests.server.conftest import settings

ASK = capabilities_pb2.GetCapabilitiesRequest()


def install(folder: Path, authority: Authority) -> dict[str, Path]:
    """Writes a server's files as a rotation does: whole new files over the old."""
    files = {"tls_key": folder / "server.key", "tls_certificate": folder / "server.crt"}
    for path, data in zip(files.values(), authority.issue("server", LOOPBACK), strict=True):
        draft = path.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(path)
    return files


async def ask(port: int, trusted: Authority, client: tuple[bytes, bytes] | None = None) -> str:
    """The tenant that the server sees, over a new connection. Raises AioRpcError."""
    key, chain = client or (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.pem, key, chain)
    # Each channel its own connection: gRPC would share one.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        stub = capabilities_pb2_grpc.CapabilitiesServiceStub(channel)
        return str((await stub.GetCapabilities(ASK, timeout=60)).caller.tenant)


async def refused(
    port: int, trusted: Authority, client: tuple[bytes, bytes] | None = None
) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(port, trusted, client)
    return caught.value.code()


async def test_a_certificate_is_replaced_without_a_restart(tmp_path: Path) -> None:
    first, second = Authority("first"), Authority("second")
    server = Server(settings(tmp_path, **install(tmp_path, first)))
    await server.start()
    try:
        assert await ask(server.port, first) == "local"
        assert await refused(server.port, second) is grpc.StatusCode.UNAVAILABLE
        (tmp_path / "server.key").write_bytes(b"half a key")
        assert await ask(server.port, first) == "local", "half-written files change nothing"
        install(tmp_path, second)
        assert await ask(server.port, second) == "local"
        assert await refused(server.port, first) is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as plain:
            stub = capabilities_pb2_grpc.CapabilitiesServiceStub(plain)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetCapabilities(ASK, timeout=10)
    finally:
        await server.stop()


async def test_client_certificates_are_identities(tmp_path: Path) -> None:
    authority, stranger = Authority("hospital"), Authority("stranger")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    entry = {"tenant": "hospital", "name": "lab", "roles": ["viewer"]}
    (tmp_path / "who.json").write_text(json.dumps({"certificates": {"spiffe://hospital/lab": entry}}))
    files = install(tmp_path, authority)
    server = Server(
        settings(tmp_path, tls_client_ca=tmp_path / "ca.pem", identities_file=tmp_path / "who.json", **files)
    )
    await server.start()
    lab = x509.UniformResourceIdentifier("spiffe://hospital/lab")
    try:
        assert await ask(server.port, authority, authority.issue("x", lab)) == "hospital"
        # A name that is not a URI says which machine calls, not who.
        for sans in ((), (x509.DNSName("spiffe"),), (x509.UniformResourceIdentifier("spiffe://hospital/x"),)):
            code = await refused(server.port, authority, authority.issue("spiffe://hospital/lab", *sans))
            assert code is grpc.StatusCode.UNAUTHENTICATED
        assert await refused(server.port, authority, None) is grpc.StatusCode.UNAVAILABLE
        assert await refused(server.port, authority, stranger.issue("x", lab)) is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop()


def test_off_loopback_needs_tls_and_identities(tmp_path: Path) -> None:
    files = install(tmp_path, Authority("a"))
    with pytest.raises(ValidationError, match="tls_certificate"):
        Settings(host="0.0.0.0")
    with pytest.raises(ValidationError, match="tokens_file"):
        Settings(host="0.0.0.0", **files)
    assert Settings(host="0.0.0.0", tokens_file=tmp_path / "t", **files).has_identities
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert Settings(host=host).is_loopback
    for host in ("0.0.0.0", "::", "10.0.0.1", "hospital.example"):
        with pytest.raises(ValidationError):
            Settings(host=host)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    install(tmp_path, Authority("a"))
    other, _ = Authority("b").issue("x", LOOPBACK)
    (tmp_path / "server.key").write_bytes(other)
    with pytest.raises(ValueError, match="not the key"):
        tls.read(tmp_path / "server.key", tmp_path / "server.crt", None)
    (tmp_path / "server.crt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="PEM"):
        tls.read(tmp_path / "server.key", tmp_path / "server.crt", None)


async def test_a_server_without_its_certificate_does_not_start(tmp_path: Path) -> None:
    server = Server(settings(tmp_path, tls_key=tmp_path / "no.key", tls_certificate=tmp_path / "no.crt"))
    with pytest.raises(StartError, match="TLS"):
        await server.start()
