"""One trace from the client's call to the published model; a collector that is gone costs nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pandas as pd
import pytest
import sqlalchemy as sa

from examples.local_server import ROOT
from kohort.v1 import capabilities_pb2, dataset_pb2
from server.identities import create_token
from server.jobspans import JobSpans
from server.records import JobRecord, JobState
from server.store.schema import jobs
from server.tracing import Span, TraceContext, Tracing, TracingConfig, open_tracing
from tests.authority import LOOPBACK, Authority, pem
from tests.core.support import closed_port, until
from tests.core.workers import Bench, gone
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server
from tests.operate.collector import Collector, Seen
from tests.server.conftest import Start

# What a trace must never say: of a table its name, columns and cells; of a caller who it is.
PLANTED = ("zebrafink", "qx7marker", "tenantqx7", "drqx7", "98765.4")


def planted(folder: Path) -> Path:
    """The heart table under a name, with a column, a category and a number that are found anywhere."""
    table = pd.read_csv(HEART)
    table["qx7markercolumn"] = [f"qx7marker{row % 3}" for row in range(len(table))]
    table["chol"] = table["chol"].astype(float)
    table.loc[:20, "chol"] = 98765.4
    path = folder / "zebrafink.csv"
    table.to_csv(path, index=False)
    return path


def lines_of(log: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def ids(spans: list[Seen]) -> dict[str, Seen]:
    return {span.span_id: span for span in spans}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_is_one_trace(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    token = create_token(tokens, "tenantqx7", "drqx7", ["admin"])
    with Collector() as collector:
        flags = ("--tokens-file", str(tokens), "--otlp-endpoint", collector.url)
        server = Server(tmp_path, *flags)
        try:
            server.start()
            client = Path(__file__).with_name("traced_client.py")
            command = [sys.executable, str(client), collector.url, server.address, token]
            done = subprocess.run(
                [*command, str(planted(tmp_path))],
                capture_output=True,
                text=True,
                timeout=170,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            assert done.returncode == 0, done.stderr + server.log()
        finally:
            stopped = server.stop()
        assert stopped == 0, server.log()
        spans, log = collector.spans, lines_of(server.log())

    # One trace.
    by_id = ids(spans)
    (study,) = [span for span in spans if span.name == "study"]
    assert {span.trace_id for span in spans} == {study.trace_id}
    assert {span.service for span in spans} == {"study", "kohort", "kohort-worker"}

    # From call to call: every RPC of the server is within a call of the client, all of which are the study's.
    calls = [span for span in spans if span.kind == "CLIENT"]
    rpcs = [span for span in spans if span.kind == "SERVER"]
    assert {span.parent_id for span in calls} == {study.span_id}
    for rpc in rpcs:
        above = by_id[rpc.parent_id]
        assert (above.kind, above.service) == ("CLIENT", "study")
        assert rpc.name == f"{rpc.attributes['rpc.service']}/{rpc.attributes['rpc.method']}"
        assert rpc.attributes["kohort.request_id"] == above.attributes["kohort.request_id"]
    methods = {span.attributes["rpc.method"] for span in rpcs}
    assert {"UploadDataset", "Train", "Sample", "GetDataset"} <= methods
    assert "Check" not in methods, "health checks are filtered"
    (refused,) = [span for span in rpcs if span.attributes["rpc.method"] == "GetDataset"]
    assert refused.attributes["error.type"] == "DATASET_NOT_FOUND"
    assert refused.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert not refused.failed, "it is the caller's fault"
    assert by_id[refused.parent_id].failed

    def one(name: str, above: str, service: str = "kohort-worker") -> Seen:
        (span,) = [span for span in spans if span.name == name]
        assert (by_id[span.parent_id].name, span.service) == (above, service), name
        assert span.start <= span.end
        return span

    # The job, below the RPC that asked for it.
    train = "kohort.v1.TrainingService/Train"
    run, queue = one("job.run", train), one("job.queue", train)
    assert run.kind == "CONSUMER"
    assert run.attributes["kohort.outcome"] == "SUCCEEDED"
    assert run.attributes["kohort.job"] == by_id[run.parent_id].attributes["kohort.job"]
    assert queue.attributes["kohort.attempt"] == run.attributes["kohort.attempt"] == 1
    phases = [one(f"job.{name}", "job.run") for name in ("preparing", "fitting", "exporting", "verifying")]
    publishing = one("job.publishing", "job.run")
    one("blobs.put", "job.publishing")
    one("store.publish", "job.publishing")
    assert [span.start for span in (*phases, publishing)] == sorted(
        span.start for span in (*phases, publishing)
    )
    assert run.start <= phases[0].start
    assert publishing.end <= run.end

    # The upload and the samples: the first loads the model, the second finds it.
    one("dataset.parse", "kohort.v1.DatasetService/UploadDataset", "kohort")
    one("dataset.publish", "kohort.v1.DatasetService/UploadDataset", "kohort")
    one("model.load", "kohort.v1.SamplingService/Sample", "kohort")
    samples = [span for span in rpcs if span.attributes["rpc.method"] == "Sample"]
    assert [span.attributes["kohort.model_cached"] for span in samples] == [False, True]
    streams = [span for span in spans if span.name == "sample.stream"]
    assert [span.attributes["kohort.rows"] for span in streams] == [50, 20]
    assert [span.parent_id for span in streams] == [span.span_id for span in samples]

    # The log tells the same ids.
    ours = [line for line in log if line.get("trace_id") == study.trace_id]
    assert {"call", "job queued", "job claimed", "child ended"} <= {str(line["event"]) for line in ours}
    for line in log:
        if line["event"] == "call":
            assert line["trace_id"] == study.trace_id
            assert line["request_id"]
            assert by_id[str(line["span_id"])].attributes["kohort.request_id"] == line["request_id"]
        if "job" in line:
            assert line["trace_id"] == study.trace_id, line

    # The page names every span.
    page = (ROOT / "docs" / "tracing.md").read_text()
    for span in spans:
        assert span.kind in ("CLIENT", "SERVER") or f"`{span.name}`" in page or span == study, span.name

    # And nothing says what the data hold, or whose they are.
    sent = "\n".join(collector.texts()).lower()
    assert "kohort.v1.trainingservice/train" in sent
    for word in PLANTED:
        assert word not in sent
    for column in pd.read_csv(HEART).columns:
        assert not re.search(rf"\b{re.escape(column)}\b", sent), column


ASKED = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True)


def asked(
    bench: Bench, mode: str = "train", context: TraceContext | None = ASKED, **changes: object
) -> JobRecord:
    """A job of the fake pipeline, asked for at a place in a trace. To be called before there are workers."""
    job = bench.job(mode, **changes)
    with bench.store._database.write() as connection:
        header = context.header() if context else None
        connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(traceparent=header))
    return job


@pytest.mark.slow
def test_a_killed_child_leaves_its_attempt_in_the_trace(bench: Bench) -> None:
    job = asked(bench, "kill")
    with Collector() as collector:
        bench.worker(otlp_endpoint=collector.url, max_attempts=2)
        assert bench.ended(job).state is JobState.FAILED
        spans = collector.wait(lambda s: _count(s, "job.run") == 2, "both attempts", bench.said)
    runs = [span for span in spans if span.name == "job.run"]
    assert [span.attributes["kohort.attempt"] for span in runs] == [1, 2]
    assert {(span.trace_id, span.parent_id) for span in runs} == {(ASKED.trace_id, ASKED.span_id)}
    assert [span.attributes["kohort.outcome"] for span in runs] == ["QUEUED", "FAILED"]
    assert [span.attributes["error.type"] for span in runs] == ["WORKER_LOST", "WORKER_LOST"]
    assert all(span.failed for span in runs)
    queues = [span for span in spans if span.name == "job.queue"]
    assert [span.attributes["kohort.attempt"] for span in queues] == [1, 2]
    # It waited again from the loss on, not from the beginning.
    assert queues[0].end <= queues[1].start <= queues[1].end
    fitting = [span for span in spans if span.name == "job.fitting"]
    assert [span.parent_id for span in fitting] == [span.span_id for span in runs]


@pytest.mark.slow
def test_the_attempt_of_a_killed_worker_is_told_by_the_next(bench: Bench) -> None:
    job = asked(bench, steps=10_000, step_s=0.05)
    with Collector() as collector:
        first = bench.worker(otlp_endpoint=collector.url)
        bench.steps(job)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(30)
        gone(*bench.pids(job))
        # The next attempt has nothing left to do.
        (bench.folders.checkpoints / job.id / "1" / "step").write_text("10000")
        bench.worker(otlp_endpoint=collector.url)
        assert bench.ended(job).state is JobState.SUCCEEDED
        spans = collector.wait(lambda s: _count(s, "job.run"), "the second attempt", bench.said)
    (lost,) = [span for span in spans if span.name == "job.lost"]
    (run,) = [span for span in spans if span.name == "job.run"]
    assert (lost.attributes["kohort.attempt"], run.attributes["kohort.attempt"]) == (1, 2)
    assert lost.failed
    assert {(span.trace_id, span.parent_id) for span in (lost, run)} == {(ASKED.trace_id, ASKED.span_id)}
    assert lost.start <= lost.end
    recovered = next(line for line in lines_of(bench.said()) if line["event"] == "job recovered")
    assert recovered["trace_id"] == ASKED.trace_id


def test_a_job_without_a_trace_begins_one(bench: Bench) -> None:
    job = asked(bench, context=None)
    with Collector() as collector:
        bench.worker(otlp_endpoint=collector.url)
        bench.ended(job)
        spans = collector.wait(lambda s: _count(s, "job.run"), "the attempt", bench.said)
    (queue,) = [span for span in spans if span.name == "job.queue"]
    assert {span.trace_id for span in spans} == {queue.trace_id}
    assert queue.parent_id == ""


def test_a_trace_that_its_client_does_not_record_is_not_recorded(bench: Bench) -> None:
    silent = TraceContext(ASKED.trace_id, ASKED.span_id, sampled=False)
    job, told = asked(bench, context=silent), asked(bench)
    with Collector() as collector:
        bench.worker(otlp_endpoint=collector.url)
        bench.ended(job)
        bench.ended(told)
        spans = collector.wait(lambda s: _count(s, "job.run"), "the recorded one", bench.said)
    assert {span.attributes.get("kohort.job", f"jobs/{told.id}") for span in spans} == {f"jobs/{told.id}"}
    assert {line["trace_id"] for line in lines_of(bench.said()) if "job" in line} == {ASKED.trace_id}


def test_the_phases_that_a_child_invents_are_not_told(bench: Bench) -> None:
    spans = JobSpans(tracing := Recording(), asked(bench), None)
    spans.phase("fitting")
    spans.phase("fitting Jane Doe")
    spans.end()
    assert tracing.names == ["job.run", "job.fitting", "job.other"]


@pytest.mark.slow
def test_a_collector_that_is_gone_costs_no_job(bench: Bench) -> None:
    first, second = asked(bench), asked(bench)
    with closed_port() as port:
        worker = bench.worker(otlp_endpoint=f"http://127.0.0.1:{port}")
        for job in (first, second):
            assert bench.ended(job).state is JobState.SUCCEEDED
        until(lambda: "spans lost" in bench.said(), "the complaint", say=bench.said)
        worker.terminate()
        worker.wait(60)
    said = lines_of(bench.said())
    assert [line["reason"] for line in said if line["event"] == "spans lost"] == ["COLLECTOR_UNAVAILABLE"]
    assert not [line for line in said if line["event"] == "library"], said
    assert [line["event"] for line in said][-1] == "worker ended"


async def test_a_collector_that_is_gone_costs_no_call(start: Start) -> None:
    with closed_port() as port:
        _, stubs = await start(otlp_endpoint=f"http://127.0.0.1:{port}")
        dataset = await stubs.upload()
        found = await stubs.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=dataset.name))
    assert found.dataset.name == dataset.name


async def test_a_call_without_a_trace_begins_one(start: Start) -> None:
    with Collector() as collector:
        server, stubs = await start(otlp_endpoint=collector.url)
        await stubs.capabilities.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest())
        await server.stop()
        (span,) = collector.spans
    assert (span.kind, span.parent_id, span.failed) == ("SERVER", "", False)
    assert span.name == "kohort.v1.CapabilitiesService/GetCapabilities"


async def test_a_share_of_the_traces_is_recorded(start: Start) -> None:
    with Collector() as collector:
        server, stubs = await start(otlp_endpoint=collector.url, trace_sample_ratio=0.0)
        for header in (None, ASKED.header()):
            metadata = (("traceparent", header),) if header else ()
            await stubs.capabilities.GetCapabilities(
                capabilities_pb2.GetCapabilitiesRequest(), metadata=metadata
            )
        await server.stop()
        (span,) = collector.spans
    assert (span.trace_id, span.parent_id) == (ASKED.trace_id, ASKED.span_id), "its client records it"


def test_spans_go_by_tls_with_the_headers(tmp_path: Path) -> None:
    authority = Authority("collectors")
    key, chain = authority.issue("collector", LOOPBACK)
    (tmp_path / "ca.pem").write_bytes(pem(authority.certificate))
    (tmp_path / "headers").write_text("Authorization: Bearer abc:def\n\nx-scope: hospital\n")
    (tmp_path / "headers").chmod(0o600)
    credentials = grpc.ssl_server_credentials([(key, chain)])
    with Collector(credentials) as collector:
        config = TracingConfig(collector.url, 1.0, str(tmp_path / "ca.pem"), str(tmp_path / "headers"))
        tracing = open_tracing(config, "kohort", "1")
        tracing.begin("one", None).end()
        tracing.close()
        assert [span.name for span in collector.spans] == ["one"]
        (metadata,) = collector.metadata
    assert (metadata["authorization"], metadata["x-scope"]) == ("Bearer abc:def", "hospital")


class Recording(Tracing):
    """Notes the names of the spans."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def begin(self, name: str, *_: object, **__: object) -> Span:
        self.names.append(name)
        span = Span(ASKED)
        span.begin = self.begin  # type: ignore[assignment, method-assign]
        return span


def _count(spans: list[Seen], name: str) -> int:
    return sum(span.name == name for span in spans)
