"""Train, Status and Cancel; the test itself plays the worker, so that every order of events can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from kohort.problem import Problem
from kohort.schema import Finding
from kohort.v1 import sampling_pb2, training_pb2
from server import watch
from server.app import Server
from server.records import JobRecord, ModelRecord
from server.store import Store
from tests.core.support import eventually
from tests.server.conftest import Start, Stubs, collect, fails

UUID = "21234567-89ab-4cde-8f01-23456789abcd"
STATE = training_pb2.JobState


class Worker:
    """A worker that does as it is told."""

    def __init__(self, server: Server) -> None:
        self.store = Store(server.settings.database)
        self.store.workers.register("w", "cpu:0", "cpu", "test")

    def claim(self) -> JobRecord:
        job = self.store.leases.claim("w", "cpu:0", "cpu", 60)
        assert job is not None
        self.fence = (job.id, job.attempt, "w")
        return job

    def progress(self, step: int) -> None:
        self.store.leases.progress(
            *self.fence,
            {
                "step": step,
                "total_steps": 9,
                "losses": {"g": 0.5},
                "rows_per_second": 100.0,
                "eta_s": 3.5,
                "gradient_norm": 0.25,
            },
        )

    def publish(self, job: JobRecord) -> str:
        model = ModelRecord(
            "m" + job.id[:8], job.tenant, job.principal, "", {}, job.spec.schema, job.spec.trainer, {},
            job.id, job.spec.dataset, b"c" * 32, b"b" * 32, 1, "single_pass/1", "row", True, {}, (), 0.0,
            "models/x/y",
        )  # fmt: skip
        self.store.leases.publish(*self.fence, model)
        return model.id


@pytest.fixture
async def stage(start: Start) -> Any:
    server, stubs = await start()
    worker = Worker(server)
    yield server, stubs, worker
    worker.store.close()


async def train(stubs: Stubs, **more: Any) -> Any:
    """A stream of Train by the trainer that takes least time, as an async iterator."""
    dataset = await stubs.upload()
    request = training_pb2.TrainRequest(dataset=dataset.name, **{"trainer": "copula", **more})
    return aiter(stubs.training.Train(request))


async def read_until(stream: Any, field: str) -> Any:
    """The next update of that kind."""
    async for message in stream:
        if message.update.WhichOneof("update") == field:
            return message.update
    raise AssertionError("the stream ended")


def kinds(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        update = message.update
        yield "job" if update.HasField("job") else update.event.WhichOneof("detail") or "?"


async def test_a_job_is_told_from_first_to_last(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(
        stubs,
        seed=5,
        display_name="Mine",
        labels={"k": "v"},
        holdout_fraction=0.3,
        weight_patients_equally=True,
    )
    first = (await anext(stream)).update
    assert (first.sequence, first.job.state) == (0, STATE.JOB_STATE_QUEUED)
    job = first.job
    assert (job.seed, job.display_name, dict(job.labels)) == (5, "Mine", {"k": "v"})
    assert job.trainer == "copula"
    assert (job.queue_position, job.attempt, job.model) == (0, 0, "")
    assert job.max_runtime.seconds == 24 * 3600
    assert len(job.schema.tables[0].columns) == 14
    record = worker.claim()
    assert record.spec.options.holdout == 0.3
    assert record.spec.options.equal_patients
    worker.store.leases.phase(*worker.fence, "fitting")
    worker.progress(1)
    worker.store.leases.warning(*worker.fence, Finding("KEY_REGENERATED", "a key", "heart", "id"))
    model = worker.publish(record)
    rest = [message async for message in stream]
    told = list(kinds(rest))
    assert [kind for kind in told if kind != "job"] == [
        "state_changed", "state_changed", "phase_started", "progress", "warning", "state_changed"
    ]  # fmt: skip
    assert told[-1] == "job"
    sequences = [m.update.event.sequence for m in rest if m.update.HasField("event")]
    assert sequences == list(range(1, 7))
    done = rest[-1].update
    assert (done.job.state, done.job.model, done.sequence) == (
        STATE.JOB_STATE_SUCCEEDED,
        f"models/{model}",
        6,
    )
    assert done.job.progress.losses["g"] == 0.5
    assert done.job.HasField("end_time")


async def test_status_goes_on_where_it_was(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    name = (await anext(stream)).update.job.name
    record = worker.claim()
    for step in range(1, 6):
        worker.progress(step)
    seen = 0
    async for message in stream:
        seen = message.update.sequence
        if seen == 4:
            break
    status = aiter(stubs.training.Status(training_pb2.StatusRequest(job=name, after_sequence=seen)))
    assert (await anext(status)).update.sequence == 4
    events = [(await read_until(status, "event")).event for _ in range(3)]
    assert [event.sequence for event in events] == [5, 6, 7]
    worker.publish(record)
    rest = [message async for message in status]
    assert rest[-1].update.job.state == STATE.JOB_STATE_SUCCEEDED
    finished = await collect(stubs.training.Status(training_pb2.StatusRequest(job=name, after_sequence=8)))
    assert [m.update.WhichOneof("update") for m in finished] == ["job"]


async def test_a_watcher_waits_for_no_poll_of_the_workers(start: Start) -> None:
    server, stubs = await start(poll_seconds=600)
    worker = Worker(server)
    stream = await train(stubs)
    await anext(stream)
    worker.claim()
    worker.progress(1)
    async with asyncio.timeout(60):
        while not (await read_until(stream, "event")).event.HasField("progress"):
            pass
    worker.store.close()


@pytest.mark.parametrize(("watchers", "seconds"), [(0, 0.1), (1, 0.1), (200, 0.5), (4000, 7.0)])
def test_the_store_is_asked_the_rarer_the_more_watch(watchers: int, seconds: float) -> None:
    following: Any = watch.Watch(None, None, None, 7.0)  # type: ignore[arg-type]
    following._waiting.update({f"job{i % 7}": set() for i in range(watchers)})
    for i in range(watchers):
        following._waiting[f"job{i % 7}"].add(asyncio.Event())
    assert following._pause() == seconds


async def test_a_failed_job_is_not_a_failed_call(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    await anext(stream)
    worker.claim()
    worker.store.leases.fail(*worker.fence, "TRAINING_DIVERGED", "losses are not finite", "heart.age")
    last = [message async for message in stream][-1].update.job
    assert last.state == STATE.JOB_STATE_FAILED
    assert (last.error.reason, last.error.column) == ("TRAINING_DIVERGED", "heart.age")


async def test_a_lost_worker_is_told(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    await anext(stream)
    worker.claim()
    worker.store.leases.give_back(*worker.fence, lost=True, message="its worker died")
    warning = await read_until(stream, "event")
    while not warning.event.HasField("warning"):
        warning = await read_until(stream, "event")
    assert warning.event.warning.reason == "WORKER_LOST"
    again = worker.claim()
    assert again.attempt == 2
    worker.publish(again)
    assert [message async for message in stream][-1].update.job.attempt == 2


async def test_cancelling_a_queued_job(stage: Any) -> None:
    _, stubs, _ = stage
    stream = await train(stubs)
    name = (await anext(stream)).update.job.name
    cancelled = await collect(stubs.training.Cancel(training_pb2.CancelRequest(job=name)))
    assert [m.update.job.state for m in cancelled] == [STATE.JOB_STATE_CANCELLED]
    assert [message async for message in stream][-1].update.job.state == STATE.JOB_STATE_CANCELLED
    again = await collect(stubs.training.Cancel(training_pb2.CancelRequest(job=name)))
    assert [m.update.job.state for m in again] == [STATE.JOB_STATE_CANCELLED]


async def test_cancelling_a_running_job(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    name = (await anext(stream)).update.job.name
    worker.claim()
    cancel = aiter(stubs.training.Cancel(training_pb2.CancelRequest(job=name)))
    assert (await anext(cancel)).update.job.state == STATE.JOB_STATE_CANCELLING
    assert worker.store.leases.heartbeat(*worker.fence, 60), "the worker hears of it"
    worker.store.leases.cancelled(*worker.fence)
    for watcher in (cancel, stream):
        assert [m async for m in watcher][-1].update.job.state == STATE.JOB_STATE_CANCELLED


async def test_a_cancel_that_comes_too_late_changes_nothing(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    name = (await anext(stream)).update.job.name
    worker.publish(worker.claim())
    cancelled = await collect(stubs.training.Cancel(training_pb2.CancelRequest(job=name)))
    assert [m.update.job.state for m in cancelled] == [STATE.JOB_STATE_SUCCEEDED]


async def test_a_quiet_job_sends_heartbeats(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HEARTBEAT_SECONDS", 0.2)
    _, stubs, _ = stage
    stream = await train(stubs)
    beats = [await read_until(stream, "heartbeat") for _ in range(3)]
    assert [beat.sequence for beat in beats] == [1, 1, 1]


async def test_repeating_train_attaches(stage: Any) -> None:
    _, stubs, worker = stage
    dataset = await stubs.upload()
    request = training_pb2.TrainRequest(request_id=UUID, dataset=dataset.name)
    jobs = set()
    for _ in range(2):
        stream = stubs.training.Train(request)
        jobs.add((await stream.read()).update.job.name)
        stream.cancel()
    assert len(jobs) == 1
    worker.publish(worker.claim())
    again = await collect(stubs.training.Train(request))
    assert again[-1].update.job.state == STATE.JOB_STATE_SUCCEEDED
    request.seed = 9
    failed = await fails(stubs.training.Train(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_jobs_are_listed_newest_first_by_state(stage: Any) -> None:
    _, stubs, worker = stage
    dataset = await stubs.upload()
    names = []
    for _ in range(3):
        stream = stubs.training.Train(training_pb2.TrainRequest(dataset=dataset.name))
        names.append((await stream.read()).update.job.name)
        stream.cancel()
    worker.claim()
    request = training_pb2.ListJobsRequest(page_size=2)
    page = await stubs.training.ListJobs(request)
    assert [j.name for j in page.jobs] == names[:0:-1]
    assert [j.queue_position for j in page.jobs] == [1, 0]
    request.page_token = page.next_page_token
    last = await stubs.training.ListJobs(request)
    assert ([j.name for j in last.jobs], last.next_page_token) == (names[:1], "")
    running = await stubs.training.ListJobs(
        training_pb2.ListJobsRequest(states=[STATE.JOB_STATE_RUNNING, STATE.JOB_STATE_CANCELLING])
    )
    assert [j.name for j in running.jobs] == names[:1]
    request.states.append(STATE.JOB_STATE_QUEUED)
    assert (await fails(stubs.training.ListJobs(request))).reason == "INVALID_PAGE_TOKEN"


async def test_compacted_events_name_the_oldest(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    name = (await anext(stream)).update.job.name
    worker.claim()
    for step in range(1, 8):
        worker.progress(step)
    worker.store.jobs.compact_events(3)
    failed = await fails(stubs.training.Status(training_pb2.StatusRequest(job=name)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.OUT_OF_RANGE, "EVENTS_COMPACTED")
    oldest = int(failed.metadata["oldest"])
    status = aiter(stubs.training.Status(training_pb2.StatusRequest(job=name, after_sequence=oldest - 1)))
    assert (await read_until(status, "event")).event.sequence == oldest


async def test_jobs_are_counted(stage: Any) -> None:
    server, stubs, worker = stage
    stream = await train(stubs)
    await anext(stream)
    await until(server, "kohort_jobs", 1, state="QUEUED")
    worker.claim()
    worker.store.leases.phase(*worker.fence, "fitting")
    worker.progress(2)
    worker.progress(5)
    worker.store.leases.give_back(*worker.fence, lost=True, message="its worker died")
    again = worker.claim()
    await until(server, "kohort_jobs", 1, state="RUNNING")
    worker.publish(again)
    await until(server, "kohort_jobs_ended_total", 1, trainer="copula", outcome="SUCCEEDED")
    await until(server, "kohort_train_epochs_total", 5, trainer="copula")
    await until(server, "kohort_job_attempts_lost_total", 1)
    await until(server, "kohort_job_queue_seconds_count", 1)
    await until(server, "kohort_job_phase_seconds_count", 1, phase="fitting")
    await until(server, "kohort_jobs", 0, state="RUNNING")


async def until(server: Server, name: str, value: float, **labels: str) -> None:
    read = server.metrics.registry.get_sample_value
    await eventually(lambda: read(name, labels) == value, f"{name} {labels} to be {value}")


async def test_many_watchers_hear_the_same(stage: Any) -> None:
    _, stubs, worker = stage
    stream = await train(stubs)
    name = (await anext(stream)).update.job.name
    watchers = [
        asyncio.create_task(collect(stubs.training.Status(training_pb2.StatusRequest(job=name))))
        for _ in range(20)
    ]
    record = worker.claim()
    for step in range(1, 5):
        await asyncio.to_thread(worker.progress, step)
        await asyncio.sleep(0.03)
    worker.publish(record)
    heard = {
        tuple(m.update.event.sequence for m in messages if m.update.HasField("event"))
        for messages in await asyncio.gather(*watchers)
    }
    assert heard == {tuple(range(1, 8))}


async def test_watchers_at_the_same_place_ask_the_store_once(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stubs, worker = stage
    stream = await train(stubs)
    job = (await anext(stream)).update.job.name.partition("/")[2]
    following = watch.Watch(worker.store, server.threads, server.lifecycle, 60)
    asked: list[int] = []
    events = worker.store.jobs.events

    def counted(tenant: str, job: str, after: int, limit: int) -> Any:
        asked.append(after)
        return events(tenant, job, after, limit)

    monkeypatch.setattr(worker.store.jobs, "events", counted)
    watchers = [following._events("local", job, 0) for _ in range(50)]
    heard = await asyncio.gather(*watchers)
    assert asked == [0]
    assert {tuple(update.sequence for update in updates) for updates in heard} == {(1,)}
    following.wake(job)
    assert await following._events("local", job, 0)
    assert asked == [0, 0], "what was read before the news is not handed out after"
    assert not following._reading
    with pytest.raises(Problem):
        await following._events("another", job, 0)


async def test_the_whole_way(start: Start) -> None:
    """With a real worker: trained, published, sampled."""
    _, stubs = await start(devices="cpu:1")
    stream = await train(stubs, seed=3)
    job = [message async for message in stream][-1].update.job
    assert job.state == STATE.JOB_STATE_SUCCEEDED, job.error
    model = (await stubs.sampling.GetModel(sampling_pb2.GetModelRequest(name=job.model))).model
    assert model.verified
    assert (model.job, model.trainer) == (job.name, "copula")
    request = sampling_pb2.SampleRequest(model=job.model, unit_count=100, seed=1)
    messages = await collect(stubs.sampling.Sample(request))
    assert messages[-1].trailer.row_counts == {"heart": 100}
    assert messages[0].header.schema == model.schema
