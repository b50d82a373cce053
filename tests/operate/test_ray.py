"""Ray places the jobs: a real cluster of one node, and everything killed that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kohort
from server.store import Store
from tests.core.support import alive, closed_port, until
from tests.e2e.conftest import HEART
from tests.e2e.harness import SLOW, Server
from tests.operate import gated_trainer
from tests.operate.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
States = kohort.JobState
STARTING_SECONDS = 180.0
"""What starts with Ray takes seconds, on a busy machine many."""
LEASE_SECONDS = 10.0
"""Whoever is silent for so long is lost: more than a busy machine makes anybody wait."""


class Site:
    """A server that leaves its jobs to a cluster."""

    def __init__(self, folder: Path) -> None:
        environment = {
            "KOHORT_TRAINERS": f"{SLOW},{gated_trainer.NAMED}",
            "KOHORT_DATA_DIR": str(folder / "var"),
            "KOHORT_LEASE_SECONDS": str(LEASE_SECONDS),
            "KOHORT_HEARTBEAT_SECONDS": "1",
            "KOHORT_POLL_SECONDS": "0.2",
            "KOHORT_MAX_ATTEMPTS": "10",
            "KOHORT_EVALUATION_PROFILE": "none",
        }
        self.cluster = Cluster(environment)
        self.gate = folder / "gate"
        flags = ["--executor", "ray", "--ray-kinds", "cpu,cuda", "--ray-address", self.cluster.address]
        self.environment = environment | self.cluster.access
        self.server = Server(folder, *flags, env=self.environment)

    def workers(self) -> list[psutil.Process]:
        return [p for p in self.cluster.processes() if _runs(p, "server.placed")]

    def dispatcher(self) -> psutil.Process:
        found: list[psutil.Process] = []

        def look() -> bool:
            below = self.server.process.children(recursive=True)
            found[:] = [p for p in below if _runs(p, "server.dispatcher")]
            return bool(found)

        until(look, "a dispatcher", STARTING_SECONDS)
        return found[0]

    def running(self, client: kohort.Client) -> kohort.Job:
        """A job that has begun to fit, and does so until the gate opens."""
        self.gate.unlink(missing_ok=True)
        dataset = client.upload(HEART, table="heart")
        job = client.train(dataset, trainer="gated", seed=1, gate=str(self.gate))
        for event in job.events():
            if isinstance(event.detail, kohort.Progress) and event.detail.step >= 3:
                return job
        raise AssertionError(job.refresh())

    def start_dispatcher(self) -> subprocess.Popen[bytes]:
        """One by itself, beside the server's."""
        command = [sys.executable, "-m", "server", "dispatcher", "--ray-address", self.cluster.address]
        with (self.server.folder / "dispatcher.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--ray-kinds", "cpu,cuda"], env=os.environ | self.environment, stderr=log
            )

    def presences(self) -> list[str]:
        """The kinds that dispatchers answer for now."""
        store = Store(f"sqlite:///{self.server.folder / 'var' / 'kohort.db'}")
        try:
            found = store.workers.live(LEASE_SECONDS)
            return [worker.slot for worker in found if worker.slot == worker.kind]
        finally:
            store.close()

    def said(self) -> str:
        return self.server.log() + self.cluster.said()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("ray"))
    try:
        site.cluster.start()
        with site.server:
            yield site
    finally:
        site.cluster.close()


@pytest.fixture
def client(site: Site) -> Iterator[kohort.Client]:
    with site.server.client() as client:
        yield client
        for job in client.jobs([States.QUEUED, States.RUNNING]):  # of a test that failed
            job.cancel()


def finish(client: kohort.Client, job: kohort.Job) -> list[str]:
    """Waits for success and gives the states on the way: one model, and no progress told twice."""
    model = job.result()
    assert len(client.sample(model, 10, seed=1)) == 10
    events = list(job.events())
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    assert [m.name for m in client.models() if m.info.job == job.name] == [model.name]
    steps = [e.detail.step for e in events if isinstance(e.detail, kohort.Progress)]
    assert steps == sorted(steps), "a later attempt began before its checkpoint"
    return [str(e.detail.state.value) for e in events if isinstance(e.detail, kohort.StateChanged)]


ONCE = ["queued", "running", "succeeded"]
TWICE = ["queued", "running", "queued", "running", "succeeded"]


def test_ray_places_every_job_that_waits(site: Site, client: kohort.Client) -> None:
    dataset = client.upload(HEART, table="heart")
    jobs = [client.train(dataset, trainer="slow", seed=i, steps=5) for i in range(3)]
    assert [finish(client, job) for job in jobs] == [ONCE] * 3, site.said()
    until(lambda: not site.workers(), "the workers to end with their jobs")
    assert [d.name for d in client.capabilities().devices] == ["cpu", "cuda"]


def test_a_job_whose_worker_is_killed_is_placed_again(site: Site, client: kohort.Client) -> None:
    job = site.running(client)
    for worker in site.workers():
        worker.kill()
    site.gate.touch()
    assert finish(client, job) == TWICE, site.said()


def test_a_running_job_is_cancelled(site: Site, client: kohort.Client) -> None:
    job = site.running(client)
    job.cancel()
    until(lambda: job.refresh().state is States.CANCELLED, "the job to end")
    until(lambda: not site.workers(), "its worker to leave")


def test_a_job_for_a_gpu_waits_until_there_is_one_and_holds_nobody_up(
    site: Site, client: kohort.Client
) -> None:
    dataset = client.upload(HEART, table="heart")
    waits = client.train(dataset, trainer="slow", seed=1, steps=5, device="cuda")
    until(lambda: '"kind": "cuda"' in site.server.log(), "a task that asks for a GPU")
    assert finish(client, client.train(dataset, trainer="slow", seed=1, steps=5, device="cpu")) == ONCE
    assert waits.refresh().state is States.QUEUED
    unwanted = client.train(dataset, trainer="slow", seed=1, steps=5, device="cuda")
    until(lambda: site.server.log().count('"kind": "cuda"') >= 2, "a task for the second")
    unwanted.cancel()
    withdrawn = '"error": "TaskCancelledError"'
    until(lambda: withdrawn in site.server.log(), "the task of the second to be withdrawn")
    site.cluster.add_gpu_node()  # as an autoscaler would
    try:
        assert finish(client, waits) == ONCE
    finally:
        site.cluster.remove_gpu_node()
    assert waits.refresh().device == "cuda:0"
    with pytest.raises(kohort.RpcError) as refused:
        client.train(dataset, trainer="slow", device="cuda:0")
    assert refused.value.reason == "UNKNOWN_DEVICE"


def test_what_a_killed_dispatcher_leaves_is_done_once(site: Site, client: kohort.Client) -> None:
    job = site.running(client)
    dispatcher, workers = site.dispatcher(), site.workers()
    dispatcher.kill()
    until(lambda: not any(map(alive, workers)), "Ray to end what the dispatcher had asked for")
    site.gate.touch()
    assert finish(client, job) == TWICE, site.said()
    assert site.dispatcher().pid != dispatcher.pid


def test_two_dispatchers_do_nothing_twice(site: Site, client: kohort.Client) -> None:
    other = site.start_dispatcher()
    try:
        until(lambda: len(site.presences()) == 4, "both to answer for both kinds", STARTING_SECONDS)
        dataset = client.upload(HEART, table="heart")
        jobs = [client.train(dataset, trainer="slow", seed=i, steps=5) for i in range(3)]
        assert [finish(client, job) for job in jobs] == [ONCE] * 3, site.said()
        other.terminate()
        assert other.wait(60) == 0
        until(lambda: len(site.presences()) == 2, "only the server's to answer")
    finally:
        other.kill()
        other.wait()


def test_a_server_that_stops_takes_its_jobs_back(site: Site) -> None:
    with site.server.client() as client:
        job = site.running(client)
    assert site.server.stop() == 0
    assert not site.workers()
    site.gate.touch()
    site.server.start()
    with site.server.client() as client:
        job = client.job(job.name)
        assert finish(client, job) == TWICE, site.said()
        found = [e.detail.reason for e in job.events() if isinstance(e.detail, kohort.Finding)]
        assert "WORKER_LOST" not in found, "it was given back"


def test_jobs_outlive_the_cluster(site: Site, client: kohort.Client) -> None:
    running = site.running(client)
    latest = client.train(running.refresh().dataset, trainer="slow", seed=1, steps=5)
    site.cluster.kill()
    until(lambda: not _trains(site.server.address), "the server to notice")
    assert running.refresh().state in (States.QUEUED, States.RUNNING)
    site.gate.touch()
    site.cluster.start()
    assert finish(client, running) == TWICE, site.said()
    assert finish(client, latest)[-1] == "succeeded"


def test_without_a_cluster_the_dispatcher_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path, "--devices", "")
    with server:  # makes the database
        pass
    with closed_port() as port:
        nobody = f"127.0.0.1:{port}"
        done = subprocess.run(
            [sys.executable, "-m", "server", "dispatcher", "--ray-address", nobody],
            env=os.environ | {"KOHORT_DATA_DIR": str(tmp_path / "var")},
            capture_output=True,
            text=True,
            timeout=STARTING_SECONDS,
        )
    assert done.returncode == 1
    assert f"no Ray cluster answers at {nobody}" in done.stderr


def _trains(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service="kohort.v1.TrainingService"), timeout=30)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _runs(process: psutil.Process, module: str) -> bool:
    try:
        return module in process.cmdline()
    except psutil.Error:
        return False
