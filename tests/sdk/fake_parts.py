"""What the fake server fails with, how fast its clients try again, and the rows that it serves."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from functools import partial

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from kohort import Retry
from kohort.columns import Array, Batch
from kohort.schema import Column, Kind, Storage, TableSchema

CODE = grpc.StatusCode
QUICK = Retry(initial_backoff=0.01, max_backoff=0.05, stream_patience=5)


@dataclass
class Fault:
    """One call that fails after so many messages; None as code ends it well, but early."""

    code: grpc.StatusCode | None = CODE.UNAVAILABLE
    message: str = "fake"
    reason: str = ""
    after: int = 0
    retry_after: float | None = None
    violations: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def abort(self, context):
        details = []
        if self.reason:
            details.append(
                error_details_pb2.ErrorInfo(reason=self.reason, domain="kohort", metadata=self.metadata)
            )
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for name, text in self.violations.items():
                bad.field_violations.add(field=name, description=text)
            details.append(bad)
        if self.retry_after is not None:
            delay = duration_pb2.Duration(
                seconds=int(self.retry_after), nanos=int(self.retry_after % 1 * 1e9)
            )
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        if not packed:
            context.abort(self.code, self.message)
        status = status_pb2.Status(code=self.code.value[0], message=self.message, details=packed)
        context.abort_with_status(rpc_status.to_status(status))


ROWS = TableSchema(
    "rows",
    (
        Column("key", Kind.ID, Storage.INT64, nullable=False, source_dtype="int64"),
        Column("sex", Kind.CATEGORY, Storage.STRING, source_dtype="category:object"),
        Column("bmi", Kind.DECIMAL, Storage.DECIMAL, scale=1, source_dtype="float64"),
    ),
)
VISITS = TableSchema(
    "visits", (Column("patient", Kind.ID, Storage.INT64), Column("day", Kind.DATE, Storage.DATE))
)
PATIENTS = TableSchema("patients", (Column("patient", Kind.ID, Storage.INT64),))
SEXES = ("f", "m")


def rows_of(seed, start, count):
    """Units [start, start + count) of the one-table model, any range."""
    unit = np.arange(start, start + count, dtype=np.int64)
    draw = (unit * 2654435761 + seed) % 1000
    return Batch(
        "rows",
        {
            "key": Array.make(Storage.INT64, unit + 1),
            "sex": Array.make(Storage.STRING, draw % 2, draw % 7 != 0, SEXES),
            "bmi": Array.make(Storage.DECIMAL, draw, draw % 5 != 0),
        },
        first_unit=start,
        next_unit=start + count,
    )


def two_tables_of(seed, start, count):
    """The same of a model of patients with 0 to 3 visits, as one group of two batches."""
    unit = np.arange(start, start + count, dtype=np.int64)
    patients = Batch("patients", {"patient": Array.make(Storage.INT64, unit)}, start, 0, start)
    visits = np.repeat(unit, (unit + seed) % 4)
    cells = {
        "patient": Array.make(Storage.INT64, visits),
        "day": Array.make(Storage.DATE, np.arange(len(visits))),
    }
    return [patients, Batch("visits", cells, start, 0, start + count)]


def find(kept, name, reason, context):
    if name not in kept:
        Fault(CODE.NOT_FOUND, f"no {name} here", reason, metadata={"request_id": "server-side-id"}).abort(
            context
        )
    return kept[name]


def paged(items, request):
    """Two to a page, so that paging happens."""
    items, start = list(items), int(request.page_token or 0)
    return items[start : start + 2], str(start + 2) if start + 2 < len(items) else ""


def listen(server, credentials=None):
    """A port of the server's own at both addresses of localhost.

    "localhost:0" takes a free port at the one address and is content, with a warning, if another program has
    the same number at the other: a client may then reach that program.
    """
    add = server.add_insecure_port
    if credentials is not None:
        add = partial(server.add_secure_port, server_credentials=credentials)
    for _ in range(20):
        port = add("127.0.0.1:0")
        try:
            add(f"[::1]:{port}")
        except RuntimeError:
            if _speaks_ipv6():
                continue
        return port
    raise AssertionError("no port is free at both addresses of localhost")


def _speaks_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
