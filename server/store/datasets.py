"""Datasets and the tombstones that stay when their bytes go.

A tombstone keeps digest, schema, lineage (the jobs and models that name it) and
the key of the patient hashes. First the row becomes a tombstone, then the bytes
go: what is interrupted in between is finished by the janitor (`unpurged`).
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from kohort.problem import Problem
from server.records import DatasetRecord, Page
from server.store import rows
from server.store.engine import Database, clock
from server.store.requests import WINDOW_SECONDS, made_before, remember, take_turn
from server.store.schema import datasets
from server.store.transitions import needed


class DatasetStore:
    """The datasets."""

    def __init__(self, database: Database, window_s: float = WINDOW_SECONDS) -> None:
        self._database = database
        self._window_s = window_s

    def create(
        self, dataset: DatasetRecord, *, request_id: str = "", request_hash: bytes = b""
    ) -> tuple[DatasetRecord, bool]:
        """Adds a dataset; the one made before, and False, when the request is a repeat.

        The blobs MUST be stored already; of a repeat the caller deletes its own.
        `create_time` is the database's. Raises Problem REQUEST_ID_REUSED.
        """
        with self._database.write() as connection:
            take_turn(connection, "uploads")
            known = made_before(connection, dataset.tenant, "upload", request_id, request_hash)
            if known is not None:
                return self._get(connection, dataset.tenant, known), False
            connection.execute(
                sa.insert(datasets).values(
                    id=dataset.id,
                    tenant=dataset.tenant,
                    principal=dataset.principal,
                    display_name=dataset.display_name,
                    labels=dict(dataset.labels),
                    schema=dataset.schema.to_json(),
                    findings=rows.findings_to_json(dataset.findings),
                    row_counts=dict(dataset.row_counts),
                    size_bytes=dataset.size_bytes,
                    digest=dataset.digest,
                    create_time=clock(),
                    expire_time=dataset.expire_time,
                    delete_after_training=dataset.delete_after_training,
                    blob_prefix=dataset.blob_prefix,
                    lineage_key=dataset.lineage_key,
                )
            )
            remember(
                connection, dataset.tenant, "upload", request_id, request_hash, dataset.id, self._window_s
            )
            return self._get(connection, dataset.tenant, dataset.id), True

    def get(self, tenant: str, dataset: str) -> DatasetRecord:
        """One dataset or tombstone. Raises Problem DATASET_NOT_FOUND."""
        with self._database.read() as connection:
            return self._get(connection, tenant, dataset)

    def get_live(self, tenant: str, dataset: str) -> DatasetRecord:
        """One dataset whose bytes may be read. Raises Problem DATASET_NOT_FOUND, DATASET_EXPIRED."""
        with self._database.read() as connection:
            record = self._get(connection, tenant, dataset)
            now = connection.scalar(sa.select(clock())) or 0.0
        if record.delete_time is not None or record.expire_time <= now:
            raise Problem("DATASET_EXPIRED", "the bytes of the dataset are gone")
        return record

    def list(self, tenant: str, *, page_size: int = 50, after: int | None = None) -> Page[DatasetRecord]:
        """A page of datasets, newest first; `after` is the `next` of the page before."""
        statement = sa.select(datasets).where(datasets.c.tenant == tenant)
        if after is not None:
            statement = statement.where(datasets.c.number < after)
        statement = statement.order_by(datasets.c.number.desc()).limit(page_size + 1)
        with self._database.read() as connection:
            found = connection.execute(statement).mappings().all()
        more = found[page_size - 1]["number"] if len(found) > page_size else None
        return Page(tuple(rows.dataset(row) for row in found[:page_size]), more)

    def delete(self, tenant: str, dataset: str) -> DatasetRecord:
        """Makes a tombstone; the caller then purges. A tombstone stays as it is.

        Raises:
            Problem: DATASET_NOT_FOUND; DATASET_IN_USE while a job needs the bytes.
        """
        with self._database.write() as connection:
            owned = sa.and_(datasets.c.id == dataset, datasets.c.tenant == tenant)
            row = connection.execute(sa.select(datasets.c.delete_time).where(owned).with_for_update()).first()
            if row is None:
                raise Problem("DATASET_NOT_FOUND", "there is no such dataset")
            if row.delete_time is None:
                if connection.scalar(sa.select(needed(dataset))):
                    raise Problem("DATASET_IN_USE", "a job still needs the dataset")
                connection.execute(sa.update(datasets).where(owned).values(delete_time=clock()))
            return self._get(connection, tenant, dataset)

    def expire(self) -> Sequence[str]:
        """Makes tombstones of expired datasets that no job needs; their ids."""
        statement = sa.select(datasets.c.id).where(
            datasets.c.delete_time.is_(None), datasets.c.expire_time <= clock(), ~needed(datasets.c.id)
        )
        with self._database.write() as connection:
            found = connection.scalars(statement.with_for_update(skip_locked=True)).all()
            # Asked again under the lock: a job may have come in between.
            condition = sa.and_(datasets.c.id.in_(found), ~needed(datasets.c.id))
            gone = sa.update(datasets).where(condition).values(delete_time=clock()).returning(datasets.c.id)
            return connection.scalars(gone).all() if found else ()

    def size_bytes(self) -> int:
        """Bytes of the tables that are still there, of all tenants."""
        kept = sa.select(sa.func.sum(datasets.c.size_bytes)).where(~datasets.c.purged)
        with self._database.read() as connection:
            return int(connection.scalar(kept) or 0)

    def unpurged(self) -> Sequence[DatasetRecord]:
        """Tombstones whose bytes may still be there."""
        statement = sa.select(datasets).where(datasets.c.delete_time.is_not(None), ~datasets.c.purged)
        with self._database.read() as connection:
            return [rows.dataset(row) for row in connection.execute(statement).mappings()]

    def purged(self, dataset: str) -> None:
        """Notes that the bytes of a tombstone are gone."""
        with self._database.write() as connection:
            connection.execute(
                sa.update(datasets)
                .where(datasets.c.id == dataset, datasets.c.delete_time.is_not(None))
                .values(purged=True)
            )

    def blob_prefixes(self) -> set[str]:
        """Where bytes may be: of every dataset that is not purged, and of all patient hashes."""
        with self._database.read() as connection:
            found = connection.execute(
                sa.select(datasets.c.blob_prefix, datasets.c.lineage_key, datasets.c.purged)
            )
            return {
                key for prefix, lineage, purged in found for key in (lineage, "" if purged else prefix) if key
            }

    @staticmethod
    def _get(connection: sa.Connection, tenant: str, dataset: str) -> DatasetRecord:
        statement = sa.select(datasets).where(datasets.c.id == dataset, datasets.c.tenant == tenant)
        row = connection.execute(statement).mappings().first()
        if row is None:
            raise Problem("DATASET_NOT_FOUND", "there is no such dataset")
        return rows.dataset(row)
