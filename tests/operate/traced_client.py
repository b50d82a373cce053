"""An application that records its traces: one study, from the upload to the synthetic rows.

Arguments: the collector's URL, the server's address, a token, a CSV file.
"""

from __future__ import annotations

import contextlib
import sys

import pandas as pd
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import kohort

collector, address, token, file = sys.argv[1:]
provider = TracerProvider(resource=Resource({"service.name": "study"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector, insecure=True)))
trace.set_tracer_provider(provider)
with (
    trace.get_tracer("study").start_as_current_span("study"),
    kohort.Client(address, token=token) as client,
):
    dataset = client.upload(pd.read_csv(file), table=file.rpartition("/")[2].removesuffix(".csv"))
    model = client.train(dataset, trainer="copula", seed=1).result()
    assert len(model.sample(50, seed=1)) == 50
    assert len(model.sample(20, seed=2)) == 20
    with contextlib.suppress(kohort.NotFound):
        client.dataset(f"datasets/{'0' * 32}")
provider.shutdown()
