"""One Sample stream: graphs and encoding on a bounded pool of threads, one batch ahead of the client.

A stream occupies a thread for one batch at a time, so streams take turns, and a
client that stops reading holds nothing but the batch that waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

from kohort.columns import Batch
from kohort.programs import SampleSpec, rebatch
from server.encoders import Encoder
from server.metrics import Metrics
from server.modelcache import Loaded
from server.threads import Threads


@dataclass(frozen=True)
class Message:
    """One message, encoded, and what it took."""

    data: bytes
    rows: int = 0
    generate_seconds: float = 0.0
    encode_seconds: float = 0.0


@dataclass
class Production:
    """The work of one stream, a message at a time; blocking, for one thread at once.

    Args:
        model: the generator.
        encoder: writes the messages.
        spec: what decides the content of a unit.
        start: the first unit.
        count: how many units.
        max_rows: per batch; 0 leaves the size to the server.
    """

    model: Loaded
    encoder: Encoder
    spec: SampleSpec
    start: int
    count: int
    max_rows: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows made so far, by table."""
    stopped: bool = False

    def __post_init__(self) -> None:
        self._messages = self._run()

    def step(self) -> Message | None:
        """The next message; None at the end, or once `stopped`."""
        return None if self.stopped else next(self._messages, None)

    def _run(self) -> Iterator[Message]:
        for data in self.encoder.begin():
            yield Message(data)
        units = self.model.program.units(self.spec, self.start, self.count)
        batches = rebatch(units, self.max_rows)
        done = self.start
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            generated = time.perf_counter()
            if batch is None:
                break
            self.model.saw(batch.next_unit - done, generated - began)
            done = max(done, batch.next_unit)
            self.rows[batch.table] += batch.row_count
            yield from self._encode(batch, generated - began)
        for data in self.encoder.end():
            yield Message(data)

    def _encode(self, batch: Batch, generate_seconds: float) -> Iterator[Message]:
        began = time.perf_counter()
        rows = batch.row_count
        for data in self.encoder.batch(batch):
            now = time.perf_counter()
            yield Message(data, rows, generate_seconds, now - began)
            rows, generate_seconds, began = 0, 0.0, time.perf_counter()


async def stream(
    production: Production, threads: Threads, metrics: Metrics, format_name: str
) -> AsyncGenerator[bytes, None]:
    """The messages of a production, made one ahead while the client reads. Close it to stop."""
    queue_seconds = metrics.sample_seconds.labels("queue")
    generate_seconds = metrics.sample_seconds.labels("generate")
    encode_seconds = metrics.sample_seconds.labels("encode")
    write_seconds = metrics.sample_seconds.labels("write")
    sent_rows = metrics.sample_rows.labels(format_name)
    sent_bytes = metrics.sample_bytes.labels(format_name)

    def step(asked: float) -> Message | None:
        queue_seconds.observe(time.perf_counter() - asked)
        return production.step()

    def ahead() -> asyncio.Task[Message | None]:
        return asyncio.create_task(threads.run(step, time.perf_counter()))

    pending = ahead()
    try:
        while (message := await pending) is not None:
            pending = ahead()
            if message.rows:
                generate_seconds.observe(message.generate_seconds)
                encode_seconds.observe(message.encode_seconds)
            began = time.perf_counter()
            yield message.data
            write_seconds.observe(time.perf_counter() - began)
            sent_rows.inc(message.rows)
            sent_bytes.inc(len(message.data))
    finally:
        # Synchronous: an await here would itself be cancelled with the call.
        production.stopped = True
        pending.cancel()
        pending.add_done_callback(_retrieve)


def _retrieve(task: asyncio.Task[Message | None]) -> None:
    if not task.cancelled():
        task.exception()
