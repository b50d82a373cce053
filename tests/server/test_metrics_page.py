"""The page in docs and the registry agree; nothing is unbounded; the port answers."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from kohort.v1 import capabilities_pb2, sampling_pb2
from server.app import Server, StartError
from server.metrics import Metrics
from server.rpcmetrics import SERVICES
from tests.core.support import eventually
from tests.server.conftest import Start, collect, fails, settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def declared(registry: CollectorRegistry) -> dict[str, tuple[str, str, str]]:
    """Name → type, labels, help, of everything this server declares itself."""
    found = {}
    collectors: Any = registry._collector_to_names
    for collector in collectors:
        if hasattr(collector, "_labelnames"):
            name = collector._name + ("_total" if collector._type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in collector._labelnames)
            found[name] = (collector._type, labels, collector._documentation)
    return found


def test_page_and_registry_agree() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| ([^|]*?) ?\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name: (kind, labels, text) for name, kind, labels, text in rows} == declared(Metrics().registry)


def test_names_follow_the_rules() -> None:
    for name, (kind, labels, _) in declared(Metrics().registry).items():
        assert name.startswith(("kohort_", "grpc_server_")), name
        assert kind != "histogram" or name.endswith("_seconds"), name
        allowed = {
            "trainer",
            "outcome",
            "state",
            "phase",
            "stage",
            "loss",
            "format",
            "kind",
            "slot",
            "class",
            "service",
            "profile",
            "action",
            "metric",
            "model",
            "part",
            "gpu",
            "reason",
        }
        allowed |= {"version", "python", "grpc_type", "grpc_service", "grpc_method", "grpc_code"}
        assert set(re.findall(r"`(\w+)`", labels)) <= allowed, (
            f"{name}: a label that might grow without bound"
        )


def test_buckets_are_few() -> None:
    for family in Metrics(["copula"], "1", ["cpu:0"]).registry.collect():
        if family.type == "histogram":
            bounds = {sample.labels["le"] for sample in family.samples if "le" in sample.labels}
            assert 2 < len(bounds) <= 15, family.name


def test_every_label_set_exists_from_the_start() -> None:
    metrics = Metrics(["copula", "ctgan"], "1", ["cpu:0"])
    samples = [s for family in metrics.registry.collect() for s in family.samples]
    started = [s for s in samples if s.name == "grpc_server_started_total"]
    assert len(started) == sum(len(service.methods) for service in SERVICES)
    ended = {
        (s.labels["trainer"], s.labels["outcome"]) for s in samples if s.name == "kohort_jobs_ended_total"
    }
    assert len(ended) == 6
    assert len(samples) < 2000
    assert not [s.name for s in samples if s.name.endswith("_created")]


def scrape(port: int) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        text = reply.read().decode()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


async def test_the_port_tells_what_happened(start: Start) -> None:
    server, stubs = await start(metrics_port=0)
    model = await stubs.import_model()
    await stubs.upload()
    await collect(stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=500, seed=1)))
    await fails(stubs.sampling.GetModel(sampling_pb2.GetModelRequest(name="models/none")))
    service = 'grpc_service="kohort.v1.SamplingService"'
    sampled = f'grpc_code="OK",grpc_method="Sample",{service},grpc_type="server_stream"'
    missed = f'grpc_code="NotFound",grpc_method="GetModel",{service},grpc_type="unary"'

    async def told() -> dict[str, str] | None:
        found = await asyncio.to_thread(scrape, server.metrics_port)
        return found if found[f"grpc_server_handled_total{{{missed}}}"] == "1.0" else None

    # The client has an error's status before the handler has left its layers.
    lines = await eventually(told, "the last call to be counted")
    assert lines[f"grpc_server_handled_total{{{sampled}}}"] == "1.0"
    assert lines[f"grpc_server_handled_total{{{missed}}}"] == "1.0"
    assert lines['kohort_sample_rows_total{format="columns"}'] == "500.0"
    assert lines['kohort_upload_rows_total{format="csv"}'] == "303.0"
    assert lines["kohort_model_cache_misses_total"] == "1.0"
    assert lines["kohort_model_cache_models"] == "1.0"
    assert lines['kohort_streams{class="sample"}'] == "0.0"
    assert lines['kohort_ready{service="kohort.v1.SamplingService"}'] == "1.0"
    assert lines['kohort_ready{service="kohort.v1.TrainingService"}'] == "0.0"
    first = 'kohort_sample_first_batch_seconds_count{model="'
    assert (lines[first + 'cold"}'], lines[first + 'cached"}']) == ("1.0", "0.0")
    assert lines['kohort_streams_limit{class="sample"}'] == "32.0"
    assert lines["kohort_queue_limit"] == "100.0"
    assert float(lines["kohort_store_seconds_count"]) > 0
    assert lines["kohort_store_errors_total"] == "0.0"
    assert float(lines["process_resident_memory_bytes"]) > 0


async def test_the_first_rows_of_a_model_that_is_held_ready_count_apart(start: Start) -> None:
    server, stubs = await start(metrics_port=0)
    model = await stubs.import_model()
    for _ in range(3):
        await collect(
            stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=9, seed=1))
        )
    lines = await asyncio.to_thread(scrape, server.metrics_port)
    first = 'kohort_sample_first_batch_seconds_count{model="'
    assert (lines[first + 'cold"}'], lines[first + 'cached"}']) == ("1.0", "2.0")


async def test_taken_ports_are_refused(start: Start, tmp_path: Path) -> None:
    server, _ = await start(metrics_port=0)
    second = Server(settings(tmp_path, port=server.port))
    with pytest.raises(StartError, match="cannot listen"):
        await second.start()
    third = Server(settings(tmp_path, metrics_port=server.metrics_port))
    with pytest.raises(StartError, match="cannot serve metrics"):
        await third.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ask: Any = channel.unary_unary(
            "/kohort.v1.CapabilitiesService/GetCapabilities",
            capabilities_pb2.GetCapabilitiesRequest.SerializeToString,
            capabilities_pb2.GetCapabilitiesResponse.FromString,
        )
        assert (await ask(capabilities_pb2.GetCapabilitiesRequest())).api_version == "v1"


async def test_two_builds_of_the_runtime_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kohort.sessions._installed", lambda name: True)
    with pytest.raises(StartError, match="onnxruntime-gpu are both installed"):
        await Server(settings(tmp_path)).start()
