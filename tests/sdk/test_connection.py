"""Targets, TLS and the hints that follow from what goes wrong with them."""

import datetime
import http.server
import threading

import grpc
import pytest
from cryptography import x509
from fake_server import Fake

import kohort
from kohort import TLS, KeepAlive, Retry, Timeouts
from kohort.channel import Endpoint, endpoint, options
from kohort.status import _hint
from tests.authority import LOOPBACK, Authority, pem_key

ONCE = Retry(attempts=1)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def authority():
    return Authority("Fake Authority")


def serve(authority, name="localhost", *, ask_client=False, **validity):
    names = [x509.DNSName(name), *([LOOPBACK] if name == "localhost" else [])]
    own = authority.issue(name, *names, **validity)
    ca = authority.pem if ask_client else None
    return Fake(grpc.ssl_server_credentials([own], ca, ask_client))


@pytest.mark.parametrize(
    ("target", "tls", "expected", "secure"),
    [
        ("localhost", None, "localhost:50051", False),
        ("localhost:1", None, "localhost:1", False),
        ("127.0.0.1:1", None, "127.0.0.1:1", False),
        ("127.8.9.1:1", None, "127.8.9.1:1", False),
        ("[::1]:1", None, "[::1]:1", False),
        ("::1", None, "[::1]:50051", False),
        ("unix:/run/kohort.sock", None, "unix:/run/kohort.sock", False),
        ("kohort.hospital.example", None, "kohort.hospital.example:50051", True),
        ("10.0.0.1:1", None, "10.0.0.1:1", True),
        ("dns:///kohort.example:1", None, "dns:///kohort.example:1", True),
        ("ipv4:127.0.0.1:1", None, "ipv4:127.0.0.1:1", False),
        ("localhost.evil.example:1", None, "localhost.evil.example:1", True),
        ("10.0.0.1:1", False, "10.0.0.1:1", False),
        ("localhost:1", True, "localhost:1", True),
        ("localhost:1", TLS(), "localhost:1", True),
    ],
)
def test_tls_is_the_default_off_this_machine(target, tls, expected, secure):
    found = endpoint(target, tls)
    assert (found.target, found.secure) == (expected, secure)


@pytest.mark.parametrize(
    "target", ["http://localhost:1", "https://x", "grpc://x", "", "  ", "localhost:http", "localhost:70000"]
)
def test_urls_are_no_targets(target):
    with pytest.raises(ValueError, match="host:port"):
        kohort.Client(target)


def test_certificate_and_key_belong_together():
    with pytest.raises(ValueError, match="together"):
        TLS(certificate=b"x")


def test_keepalive_uses_the_options_that_grpc_knows():
    set_to = dict(options(None, KeepAlive(30, 15), Timeouts(connect=5)))
    assert set_to["grpc.keepalive_time_ms"] == 30_000
    assert set_to["grpc.keepalive_timeout_ms"] == 15_000
    assert set_to["grpc.keepalive_permit_without_calls"] == 1
    assert set_to["grpc.http2.max_pings_without_data"] == 0
    assert set_to["grpc.min_reconnect_backoff_ms"] == 5_000
    assert set_to["grpc.enable_retries"] == 0


def test_pings_that_the_server_would_answer_by_hanging_up_are_refused():
    assert KeepAlive(10).interval == 10
    with pytest.raises(ValueError, match="below 10 s"):
        KeepAlive(9.5)


def test_a_trusted_server_is_spoken_to(connect, authority, tmp_path):
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with serve(authority) as fake:
        for given in (authority.pem, tmp_path / "ca.pem", str(tmp_path / "ca.pem"), authority.pem.decode()):
            assert connect(fake.target, tls=TLS(given), retry=ONCE).capabilities().api_version == "v1"


def test_mutual_tls(connect, authority):
    key, own = authority.issue("analyst", x509.DNSName("analyst"))
    with serve(authority, ask_client=True) as fake:
        client = connect(fake.target, tls=TLS(authority.pem, own, key), retry=ONCE)
        assert client.capabilities().api_version == "v1"
        with pytest.raises(kohort.Unavailable) as caught:
            connect(fake.target, tls=TLS(authority.pem), retry=ONCE).capabilities()
    assert "--cert" in caught.value.hint


def test_what_failed_at_one_address_of_localhost_is_not_taken_for_nobody_there(fake):
    port = int(fake.target.rpartition(":")[2])
    # What grpc says when the other address, where nobody listens, was the last that it tried.
    refused = "last error: UNKNOWN: ipv6:%5B::1%5D: Failed to connect to remote host: Connection refused"
    for secure, sign in ((True, "TLS with localhost"), (False, "may speak TLS")):
        assert sign in _hint("UNAVAILABLE", refused, Endpoint(f"localhost:{port}", secure))
    assert "Nothing listens" in _hint("UNAVAILABLE", refused, Endpoint("localhost:1", secure=True))


@pytest.mark.parametrize("field", ["root_certificates", "certificate", "key"])
def test_what_is_no_pem_is_refused_before_any_call(field, authority):
    given = {"root_certificates": authority.pem, "certificate": authority.pem, "key": pem_key(authority.key)}
    with pytest.raises(ValueError, match=f"TLS: {field} holds no"):
        kohort.Client("localhost:1", tls=TLS(**{**given, field: b"age,sex"}))


def test_another_name_is_accepted_only_when_it_is_given(connect, authority):
    with serve(authority, "kohort.example") as fake:
        named = TLS(authority.pem, server_name="kohort.example")
        assert connect(fake.target, tls=named, retry=ONCE).capabilities().api_version == "v1"
        with pytest.raises(kohort.Unavailable) as caught:
            connect(fake.target, tls=TLS(authority.pem), retry=ONCE).capabilities()
    assert "for another name" in caught.value.hint


def test_an_expired_certificate(connect, authority):
    past = serve(authority, starts=-3 * DAY, ends=-DAY)
    with past as fake, pytest.raises(kohort.Unavailable) as caught:
        connect(fake.target, tls=TLS(authority.pem), retry=ONCE).capabilities()
    assert "expired" in caught.value.hint


def test_an_unknown_authority(connect, authority):
    with serve(authority) as fake, pytest.raises(kohort.Unavailable) as caught:
        connect(fake.target, tls=TLS(Authority("Another").pem), retry=ONCE).capabilities()
    assert "root_certificates" in caught.value.hint


def test_tls_to_a_plaintext_server(connect, fake):
    with pytest.raises(kohort.Unavailable) as caught:
        connect(fake.target, tls=True, retry=ONCE).capabilities()
    assert "plaintext" in caught.value.hint


def test_plaintext_to_a_tls_server(connect, authority):
    with serve(authority) as fake, pytest.raises(kohort.Unavailable) as caught:
        connect(fake.target, tls=False, retry=ONCE).capabilities()
    assert "may speak TLS" in caught.value.hint


def test_a_web_server_is_no_kohort_server(connect):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(kohort.RpcError) as caught:
            connect(f"127.0.0.1:{server.server_port}", retry=ONCE).capabilities()
        assert "gRPC port" in caught.value.hint
    finally:
        server.shutdown()
        server.server_close()
