"""Bundles on the server: read with distrust, taken in, given out, deleted."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import structlog

from kohort.bundle import Bundle, read_bundle
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.schema import Finding
from kohort.sessions import open_session
from kohort.v1 import sampling_pb2
from server import validation
from server.abilities import abilities, learned_from
from server.blobs import BlobMissingError, BlobStore, bundle_key
from server.modelcache import Loaded
from server.records import ModelRecord, Principal
from server.settings import Settings
from server.signing import trusted_keys
from server.spool import Quota, SpoolFile, SpoolFolder
from server.store import Store
from server.threads import Threads

_log = structlog.get_logger(log="bundles")


class Bundles:
    """The bundles behind the models.

    Args:
        threads: for the database and small files.
        sampling_threads: for reading, checking and running graphs.
    """

    chunk_bytes = 1 << 20
    """Bytes of one message of a download."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        blobs: BlobStore,
        spool: SpoolFolder,
        threads: Threads,
        sampling_threads: Threads,
    ) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._spool_folder = spool
        self._threads = threads
        self._sampling_threads = sampling_threads
        self._trusted = trusted_keys(settings)

    def load(self, model: ModelRecord) -> Loaded:
        """Reads a published bundle and opens its graphs; blocking.

        Raises:
            Problem: INTERNAL when the stored bytes are not those that were published.
        """
        try:
            with self.open(model) as file:
                bundle = read_bundle(file.read(), max_bytes=max(model.size_bytes, 1))
            program = bundle.program(partial(open_session, threads=self._settings.graph_threads))
        except Problem as problem:
            if problem.reason in ("STORE_UNAVAILABLE", "PROGRAM_UNKNOWN"):
                raise
            _log.error("stored bundle damaged", model=model.id, reason=problem.reason)
            raise Problem("INTERNAL", "the stored bundle is damaged") from problem
        if bundle.digest != model.bundle_digest:
            _log.error("stored bundle damaged", model=model.id, reason="DIGEST_MISMATCH")
            raise Problem("INTERNAL", "the stored bundle is damaged")
        rows, patients = learned_from(bundle.manifest)
        return Loaded(
            program,
            bundle.manifest.content_digest,
            bundle.manifest.privacy,
            training_rows=rows,
            training_patients=patients,
        )

    def open(self, model: ModelRecord) -> BinaryIO:
        """The bytes of a published bundle. Raises Problem STORE_UNAVAILABLE when they are not there."""
        try:
            return self._blobs.open(model.blob_key)
        except BlobMissingError as error:
            _log.error("stored bundle missing", model=model.id)
            raise Problem("STORE_UNAVAILABLE", "the bundle of this model cannot be read") from error

    def delete(self, tenant: str, model: str) -> ModelRecord:
        """Deletes a model with its reports, then their bytes. Raises Problem MODEL_NOT_FOUND."""
        reports = self._store.reports.files(tenant, model)
        record = self._store.models.delete(tenant, model)
        for key in (record.blob_key, *reports):
            self._blobs.delete(key)
        return record

    async def take(
        self, who: Principal, requests: AsyncIterator[sampling_pb2.ImportModelRequest]
    ) -> ModelRecord:
        """Spools, checks and publishes an import.

        Raises:
            Problem: STREAM_OUT_OF_ORDER, INVALID_REQUEST, LIMIT_EXCEEDED, DIGEST_MISMATCH,
                REQUEST_ID_REUSED, BUNDLE_UNTRUSTED and what `read_bundle` raises.
        """
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise Problem("STREAM_OUT_OF_ORDER", "the first message must be the header")
        header = first.header
        _check(header)
        with self._spool_folder.scratch() as folder:
            path = folder / "bundle.kohort"
            digest = await self._spool(requests, path)
            if header.sha256 and header.sha256 != digest:
                raise Problem.at("DIGEST_MISMATCH", "header.sha256", "is not that of the bytes sent")
            fingerprint = validation.request_hash(header, digest)
            known = await self._threads.run(
                self._store.requests.find, who.tenant, "import", header.request_id, fingerprint
            )
            if known is not None:
                return await self._threads.run(self._store.models.get, who.tenant, known)
            bundle = await self._sampling_threads.run(self._check_bundle, path)
            return await self._threads.run(self._publish, who, header, bundle, path, fingerprint)

    async def _spool(self, requests: AsyncIterator[sampling_pb2.ImportModelRequest], path: Path) -> bytes:
        quota = Quota(self._settings.max_bundle_bytes, "data")
        file = SpoolFile(path, self._threads)
        try:
            async for request in requests:
                if request.WhichOneof("part") != "data":
                    raise Problem("STREAM_OUT_OF_ORDER", "after the header only data may follow")
                quota.take(len(request.data))
                await file.write(request.data)
            return await file.finish()
        finally:
            file.close()

    def _check_bundle(self, path: Path) -> Bundle:
        bundle = read_bundle(
            path,
            self._trusted,
            require_signature=not self._settings.import_unverified,
            max_bytes=self._settings.max_bundle_bytes,
        )
        # What nobody could sample from is no model.
        next(iter(bundle.program().units(SampleSpec(0), 0, 1)), None)
        return bundle

    def _publish(
        self,
        who: Principal,
        header: sampling_pb2.ImportHeader,
        bundle: Bundle,
        path: Path,
        fingerprint: bytes,
    ) -> ModelRecord:
        manifest, program = bundle.manifest, bundle.program()
        verified = bundle.trust == "verified"
        warning = Finding("UNVERIFIED_BUNDLE", "no key that this server trusts signed the bundle")
        identifier = uuid.uuid4().hex
        record = ModelRecord(
            id=identifier,
            tenant=who.tenant,
            principal=who.name,
            display_name=header.display_name,
            labels=dict(header.labels),
            schema=program.schema,
            trainer=manifest.trainer,
            parameters=manifest.parameters,
            job="",
            dataset="",
            content_digest=manifest.content_digest,
            bundle_digest=bundle.digest,
            size_bytes=bundle.size,
            program=manifest.program_name,
            unit=program.unit,
            verified=verified,
            privacy=manifest.privacy,
            findings=manifest.findings if verified else (*manifest.findings, warning),
            create_time=0.0,  # the database's clock decides
            blob_key=bundle_key(who.tenant, identifier, 0),
            abilities=abilities(bundle),
        )
        self._blobs.put(record.blob_key, path)
        stored, created = self._store.models.create(
            record, request_id=header.request_id, request_hash=fingerprint
        )
        if not created:
            self._blobs.delete(record.blob_key)
        return stored


def _check(header: sampling_pb2.ImportHeader) -> None:
    checks = validation.Checks()
    checks.request_id(header.request_id)
    checks.describable(header.display_name, header.labels)
    checks.require(len(header.sha256) in (0, 32), "sha256", "must be 32 bytes")
    checks.done()
