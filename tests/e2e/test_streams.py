"""Long streams: memory stays flat, formats agree, watchers do not disturb."""

from __future__ import annotations

import io
import threading
import time

import pandas as pd
import pyarrow as pa
import pytest

from kohort.v1 import sampling_pb2, sampling_pb2_grpc
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server

ROWS = 500_000


@pytest.fixture(scope="module")
def model(shared: Server) -> str:
    with shared.client() as client:
        return client.train(client.upload(HEART, table="heart"), trainer="copula", seed=1).result().name


@pytest.mark.slow
def test_memory_is_flat_with_a_fast_and_a_stalled_reader(shared: Server, model: str) -> None:
    import grpc

    with shared.client() as client:
        client.sample(model, 20_000, seed=1)  # Warm.
        for _ in client.sample_batches(model, 50_000, seed=1):
            pass
        base = shared.process.memory_info().rss
        channel = grpc.insecure_channel(shared.address)
        stalled = sampling_pb2_grpc.SamplingServiceStub(channel).Sample(
            sampling_pb2.SampleRequest(model=model, unit_count=ROWS, seed=2)
        )
        next(iter(stalled))  # Reads the header, and then nothing.
        peak, rows = base, 0
        for batch in client.sample_batches(model, ROWS, seed=1):
            rows += len(batch)
            peak = max(peak, shared.process.memory_info().rss)
        stalled.cancel()
        channel.close()
    assert rows == ROWS
    assert (peak - base) / 2**20 < 48


def test_formats_agree(shared: Server, model: str) -> None:
    import grpc

    with shared.client() as client:
        expected = client.sample(model, 5000, seed=3)
    files = {}
    with grpc.insecure_channel(shared.address) as channel:
        stub = sampling_pb2_grpc.SamplingServiceStub(channel)
        for kind in (sampling_pb2.SAMPLE_FORMAT_CSV, sampling_pb2.SAMPLE_FORMAT_ARROW):
            request = sampling_pb2.SampleRequest(model=model, unit_count=5000, seed=3, format=kind)
            parts = list(stub.Sample(request))
            assert parts[0].WhichOneof("part") == "header"
            assert parts[0].header.synthetic
            assert parts[-1].trailer.row_counts == {"heart": 5000}
            files[kind] = b"".join(p.chunk.data for p in parts[1:-1])
    csv = pd.read_csv(io.BytesIO(files[sampling_pb2.SAMPLE_FORMAT_CSV]))
    arrow = pa.ipc.open_stream(files[sampling_pb2.SAMPLE_FORMAT_ARROW]).read_all()
    assert b"synthetic" in b"".join(arrow.schema.metadata)
    pd.testing.assert_frame_equal(csv.astype(float), expected.astype(float))
    pd.testing.assert_frame_equal(arrow.to_pandas().astype(float), expected.astype(float))


def test_many_watchers_and_a_slow_one(shared: Server) -> None:
    with shared.client() as client:
        job = client.train(client.upload(HEART, table="heart"), trainer="slow", seed=1, steps=15)
        seen: list[list[int]] = []

        def watch(pause: float) -> None:
            with shared.client() as other:
                mine = []
                for event in other.job(job.name).events():
                    mine.append(event.sequence)
                    time.sleep(pause)
                seen.append(mine)

        threads = [threading.Thread(target=watch, args=(0.1 if i == 0 else 0.0,)) for i in range(12)]
        for thread in threads:
            thread.start()
        job.result()
        for thread in threads:
            thread.join(60)
    assert len(seen) == 12
    assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in seen)
    assert len({len(sequences) for sequences in seen}) == 1
