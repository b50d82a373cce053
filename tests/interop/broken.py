"""Streams that break the contract, each in one way."""

from __future__ import annotations

from collections.abc import Iterator

from kohort.v1 import sampling_pb2

BROKEN = {
    "batch-digest": "digest",
    "value": "digest",
    "validity": "digest|null",
    "trailer-digest": "digest",
    "trailer-rows": "rows",
    "trailer-units": "units",
    "no-trailer": "trailer",
    "no-header": "order",
    "two-headers": "order",
    "after-trailer": "order",
    "dictionary": "dictionary",
    "other-units": "units",
    "backwards": "order",
}
"""By stream a pattern in every driver's complaint."""

RESUMED = {"turned": "another model", "moved": "units"}
"""Streams that break off, and go on as something else."""


def break_stream(
    messages: Iterator[sampling_pb2.SampleResponse], how: str, number: int
) -> Iterator[sampling_pb2.SampleResponse]:
    """The stream with one thing wrong; any other `how` changes nothing. `number` counts streams from 1."""
    for message in messages:
        batch = message.batch if message.HasField("batch") and message.batch.table == "patients" else None
        header = message.header if message.HasField("header") else None
        trailer = message.trailer if message.HasField("trailer") else None
        match how:
            case "batch-digest" if batch:
                batch.digest = bytes(32)
            case "value" if batch:
                batch.columns[3].int64s.values[0] ^= 1
            case "validity" if batch:
                bits = bytearray(batch.columns[1].validity)
                bits[0] ^= 2
                batch.columns[1].validity = bytes(bits)
            case "trailer-digest" if trailer:
                trailer.digest = bytes(32)
            case "trailer-rows" if trailer:
                trailer.row_counts["patients"] += 1
            case "trailer-units" if trailer:
                trailer.unit_count -= 1
            case "no-trailer" if trailer:
                return
            case "no-header" if header:
                continue
            case "two-headers" if header:
                yield message
            case "after-trailer" if trailer:
                yield message
            case "dictionary" if message.HasField("dictionary") and message.dictionary.first_index == 3000:
                continue
            case "other-units" if header:
                header.unit_count += 1
            case "backwards" if message.HasField("batch") and message.batch.table == "visits":
                message.batch.next_unit = -1
            case "turned" if header and number > 1:
                header.content_digest = b"\1" * 32
            case "moved" if header and number > 1:
                header.start_unit += 1
        yield message
