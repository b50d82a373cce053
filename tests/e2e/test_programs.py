"""Two tables and variable length through Sample and the SDK: whole, in parts, over a cut wire."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import kohort
from server.app import Server
from server.settings import Settings
from tests.e2e.harness import Wire
from tests.runtime.step_program import step_bundle


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in this process, where `step/1` is known."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    data = tmp_path_factory.mktemp("data")
    settings = Settings(
        port=0, metrics_port=-1, data_dir=data, devices="", import_unverified=True, log_level="error"
    )

    async def start() -> Server:
        server = Server(settings)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(120)
    yield f"127.0.0.1:{server.port}"
    asyncio.run_coroutine_threadsafe(server.drain(), loop).result(120)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def model(address: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("bundle") / "step.kohort"
    path.write_bytes(step_bundle())
    with kohort.Client(address) as client:
        return client.import_model(path).name


def test_two_tables_arrive_together(address: str, model: str) -> None:
    with kohort.Client(address) as client:
        found = client.sample_tables(model, 300, seed=1)
    assert list(found) == ["patients", "visits"]
    patients, visits = found["patients"], found["visits"]
    assert len(patients) == 300
    assert patients["patient"].is_unique
    assert set(visits["patient"]) <= set(patients["patient"])
    counts = visits["patient"].value_counts()
    assert counts.nunique() > 3, "patients differ in length"


def test_parts_make_the_whole(address: str, model: str) -> None:
    with kohort.Client(address) as client:
        whole = client.sample_tables(model, 300, seed=2)
        parts = [client.sample_tables(model, n, seed=2, start=s) for s, n in ((0, 7), (7, 200), (207, 93))]
    for name, frame in whole.items():
        joined = pd.concat([part[name] for part in parts], ignore_index=True)
        pd.testing.assert_frame_equal(frame, joined)


def test_a_cut_wire_loses_and_repeats_no_visit(address: str, model: str) -> None:
    wire = Wire(address)
    try:
        with kohort.Client(address) as direct, kohort.Client(wire.address) as client:
            whole = direct.sample_tables(model, 20_000, seed=3)
            wire.cut_after(300_000)
            resumed = client.sample_tables(model, 20_000, seed=3)
    finally:
        wire.close()
    assert wire.cuts == 2, "one in the middle, one by close"
    for name, frame in whole.items():
        pd.testing.assert_frame_equal(frame, resumed[name])
