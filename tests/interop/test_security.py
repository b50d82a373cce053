"""Who a client is, whom it believes, and what it says when either does not hold."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from drivers import Driver
from fake import Fake
from real import Real

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


def failure(drive: Driver, address: str, model: str, **environment: Any) -> Any:
    """How a call for a model fails. The timeout has room for a few tries, and ends them before the last.

    On a busy machine it may end the first of them: then there is time for all.
    """
    error = drive("model", address, model, timeout=2.8, **environment).error
    if error["code"] == "DEADLINE_EXCEEDED":
        error = drive("model", address, model, timeout=60, **environment).error
    return error


def test_a_token_opens_what_its_role_may(drive: Driver, real: Real) -> None:
    where, ca = real.address("tls"), real.papers.ca
    for token, code in (
        (None, "UNAUTHENTICATED"),
        ("kohort_000000000000_" + "A" * 43, "UNAUTHENTICATED"),
    ):
        given = {} if token is None else {"token": token}
        error = failure(drive, where, real.model, ca=ca, **given)
        assert (error["code"], error["reason"], error["fields"]) == (code, code, [])
        assert real.logged("tls", error["request_id"])
    viewer = {"ca": ca, "token": real.tokens["viewer"]}
    assert drive("model", where, real.model, **viewer).value["model"] == real.model
    error = drive("sample", where, real.model, 0, 5, 1, **viewer).error
    assert (error["code"], error["reason"]) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    error = drive("upload", where, real.file, "heart", **viewer).error
    assert error["code"] == "PERMISSION_DENIED"
    trainer = {"ca": ca, "token": real.tokens["trainer"]}
    assert drive("sample", where, real.model, 0, 5, 1, **trainer).value["tables"] == real.cells(0, 5, 1)


def test_a_certificate_that_says_nobody_is_refused(drive: Driver, real: Real) -> None:
    error = failure(drive, real.address("mtls"), real.model, **real.papers.client("nobody"))
    assert (error["code"], error["reason"]) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


@pytest.mark.parametrize("who", ["without a certificate", "a stranger", "by another authority"])
def test_no_call_passes_a_handshake_that_failed(drive: Driver, fake: Fake, who: str) -> None:
    papers = fake.papers
    environment = {
        "without a certificate": {"ca": papers.ca},
        "a stranger": papers.client("stranger"),
        "by another authority": papers.client("lab") | {"ca": papers.other_ca},
    }[who]
    name = f"models/golden.{who}.{drive.language}"
    error = failure(drive, fake.addresses["mtls"], name, **environment)
    assert (error["code"], error["reason"], error["fields"]) == ("UNAVAILABLE", "", [])
    assert error["hint"], "a person must be told what to check"
    assert error["request_id"]
    assert fake.calls.of(name) == []


@pytest.mark.parametrize(("transport", "secure"), [("tls", False), ("plain", True)])
def test_plaintext_and_tls_do_not_mix(drive: Driver, fake: Fake, transport: str, secure: bool) -> None:
    environment = {"ca": fake.papers.ca} if secure else {}
    error = failure(drive, fake.addresses[transport], "models/golden", **environment)
    assert error["code"] == "UNAVAILABLE"
    assert error["hint"]


def test_a_server_that_is_not_there(drive: Driver) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody else can listen there
        error = failure(drive, f"127.0.0.1:{taken.getsockname()[1]}", "models/golden")
    assert (error["code"], error["reason"]) == ("UNAVAILABLE", "")
    assert error["hint"]
