"""Schemas that only the data can tell: asked of a parsing process, off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from kohort.problem import Problem
from kohort.schema import Schema, SchemaOverrides
from server.blobs import BlobMissingError, BlobStore
from server.parsing import AbandonedError, Bounds, Effective, Parsed, Upload, infer_schema, parse_upload
from server.records import DatasetRecord
from server.settings import Settings
from server.spool import SpoolFolder
from server.threads import Threads
from tables.infer import Inferred, check_trainable

T = TypeVar("T")


class Schemas:
    """Reads uploads and infers schemas, a few at a time."""

    def __init__(self, settings: Settings, blobs: BlobStore, spool: SpoolFolder, threads: Threads) -> None:
        self._blobs = blobs
        self._spool = spool
        self._threads = threads
        self._min_patients = settings.min_patients_per_value
        self._bounds = Bounds(seconds=settings.parse_seconds, memory_bytes=settings.parse_memory_bytes)

    async def parse(self, upload: Upload) -> Parsed:
        """See `server.parsing.parse_upload`. A caller that leaves takes the process with it."""
        return await self._run(lambda gone: parse_upload(upload, self._bounds, gone))

    async def infer(
        self,
        dataset: DatasetRecord,
        overrides: SchemaOverrides,
        min_patients: int,
        *,
        trainable: bool = False,
    ) -> Effective:
        """The schema that training would use; see `server.parsing.infer_schema`.

        Raises:
            Problem: DATASET_EXPIRED when the bytes went in the meantime, and what inferring raises.
        """

        def work(gone: threading.Event) -> Effective:
            try:
                with self._spool.scratch() as scratch:
                    folder = self._blobs.materialise(dataset.blob_prefix, scratch / "dataset")
                    return infer_schema(
                        folder, overrides, min_patients, self._bounds, trainable=trainable, abandoned=gone
                    )
            except BlobMissingError as error:
                raise Problem("DATASET_EXPIRED", "the bytes of the dataset are gone") from error

        return await self._run(work)

    async def trainable(
        self, dataset: DatasetRecord, overrides: SchemaOverrides, min_patients: int
    ) -> Schema:
        """The effective schema of a job. Raises Problem for a dataset that cannot be trained on."""
        if overrides == SchemaOverrides() and min_patients == self._min_patients:
            # What the upload inferred still holds: no need to read the data again.
            check_trainable(Inferred(dataset.schema, dataset.findings))
            return dataset.schema
        return (await self.infer(dataset, overrides, min_patients, trainable=True)).schema

    async def _run(self, work: Callable[[threading.Event], T]) -> T:
        gone = threading.Event()
        try:
            return await self._threads.run(work, gone)
        except asyncio.CancelledError:
            gone.set()
            raise
        except AbandonedError as error:  # nobody waits for this any more
            raise Problem("INTERNAL", "the call was given up") from error
