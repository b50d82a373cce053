"""One reader per language: each calls a server and gives what it read in the canonical form."""

import hashlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from canonical import FAILED_CALL, column_texts
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from kohort import wire
from kohort.columns import ContentDigest
from kohort.problem import Problem
from kohort.v1 import dataset_pb2, dataset_pb2_grpc, sampling_pb2, sampling_pb2_grpc, schema_pb2

ROOT = Path(__file__).resolve().parents[2]
GO, JAVA, NODE = (ROOT / "clients" / name for name in ("go", "java", "node"))


@dataclass(frozen=True)
class Reading:
    """What a reader ended with: its exit status (0, 1 or `FAILED_CALL`) and what it printed."""

    status: int
    result: Any


Reader = Callable[..., Reading]
"""`reader("sample", address, model, start, count, seed, *words)` or `reader("upload", address, file, table)`;
the words are COLUMN VALUE COLUMN LOW HIGH, or none."""


def need(tool: str) -> None:
    """Skips the test where a toolchain is missing; in CI that is a failure."""
    if shutil.which(tool) is None:
        message = f"{tool} is not installed"
        if os.environ.get("KOHORT_CI") == "1":
            pytest.fail(message)
        pytest.skip(message)


def command(*words: str | Path, cwd: Path = ROOT, timeout: float = 540) -> None:
    """Runs one step of a build and shows what it printed if it fails."""
    run = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    assert run.returncode == 0, f"{words[0]} failed:\n{run.stdout[-4000:]}{run.stderr[-4000:]}"


def reader(language: str) -> Reader:
    """Builds the reader of a language where it needs building."""
    match language:
        case "python":
            return read_here
        case "go":
            need("go")
            binary = ROOT / "build" / "interop" / "kohort-interop"
            command("go", "build", "-buildvcs=false", "-o", binary, "./internal/interop", cwd=GO)
            words = [str(binary)]
        case "java":
            need("java")
            need("mvn")
            command("mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "test-compile", cwd=JAVA)
            parts = ("classes", "test-classes", "dependency/*")
            class_path = os.pathsep.join(str(JAVA / "target" / part) for part in parts)
            quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it runs for a second
            words = ["java", *quick, "-cp", class_path, "io.kohort.interop.Driver"]
        case _:
            need("node")
            need("npm")
            installed = NODE / "node_modules" / ".package-lock.json"
            lock = NODE / "package-lock.json"
            if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
                command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE)
            words = ["node", str(NODE / "main.js")]

    def read(*arguments: Any) -> Reading:
        run = subprocess.run(
            [*words, *map(str, arguments)], capture_output=True, timeout=120, check=False, cwd=ROOT
        )
        assert run.returncode in (0, 1, FAILED_CALL), run.stderr.decode()
        if run.returncode == 1:
            return Reading(1, run.stderr.decode())
        return Reading(run.returncode, json.loads(run.stdout))

    return read


def read_here(mode: str, address: str, *arguments: Any) -> Reading:
    """The Python reader, in this process."""
    with grpc.insecure_channel(address) as channel:
        try:
            result = (_sample if mode == "sample" else _upload)(channel, *arguments)
        except grpc.RpcError as error:
            return Reading(FAILED_CALL, {"error": _describe(error)})
        except Problem as problem:
            return Reading(1, str(problem))
    return Reading(0, result)


def _conditions(equal: str, value: str, within: str, low: str, high: str) -> list[sampling_pb2.Condition]:
    return [
        sampling_pb2.Condition(column=equal, one_of=sampling_pb2.ValueSet(values=[value])),
        sampling_pb2.Condition(column=within, range=sampling_pb2.ValueRange(minimum=low, maximum=high)),
    ]


def _sample(
    channel: grpc.Channel, model: str, start: int, count: int, seed: int, *words: str
) -> dict[str, Any]:
    request = sampling_pb2.SampleRequest(
        model=model,
        start_unit=start,
        unit_count=count,
        seed=seed,
        conditions=_conditions(*words) if words else [],
    )
    dictionaries = wire.Dictionaries()
    header = trailer = None
    next_unit = 0
    for message in sampling_pb2_grpc.SamplingServiceStub(channel).Sample(request, timeout=60):
        match message.WhichOneof("part"):
            case "header":
                header = message.header
                schema = wire.schema_from_proto(header.schema)
                digest = ContentDigest(schema)
                tables: Any = {table.name: {c.name: [] for c in table.columns} for table in schema}
            case "dictionary":
                dictionaries.add(message.dictionary)
            case "batch":
                table = schema.table(message.batch.table)
                batch = wire.decode_batch(message.batch, table, dictionaries)
                wire.check_digest(batch, message.batch.digest)
                digest.add(batch)
                for column in table.columns:
                    cells = batch.arrays[column.name].to_python()
                    tables[table.name][column.name] += column_texts(column, cells)
                next_unit = batch.next_unit
            case "trailer":
                trailer = message.trailer
    if header is None or trailer is None:
        raise Problem("STREAM_OUT_OF_ORDER", "the stream ended without a trailer")
    rows = {name: len(next(iter(columns.values()))) for name, columns in tables.items()}
    if digest.digest() != trailer.digest or rows != dict(trailer.row_counts):
        raise Problem("DIGEST_MISMATCH", "the stream does not have the digest or rows of its trailer")
    return {
        "model": header.model,
        "seed": str(header.seed),
        "synthetic": header.synthetic,
        "runtime_fingerprint": header.runtime_fingerprint,
        "units": str(trailer.unit_count),
        "next_unit": str(next_unit),
        "digest": trailer.digest.hex(),
        "tables": tables,
    }


def _upload(channel: grpc.Channel, path: Path, table: str) -> dict[str, Any]:
    data = path.read_bytes()
    header = dataset_pb2.UploadHeader(
        request_id=str(uuid.uuid4()),
        format=dataset_pb2.UPLOAD_FORMAT_CSV,
        schema=schema_pb2.Schema(tables=[schema_pb2.TableSchema(name=table)]),
        digests=[dataset_pb2.ExpectedDigest(table=table, sha256=hashlib.sha256(data).digest())],
    )
    messages = [dataset_pb2.UploadDatasetRequest(header=header)]
    for start in range(0, len(data), 1 << 20):
        chunk = dataset_pb2.FileChunk(table=table, data=data[start : start + (1 << 20)])
        messages.append(dataset_pb2.UploadDatasetRequest(chunk=chunk))
    stub = dataset_pb2_grpc.DatasetServiceStub(channel)
    dataset = stub.UploadDataset(iter(messages), timeout=60).dataset
    return {
        "dataset": dataset.name,
        "rows": str(dataset.row_counts[table]),
        "digest": dataset.digest.hex(),
        "columns": [column.name for stored in dataset.schema.tables for column in stored.columns],
    }


def _describe(error: Any) -> dict[str, Any]:
    failure: dict[str, Any] = {"code": error.code().name, "reason": "", "domain": "", "fields": []}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if not detail.Is(kind.DESCRIPTOR):
                continue
            message = kind()
            detail.Unpack(message)
            if kind is error_details_pb2.ErrorInfo:
                failure |= {"reason": message.reason, "domain": message.domain}
            elif kind is error_details_pb2.BadRequest:
                failure["fields"] += [violation.field for violation in message.field_violations]
            else:
                failure["retry_ms"] = message.retry_delay.ToMilliseconds()
    return failure
