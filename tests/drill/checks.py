"""What must be true when the drill is over, by the database, the clients, both front ends and the store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psutil

from tests.core.support import until
from tests.drill.cluster import Cluster
from tests.drill.faults import Drill
from tests.drill.journal import Journal
from tests.drill.network import Machine

JOBS = 10
_SAFE_AFTER = {
    "queued": {"running", "cancelled"},
    "running": {"queued", "succeeded"},
    "succeeded": set[str](),
}


def wrongs_of_records(cluster: Cluster, drill: Drill) -> Iterator[str]:
    """What the database says that must not be."""
    jobs = cluster.rows("SELECT id, state, attempt, model, last_sequence FROM jobs ORDER BY number")
    if len(jobs) != JOBS or len(drill.submissions) != JOBS:
        yield f"{len(drill.submissions)} jobs were submitted and {len(jobs)} made"
    models = cluster.rows("SELECT id, job, blob_key FROM models")
    of_job = Counter(job for _, job, _ in models)
    keys = {model: key for model, _, key in models}
    for job, state, attempt, model, last in jobs:
        if state != "SUCCEEDED":
            yield f"job {job} is {state}"
            continue
        if of_job[job] != 1:
            yield f"job {job} has {of_job[job]} models"
        # Each attempt writes to a place of its own: the place tells who published.
        if keys.get(model, "").split("/")[3:4] != [str(attempt)]:
            yield f"the model of job {job} is not of its last attempt, {attempt}"
        yield from _wrongs_of_history(cluster, job, attempt, last)
    yield from (f"a model of no job: {job}" for job in of_job if job not in {j[0] for j in jobs})
    leftover = cluster.rows("SELECT count(*) FROM jobs WHERE state IN ('RUNNING', 'QUEUED', 'CANCELLING')")
    if leftover != [(0,)]:
        yield "jobs are under way after the end"


def _wrongs_of_history(cluster: Cluster, job: str, attempt: int, last: int) -> Iterator[str]:
    events = cluster.rows(
        "SELECT sequence, attempt, kind, payload->>'state' FROM events WHERE job = %s ORDER BY number", job
    )
    if [sequence for sequence, *_ in events] != list(range(1, last + 1)):
        yield f"the events of job {job} are not 1 to {last} in the order in which they were written"
    attempts = [number for _, number, *_ in events]
    if attempts != sorted(attempts) or attempts[-1] != attempt:
        yield f"job {job}: an earlier attempt wrote after a later one had begun"
    states = [state.lower() for _, _, kind, state in events if kind == "state"]
    for before, after in pairwise(states):
        if after not in _SAFE_AFTER[before]:
            yield f"job {job} went from {before} to {after}"
    if states.count("succeeded") != 1 or states.count("running") != attempt:
        yield f"job {job} of {attempt} attempts: {states}"


def swept(cluster: Cluster) -> dict[str, list[str]]:
    """The keys of all blobs before and after the janitor's sweep."""
    found: dict[str, list[str]] = json.loads(cluster.run(cluster.fronts[0], "-m", "tests.drill.sweep"))
    return found


def wrongs_of_blobs(cluster: Cluster, found: dict[str, list[str]]) -> Iterator[str]:
    """What is stored and should not be, or the other way round, once the janitor has been by."""
    stored = set(found["after"])
    named = {key for (key,) in cluster.rows("SELECT blob_key FROM models")}
    yield from (f"the bundle {key} is missing" for key in named - stored)
    prefixes = {prefix for (prefix,) in cluster.rows("SELECT blob_prefix FROM datasets WHERE NOT purged")}
    for prefix in prefixes:
        if not any(key.startswith(f"{prefix}/") for key in stored):
            yield f"the dataset {prefix} is missing"
    lineage = {key for (key,) in cluster.rows("SELECT lineage_key FROM datasets WHERE lineage_key <> ''")}
    yield from (f"the lineage {key} is missing" for key in lineage - stored)
    for key in stored - named - lineage:
        if not any(key.startswith(f"{prefix}/") for prefix in prefixes):
            yield f"nobody names {key}, and the janitor left it"


def wrongs_of_clients(cluster: Cluster, drill: Drill) -> Iterator[str]:
    """What clients saw that must not be."""
    jobs = cluster.rows("SELECT id, state, last_sequence FROM jobs")
    states = {f"jobs/{job}": state.lower() for job, state, _ in jobs}
    last = {f"jobs/{job}": sequence for job, _, sequence in jobs}
    for name, journal in drill.journals.items():
        yield from (f"{name}: {wrong}" for wrong in journal.wrongs(states, last))
        watched = {note["job"] for note in journal.notes("over")}
        if watched != set(states):
            yield f"{name} did not see every job to its end"
    made = {note["key"] for journal in drill.journals.values() for note in journal.notes("result")}
    if made != {one.key for one in drill.submissions}:
        yield f"clients have models of {sorted(made)} alone"


def wrongs_of_fronts(cluster: Cluster, drill: Drill) -> Iterator[str]:
    """What either front end, asked by its address, says otherwise: the same rows, the same jobs."""
    known: dict[Any, str] = {}
    for journal in drill.journals.values():
        known |= journal.digests()
    jobs = {n["key"]: n["job"] for j in drill.journals.values() for n in j.notes("submitted")}
    for front, asker in zip(cluster.fronts, cluster.clients, strict=True):
        notes = _ask(cluster, drill, front, asker, known)
        drawn = notes.digests()
        yield from (f"{front.name}: {n['error']}" for n in notes.notes("failed"))
        for key, digest in known.items():
            if drawn.get(key) != digest:
                yield f"{front.name} draws other rows of {key} than clients got: {drawn.get(key)}"
        for note in notes.notes("repeated"):
            if note["job"] != jobs.get(note["key"]):
                yield f"{front.name} made another job of the repeated request {note['key']}"


def _ask(cluster: Cluster, drill: Drill, front: Machine, asker: Machine, known: dict[Any, str]) -> Journal:
    path = cluster.folder / "notes" / f"{asker.name}-of-{front.name}.jsonl"
    commands = [
        {"do": "sample", "model": model, "units": units, "seed": seed} for model, units, seed in known
    ]
    commands += [made.command("repeat") for made in drill.submissions if made.client is asker]
    cluster.converse(asker, front, path, commands)
    return Journal(path)


def wrongs_of_logs(cluster: Cluster) -> Iterator[str]:
    """Errors that servers and workers told: none of these faults is one."""
    for machine in [*cluster.fronts, *cluster.workers]:
        for line in cluster.said(machine).splitlines():
            # A worker that begins while a store is away says so, ends, and is started again.
            if machine in cluster.workers and line.startswith("STORE_UNAVAILABLE: "):
                continue
            if not line.startswith("{") or json.loads(line)["level"] in ("error", "critical"):
                yield f"{machine.name} said {line[:300]}"


def wrongs_of_processes(cluster: Cluster) -> Iterator[str]:
    """Ends everything that serves: it ends well, and nothing is left on its machine but the first process."""
    cluster.await_workers()
    for machine in [*cluster.clients, *cluster.workers, *cluster.fronts]:
        if machine.name in cluster.running:
            cluster.stop(machine)
    yield from (f"{name} ended with {status}" for name, status in cluster.statuses if status)
    for machine in [*cluster.clients, *cluster.workers, *cluster.fronts]:
        left: list[psutil.Process] = []

        def empty(machine: Machine = machine, left: list[psutil.Process] = left) -> bool:
            left[:] = machine.programs()
            return not left

        try:
            until(empty, "machines to be empty", 30)
        except AssertionError:
            yield f"{machine.name} still runs {[' '.join(p.cmdline())[:200] for p in left]}"
