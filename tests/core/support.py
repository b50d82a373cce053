"""Small makers for the tests of the core."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from evaluators.gate import DEFAULT_RULES, Effect, Evidence, Headline
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from server.records import (
    DatasetRecord,
    JobKind,
    JobRecord,
    JobSpec,
    JobState,
    ModelRecord,
    Principal,
    ReportRecord,
    SubjectSpec,
)
from server.store import Store

ADA = Principal("north", "ada")
BOB = Principal("north", "bob")
EVE = Principal("south", "eve")
_OWN_PORTS = 20_000
"""From here on: below, Ray gives ports to its workers."""
SCHEMA = Schema((TableSchema("heart", (Column("age", Kind.INTEGER, Storage.INT64, Handling.MODEL),)),))


def unavailable(message: str) -> NoReturn:
    """A named skip at home, a failure in continuous integration."""
    if os.environ.get("KOHORT_CI") == "1":
        pytest.fail(message)
    pytest.skip(message)


def add_dataset(store: Store, *, tenant: str = "north", ttl: float = 3600.0, **changes: Any) -> str:
    """A dataset without bytes; its id."""
    identifier = uuid.uuid4().hex
    fields: dict[str, Any] = {
        "id": identifier,
        "tenant": tenant,
        "principal": "ada",
        "display_name": "",
        "labels": {},
        "schema": SCHEMA,
        "findings": (),
        "row_counts": {"heart": 3},
        "size_bytes": 10,
        "digest": b"\x01" * 32,
        "create_time": 0.0,
        "expire_time": store.now() + ttl,
        "delete_after_training": False,
        "delete_time": None,
        "blob_prefix": f"datasets/{tenant}/{identifier}",
        "lineage_key": "",
    }
    return store.datasets.create(DatasetRecord(**(fields | changes)))[0].id


def spec_for(dataset: str, **changes: Any) -> JobSpec:
    """A job for a dataset."""
    fields: dict[str, Any] = {
        "dataset": dataset,
        "trainer": "slow",
        "parameters": {"epochs": 3},
        "schema": SCHEMA,
        "seed": 7,
        "max_runtime_s": 3600.0,
    }
    return JobSpec(**(fields | changes))


def add_job(
    store: Store, dataset: str | None = None, principal: Principal = ADA, **changes: Any
) -> JobRecord:
    """A queued job, of a dataset of its own unless one is named."""
    dataset = dataset or add_dataset(store, tenant=principal.tenant)
    return store.jobs.create(principal, spec_for(dataset, **changes))[0]


def model_of(job: JobRecord, **changes: Any) -> ModelRecord:
    """What a job publishes."""
    identifier = uuid.uuid4().hex
    fields: dict[str, Any] = {
        "id": identifier,
        "tenant": job.tenant,
        "principal": job.principal,
        "display_name": "",
        "labels": {},
        "schema": SCHEMA,
        "trainer": "slow",
        "parameters": {},
        "job": job.id,
        "dataset": job.spec.dataset,
        "content_digest": b"\x02" * 32,
        "bundle_digest": b"\x03" * 32,
        "size_bytes": 5,
        "program": "single_pass/1",
        "unit": "row",
        "verified": True,
        "privacy": {"differentially_private": False},
        "findings": (),
        "create_time": 0.0,
        "blob_key": f"models/{job.tenant}/{identifier}/1/bundle.kohort",
    }
    return ModelRecord(**(fields | changes))


def evaluation_of(store: Store, subject: SubjectSpec, dataset: str = "", **changes: Any) -> JobRecord:
    """A queued evaluation."""
    return add_job(store, dataset or None, kind=JobKind.EVALUATE, subject=subject, **changes)


def report_of(
    job: JobRecord, model: str = "", evidence: Evidence | None = None, **changes: Any
) -> ReportRecord:
    """What a job reports, by default of a model that nothing is held against."""
    identifier = uuid.uuid4().hex
    fields: dict[str, Any] = {
        "id": identifier,
        "tenant": job.tenant,
        "principal": job.principal,
        "model": model,
        "synthetic_dataset": "",
        "dataset": job.spec.dataset,
        "holdout_dataset": "",
        "job": job.id,
        "display_name": "",
        "labels": {},
        "overview": {"summary": ["All is well."]},
        "evidence": (evidence or evidence_with()).to_json(),
        "json_key": f"reports/{job.tenant}/{identifier}/1/report.json",
        "html_key": f"reports/{job.tenant}/{identifier}/1/report.html",
        "create_time": 0.0,
    }
    return ReportRecord(**(fields | changes))


def evidence_with(holdout_patients: int = 1000, **lows: float) -> Evidence:
    """Evidence whose intervals begin at these values, and that says nothing bad of what else may lock."""
    known = {rule.metric: -1.0 for rule in DEFAULT_RULES if rule.effect is Effect.LOCK} | lows
    return Evidence(holdout_patients, tuple(Headline(name, "", low, low, low) for name, low in known.items()))


def states_of(store: Store, job: JobRecord) -> list[JobState]:
    """The states a job went through."""
    found = store.jobs.events(job.tenant, job.id, 0, 10_000)
    assert [e.sequence for e in found] == list(range(1, len(found) + 1))
    return [JobState(e.payload["state"]) for e in found if e.kind == "state"]


def until(
    condition: Callable[[], Any], what: str, seconds: float = 120.0, say: Callable[[], str] = lambda: ""
) -> Any:
    """The first truthy answer; fails, and says more, when there is none for a long time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}\n{say()}"
        time.sleep(0.02)
    return found


async def eventually(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """As `until`, while the event loop goes on; the condition may be a coroutine function."""
    end = time.monotonic() + seconds
    while not (found := await answer if inspect.isawaitable(answer := condition()) else answer):
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.02)
    return found


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nothing uses just now; taken all at once, so that they differ.

    Below those that the system gives by itself, where there is room: so no connection gets one of them
    while who is to listen there starts, or starts again.
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(given.read_text().split()[0]) if given.exists() else 0
    own = range(_OWN_PORTS, end)
    tries = random.SystemRandom().sample(own, len(own)) if len(own) > 1000 else [0] * count
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            with suppress(OSError):  # somebody listens there
                listener = held.enter_context(socket.create_server((host, tries.pop())))
                found.append(int(listener.getsockname()[1]))
        return found


@contextmanager
def closed_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets as long as the block runs."""
    with socket.socket() as held:
        held.bind((host, 0))  # and does not listen
        yield int(held.getsockname()[1])


def lives(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def alive(process: psutil.Process) -> bool:
    """Whether this very process still runs."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
