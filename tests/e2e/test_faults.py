"""kill -9, cuts and drains: each ends in the documented state with nothing lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import kohort
from tests.core.support import alive, until
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server, Wire, training_child, worker


def start(server: Server, **more: object) -> str:
    """A job that goes on until `finish`, some steps in; its name."""
    with server.client() as client:
        job = client.train(client.upload(HEART, table="heart"), trainer="slow", seed=1, steps=5000, **more)
        seen = 0
        for event in job.events():
            seen += isinstance(event.detail, kohort.Progress)
            if seen >= 5:
                break
        return job.name


def finish(server: Server, name: str) -> tuple[kohort.Job, list[int], list[str]]:
    """Lets a job end once a later attempt trains; the job, the progress steps, the states it went through."""
    with server.client() as client:
        job = client.job(name)
        until(lambda: job.refresh().attempt > 1 and job.info.progress, "another attempt to train", 120)
        server.release()
        model = job.result()
        events = list(job.events())
        assert len(client.sample(model, 100, seed=1)) == 100
        assert [m.name for m in client.models()] == [model.name]  # One model, however often it was tried.
        assert [e.sequence for e in events] == list(range(1, len(events) + 1))
        return (
            job.refresh(),
            [e.detail.step for e in events if isinstance(e.detail, kohort.Progress)],
            [e.detail.state for e in events if isinstance(e.detail, kohort.StateChanged)],
        )


@pytest.mark.slow
def test_killed_child(fresh: Server) -> None:
    name = start(fresh)
    training_child(fresh).kill()
    job, steps, states = finish(fresh, name)
    assert states == ["queued", "running", "queued", "running", "succeeded"]
    assert job.attempt == 2
    assert steps == sorted(steps), "the second attempt began before its checkpoint"


@pytest.mark.slow
def test_killed_worker(fresh: Server) -> None:
    name = start(fresh)
    child = training_child(fresh)
    worker(fresh).kill()
    until(lambda: not alive(child), "the child to die with its worker")
    job, steps, states = finish(fresh, name)
    assert states == ["queued", "running", "queued", "running", "succeeded"]
    assert job.attempt == 2
    assert steps == sorted(steps)


def test_killed_server(fresh: Server) -> None:
    name = start(fresh)
    assert fresh.kill(), "a worker and a child must have been running"
    fresh.start()
    job, steps, states = finish(fresh, name)
    assert states[-1] == "succeeded"
    assert job.attempt == 2
    assert steps == sorted(steps)


@pytest.mark.slow
def test_child_that_always_dies(tmp_path: Path) -> None:
    server = Server(tmp_path, "--max-attempts", "2").start()
    try:
        name = start(server)
        first = training_child(server)
        first.kill()
        until(lambda: training_child(server).pid != first.pid, "a second attempt")
        training_child(server).kill()
        with server.client() as client, pytest.raises(kohort.JobFailed) as failure:
            client.job(name).result()
        assert failure.value.reason == "ATTEMPTS_EXHAUSTED"
    finally:
        server.stop()


@pytest.mark.slow
def test_deaf_child_is_stopped(tmp_path: Path) -> None:
    server = Server(tmp_path, "--cancel-grace-seconds", "0.5", "--terminate-grace-seconds", "0.5").start()
    try:
        name = start(server, deaf=True)
        child = training_child(server)
        with server.client() as client:
            job = client.job(name)
            job.cancel()
            with pytest.raises(kohort.JobCancelled):
                job.result()
        until(lambda: not alive(child), "the child to end")
    finally:
        server.stop()


@pytest.mark.slow
def test_drain_during_train(fresh: Server) -> None:
    name = start(fresh)
    assert fresh.stop() == 0, fresh.log()
    fresh.start()
    job, steps, _ = finish(fresh, name)
    assert job.attempt == 2
    assert steps == sorted(steps)


def test_drain_during_sample(tmp_path: Path) -> None:
    # Time for all of the stream, however slow the machine.
    with Server(tmp_path, "--drain-grace-seconds", "150") as server, server.client() as client:
        model = client.train(client.upload(HEART, table="heart"), trainer="copula", seed=1).result()
        seen = 0
        for batch in client.sample_batches(model, 400_000, seed=1):
            if not seen:
                server.signal(signal.SIGTERM)
            seen += len(batch)
        assert seen == 400_000, "a stream under way ends as it would have"
        assert server.stop(asked=True) == 0, server.log()


def test_taken_port(fresh: Server, tmp_path: Path) -> None:
    data = tmp_path / "second"
    data.mkdir()
    second = Server(data, "--port", fresh.address.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=r"status 1; [^$]*the port is taken"):
        second.start()


def test_client_cut_while_uploading(fresh: Server, tmp_path: Path) -> None:
    wire = Wire(fresh.address)
    big = pd.concat([pd.read_csv(HEART)] * 2000)
    path = tmp_path / "big.csv"
    big.to_csv(path, index=False)
    with kohort.Client(wire.address, retry=kohort.Retry(attempts=1)) as client:
        wire.cut_after(8 << 20, from_server=False)  # the server has begun, and the client has more
        with pytest.raises(kohort.RpcError):
            client.upload(path, table="big")
    assert wire.cuts == 1
    wire.close()
    with fresh.client() as client:
        method = "/kohort.v1.DatasetService/UploadDataset"
        (call,) = until(lambda: told(fresh, "call", method=method), "the call to end")
        assert call["code"] != "OK"
        assert call["received"] > 1
        until(lambda: not list(spool(fresh).iterdir()), "the spool to be empty")
        assert list(client.datasets()) == []
        assert client.upload(path, table="big").info.row_counts == {"big": len(big)}


def spool(server: Server) -> Path:
    return server.data / "var" / "spool"


def told(server: Server, event: str, **facts: Any) -> list[dict[str, Any]]:
    """The lines of the log of an event with these facts."""
    # The last may be half written.
    lines = [line for line in server.log().splitlines(keepends=True) if line[0] == "{" and line[-2:] == "}\n"]
    whole = [json.loads(line) for line in lines]
    return [one for one in whole if facts.items() <= one.items() and one["event"] == event]


def test_client_cut_while_training(fresh: Server) -> None:
    wire = Wire(fresh.address)
    with kohort.Client(wire.address) as client:
        job = client.train(client.upload(HEART, table="heart"), trainer="slow", seed=1, steps=40)
        sequences = []
        for event in job.events():
            sequences.append(event.sequence)
            if len(sequences) in (6, 12):
                wire.cut()
        assert sequences == list(range(1, len(sequences) + 1)), "nothing twice, nothing lost"
        assert job.refresh().state == "succeeded"
    assert wire.cuts == 2
    wire.close()


def test_client_cut_while_sampling(fresh: Server) -> None:
    wire = Wire(fresh.address)
    with fresh.client() as direct, kohort.Client(wire.address) as client:
        model = direct.train(direct.upload(HEART, table="heart"), trainer="copula", seed=1).result()
        whole = direct.sample(model, 150_000, seed=4)
        wire.cut_after(2_500_000)
        resumed = client.sample(model, 150_000, seed=4)
    assert wire.cuts >= 1
    pd.testing.assert_frame_equal(whole, resumed)
    wire.close()


def pause_between_writes(server: Server, pid: int) -> None:
    """Stops a process while it does not hold SQLite's one lock: nobody else could write until it wakes."""
    for _ in range(100):
        os.kill(pid, signal.SIGSTOP)
        database = sqlite3.connect(server.data / "var" / "kohort.db", timeout=0.2, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
        finally:
            database.close()
    raise AssertionError("the worker never stopped writing")


@pytest.mark.slow
def test_paused_worker_loses(tmp_path: Path) -> None:
    server = Server(
        tmp_path, "--lease-seconds", "3", "--heartbeat-seconds", "0.5", "--devices", "cpu:2"
    ).start()
    try:
        name = start(server)
        with server.client() as client:
            lost = client.job(name).info.attempt
        child, paused = training_child(server), worker(server)
        pause_between_writes(server, paused.pid)
        try:
            finished, _, states = finish(server, name)
            until(lambda: not alive(child), "the child of the paused worker to be done, too")
        finally:
            os.kill(paused.pid, signal.SIGCONT)
        # On a machine so slow that a lease runs out by itself there are further attempts.
        assert finished.attempt > lost
        assert states[-1] == "succeeded"
        # It wakes with a bundle in hand, and would publish it.
        lines = ("lease lost", "attempt abandoned")
        until(lambda: any(told(server, line, attempt=lost) for line in lines), "the old worker to notice")
        with server.client() as client:
            assert client.job(name).state == "succeeded"
            assert len(list(client.models())) == 1
    finally:
        server.stop()
