"""What can be wrong with an upload, by family; each with the reason and the column that is told.

Stream order, digests, sizes, formats, declared schemas, files, record batches.
"""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kohort.v1 import dataset_pb2, sampling_pb2, schema_pb2, table_pb2
from tests.server import bad
from tests.server.bad import COLUMNS, EXCEL, INVALID, PARQUET, Case, Schema, Table

from tests.server.bad import batches, chunk, column, csv, declared, digest, head, sample, upload  # isort: skip
from tests.server.conftest import Start

Upload, Import = dataset_pb2.UploadDatasetRequest, sampling_pb2.ImportModelRequest
T, T0, C0 = "schema.tables", "schema.tables[0]", "schema.tables[0].columns[0]"
WIDE = [column(f"c{i}") for i in range(51)]
WIDE_CSV = ",".join(c.name for c in WIDE).encode() + b"\n" + b"1," * 50 + b"1\n"
LOST_KEY = schema_pb2.ForeignKey(columns=["a"], table="x", referenced_columns=["a"])
WHOLE = column(kind=schema_pb2.COLUMN_KIND_INTEGER)
ORDER = "STREAM_OUT_OF_ORDER"


def imports(*messages: Any) -> Any:
    return lambda b: b.stubs.sampling.ImportModel(iter(messages))


def batch(change: Any) -> Any:
    """Something changed in the only batch."""
    return batches(lambda messages: change(messages[-1].batch))


FAMILIES: dict[str, list[Case]] = {
    "order": [
        ("nothing", upload(), ORDER, ""),
        ("no header", upload(chunk()), ORDER, ""),
        ("an empty message", upload(Upload()), ORDER, ""),
        ("two headers", upload(head(), head()), ORDER, ""),
        ("a batch in a file", upload(head(), Upload(batch=table_pb2.RecordBatch())), ORDER, ""),
        ("a chunk among batches", batches(lambda m: m.append(chunk())), ORDER, ""),
        ("half a dictionary", batches(lambda m: m.insert(1, bad.stray_dictionary())), ORDER, "people.sex"),
        ("import without header", imports(Import(data=b"x")), ORDER, ""),
        ("import of nothing", imports(), ORDER, ""),
        ("header alone", upload(head()), "EMPTY_TABLE", ""),
    ],
    "digests": [
        ("another file", csv(digests=[digest()]), "DIGEST_MISMATCH", "t"),
        ("short", csv(digests=[digest(sha256=b"x")]), INVALID, "digests[0].sha256"),
        ("of a table that did not come", csv(digests=[digest("u")]), "UNKNOWN_TABLE", "digests"),
        ("twice", csv(digests=[digest(), digest()]), INVALID, "digests"),
        ("of a batch", batch(lambda b: setattr(b, "digest", b"x" * 32)), "DIGEST_MISMATCH", "people"),
        ("none of a batch", batch(lambda b: b.ClearField("digest")), "DIGEST_MISMATCH", "people"),
    ],
    "sizes": [
        ("bytes", upload(head(), *[chunk(b"a,b\n" * 250_000)] * 4), "LIMIT_EXCEEDED", "upload"),
        ("rows", csv(b"a\n" + b"1\n" * 5001), "LIMIT_EXCEEDED", "*"),
        ("columns", csv(WIDE_CSV), "LIMIT_EXCEEDED", "*"),
        ("declared columns", declared(*WIDE), "LIMIT_EXCEEDED", f"{T0}.columns"),
        ("tables", upload(head(), *[chunk(table=f"t{i}") for i in range(65)]), "LIMIT_EXCEEDED", "*"),
    ],
    "formats": [
        ("unspecified", upload(head(0)), "FORMAT_UNSUPPORTED", "header.format"),
        ("unknown", upload(head(99)), "FORMAT_UNSUPPORTED", "header.format"),
        ("unknown, of a sample", sample(format=4), "FORMAT_UNSUPPORTED", "format"),
        ("past", csv(expire_time=Timestamp(seconds=int(time.time()) - 5)), INVALID, "header.expire_time"),
        ("long past", csv(expire_time=Timestamp(seconds=-(1 << 62))), INVALID, "header.expire_time"),
    ],
    "schemas": [
        ("a table's name", declared(name="a b"), "INVALID_SCHEMA", f"{T0}.name"),
        ("a column without a name", declared(column("")), "EMPTY_COLUMN_NAME", f"{C0}.name"),
        ("a column twice", declared(column(), column()), "DUPLICATE_COLUMN", f"{C0}.name"),
        ("a scale", declared(column(scale=13)), "INVALID_SCHEMA", f"{C0}.scale"),
        ("a zone", declared(column(time_zone="Mars/Olympus")), "INVALID_SCHEMA", f"{C0}.time_zone"),
        ("bounds", declared(column(minimum=2, maximum=1)), "INVALID_SCHEMA", f"{C0}.minimum"),
        ("a bound", declared(column(minimum=math.inf)), "INVALID_SCHEMA", f"{C0}.minimum"),
        ("levels", declared(column(levels=["a", "a"])), "INVALID_SCHEMA", f"{C0}.levels"),
        ("a control character", declared(column("a\x00")), "INVALID_SCHEMA", f"{C0}.name"),
        ("a table twice", csv(schema=Schema(tables=[Table(name="t")] * 2)), "INVALID_SCHEMA", T),
        ("no file", csv(schema=Schema(tables=[Table(name="t"), Table(name="u")])), "EMPTY_TABLE", "u"),
        ("another table", csv(schema=Schema(tables=[Table(name="u")])), "UNKNOWN_TABLE", "chunk.table"),
        ("COLUMNS without one", upload(head(COLUMNS)), "INVALID_SCHEMA", T),
        ("a lost key", declared(foreign_keys=[LOST_KEY]), "INVALID_SCHEMA", f"{T0}.foreign_keys[0].table"),
    ],
    "files": [
        ("ragged", csv(b"a,b\n1,2\n3\n"), "RAGGED_ROW", "*"),
        ("encoding", csv(b"a,b\n1,\xff\xfe\n"), "BAD_ENCODING", "*"),
        ("a header twice", csv(b"a,a\n1,2\n"), "DUPLICATE_COLUMN", "*"),
        ("an empty header", csv(b"a,\n1,2\n"), "EMPTY_COLUMN_NAME", "*"),
        ("no rows", csv(b"a,b\n"), "EMPTY_TABLE", "*"),
        (
            "bounds",
            declared(column(maximum=1), column("b"), data=b"a,b\n5,1\n"),
            "VALUE_OUT_OF_BOUNDS",
            "t.a",
        ),
        ("no parquet", upload(head(PARQUET), chunk(b"PAR1 nothing")), "FILE_MALFORMED", "*"),
        ("no excel", upload(head(EXCEL), chunk(b"PK nothing")), "FILE_MALFORMED", "*"),
        ("not the kind", declared(WHOLE, data=b"a\nx\n"), "VALUE_NOT_OF_KIND", "t.a"),
        ("a missing column", declared(column("z")), "MISSING_COLUMN", "*"),
    ],
    "batches": [
        ("another table", batch(lambda b: setattr(b, "table", "x")), "UNKNOWN_TABLE", "batch.table"),
        ("too few columns", batch(lambda b: b.columns.pop()), "BATCH_INVALID", "people"),
        ("too few cells", batch(lambda b: b.columns[0].int64s.values.pop()), "BATCH_INVALID", "people.age"),
        ("storage", batch(lambda b: b.columns[0].CopyFrom(b.columns[2])), "BATCH_INVALID", "people.age"),
        ("index", batch(lambda b: b.columns[1].indices.values.append(7)), "BATCH_INVALID", "people.sex"),
        ("no dictionary", batches(lambda m: m.pop(1)), "BATCH_INVALID", "people.sex"),
        ("no rows", batches(lambda m: m.pop()), "EMPTY_TABLE", "people"),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
async def test_family(start: Start, family: str) -> None:
    await bad.judge(await bad.set_up(start), FAMILIES[family])
