"""Where the time of a sampled row goes: every stage by itself, their sum beside the whole.

Each stage runs alone on what the stage before it gave, all in turn with the
whole journey, in microseconds of CPU per row. What the whole takes beyond the
sum is told as the rest: the server's threads and metrics, the client's
bookkeeping, caches that stages share here and not there.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.graphs import graph_alone, noise_of
from benchmarks.measure import Timing, interleave, summary
from benchmarks.sampling import over_grpc, to_frame
from benchmarks.stand import Options, Stand
from benchmarks.transport import transport, write
from kohort import wire
from kohort.columns import Batch, ContentDigest, batch_digest
from kohort.programs import Program, SampleSpec, rebatch
from kohort.sampling import Collector, SampleBatch
from kohort.v1 import sampling_pb2
from server.encoders import ColumnsEncoder

STAGES = (
    "noise",
    "graph",
    "columns",
    "rebatch",
    "encode",
    "server digests",
    "transport",
    "parse",
    "decode",
    "client digests",
)
"""From noise to typed columns in the client, in order; "DataFrame" comes on top."""


def measure(stand: Stand, options: Options, name: str) -> dict[str, Any]:
    """The stages of one model: medians and ranges in µs of CPU per row."""
    bundle, server = stand.bundles[name], stand.server.process
    block = int(bundle.manifest.program["noise"]["block"])
    rows = max(1, options.rows // block) * block
    program = bundle.program()
    spec = SampleSpec(seed=1)
    blocks = list(program.units(spec, 0, rows))
    batches = list(rebatch(iter(blocks)))
    dictionaries, messages = encoded(program, batches)
    parsed = [sampling_pb2.SampleResponse.FromString(message).batch for message in messages]
    table = program.schema.tables[0]

    def all_of(work: Callable[[], object]) -> Callable[[], int]:
        def run() -> int:
            work()
            return rows

        return run

    def digests() -> None:
        whole = ContentDigest(program.schema)
        for batch in batches:
            whole.add(batch)
            batch_digest(batch)

    def client_digests() -> None:
        whole = ContentDigest(program.schema)
        for batch, message in zip(batches, parsed, strict=True):
            wire.check_digest(batch, message.digest)
            whole.add(batch)

    ready = received(stand, name, options)
    path = Path(stand.server.folder) / "messages"
    write(path, messages)
    with transport(path, rows) as (receive, sender):
        candidates: dict[str, Callable[[], int]] = {
            "noise": all_of(lambda: drain(noise_of(bundle, number) for number in range(rows // block))),
            "graph": graph_alone(bundle, rows)[0],
            "units": all_of(lambda: drain(program.units(spec, 0, rows))),
            "rebatch": all_of(lambda: drain(rebatch(iter(blocks)))),
            "encoder": all_of(lambda: drain(encoding(program, batches))),
            "server digests": all_of(digests),
            "transport": receive,
            "parse": all_of(lambda: drain(map(sampling_pb2.SampleResponse.FromString, messages))),
            "decode": all_of(lambda: drain(wire.decode_batch(m, table, dictionaries) for m in parsed)),
            "client digests": all_of(client_digests),
            "DataFrame": lambda: frames(ready),
            "whole": over_grpc(stand, name, rows),
            "whole to a DataFrame": to_frame(stand, name, rows),
        }
        found = interleave(candidates, options.repeats, server, sender)
    return split(found)


def split(found: dict[str, Timing]) -> dict[str, Any]:
    """Stages as differences of what was measured, repeat by repeat."""
    cost = {name: timing.costs for name, timing in found.items()}
    cost["columns"] = _minus(cost["units"], cost["noise"], cost["graph"])
    cost["encode"] = _minus(cost["encoder"], cost["server digests"])
    stages = {name: summary(cost[name]) for name in (*STAGES, "DataFrame")}
    total = sum(stages[name]["median"] for name in STAGES)
    whole = statistics.median(cost["whole"])
    return {
        "unit": "µs of CPU per row",
        "stages": stages,
        "sum": total,
        "whole": summary(cost["whole"]),
        "rest": whole - total,
        "whole_to_frame": summary(cost["whole to a DataFrame"]),
    }


def drain(parts: Iterable[object]) -> None:
    """Takes every part and keeps none, as a stream does: memory that is held would cost more than it does there."""
    deque(parts, maxlen=0)


def encoding(program: Program, batches: list[Batch]) -> Iterator[bytes]:
    """The messages of the server's encoder: dictionaries, then batches."""
    encoder = ColumnsEncoder(program, {})
    yield from encoder.begin()
    for batch in batches:
        yield from encoder.batch(batch)
    encoder.digest()


def encoded(program: Program, batches: list[Batch]) -> tuple[wire.Dictionaries, list[bytes]]:
    """The dictionaries as a client reads them, and the messages of batches."""
    dictionaries, messages = wire.Dictionaries(), []
    for message in encoding(program, batches):
        part = sampling_pb2.SampleResponse.FromString(message)
        if part.WhichOneof("part") == "dictionary":
            dictionaries.add(part.dictionary)
        else:
            messages.append(message)
    return dictionaries, messages


def received(stand: Stand, name: str, options: Options) -> list[SampleBatch]:
    """What a client has before it makes a DataFrame."""
    return list(stand.client.sample_batches(stand.models[name], options.rows, seed=1))


def frames(batches: list[SampleBatch]) -> int:
    """Rows of the DataFrame of those batches."""
    rows = Collector(single=True)
    for batch in batches:
        rows.add(batch)
    return len(rows.frame())


def _minus(whole: list[float], *parts: list[float]) -> list[float]:
    return [value - sum(some) for value, *some in zip(whole, *parts, strict=True)]
