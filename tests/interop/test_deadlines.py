"""Deadlines reach the server, and cover all tries of a call; what may be tried again is."""

from __future__ import annotations

import time

import golden
import pytest
from drivers import Driver
from fake import SHORT_MS, Call, Fake
from real import Real
from wires import Meter

from tests.core.support import until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

TIMEOUTS = (2.0, 8.0, 24.0)
"""Seconds: the first, unless a busy machine needs longer to get the call to the server."""
LATE = 15.0
"""Seconds by which no deadline is missed, nor a program begun, on the busiest machine."""


def ended(call: Call) -> float:
    """When the server knew that a call was over."""
    until(lambda: call.ended is not None, "the call to end", 20)
    assert call.ended is not None
    return call.ended


@pytest.mark.parametrize("model", ["mute", "stalled"])
def test_a_stream_that_stalls_ends_at_its_deadline(drive: Driver, fake: Fake, model: str) -> None:
    name = f"models/{model}.{drive.language}"
    words = ("sample", fake.addresses["plain"], name, 0, golden.UNITS, 1)
    for timeout in TIMEOUTS:
        started = time.monotonic()
        error = drive(*words, timeout=timeout).error
        assert (error["code"], error["reason"]) == ("DEADLINE_EXCEEDED", "")
        if fake.calls.of(name):
            break
    (call,) = fake.calls.of(name)
    # The client counts from before it connects, the server from when the call comes.
    assert ended(call) - started > timeout
    assert ended(call) - call.begun < timeout + LATE
    assert error["request_id"] == call.request_id


def test_a_slow_sample_of_a_real_server_ends_at_its_deadline(drive: Driver, real: Real) -> None:
    for timeout in TIMEOUTS:
        wire = Meter(real.address("plain"), pace=400_000 / timeout)  # all of it takes several times as long
        words = ("read", wire.address, real.model, 0, 40_000, 1, "batches")
        begun = time.monotonic()
        error = drive(*words, timeout=timeout).error
        assert (error["code"], error["reason"]) == ("DEADLINE_EXCEEDED", "")
        assert time.monotonic() - begun < timeout + LATE
        wire.close()
        if wire.received > 50_000:
            break
    assert wire.received > 50_000, "rows came until then"
    assert drive("read", real.address("plain"), real.model, 0, 40_000, 1, "batches").status == 0


def test_a_wait_that_the_deadline_has_no_room_for_is_not_begun(drive: Driver, fake: Fake) -> None:
    name = f"models/busy.wait.{drive.language}"
    begun = time.monotonic()
    error = drive("sample", fake.addresses["plain"], name, 0, 10, 1, timeout=30).error
    assert error["reason"] == "TOO_MANY_STREAMS"
    assert time.monotonic() - begun < 20
    assert len(fake.calls.of(name)) == 1


def test_what_the_server_did_not_take_is_tried_again(drive: Driver, fake: Fake) -> None:
    name = f"models/shaky.{drive.language}"
    reading = drive("sample", fake.addresses["plain"], name, 0, 10, 1).value
    assert reading["tables"] == golden.texts(0, 10)
    calls = fake.calls.of(name)
    assert len(calls) == reading["streams"] == 3
    assert len({call.request_id for call in calls}) == 1, "one call in the log, however often it was tried"
    first, second, third = (call.begun for call in calls)
    assert second - first > 0.1
    assert third - second > 0.2, "each wait is longer"


def test_the_server_says_how_long_to_wait(drive: Driver, fake: Fake) -> None:
    name = f"models/hurried.{drive.language}"
    assert drive("sample", fake.addresses["plain"], name, 0, 10, 1).value["streams"] == 2
    first, second = (call.begun for call in fake.calls.of(name))
    assert second - first > SHORT_MS / 1000 - 0.05


def test_a_server_that_stays_away_is_given_up(drive: Driver, fake: Fake) -> None:
    name = f"models/down.{drive.language}"
    error = drive("sample", fake.addresses["plain"], name, 0, 10, 1).error
    assert (error["code"], error["reason"]) == ("UNAVAILABLE", "SHUTTING_DOWN")
    assert len(fake.calls.of(name)) == 5
