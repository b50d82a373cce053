"""The span of a call, where the application records traces; on both clients."""

from __future__ import annotations

import grpc
import pytest
from fake_parts import Fault
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import kohort


@pytest.fixture
def recorded(monkeypatch):
    """What an application's provider records, without making it the provider of all tests."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def headers(fake):
    return [call.metadata.get("traceparent") for call in fake.calls]


def named(span):
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_one_span_over_all_tries_of_a_call(client, fake, recorded):
    fake.fail("Sample", Fault(after=4), Fault(after=2))
    client.sample("models/one", 35)
    (span,) = recorded.get_finished_spans()
    assert (span.name, span.kind) == ("kohort.v1.SamplingService/Sample", SpanKind.CLIENT)
    assert span.attributes["rpc.method"] == "Sample"
    assert span.attributes["rpc.grpc.status_code"] == 0
    assert span.status.status_code is StatusCode.UNSET
    assert [event.name for event in span.events] == ["resumed", "resumed"]
    assert headers(fake) == [named(span)] * 3
    assert {call.metadata["x-request-id"] for call in fake.calls} == {span.attributes["kohort.request_id"]}


def test_what_failed_is_told_by_its_reason(client, fake, recorded):
    with pytest.raises(kohort.NotFound):
        client.model("models/none")
    (span,) = recorded.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert span.attributes["error.type"]
    assert not span.events, "an exception's text may quote data"


def test_a_stream_that_is_left_ends_its_span(client, recorded):
    batches = client.sample_batches("models/one", 35)
    next(batches)
    assert not recorded.get_finished_spans()
    batches.close()
    (span,) = recorded.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET
    assert "rpc.grpc.status_code" not in span.attributes


def test_without_a_provider_nothing_is_sent(client, fake):
    client.capabilities()
    assert headers(fake) == [None]


async def test_the_span_is_within_the_callers(fake, recorded):
    async with kohort.AsyncClient(fake.target) as client:
        with trace.get_tracer("app").start_as_current_span("study") as study:
            await client.capabilities()
            with kohort.Client(fake.target) as other:
                other.capabilities()
    calls = [span for span in recorded.get_finished_spans() if span.kind is SpanKind.CLIENT]
    assert len(calls) == 2
    assert {span.parent.span_id for span in calls} == {study.get_span_context().span_id}
    assert headers(fake) == [named(span) for span in calls]
