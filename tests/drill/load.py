"""The drill's load: jobs that clients submit and watch while all goes wrong, and what can be waited for."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg

from tests.core.support import alive
from tests.drill.cluster import Cluster
from tests.drill.journal import Journal
from tests.drill.network import Machine

_WAIT_SECONDS = 180.0
_LOST = ("lease lost", "attempt abandoned")
"""What a worker says that was too late."""


@dataclass
class Submission:
    """One job that a client is told to submit."""

    key: int
    trainer: str
    client: Machine
    dataset_id: str
    request_id: str
    parameters: dict[str, Any]

    def command(self, do: str) -> dict[str, Any]:
        """What the client's program is told."""
        given = {"dataset_id": self.dataset_id, "request_id": self.request_id, "parameters": self.parameters}
        return {"do": do, "key": self.key, "trainer": self.trainer, **given}


class Load:
    """A cluster under load, and what is known of it.

    Args:
        cluster: that runs.
        seed: of the order of everything.
        say: takes a line for people.
    """

    def __init__(self, cluster: Cluster, seed: int, say: Callable[[str], None]) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        self.workers_random = random.Random(
            seed + 1_000_000
        )  # each lane its own: they take turns as they like
        self.say = say
        self.journals = {client.name: Journal(cluster.notes(client)) for client in cluster.clients}
        self.submissions: list[Submission] = []
        self.held: set[int] = set()
        self._quick = ["copula", "ctgan", "copula", "ctgan"]
        self.random.shuffle(self._quick)
        self._giving_up = threading.Event()

    # The load

    def submit(self, trainer: str) -> Submission:
        """Has the client whose part it is submit a job: one brings the held ones, the other the quick."""
        ada, bob = self.cluster.clients
        first, second = (str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for _ in range(2))
        key = len(self.submissions) + 1
        parameters: dict[str, Any] = {"held": {"key": key}, "ctgan": {"epochs": 2}}.get(trainer, {})
        made = Submission(key, trainer, ada if trainer == "held" else bob, first, second, parameters)
        self.submissions.append(made)
        if trainer == "held":
            self.held.add(key)
        self.cluster.ask(made.client, **made.command("submit"))
        return made

    def submit_next(self, *, held: int = 0, quick: int = 0) -> None:
        """The next jobs of either kind, and the other client watches each as well."""
        for trainer in ["held"] * held + [self._quick.pop() for _ in range(quick)]:
            made = self.submit(trainer)
            threading.Thread(target=self._have_watched, args=(made,), daemon=True).start()

    def _have_watched(self, made: Submission) -> None:
        other = next(c for c in self.cluster.clients if c is not made.client)
        journal = self.journals[made.client.name]
        try:
            self.until(lambda: journal.notes("submitted", key=made.key), f"job {made.key} to be submitted")
        except AssertionError:
            return  # whoever waits for the job will say so
        self.cluster.ask(other, do="watch", job=journal.notes("submitted", key=made.key)[0]["job"])

    def await_submissions(self) -> None:
        """Until every job that was to be submitted is."""
        for made in list(self.submissions):
            journal, key = self.journals[made.client.name], made.key

            def submitted(journal: Journal = journal, key: int = key) -> bool:
                return bool(journal.notes("submitted", key=key))

            self.until(submitted, f"job {key} to be submitted")

    def await_ends(self) -> None:
        """Until every job has ended and both clients have seen it."""
        for made in self.submissions:
            key = made.key

            def over(key: int = key) -> bool:
                return self.is_over(key)

            self.until(over, f"job {key} to end")

        def seen() -> bool:
            ends = [len(j.notes("over")) + len(j.notes("failed")) for j in self.journals.values()]
            return min(ends) >= len(self.submissions)

        self.until(seen, "clients to see the end of every job")

    # What is waited for

    def until(self, condition: Callable[[], Any], what: str, seconds: float = _WAIT_SECONDS) -> Any:
        """The first true answer; a database that is away has none."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = condition()
            except psycopg.Error:
                found = None
            if found:
                return found
            assert not self._giving_up.is_set(), f"given up while waiting for {what}"
            failed = [note for journal in self.journals.values() for note in journal.notes("failed")]
            assert not failed, f"a client failed while waiting for {what}: {failed[0]['error']}"
            assert time.monotonic() < end, f"waited in vain for {what}"
            self.cluster.tend()
            time.sleep(0.1)

    def job(self, key: int) -> tuple[str, str, int, str]:
        """Id, state, attempt and phase of a job by its key."""
        (row,) = self.cluster.rows(
            "SELECT id, state, attempt, phase FROM jobs WHERE spec->>'seed' = %s", str(key)
        )
        return row[0], row[1], row[2], row[3]

    def is_over(self, key: int) -> bool:
        """Whether a job has ended."""
        return self.job(key)[1] in ("SUCCEEDED", "FAILED", "CANCELLED")

    def victim(self) -> tuple[int, int, Machine]:
        """A held job that trains: its key, its attempt, and where."""

        def look() -> list[tuple[int, int, str]]:
            found = self.cluster.rows(
                "SELECT CAST(jobs.spec->>'seed' AS int), attempt, host FROM jobs JOIN workers"
                " ON workers.id = jobs.worker WHERE state = 'RUNNING' AND phase = 'fitting'"
                " AND jobs.progress IS NOT NULL ORDER BY jobs.number"
            )
            return [(key, attempt, host) for key, attempt, host in found if key in self.held]

        key, attempt, host = self.workers_random.choice(self.until(look, "a held job to be trained"))
        return key, attempt, self.cluster.machines[host.partition("/")[0]]

    def await_attempt_after(self, key: int, attempt: int) -> None:
        """Until another attempt of the job has begun."""
        self.until(lambda: self.job(key)[2] > attempt, f"another attempt of job {key}")

    def release(self, key: int) -> None:
        """Lets a held job end."""
        self.held.discard(key)
        self.cluster.release(key)

    def await_concession(self, machine: Machine, key: int, attempt: int) -> None:
        """Until a worker has noticed that it was too late, or a slow machine made it say so before."""
        job = self.until(lambda: self.job(key), f"job {key} to be known")[0]

        def said() -> bool:
            lines = self.cluster.said(machine).splitlines(keepends=True)
            # The last may be half written.
            facts = [json.loads(line) for line in lines if job in line and line[:1] + line[-2:] == "{}\n"]
            return any((one["event"] in _LOST, one.get("attempt")) == (True, attempt) for one in facts)

        self.until(said, f"{machine.name} to notice that its job is another's")

    def await_end_of(self, children: Iterable[psutil.Process], machine: Machine) -> None:
        """Until the processes of an attempt are gone."""
        begun = time.monotonic()
        self.until(lambda: not any(map(alive, children)), f"the child on {machine.name} to end")
        self.say(f"the child on {machine.name} is gone after {time.monotonic() - begun:.1f} s")

    def front_of(self, client: Machine) -> Machine:
        """The front end that a client talks to."""

        def look() -> list[Machine]:
            return [front for front in self.cluster.fronts if client.talks_to(front)]

        found: list[Machine] = self.until(look, f"{client.name} to talk to a front end")
        return found[0]

    def at_rest(self) -> bool:
        """Whether every job is over: there is no more to see."""
        going = "SELECT count(*) FROM jobs WHERE state IN ('RUNNING', 'QUEUED', 'CANCELLING')"
        return self.cluster.rows(going) == [(0,)]

    def news(self, client: Machine) -> Callable[[], bool]:
        """Whether the client has seen an event since."""
        place = len(self.journals[client.name])
        return lambda: bool(self.journals[client.name].since(place, "event"))

    def give_up(self) -> None:
        """Ends what waits."""
        self._giving_up.set()
