"""Admission, health, draining and the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kohort.v1 import capabilities_pb2, capabilities_pb2_grpc, dataset_pb2, sampling_pb2, training_pb2
from server.__main__ import STOPPED
from server.app import Server
from tests.core.support import eventually
from tests.server.conftest import Start, Stubs, collect, fails, settings

ROOT = Path(__file__).resolve().parents[2]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def health(stubs: Stubs, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(stubs.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_streams_of_a_class_are_bounded(start: Start) -> None:
    server, stubs = await start(max_sample_streams=1, max_watch_streams=1)
    model = await stubs.import_model()
    dataset = await stubs.upload()
    request = sampling_pb2.SampleRequest(model=model.name, unit_count=50_000_000, seed=1)
    first = stubs.sampling.Sample(request)
    await first.read()
    failed = await fails(stubs.sampling.Sample(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    assert failed.retry_after
    assert server.metrics.streams_refused.labels("sample")._value.get() == 1
    train = stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name))
    assert (await train.read()).update.HasField("job"), "classes do not stand in each other's way"
    first.cancel()
    request.unit_count = 10
    gauge = server.metrics.streams.labels("sample")
    await eventually(lambda: gauge._value.get() == 0, "the place to be free again")
    await collect(stubs.sampling.Sample(request))


async def test_a_message_that_is_too_large(stubs: Stubs) -> None:
    header = dataset_pb2.UploadHeader(format=dataset_pb2.UPLOAD_FORMAT_CSV)
    big = dataset_pb2.FileChunk(data=b"x" * (5 << 20))
    requests = [dataset_pb2.UploadDatasetRequest(header=header), dataset_pb2.UploadDatasetRequest(chunk=big)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.datasets.UploadDataset(iter(requests))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_health_is_made_of_facts(start: Start) -> None:
    server, stubs = await start()
    training, sampling = "kohort.v1.TrainingService", "kohort.v1.SamplingService"
    assert await health(stubs, "") == SERVING
    assert await health(stubs, sampling) == SERVING
    assert await health(stubs, training) == NOT_SERVING, "no worker lives"
    store = server.health._store
    store.workers.register("w", "cpu:0", "cpu", "test")
    await server.health.check()
    assert await health(stubs, training) == SERVING
    capabilities = await stubs.capabilities.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest())
    assert [(d.name, d.kind, d.available) for d in capabilities.devices] == [("cpu:0", "cpu", True)]
    server.settings.data_dir.chmod(0o500)
    try:
        if not os.access(server.settings.data_dir, os.W_OK):  # root writes anywhere
            await server.health.check()
            assert await health(stubs, training) == NOT_SERVING
            assert await health(stubs, sampling) == SERVING
    finally:
        server.settings.data_dir.chmod(0o700)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health(stubs, "no.Such")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_store_that_hangs_is_not_healthy(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, stubs = await start()
    answers = threading.Event()
    monkeypatch.setattr(server.health._store, "check_writable", answers.wait)
    monkeypatch.setattr("server.health._PATIENCE_SECONDS", 1.0)
    try:
        await server.health.check()
        assert await health(stubs, "kohort.v1.DatasetService") == NOT_SERVING
        assert await health(stubs, "kohort.v1.SamplingService") == SERVING
    finally:
        answers.set()


async def test_the_gauge_of_a_draining_server_stays_down(start: Start) -> None:
    server, _ = await start()
    service = {"service": "kohort.v1.SamplingService"}
    assert server.metrics.registry.get_sample_value("kohort_ready", service) == 1
    await server.health.shut_down()
    await server.health.check()
    assert server.metrics.registry.get_sample_value("kohort_ready", service) == 0


async def test_the_gauge_stays_down_of_a_server_that_drains_while_it_looks(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = await start()

    async def drain_meanwhile(service: str, status: int) -> None:
        if not server.health._over:
            await server.health.shut_down()

    monkeypatch.setattr(server.health.servicer, "set", drain_meanwhile)
    await server.health.check()
    (found,) = (f for f in server.metrics.registry.collect() if f.name == "kohort_ready")
    assert {sample.value for sample in found.samples} == {0}


async def test_servers_that_share_a_folder_do_not_trip_over_each_other(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stubs = await start()
    write = Path.write_bytes

    def written_and_taken_away(path: Path, data: bytes) -> int:
        size = write(path, data)
        path.unlink()
        return size

    monkeypatch.setattr(Path, "write_bytes", written_and_taken_away)
    await server.health.check()
    assert await health(stubs, "kohort.v1.DatasetService") == SERVING


async def test_request_ids_live_as_long_as_is_set(start: Start) -> None:
    _, stubs = await start(request_id_ttl_seconds=0.001)
    dataset = await stubs.upload()
    request = training_pb2.TrainRequest(dataset=dataset.name, request_id=str(uuid.uuid4()))
    names = set()
    for _ in range(2):
        call = stubs.training.Train(request)
        names.add((await call.read()).update.job.name)
        call.cancel()
        await asyncio.sleep(0.01)
    assert len(names) == 2


async def test_capabilities_are_enough_to_draw_a_form(stubs: Stubs) -> None:
    found = await stubs.capabilities.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest())
    assert found.api_version == "v1"
    assert found.default_trainer in {trainer.name for trainer in found.trainers}
    assert found.limits.max_message_bytes == 4 << 20
    assert (list(found.upload_formats), list(found.sample_formats)) == ([1, 2, 3, 4], [1, 2, 3])
    assert "single_pass/1" in found.programs
    assert not found.multi_table
    for trainer in found.trainers:
        assert trainer.description
        assert trainer.kinds
        for parameter in trainer.parameters:
            assert parameter.type
            assert parameter.description
            assert parameter.default_value.WhichOneof("kind"), parameter.name


async def test_draining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The delay holds the door open for the calls that must be refused, however slow the machine is.
    server = Server(settings(tmp_path, drain_delay_seconds=600, drain_grace_seconds=60))
    refused, sleep = asyncio.Event(), asyncio.sleep

    async def sleep_or_wait(seconds: float, *result: Any) -> Any:
        return await (refused.wait() if seconds == 600 else sleep(seconds, *result))

    monkeypatch.setattr(asyncio, "sleep", sleep_or_wait)
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    stubs = Stubs(channel)
    model = await stubs.import_model()
    dataset = await stubs.upload()
    train = stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name))
    job = (await train.read()).update.job.name
    sample = stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=200_000, seed=1))
    assert (await sample.read()).HasField("header")
    draining = asyncio.create_task(server.drain())

    async def not_serving() -> bool:
        return await health(stubs, "kohort.v1.SamplingService") == NOT_SERVING

    await eventually(not_serving, "health to tell")
    for call in (
        stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name)),
        stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=1)),
        stubs.datasets.UploadDataset(iter([dataset_pb2.UploadDatasetRequest()])),
    ):
        failed = await fails(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert failed.retry_after
    assert (await stubs.training.GetJob(training_pb2.GetJobRequest(name=job))).job.name == job
    refused.set()
    assert (await fails(last_of(train))).reason == "DRAINING"
    last = await last_of(sample)
    assert last.trailer.row_counts == {"people": 200_000}, "a stream under way ends as it would have"
    await asyncio.wait_for(draining, 100)
    await channel.close()


async def last_of(call: Any) -> Any:
    """The last message of a stream that was read from already."""
    last: Any = None
    while (message := await call.read()) is not grpc.aio.EOF:
        last = message
    return last


async def test_a_sample_that_outlives_the_grace_ends_resumable(tmp_path: Path) -> None:
    server = Server(settings(tmp_path, drain_grace_seconds=2))
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    stubs = Stubs(channel)
    model = await stubs.import_model()
    sample = stubs.sampling.Sample(
        sampling_pb2.SampleRequest(model=model.name, unit_count=1_000_000_000, seed=1)
    )
    await sample.read()
    draining = asyncio.create_task(server.drain())
    assert (await fails(last_of(sample))).reason == "DRAINING"
    await asyncio.wait_for(draining, 100)
    await channel.close()


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    flags = ["--port", "0", "--metrics-port", "-1", "--devices", "", "--drain-delay-seconds", "600"]
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *flags],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for number, event in ((signal.SIGTERM, '"serving"'), (signal.SIGINT, '"draining"')):
            for line in process.stderr:
                if event in line:
                    break
            process.send_signal(number)
        assert process.wait(30) == STOPPED
    finally:
        process.kill()
        process.communicate()


def test_sigterm_ends_the_process_well(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    flags = [
        "--port",
        "0",
        "--metrics-port",
        "-1",
        "--devices",
        "",
        "--address-file",
        str(tmp_path / "address"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *flags], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "address").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        with grpc.insecure_channel((tmp_path / "address").read_text().strip()) as channel:
            stub = capabilities_pb2_grpc.CapabilitiesServiceStub(channel)
            assert (
                stub.GetCapabilities(capabilities_pb2.GetCapabilitiesRequest(), timeout=60).api_version
                == "v1"
            )
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        assert process.stderr is not None
        log = process.stderr.read()
    assert '"event": "stopped"' in log
    assert all(line.startswith("{") for line in log.splitlines() if "chttp2" not in line), log
