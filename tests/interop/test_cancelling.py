"""Leaving a stream ends it on the server, and a job stops when it is asked to."""

from __future__ import annotations

import pytest
from drivers import Driver
from fake import Fake
from real import HEART, Real, metric
from wires import Meter

from tests.core.support import until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

SAMPLE = {"grpc_service": "kohort.v1.SamplingService", "grpc_method": "Sample"}


def test_leaving_a_stream_cancels_it(drive: Driver, fake: Fake, transport: str) -> None:
    name = f"models/stalled.first.{transport}.{drive.language}"
    wire = Meter(fake.addresses[transport])
    outcome = drive("first", wire.address, name, 2000, 1, **fake.papers.reach(transport))
    assert outcome.value["model"] == name, "the client works on"
    assert int(outcome.value["rows"]) > 0
    (call,) = fake.calls.of(name, "Sample")
    (after,) = fake.calls.of(name, "GetModel")
    # The server answered once the stream had ended, or after ten seconds in which it had not.
    assert call.cancelled
    assert call.ended is not None
    assert call.ended - after.begun < 5
    assert after.request_id != call.request_id, "another call"
    assert wire.connections == 1
    wire.close()


def test_a_real_server_stops_making_what_nobody_reads(drive: Driver, real: Real) -> None:
    server, wire = real.servers["plain"], Meter(real.address("plain"))

    def cancelled() -> float:
        return metric(server, "grpc_server_handled_total", grpc_code="Canceled", **SAMPLE)

    def begun() -> float:
        return metric(server, "grpc_server_started_total", **SAMPLE)

    def over() -> float:
        return metric(server, "grpc_server_handled_total", **SAMPLE)

    # What another test left behind would be counted for this one.
    until(lambda: begun() == over(), "earlier streams to end")
    before = cancelled()
    reading = drive("first", wire.address, real.model, 3_000_000, 1).value
    assert reading["model"] == real.model
    assert wire.connections == 1
    until(lambda: cancelled() == before + 1, "the stream to be cancelled", 20)
    until(lambda: metric(server, "kohort_streams", **{"class": "sample"}) == 0, "the stream to end", 20)
    wire.close()


def test_a_job_is_cancelled(drive: Driver, real: Real) -> None:
    with real.servers["plain"].client() as client:
        job = client.train(client.upload(HEART, table="heart"), "slow", seed=1, steps=2000)
        until(lambda: job.refresh().state == "running", "the job to run")
        state = drive("cancel", real.address("plain"), job.name).value["state"]
        assert state in ("CANCELLING", "CANCELLED")
        end = drive("follow", real.address("plain"), job.name, 0).value
        assert (end["state"], end["model"], end["error"]) == ("CANCELLED", "", None)
        assert drive("cancel", real.address("plain"), job.name).value["state"] == "CANCELLED", (
            "safe to repeat"
        )
