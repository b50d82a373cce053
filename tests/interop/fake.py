"""A server that serves the golden stream, its broken variants and the errors of the contract."""

import csv
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import golden
import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from kohort.v1 import dataset_pb2, dataset_pb2_grpc, sampling_pb2, sampling_pb2_grpc, schema_pb2

# Streams that break the contract each in one way, and words of every reader's complaint.
BROKEN = {
    "batch-digest": "does not have the digest",
    "value": "does not have the digest",
    "validity": "does not have the digest",
    "trailer-digest": "does not have the digest",
    "trailer-rows": "rows of its trailer",
    "no-trailer": "without a trailer",
    "dictionary": "dictionary chunk is missing",
}


class Sampling(sampling_pb2_grpc.SamplingServiceServicer):
    """`models/golden` and `models/broken-…`."""

    async def Sample(self, request: Any, context: Any) -> AsyncIterator[sampling_pb2.SampleResponse]:
        name = request.model.removeprefix("models/")
        if request.start_unit < 0:
            await refuse(context, grpc.StatusCode.OUT_OF_RANGE, "UNIT_OUT_OF_RANGE", ["start_unit"])
        if name == "busy":
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", retry_ms=1500)
        if name != "golden" and name.removeprefix("broken-") not in BROKEN:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        for message in break_stream(golden.stream(request), name.removeprefix("broken-")):
            yield message


def break_stream(
    messages: Iterator[sampling_pb2.SampleResponse], how: str
) -> Iterator[sampling_pb2.SampleResponse]:
    """The stream with one thing wrong; any other `how` changes nothing."""
    for message in messages:
        batch = message.batch if message.HasField("batch") and message.batch.table == "patients" else None
        match how:
            case "batch-digest" if batch:
                batch.digest = bytes(32)
            case "value" if batch:
                batch.columns[3].int64s.values[0] ^= 1
            case "validity" if batch:
                bits = bytearray(batch.columns[1].validity)
                bits[0] ^= 2
                batch.columns[1].validity = bytes(bits)
            case "trailer-digest" if message.HasField("trailer"):
                message.trailer.digest = bytes(32)
            case "trailer-rows" if message.HasField("trailer"):
                message.trailer.row_counts["patients"] += 1
            case "no-trailer" if message.HasField("trailer"):
                return
            case "dictionary" if message.HasField("dictionary") and message.dictionary.first_index == 3000:
                continue
        yield message


class Datasets(dataset_pb2_grpc.DatasetServiceServicer):
    """Takes one CSV file and tells what came."""

    async def UploadDataset(self, request_iterator: Any, context: Any) -> dataset_pb2.UploadDatasetResponse:
        header = (await anext(request_iterator)).header
        uuid.UUID(header.request_id)
        table = header.schema.tables[0].name
        if table == "refused":  # at once, with the client still sending
            await refuse(
                context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SCHEMA", ["schema.tables[0].name"]
            )
        data = bytearray()
        async for message in request_iterator:
            if message.chunk.table != table or not 0 < len(message.chunk.data) <= 3_500_000:
                await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", ["chunk"])
            data += message.chunk.data
        digest = hashlib.sha256(data).digest()
        if [(d.table, d.sha256) for d in header.digests] != [(table, digest)]:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH", [table])
        names, *rows = csv.reader(data.decode().splitlines())
        columns = [schema_pb2.Column(name=name) for name in names]
        dataset = dataset_pb2.Dataset(
            name="datasets/fake",
            schema=schema_pb2.Schema(tables=[schema_pb2.TableSchema(name=table, columns=columns)]),
            row_counts={table: len(rows)},
            digest=digest,
        )
        return dataset_pb2.UploadDatasetResponse(dataset=dataset)


async def refuse(
    context: Any, code: grpc.StatusCode, reason: str, fields: list[str] | None = None, retry_ms: int = 0
) -> None:
    """Ends the call with google.rpc details as the real server sends them."""
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=reason, domain="kohort")]
    if fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description="refused")
            for field in fields
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if retry_ms:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=0)))
        details[-1].retry_delay.FromMilliseconds(retry_ms)
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    status = status_pb2.Status(code=code.value[0], message="refused", details=packed)
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, "refused", trailing_metadata=metadata)


async def serve() -> tuple[grpc.aio.Server, str]:
    """Starts the server on a free loopback port; the caller stops it."""
    server = grpc.aio.server()
    sampling_pb2_grpc.add_SamplingServiceServicer_to_server(Sampling(), server)
    dataset_pb2_grpc.add_DatasetServiceServicer_to_server(Datasets(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
