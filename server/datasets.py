"""DatasetService: tables in, and never out again."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from kohort import wire
from kohort.problem import Problem
from kohort.v1 import dataset_pb2, dataset_pb2_grpc
from server import convert, validation
from server.blobs import BlobStore, dataset_prefix, lineage_key, put_tree
from server.context import principal, span
from server.interceptors import Context
from server.layout import DataDir
from server.metrics import Metrics
from server.pages import fill
from server.parsing import Parsed, Upload
from server.records import DatasetRecord, Principal
from server.schemas import Schemas
from server.settings import Settings
from server.spool import SpoolFolder
from server.store import Store
from server.threads import Threads
from server.uploads import Spooled, receive


class DatasetService(dataset_pb2_grpc.DatasetServiceServicer):
    """See dataset.proto, which says what each call promises."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        blobs: BlobStore,
        folders: DataDir,
        spool: SpoolFolder,
        threads: Threads,
        spool_threads: Threads,
        schemas: Schemas,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._folders = folders
        self._spool = spool
        self._threads = threads
        self._spool_threads = spool_threads
        self._schemas = schemas
        self._metrics = metrics

    async def UploadDataset(  # noqa: N802
        self, requests: AsyncIterator[dataset_pb2.UploadDatasetRequest], context: Context
    ) -> dataset_pb2.UploadDatasetResponse:
        """Spools, parses and stores an upload; nothing is kept of one that breaks."""
        who = principal()
        with self._spool.scratch() as scratch:
            spooled = await receive(requests, scratch, self._settings, self._spool_threads)
            self._metrics.upload_bytes.labels(spooled.format).inc(spooled.size_bytes)
            expire_time = self._expire_time(spooled.header)
            fingerprint = validation.request_hash(spooled.header, spooled.sha256)
            known = await self._threads.run(
                self._store.requests.find, who.tenant, "upload", spooled.header.request_id, fingerprint
            )
            if known is not None:
                record = await self._threads.run(self._store.datasets.get, who.tenant, known)
            else:
                with span().part("dataset.parse", {"kohort.format": spooled.format}):
                    parsed = await self._parse(who, spooled, scratch)
                with span().part("dataset.publish"):
                    record = await self._spool_threads.run(
                        self._publish, who, spooled, parsed, scratch, expire_time, fingerprint
                    )
        span().note({"kohort.dataset": f"datasets/{record.id}"})
        return dataset_pb2.UploadDatasetResponse(dataset=convert.dataset(record))

    async def InferSchema(  # noqa: N802
        self, request: dataset_pb2.InferSchemaRequest, context: Context
    ) -> dataset_pb2.InferSchemaResponse:
        """What training would use."""
        dataset = validation.resource_id(request.dataset, "datasets", "dataset")
        record = await self._threads.run(self._store.datasets.get_live, principal().tenant, dataset)
        overrides = wire.overrides_from_proto(request.schema_overrides)
        effective = await self._schemas.infer(record, overrides, self._settings.min_patients_per_value)
        return dataset_pb2.InferSchemaResponse(
            schema=wire.schema_to_proto(effective.schema),
            findings=map(wire.finding_to_proto, effective.findings),
        )

    async def GetDataset(  # noqa: N802
        self, request: dataset_pb2.GetDatasetRequest, context: Context
    ) -> dataset_pb2.GetDatasetResponse:
        """One dataset or tombstone."""
        dataset = validation.resource_id(request.name, "datasets")
        record = await self._threads.run(self._store.datasets.get, principal().tenant, dataset)
        return dataset_pb2.GetDatasetResponse(dataset=convert.dataset(record))

    async def ListDatasets(  # noqa: N802
        self, request: dataset_pb2.ListDatasetsRequest, context: Context
    ) -> dataset_pb2.ListDatasetsResponse:
        """A page of datasets."""
        after = validation.read_page_token("datasets", request.page_token)
        tenant = principal().tenant
        datasets, end = await self._threads.run(
            fill,
            lambda size: self._store.datasets.list(tenant, page_size=size, after=after),
            convert.dataset,
            validation.page_size(request.page_size),
        )
        return dataset_pb2.ListDatasetsResponse(
            datasets=datasets, next_page_token=validation.page_token("datasets", end)
        )

    async def DeleteDataset(  # noqa: N802
        self, request: dataset_pb2.DeleteDatasetRequest, context: Context
    ) -> dataset_pb2.DeleteDatasetResponse:
        """A tombstone first, then the bytes go."""
        tenant = principal().tenant
        dataset = validation.resource_id(request.name, "datasets")
        record = await self._threads.run(self._store.datasets.delete, tenant, dataset)
        await self._spool_threads.run(self._purge, record)
        await self._spool_threads.run(self._withdraw, tenant, dataset)
        models = await self._threads.run(self._store.models.by_dataset, tenant, dataset)
        return dataset_pb2.DeleteDatasetResponse(
            dataset=convert.dataset(record), models=[f"models/{model.id}" for model in models]
        )

    async def _parse(self, who: Principal, spooled: Spooled, scratch: Path) -> Parsed:
        began = time.perf_counter()
        parsed = await self._schemas.parse(
            Upload(
                format=spooled.format,
                files=spooled.files,
                folder=scratch / "tables",
                declared=spooled.declared,
                digests=spooled.digests,
                max_rows=self._settings.max_rows,
                max_columns=self._settings.max_columns,
                min_patients=self._settings.min_patients_per_value,
                tenant=who.tenant,
                patient_key=self._folders.patient_key,
                lineage=scratch / "patients",
            )
        )
        self._metrics.parse_seconds.labels(spooled.format).observe(time.perf_counter() - began)
        self._metrics.upload_rows.labels(spooled.format).inc(sum(parsed.row_counts.values()))
        return parsed

    def _publish(
        self,
        who: Principal,
        spooled: Spooled,
        parsed: Parsed,
        scratch: Path,
        expire_time: float,
        fingerprint: bytes,
    ) -> DatasetRecord:
        identifier = uuid.uuid4().hex
        record = DatasetRecord(
            id=identifier,
            tenant=who.tenant,
            principal=who.name,
            display_name=spooled.header.display_name,
            labels=dict(spooled.header.labels),
            schema=parsed.schema,
            findings=parsed.findings,
            row_counts=parsed.row_counts,
            size_bytes=parsed.size_bytes,
            digest=parsed.digest,
            create_time=0.0,  # the database's clock decides
            expire_time=expire_time,
            delete_after_training=spooled.header.delete_after_training,
            delete_time=None,
            blob_prefix=dataset_prefix(who.tenant, identifier),
            lineage_key=lineage_key(who.tenant, identifier) if parsed.has_lineage else "",
        )
        created = False
        try:
            put_tree(self._blobs, record.blob_prefix, scratch / "tables")
            if record.lineage_key:
                self._blobs.put(record.lineage_key, scratch / "patients")
            stored, created = self._store.datasets.create(
                record, request_id=spooled.header.request_id, request_hash=fingerprint
            )
        finally:
            if not created:  # a repeat that came first, or a failure
                self._blobs.delete(record.blob_prefix)
                if record.lineage_key:
                    self._blobs.delete(record.lineage_key)
        return stored

    def _purge(self, record: DatasetRecord) -> None:
        self._blobs.delete(record.blob_prefix)
        self._store.datasets.purged(record.id)

    def _withdraw(self, tenant: str, dataset: str) -> None:
        """Reports hold statistics of the patients who are to be forgotten."""
        for key in self._store.reports.withdraw(tenant, dataset):
            self._blobs.delete(key)

    def _expire_time(self, header: dataset_pb2.UploadHeader) -> float:
        now = time.time()
        if not header.HasField("expire_time"):
            return now + self._settings.dataset_ttl_seconds
        asked = header.expire_time.seconds + header.expire_time.nanos * 1e-9
        if asked <= now:
            raise Problem.at("INVALID_REQUEST", "header.expire_time", "must lie in the future")
        return min(asked, now + self._settings.max_dataset_ttl_seconds)
