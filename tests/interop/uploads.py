"""The fake server's datasets: takes one CSV file and tells what came."""

from __future__ import annotations

import csv
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from kohort.v1 import dataset_pb2, dataset_pb2_grpc, schema_pb2

LARGEST_CHUNK = 3_500_000


class Datasets(dataset_pb2_grpc.DatasetServiceServicer):
    """Refuses the table `refused`; stores `lost.…` and loses its first answer.

    Args:
        calls: where calls are noted.
        refuse: ends a call with an error of the contract.
    """

    def __init__(self, calls: Any, refuse: Callable[..., Awaitable[None]]) -> None:
        self._calls = calls
        self._refuse = refuse
        self.stored: dict[str, dataset_pb2.Dataset] = {}
        """By request id."""

    async def UploadDataset(self, request_iterator: Any, context: Any) -> dataset_pb2.UploadDatasetResponse:
        header = (await anext(request_iterator)).header
        uuid.UUID(header.request_id)
        table = header.schema.tables[0].name
        self._calls.note("UploadDataset", table, header, context)
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        if table == "refused":  # at once, with the client still sending
            await self._refuse(context, invalid, "INVALID_SCHEMA", ["schema.tables[0].name"])
        data = bytearray()
        async for message in request_iterator:
            if message.chunk.table != table or not 0 < len(message.chunk.data) <= LARGEST_CHUNK:
                await self._refuse(context, invalid, "INVALID_REQUEST", ["chunk"])
            data += message.chunk.data
        digest = hashlib.sha256(data).digest()
        if [(d.table, d.sha256) for d in header.digests] != [(table, digest)]:
            await self._refuse(context, invalid, "DIGEST_MISMATCH", [table])
        known = header.request_id in self.stored
        dataset = self.stored.setdefault(header.request_id, self._dataset(table, data, digest))
        if table.startswith("lost") and not known:
            await self._refuse(context, grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        return dataset_pb2.UploadDatasetResponse(dataset=dataset)

    def _dataset(self, table: str, data: bytes, digest: bytes) -> dataset_pb2.Dataset:
        names, *rows = csv.reader(data.decode().splitlines())
        columns = [schema_pb2.Column(name=name) for name in names]
        return dataset_pb2.Dataset(
            name=f"datasets/{len(self.stored)}",
            schema=schema_pb2.Schema(tables=[schema_pb2.TableSchema(name=table, columns=columns)]),
            row_counts={table: len(rows)},
            digest=digest,
        )
