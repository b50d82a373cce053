"""The work of `Replicas`: threads that draw parts of one sample, and one reader that joins them.

Each thread belongs to one server and always takes the earliest part that nobody
has. What it draws waits until all before it was handed on; when too much waits,
threads stop reading, all but the one whose rows are next.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kohort.config import Retry
from kohort.effects import END, Open, Operation, Read
from kohort.errors import ConditionUnsatisfied, DeadlineExceeded, ReplicasDiffer, RpcError
from kohort.resources import Provenance
from kohort.sampling import SampleBatch, SampleState, Tally
from kohort.wishes import Asked

if TYPE_CHECKING:
    from kohort.client import Client


class _Over(Exception):
    """Nobody wants the rest."""


class _Aside(Exception):
    """An earlier part waits for somebody, or nobody wants this one any more."""


@dataclass
class _Part:
    index: int
    next: int
    end: int
    ready: deque[SampleBatch] = field(default_factory=deque)
    failure: RpcError | None = None
    drawing: bool = True
    """Whether a thread has it; of a part that is whole, whether its trailer is still to come."""

    @property
    def whole(self) -> bool:
        """Whether all its rows are there."""
        return self.next == self.end


class Drawing:
    """One sample drawn by several clients; `batches` gives it in order, once.

    Args:
        clients: one for each server.
        name_on: the model's name on a server.
        wanted: the whole sample, its units and seed set.
        part_units: units of a part.
        ahead_bytes: cells that may wait before all threads but one stop, about.
        same_runtime: whether the runtime's fingerprint must be the same everywhere.
        retry: how long servers that fail are tried again.
        timeout: seconds for all of it; None for no limit.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        name_on: Callable[[Client], str],
        wanted: Asked,
        *,
        part_units: int,
        ahead_bytes: int,
        same_runtime: bool,
        retry: Retry,
        timeout: float | None,
    ) -> None:
        assert wanted.units is not None
        self._clients, self._name_on, self._wanted = clients, name_on, wanted
        self._begin, self._end = wanted.start, wanted.start + wanted.units
        self._part_units, self._ahead_bytes, self._same_runtime = part_units, ahead_bytes, same_runtime
        self._retry = retry
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._tally = Tally()
        self._changed = threading.Condition()
        # All below is guarded by it.
        self._parts: dict[int, _Part] = {}
        self._returned: list[int] = []
        """A heap of parts that were begun and that nobody draws now."""
        self._fresh = self._head = self._held = 0
        # Parts end at multiples of their size, whatever the first unit.
        self._count = (self._end - 1) // part_units - self._begin // part_units + 1
        self._first: tuple[str, Provenance] | None = None
        """The first server that answered, and what it said; all others must say the same."""
        self._failing: dict[int, int] = {}
        """By client, tries that failed since it last gave rows."""
        self._failing_since: float | None = None
        """Since when all fail."""
        self._failure: BaseException | None = None
        self._over = False

    def batches(self) -> Iterator[SampleBatch]:
        """The sample, in order. Leaving it ends the streams."""
        for number, client in enumerate(self._clients):
            name = f"kohort-replica-{number}"
            threading.Thread(target=self._serve, args=(number, client), name=name, daemon=True).start()
        try:
            while (batch := self._next()) is not None:
                yield batch
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _next(self) -> SampleBatch | None:
        with self._changed:
            while self._head < self._count:
                if self._failure is not None:
                    raise self._failure
                part = self._parts.get(self._head)
                if part is not None and part.ready:
                    batch = part.ready.popleft()
                    self._held -= batch.batch.nbytes
                    self._changed.notify_all()
                    return self._whole(batch)
                if part is not None and part.failure is not None:
                    raise part.failure
                if part is not None and part.whole and not part.drawing:
                    del self._parts[self._head]
                    self._head += 1
                    self._changed.notify_all()
                    continue
                self._changed.wait()
        return None

    def _whole(self, batch: SampleBatch) -> SampleBatch:
        """The batch as one of the whole sample."""
        assert self._first is not None
        units = self._end - self._begin
        provenance = replace(self._first[1], start_unit=self._begin, unit_count=units)
        return replace(batch, provenance=provenance, tally=self._tally)

    # In the threads

    def _serve(self, number: int, client: Client) -> None:
        pause = self._retry.initial_backoff
        while (part := self._take()) is not None:
            try:
                self._draw(number, client, part)
            except _Over:
                return
            except _Aside:
                self._give_back(part)
            except RpcError as error:
                if not _passes(error, client) or part.whole:
                    self._fail_part(part, error)
                elif self._is_last(number):
                    self._fail(error)
                    return
                else:
                    self._give_back(part)
                    self._rest(max(pause, error.retry_after or 0.0))
                    pause = min(pause * self._retry.multiplier, self._retry.max_backoff)
                    continue
            except BaseException as error:
                self._fail(error)
                return
            else:
                self._let_go(part)
            pause = self._retry.initial_backoff

    def _take(self) -> _Part | None:
        """The earliest part that nobody draws; waits for one. None when there will be no more."""
        with self._changed:
            while not self._over and self._failure is None:
                index = self._returned[0] if self._returned else self._fresh
                if index < self._count and (self._held <= self._ahead_bytes or index == self._head):
                    if self._returned:
                        part = self._parts[heapq.heappop(self._returned)]
                        part.drawing = True
                        return part
                    self._fresh += 1
                    return self._new_part(index)
                self._changed.wait()
        return None

    def _new_part(self, index: int) -> _Part:
        from_part = self._begin // self._part_units
        begin = max(self._begin, (from_part + index) * self._part_units)
        part = _Part(index, begin, min(self._end, (from_part + index + 1) * self._part_units))
        self._parts[index] = part
        return part

    def _draw(self, number: int, client: Client, part: _Part) -> None:
        """Draws what is left of a part. Whatever it raises, whole units have been added."""
        begin = part.next
        wanted = replace(self._wanted, start=begin, units=part.end - begin)
        state = SampleState(self._name_on(client), wanted, told=lambda said: self._compare(client, said))
        steps = _gated(_stream(state, self._left()), lambda: self._wait_for_room(part))
        try:
            for batch in client._transport.iterate(steps):
                self._add(number, part, batch)
        except ConditionUnsatisfied as error:
            reached = begin - self._begin + error.units_reached
            error.metadata["units_reached"] = str(reached)
            raise
        finally:
            with self._changed:
                self._tally.units += state.tally.units
                self._tally.drawn += state.tally.drawn
                self._changed.notify_all()

    def _left(self) -> float | None:
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the timeout was over before the call was done")
        return left

    def _compare(self, client: Client, said: Provenance) -> None:
        with self._changed:
            if self._first is None:
                self._first = (client.target, said)
                client._operations._warn(said)
                return
            target, first = self._first
        facts = ["content_digest", "runtime_fingerprint"] if self._same_runtime else ["content_digest"]
        # One name may stand for several servers.
        other = client.target if client.target != target else f"{target} (again)"
        for fact in facts:
            values = {target: getattr(first, fact), other: getattr(said, fact)}
            if len(set(values.values())) > 1:
                raise ReplicasDiffer(fact, values)

    def _wait_for_room(self, part: _Part) -> None:
        """Before each read: all units so far are whole. Raises _Over, _Aside."""
        with self._changed:
            while True:
                if self._over or self._failure is not None:
                    raise _Over
                if part.whole:
                    return  # the trailer takes no room
                if part.index >= self._count:
                    raise _Aside
                next_in_line = part.index == self._head and not part.ready
                if next_in_line or self._held <= self._ahead_bytes:
                    return
                if self._returned and self._returned[0] < part.index:
                    raise _Aside
                self._changed.wait()

    def _add(self, number: int, part: _Part, batch: SampleBatch) -> None:
        with self._changed:
            part.ready.append(batch)
            part.next = max(part.next, batch.batch.next_unit)
            self._held += batch.batch.nbytes
            self._failing.pop(number, None)
            self._failing_since = None
            self._changed.notify_all()

    def _give_back(self, part: _Part) -> None:
        with self._changed:
            part.drawing = False
            heapq.heappush(self._returned, part.index)
            self._changed.notify_all()

    def _let_go(self, part: _Part) -> None:
        with self._changed:
            part.drawing = False
            self._changed.notify_all()

    def _fail_part(self, part: _Part, error: RpcError) -> None:
        """The rows before it are still handed on; those after it nobody needs."""
        with self._changed:
            part.drawing = False
            if not part.whole:  # a break before the trailer costs nothing
                part.failure = error
                self._count = min(self._count, part.index + 1)
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _is_last(self, number: int) -> bool:
        """Notes that a server failed; whether all did, and for too long."""
        with self._changed:
            self._failing[number] = self._failing.get(number, 0) + 1
            if len(self._failing) < len(self._clients):
                return False
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if self._first is None:
                return min(self._failing.values()) >= self._retry.attempts
            return now - self._failing_since > self._retry.stream_patience

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._failure is not None, seconds)


def _passes(error: RpcError, client: Client) -> bool:
    """Whether another server, or this one later, may do better."""
    if error.code == "CANCELLED":  # by a server that stops in the moment of the call, if not by this side
        return not client._transport._closed
    return error.code == "UNAVAILABLE" or (
        error.code == "RESOURCE_EXHAUSTED" and error.retry_after is not None
    )


def _stream(state: SampleState, timeout: float | None) -> Operation[None]:
    """One try at a stream; what breaks it is for others to mend."""
    yield Open(state.method, state.request(), timeout)
    while (message := (yield Read())) is not END:
        yield from state.receive(message)
    state.ended()


def _gated(operation: Operation[None], gate: Callable[[], None]) -> Operation[None]:
    """The operation, with `gate` called before each read."""
    result: Any = None
    failure: RpcError | None = None
    try:
        while True:
            try:
                effect = operation.send(result) if failure is None else operation.throw(failure)
            except StopIteration:
                return
            result = failure = None
            if isinstance(effect, Read):
                gate()
            try:
                result = yield effect
            except RpcError as error:
                failure = error
    finally:
        operation.close()
