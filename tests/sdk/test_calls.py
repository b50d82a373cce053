"""Calls, their errors and their tries, on both clients, against a server that fails on demand."""

import socket
import time
from itertools import pairwise

import grpc
import pandas as pd
import pytest
from fake_parts import CODE, Fault, listen

import kohort
from kohort import Retry, Timeouts

PATIENTS = pd.DataFrame({"age": [61, 70], "sex": pd.Categorical(["f", "m"])})


def test_capabilities_are_plain_values(client):
    found = client.capabilities()
    assert found.default_trainer == "copula"
    assert found.trainers[0].parameters[0].default == 300
    assert found.trainers[0].parameters[0].minimum == 1
    assert found.trainers[0].parameters[0].maximum is None
    assert found.upload_formats == ("columns", "csv")
    assert found.roles == ("admin",)


def test_metadata_of_every_call(connect, fake):
    tokens = iter(["first", "second\n"])
    client = connect(fake.target, token=lambda: next(tokens), metadata={"X-Ward": "7"})
    client.capabilities()
    client.capabilities()
    first, second = (c.metadata for c in fake.calls)
    assert first["authorization"] == "Bearer first"
    assert second["authorization"] == "Bearer second"
    assert first["x-ward"] == "7"
    assert first["x-request-id"] != second["x-request-id"]
    assert first["user-agent"].startswith("kohort-python/")


def test_a_token_that_no_header_holds_is_not_told(connect, fake):
    with pytest.raises(ValueError, match="a character that no bearer token has") as caught:
        connect(fake.target, token="se\ncret").capabilities()
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (CODE.INVALID_ARGUMENT, kohort.InvalidRequest),
        (CODE.OUT_OF_RANGE, kohort.InvalidRequest),
        (CODE.NOT_FOUND, kohort.NotFound),
        (CODE.ALREADY_EXISTS, kohort.AlreadyExists),
        (CODE.PERMISSION_DENIED, kohort.PermissionDenied),
        (CODE.UNAUTHENTICATED, kohort.Unauthenticated),
        (CODE.FAILED_PRECONDITION, kohort.FailedPrecondition),
        (CODE.RESOURCE_EXHAUSTED, kohort.Overloaded),
        (CODE.UNIMPLEMENTED, kohort.Unimplemented),
        (CODE.INTERNAL, kohort.ServerError),
        (CODE.UNKNOWN, kohort.ServerError),
        (CODE.ABORTED, kohort.Conflict),
    ],
)
def test_codes_become_exceptions_and_are_not_retried(client, fake, code, error):
    fake.fail("GetCapabilities", Fault(code, "text", "SOME_REASON", metadata={"a": "b"}))
    with pytest.raises(error) as caught:
        client.capabilities()
    found = caught.value
    assert type(found) is error
    assert (found.code, found.reason, found.message) == (code.name, "SOME_REASON", "text")
    assert found.metadata == {"a": "b"}
    assert isinstance(found.__cause__, grpc.RpcError)
    assert len(fake.calls) == 1


def test_fields_with_the_same_fault_are_all_named():
    faults = [kohort.Violation("t.chol", "no such column"), kohort.Violation("t.ca", "no such column")]
    error = kohort.RpcError("X", "t.chol: no such column", reason="SCHEMAS_DIFFER", violations=faults)
    assert str(error).count("t.chol") == 1
    assert "t.ca: no such column" in str(error)


def test_an_error_carries_violations_and_both_request_ids(client, fake):
    fake.fail(
        "GetModel", Fault(CODE.INVALID_ARGUMENT, "bad", "INVALID_REQUEST", violations={"name": "too long"})
    )
    with pytest.raises(kohort.InvalidRequest) as caught:
        client.model("models/one")
    assert [(v.field, v.description) for v in caught.value.violations] == [("name", "too long")]
    assert "name: too long" in str(caught.value)
    # The server's own id where it names one, else the one that was sent.
    assert caught.value.request_id == fake.calls[0].metadata["x-request-id"]
    with pytest.raises(kohort.NotFound) as caught:
        client.model("models/none")
    assert caught.value.request_id == "server-side-id"


def test_an_unavailable_server_is_tried_again(client, fake):
    fake.fail("GetCapabilities", Fault(), Fault(), Fault())
    assert client.capabilities().api_version == "v1"
    assert len(fake.calls) == 4


def test_tries_are_bounded(connect, fake):
    fake.fail("GetCapabilities", *[Fault() for _ in range(9)])
    with pytest.raises(kohort.Unavailable):
        connect(fake.target, retry=Retry(attempts=3, initial_backoff=0.01)).capabilities()
    assert len(fake.calls) == 3


def test_retry_info_is_waited_for_and_makes_exhaustion_retryable(client, fake):
    fake.fail("GetCapabilities", Fault(CODE.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after=0.3))
    began = time.monotonic()
    client.capabilities()
    assert len(fake.calls) == 2
    assert time.monotonic() - began >= 0.3


def test_a_wait_beyond_the_deadline_is_not_begun(client, fake):
    fake.fail("GetCapabilities", Fault(CODE.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after=500))
    with pytest.raises(kohort.Overloaded) as caught:
        client.capabilities(timeout=5)
    assert caught.value.retry_after == 500


def test_one_deadline_over_all_tries(connect, fake):
    fake.fail("GetCapabilities", *[Fault() for _ in range(500)])
    client = connect(fake.target, retry=Retry(attempts=500, initial_backoff=0.1, multiplier=1, jitter=0))
    # A busy machine may still be within a try when it is over.
    with pytest.raises((kohort.Unavailable, kohort.DeadlineExceeded)):
        client.capabilities(timeout=0.55)
    # Every try is given what is left of the one deadline.
    left = [c.left for c in fake.calls]
    assert len(left) <= 6
    assert all(a > b for a, b in pairwise(left))


@pytest.fixture
def black_hole():
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.capabilities(),
        lambda client: client.sample("models/one", 5),
        lambda client: client.upload(PATIENTS),
    ],
    ids=["call", "stream", "upload"],
)
def test_a_black_hole_costs_no_more_than_the_timeout(connect, black_hole, use):
    client = connect(black_hole, timeouts=Timeouts(call=1.0, transfer=1.0))
    began = time.monotonic()
    with pytest.raises((kohort.DeadlineExceeded, kohort.Unavailable)):
        use(client)
    # A deadline per try would take several of these; grpc's own is 20 seconds.
    assert time.monotonic() - began < 15


def test_nobody_listens(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(kohort.Unavailable) as caught:
            connect(target, retry=Retry(attempts=1)).capabilities()
    assert f"Nothing listens on {target}" in caught.value.hint
    assert "is the server running" in str(caught.value)


def test_a_server_without_the_call_is_asked_about(connect):
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(2))
    port = listen(server)
    server.start()
    try:
        with pytest.raises(kohort.Unimplemented) as caught:
            connect(f"localhost:{port}").capabilities()
        assert "is it the gRPC port of a Kohort server" in caught.value.hint
    finally:
        server.stop(0)


def test_a_closed_client_says_so(connect, fake):
    client = connect(fake.target)
    client.capabilities()
    client.close()
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.capabilities()
