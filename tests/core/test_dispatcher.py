"""How many tasks the dispatcher keeps with Ray; Ray itself is a stand-in here (tests/operate/test_ray.py)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from server import dispatcher
from server.dispatcher import Dispatcher, DispatcherConfig
from server.store import Store
from server.worker import EMPTY
from tests.core.support import add_job


class RayError(Exception):
    pass


class Ray:
    """Tasks are numbers: open until they are told to end."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self) -> None:
        self.submitted: list[tuple[str, str, dict[str, Any]]] = []
        self.results: dict[int, int | RayError] = {}
        self.cancelled: list[int] = []
        self.deaf: list[int] = []
        """Whose cancellation gets lost."""
        self.ends_when_cancelled = False
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while somebody waits."""

    def remote(self, **options: Any) -> Any:
        assert options == {"max_retries": 0}
        return lambda function: self

    def options(self, **options: Any) -> Any:
        def submit(kind: str, worker: str) -> int:
            self.submitted.append((kind, worker, options))
            return len(self.submitted) - 1

        return SimpleNamespace(remote=submit)

    def wait(self, references: list[int], **_: Any) -> tuple[list[int], list[int]]:
        self.meanwhile()
        ended = [one for one in references if one in self.results]
        return ended, [one for one in references if one not in ended]

    def get(self, reference: int) -> int:
        result = self.results[reference]
        if isinstance(result, RayError):
            raise result
        return result

    def cancel(self, reference: int, *, force: bool) -> None:
        assert not force, "a worker must be able to give its job back"
        self.cancelled.append(reference)
        if self.ends_when_cancelled and reference not in self.deaf:
            self.results[reference] = 0

    def shutdown(self) -> None:
        assert len(self.results) == len(self.submitted), "it would end what still works"


class Desk:
    """A dispatcher that looks when it is told to, by a clock that is set."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ray, self.now = Ray(), 100.0
        monkeypatch.setattr(dispatcher, "time", SimpleNamespace(monotonic=lambda: self.now))
        self._dispatcher = Dispatcher(
            DispatcherConfig(url, "", ("cuda", "cpu"), cpus_per_job=2, max_jobs=3, heartbeat_s=1e9)
        )
        self._dispatcher.attach(self.ray)
        self.look, self.end = self._dispatcher.look, self._dispatcher._end

    def close(self) -> None:
        self._dispatcher.leave()
        self._dispatcher.close()

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.ray.submitted]


@pytest.fixture
def desk(store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk(database_url, monkeypatch)
    yield desk
    desk.close()


def test_there_is_a_task_for_every_job_and_no_second_one(store: Store, desk: Desk) -> None:
    desk.look()
    assert desk.kinds() == []
    for device in ("cpu", "", "cuda"):
        add_job(store, device_filter=device)
    desk.look()
    desk.look()
    assert desk.kinds() == ["cuda", "cuda", "cpu"]
    asked = {kind: options for kind, _, options in desk.ray.submitted}
    assert asked["cpu"] == {"num_cpus": 2, "num_gpus": 0, "name": "kohort-cpu"}
    assert asked["cuda"] == {"num_cpus": 2, "num_gpus": 1, "name": "kohort-cuda"}


def test_a_task_that_took_its_job_is_not_one_that_waits(store: Store, desk: Desk) -> None:
    add_job(store, device_filter="cpu")
    desk.look()
    worker = desk.ray.submitted[0][1]
    store.workers.register(worker, "cpu:0", "cpu", "node")
    assert store.leases.claim(worker, "cpu:0", "cpu", 30)
    add_job(store, device_filter="cpu")
    desk.look()
    desk.look()
    assert desk.kinds() == ["cpu", "cpu"]
    assert desk.ray.cancelled == []


def test_tasks_of_one_kind_have_a_limit_of_their_own(store: Store, desk: Desk) -> None:
    for device in ["cuda"] * 5 + ["cpu"]:
        add_job(store, device_filter=device)
    desk.look()
    assert desk.kinds() == ["cuda"] * 3 + ["cpu"]


def test_a_task_that_nobody_needs_is_taken_back_once(store: Store, desk: Desk) -> None:
    jobs = [add_job(store, device_filter="cuda") for _ in range(2)]
    desk.look()
    store.jobs.request_cancel(jobs[0].tenant, jobs[0].id)
    desk.look()
    desk.look()
    assert desk.ray.cancelled == [1], "the latest, once"
    desk.ray.results[1] = RayError()
    desk.look()
    assert desk.kinds() == ["cuda", "cuda"]


@pytest.mark.parametrize("result", [EMPTY, 1, -9, RayError()])
def test_tasks_that_come_to_nothing_are_repeated_ever_more_seldom(
    store: Store, desk: Desk, result: int | RayError
) -> None:
    add_job(store, device_filter="cpu")
    add_job(store, device_filter="cuda")
    pauses = []
    for _ in range(9):
        began = desk.now
        submitted = desk.kinds().count("cpu")
        while desk.kinds().count("cpu") == submitted:
            desk.look()
            desk.now += 0.25
        pauses.append(desk.now - began)
        desk.ray.results[max(i for i, kind in enumerate(desk.kinds()) if kind == "cpu")] = result
    assert pauses[:4] == pytest.approx([0.25, 0.75, 1.25, 2.25])
    assert pauses[-1] == pytest.approx(30.25), "and not ever longer"
    assert desk.kinds().count("cuda") == 1, "the other kind knows nothing of it"
    desk.ray.results[len(desk.kinds()) - 1] = 0
    desk.look()
    desk.look()
    assert desk.kinds()[-1] == "cpu", "one that found its job makes all good again"


def test_a_worker_leaves_though_what_ray_says_gets_lost(store: Store, desk: Desk) -> None:
    for _ in range(2):
        add_job(store, device_filter="cpu")
    desk.look()
    desk.ray.ends_when_cancelled, desk.ray.deaf = True, [1]
    worker = desk.ray.submitted[1][1]
    beats: list[bool] = []

    def beat() -> None:
        beats.append(store.workers.beat(worker))
        if len(beats) == 1:  # it only begins
            store.workers.register(worker, "cpu:0", "cpu", "host")
        elif not beats[-1]:
            desk.ray.results[1] = 0
        assert len(beats) < 5, "nobody dismisses it"

    desk.ray.meanwhile = beat
    desk.end()
    assert desk.ray.cancelled == [0, 1], "Ray heeds no second time"
    assert beats == [False, False]


_HANGS = """
import sys, time
from server import dispatcher
dispatcher._HUNG_SECONDS = 0.2
one = dispatcher.Dispatcher(dispatcher.DispatcherConfig(sys.argv[1], "", ("cpu",), lease_s=0.1))
one._seen = float("inf")
one.look = lambda: time.sleep(60)
one._dispatch()
"""


def test_a_dispatcher_that_hangs_in_ray_ends(store: Store, database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HANGS, database_url], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "in _dispatch" in done.stderr
