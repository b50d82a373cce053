"""The Python driver: one call of the SDK from the command line, what it saw as JSON (see canonical.py).

driver.py VERB ADDRESS ARGUMENT…        the verbs are the functions at the end of this file
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from canonical import FAILED_CALL, column_texts

import kohort
from kohort.csvio import csv_rows
from kohort.sampling import SampleState

TIMEOUT = float(os.environ.get("KOHORT_TIMEOUT", "60"))


class Seen:
    """What the SDK keeps to itself: how many Sample calls there were, and the digest of the last trailer."""

    def __init__(self) -> None:
        self.streams = 0
        self.digest = ""
        request, receive = SampleState.request, SampleState.receive

        def counted(state: SampleState) -> Any:
            self.streams += 1
            return request(state)

        def noted(state: SampleState, message: Any) -> Any:
            if message.HasField("trailer"):
                self.digest = message.trailer.digest.hex()
            return receive(state, message)

        SampleState.request, SampleState.receive = counted, noted  # type: ignore[method-assign]


def connect(address: str) -> kohort.Client:
    """A client with the options of the environment."""
    files = {
        "root_certificates": os.environ.get("KOHORT_CA"),
        "certificate": os.environ.get("KOHORT_CERT"),
        "key": os.environ.get("KOHORT_KEY"),
    }
    given = {name: Path(path) for name, path in files.items() if path}
    tls = kohort.TLS(**given) if given else None
    return kohort.Client(address, token=os.environ.get("KOHORT_TOKEN"), tls=tls)


def batches(client: kohort.Client, model: str, start: str, count: str, seed: str, *words: str) -> Any:
    """The batches of a sample; the words are COLUMN VALUE COLUMN LOW HIGH, or none."""
    conditions: dict[Any, Any] = {}
    if words:
        equal, value, within, low, high = words
        conditions = {equal: value, within: (int(low), int(high))}
    return client.sample_batches(
        model, int(count), seed=int(seed), start=int(start), conditions=conditions, timeout=TIMEOUT
    )


def sample(client: kohort.Client, model: str, start: str, count: str, seed: str, *words: str) -> Any:
    """Every cell."""
    seen = Seen()
    tables: Any = {}
    batch: Any = None
    for batch in batches(client, model, start, count, seed, *words):
        tables = tables or {t.name: {c.name: [] for c in t.columns} for t in batch.tables}
        for column in batch.schema.columns:
            cells = batch.batch.arrays[column.name].to_python()
            tables[batch.table][column.name] += column_texts(column, cells)
    told = batch.provenance
    return {
        "model": told.model,
        "seed": str(told.seed),
        "synthetic": told.synthetic,
        "runtime_fingerprint": told.runtime_fingerprint,
        "units": str(told.unit_count),
        "next_unit": str(batch.batch.next_unit),
        "digest": seen.digest,
        "streams": seen.streams,
        "tables": tables,
    }


def read(client: kohort.Client, model: str, start: str, count: str, seed: str, how: str) -> Any:
    """Every row in one of the forms that programs take them in; none is kept."""
    seen, rows, size = Seen(), Counter[str](), 0
    begun = time.monotonic()
    for batch in batches(client, model, start, count, seed):
        if how == "rows":
            batch.to_frame()
        elif how == "csv":
            size += len(csv_rows(batch.schema, batch.batch))
        rows[batch.table] += len(batch)
    seconds = time.monotonic() - begun
    written = {"bytes": size} if how == "csv" else {}
    counts = {table: str(n) for table, n in rows.items()}
    return {"rows": counts, "streams": seen.streams, "seconds": seconds, **written}


def first(client: kohort.Client, model: str, count: str, seed: str) -> Any:
    """Leaves after the first batch; the client must work on."""
    with closing(batches(client, model, "0", count, seed)) as stream:
        rows = len(next(stream))
    return {"rows": str(rows), "model": client.model(model).name}


def upload(client: kohort.Client, path: str, table: str) -> Any:
    """Hands a CSV file in."""
    info = client.upload(path, table=table, timeout=TIMEOUT).info
    return {
        "dataset": info.name,
        "rows": str(info.row_counts[table]),
        "digest": info.digest,
        "columns": [column.name for stored in info.schema for column in stored.columns],
    }


def train(client: kohort.Client, dataset: str, trainer: str, seed: str, *words: str) -> Any:
    """Starts a job and follows it; the words are parameters, NAME NUMBER each."""
    parameters = {name: json.loads(number) for name, number in zip(words[::2], words[1::2], strict=True)}
    return _followed(client.train(dataset, trainer, parameters=parameters, seed=int(seed)), 0)


def follow(client: kohort.Client, job: str, after: str) -> Any:
    """Follows a job that somebody else started."""
    return _followed(client.job(job), int(after))


def _followed(job: kohort.Job, after: int) -> Any:
    events = list(job.events(after_sequence=after, timeout=TIMEOUT))
    error = job.info.error
    return {
        "job": job.name,
        "state": job.state.upper(),
        "model": job.info.model,
        "events": len(events),
        "sequences": [events[0].sequence, events[-1].sequence] if events else [],
        "phases": [e.detail.phase for e in events if isinstance(e.detail, kohort.PhaseStarted)],
        "error": {"reason": error.reason, "column": error.column} if error else None,
    }


def cancel(client: kohort.Client, job: str) -> Any:
    """Asks a job to stop."""
    return {"state": client.job(job).cancel().state.upper()}


def model(client: kohort.Client, name: str) -> Any:
    """A model."""
    info = client.model(name, timeout=TIMEOUT).info
    return {"model": info.name, "trainer": info.trainer, "unit": info.unit}


def idle(client: kohort.Client, name: str, seconds: str) -> Any:
    """Says nothing for a while between two calls."""
    client.model(name)
    time.sleep(float(seconds))
    return {"model": client.model(name).name}


VERBS = (sample, read, first, upload, train, follow, cancel, model, idle)


def main(verb: str, address: str, *arguments: str) -> int:
    """Makes the call; the exit status."""
    call = {function.__name__: function for function in VERBS}[verb]
    try:
        with connect(address) as client:
            result = call(client, *arguments)
    except kohort.RpcError as error:
        retry = {} if error.retry_after is None else {"retry_ms": round(error.retry_after * 1000)}
        fields = [violation.field for violation in error.violations]
        told = {"code": error.code, "reason": error.reason, "fields": fields, **retry}
        print(json.dumps({"error": {**told, "request_id": error.request_id, "hint": error.hint}}))
        return FAILED_CALL
    except (kohort.IntegrityError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
