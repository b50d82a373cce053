"""One Sample stream: graphs and encoding on a bounded pool of threads, one batch ahead of the client.

A stream occupies a thread for one batch at a time, so streams take turns, and a
client that stops reading holds nothing but the batch that waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace

from kohort.columns import Batch
from kohort.programs import Draws, rebatch
from server.asked import Asked
from server.context import span
from server.encoders import MAX_MESSAGE, Encoder
from server.metrics import Metrics
from server.modelcache import Loaded
from server.threads import Threads


@dataclass(frozen=True)
class Message:
    """One message, encoded, and what it took."""

    data: bytes
    rows: int = 0
    units: int = 0
    drawn: int = 0
    generate_seconds: float = 0.0
    encode_seconds: float = 0.0


@dataclass
class Production:
    """The work of one stream, a batch at a time; blocking, for one thread at once.

    Args:
        model: the generator.
        encoder: writes the messages.
        asked: what to make.
        max_rows: per batch; 0 leaves the size to the server.
    """

    model: Loaded
    encoder: Encoder
    asked: Asked
    max_rows: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows made so far, by table."""
    draws: Draws = field(default_factory=Draws)
    """Units drawn so far, whether or not they met the conditions."""

    ended: bool = False
    """Whether the last step was the last."""

    def __post_init__(self) -> None:
        self._steps = self._run()

    def step(self) -> list[Message]:
        """The next messages, no more than of one batch; none once it has ended or was stopped.

        What comes before the first batch and after the last is made with it, since each step waits for a
        thread; only more dictionaries than a message holds take steps of their own.
        """
        return [] if self.draws.stopped else next(self._steps, [])

    def stop(self) -> None:
        """Makes no more, even where a unit is being drawn again and again; from any thread."""
        self.draws.stopped = True

    def _run(self) -> Iterator[list[Message]]:
        asked = self.asked
        made, size = list[Message](), 0
        for data in self.encoder.begin():
            if made and size + len(data) > MAX_MESSAGE:
                yield made
                made, size = [], 0
            made.append(Message(data))
            size += len(data)
        units = self.model.program.units(asked.spec, asked.start, asked.count, self.draws)
        batches = rebatch(units, self.max_rows)
        done, drawn, stop = asked.start, 0, asked.start + asked.count
        while True:
            began = time.perf_counter()
            # Raises CONDITION_UNSATISFIED after the last unit that could be drawn.
            batch = next(batches, None)
            generated = time.perf_counter()
            if batch is not None:
                new, done = max(0, batch.next_unit - done), max(done, batch.next_unit)
                self.model.saw(new, generated - began)
                self.rows[batch.table] += batch.row_count
                about = Message(b"", batch.row_count, new, self.draws.drawn - drawn, generated - began)
                drawn = self.draws.drawn
                made += self._encode(batch, about)
            if batch is None or batch.next_unit >= stop:
                break
            if made:
                yield made
                made = []
        made += [Message(data) for data in self.encoder.end()]
        self.ended = True
        yield made

    def _encode(self, batch: Batch, about: Message) -> list[Message]:
        began = time.perf_counter()
        pieces = list(self.encoder.batch(batch))
        seconds = time.perf_counter() - began
        # What was made is told once, however many messages it takes.
        return [
            Message(data) if i else replace(about, data=data, encode_seconds=seconds)
            for i, data in enumerate(pieces)
        ]


@dataclass
class _Took:
    """What a stream took, all batches together: a span of each would be very many."""

    queue: float = 0.0
    generate: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    rows: int = 0
    size: int = 0

    def add(self, message: Message, wrote: float) -> None:
        self.generate += message.generate_seconds
        self.encode += message.encode_seconds
        self.write += wrote
        self.rows += message.rows
        self.size += len(message.data)

    def attributes(self) -> dict[str, int | float]:
        return {
            "kohort.queue_seconds": self.queue,
            "kohort.generate_seconds": self.generate,
            "kohort.encode_seconds": self.encode,
            "kohort.write_seconds": self.write,
            "kohort.rows": self.rows,
            "kohort.bytes": self.size,
        }


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

    def step(asked: float) -> list[Message]:
        waited = time.perf_counter() - asked
        queue_seconds.observe(waited)
        took.queue += waited
        return production.step()

    told, took = span().begin("sample.stream", {"kohort.format": format_name}), _Took()
    # The first rows of one stream do not wait for those of all others.
    pending = asyncio.create_task(threads.run(step, time.perf_counter()))
    try:
        ended = False
        while not ended and (messages := await pending):
            ended = production.ended
            if not ended:
                pending = asyncio.create_task(threads.run_behind(step, time.perf_counter()))
            for message in messages:
                if message.rows:
                    generate_seconds.observe(message.generate_seconds)
                    encode_seconds.observe(message.encode_seconds)
                began = time.perf_counter()
                yield message.data
                wrote = time.perf_counter() - began
                write_seconds.observe(wrote)
                took.add(message, wrote)
                sent_rows.inc(message.rows)
                metrics.sample_units.inc(message.units)
                metrics.sample_drawn_units.inc(message.drawn)
                sent_bytes.inc(len(message.data))
    finally:
        # Synchronous: an await here would itself be cancelled with the call.
        production.stop()
        pending.cancel()
        pending.add_done_callback(_retrieve)
        told.note(took.attributes())
        told.end()


def _retrieve(task: asyncio.Task[list[Message]]) -> None:
    if not task.cancelled():
        task.exception()
