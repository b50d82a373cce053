"""What goes wrong in the drill, and what is waited for before it is mended.

Every fault names the evidence that it did harm: another attempt under way, a client that came back by
the other front end. Only how long a short cut lasts is a time. Two lanes run at once, each in the order
that the seed gives: what happens to workers, and what happens to front ends and stores.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from tests.drill.load import Load
from tests.drill.network import cut

SHORT_SECONDS = 2.0
"""Of cuts that everybody should live through without losing anything."""
_MANY = 200_000
"""Units of a sample that lasts."""


class Drill(Load):
    """One run: a cluster under load, and its faults."""

    faults = 0
    """How many are over."""
    _counting = threading.Lock()

    # What happens to workers

    def database_lost(self) -> None:
        """The way from a worker to the database is cut until another has its job."""
        key, attempt, machine = self.victim()
        children = self.cluster.running[machine.name].below()
        self.say(f"job {key}: {machine.name} loses the database past its lease")
        with cut(machine, self.cluster.database):
            self.await_attempt_after(key, attempt)
            self.await_end_of(children, machine)
        self.await_concession(machine, key, attempt)
        self.release(key)

    def database_flickers(self) -> None:
        """The same for less than a lease."""
        key, _, machine = self.victim()
        self.say(f"job {key}: {machine.name} loses the database for {SHORT_SECONDS} s")
        with cut(machine, self.cluster.database):
            time.sleep(SHORT_SECONDS)

    def objects_lost(self) -> None:
        """A worker publishes while it does not reach the object store."""
        key, attempt, machine = self.victim()
        self.say(f"job {key}: {machine.name} publishes without the object store")
        with cut(machine, self.cluster.objects):
            self.release(key)

            def publishing() -> bool:
                _, state, now, phase = self.job(key)
                return phase == "publishing" or now > attempt or state == "SUCCEEDED"

            self.until(publishing, f"job {key} to be published")
            time.sleep(SHORT_SECONDS)
        self.until(lambda: self.is_over(key), f"job {key} to end")

    def paused(self) -> None:
        """A worker stands still until another has its job, and wakes when its own child is done."""
        key, attempt, machine = self.victim()
        process = self.cluster.running[machine.name]
        children = process.below()
        finishes = self.workers_random.random() < 0.5
        self.say(f"job {key}: {machine.name} is paused past its lease{', its child finishes' * finishes}")
        process.signal(signal.SIGSTOP)
        try:
            self.await_attempt_after(key, attempt)
            if finishes:
                # It wakes with a bundle in hand, and would publish it.
                self.release(key)
                self.await_end_of(children, machine)
        finally:
            process.signal(signal.SIGCONT)
        self.await_concession(machine, key, attempt)
        self.await_end_of(children, machine)
        self.release(key)

    def worker_killed(self) -> None:
        """kill -9; whatever manages services there starts it again."""
        key, attempt, machine = self.victim()
        process = self.cluster.running[machine.name]
        children = process.below()
        self.say(f"job {key}: {machine.name}'s worker is killed")
        process.kill()
        self.await_end_of(children, machine)
        self.await_attempt_after(key, attempt)
        self.release(key)

    def unplugged(self) -> None:
        """A worker's cable is pulled until another has its job."""
        key, attempt, machine = self.victim()
        children = self.cluster.running[machine.name].below()
        self.say(f"job {key}: {machine.name} is unplugged past its lease")
        self.cluster.switch.unplug(machine)
        try:
            self.await_attempt_after(key, attempt)
            self.await_end_of(children, machine)
        finally:
            self.cluster.switch.plug(machine)
        self.await_concession(machine, key, attempt)
        self.release(key)

    # What happens to front ends and stores

    def front_killed(self) -> None:
        """kill -9 while both clients watch and sample, one of them by this front end."""
        found = self.until(
            lambda: self.cluster.rows("SELECT id FROM models ORDER BY number LIMIT 1"), "a first model"
        )
        client = self.random.choice(self.cluster.clients)
        front, journal = self.front_of(client), self.journals[client.name]
        for each in self.cluster.clients:
            self.cluster.ask(
                each, do="sample", model=f"models/{found[0][0]}", units=_MANY, seed=5, pause=0.05
            )
        self.until(lambda: len(journal.notes("batch", of=_MANY)) >= 3, "a sample to be under way")
        self.say(f"{front.name} is killed while {client.name} watches and samples")
        resumed, place = journal.resumes(), len(journal)
        self.cluster.running[front.name].kill()
        self.submit_next(held=1, quick=1)
        self.until(lambda: journal.resumes() > resumed, f"{client.name} to resume")
        self.until(lambda: journal.since(place, "event"), f"{client.name} to see what happens")
        for each in self.cluster.clients:
            notes = self.journals[each.name].notes
            self.until(partial(notes, "sampled", units=_MANY), f"{each.name} to have its sample")
        self.cluster.start(front)
        self.cluster.await_front(front)

    def client_cut_off(self) -> None:
        """A client loses its front end without a word, until it has come back by the other."""
        client = self.random.choice(self.cluster.clients)
        front = self.front_of(client)
        other = next(f for f in self.cluster.fronts if f is not front)
        self.say(f"{client.name} loses {front.name}")
        with cut(client, front):
            self.submit_next(held=1, quick=1)
            self.until(lambda: client.talks_to(other), f"{client.name} to turn to {other.name}")
            self.until(self.news(client), f"{client.name} to see what happens")

    def front_without_database(self) -> None:
        """A front end loses the database for a while; calls are made all the same."""
        front = self.random.choice(self.cluster.fronts)
        self.say(f"{front.name} loses the database for {SHORT_SECONDS} s")
        with cut(front, self.cluster.database):
            self.submit_next(held=1)
            time.sleep(SHORT_SECONDS)
        self.await_submissions()

    def database_restarted(self) -> None:
        """The database crashes and comes back."""
        self.say("the database is restarted")
        self.cluster.restart_database()
        for client, new in [(c, self.news(c)) for c in self.cluster.clients]:
            # The other lane may have let all jobs end that were submitted so far.
            self.until(lambda new=new: new() or self.at_rest(), f"{client.name} to see what happens")

    def objects_restarted(self) -> None:
        """The object store loses its power while a client uploads, and comes back."""
        self.say("the object store is restarted")
        self.cluster.store.stop()
        self.submit_next(quick=1)
        self.cluster.store.start()
        self.await_submissions()

    # All of it

    def lanes(self) -> tuple[list[Callable[[], None]], list[Callable[[], None]]]:
        """The faults of workers and those of front ends and stores, in the order of this seed."""
        workers = [
            self.database_lost,
            self.database_flickers,
            self.objects_lost,
            self.paused,
            self.worker_killed,
            self.unplugged,
        ]
        others = [
            self.front_killed,
            self.client_cut_off,
            self.front_without_database,
            self.database_restarted,
            self.objects_restarted,
        ]
        self.random.shuffle(workers)
        self.random.shuffle(others)
        return workers, others

    def go_through(self, lane: Iterable[Callable[[], None]]) -> None:
        """One fault after the other."""
        for fault in lane:
            fault()
            with self._counting:
                self.faults += 1
