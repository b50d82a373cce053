"""Published generators."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from kohort.problem import Problem
from server.records import ModelRecord, Page
from server.store import rows
from server.store.engine import Database, clock
from server.store.requests import WINDOW_SECONDS, made_before, remember, take_turn
from server.store.schema import models, reports, requests


def insert_model(connection: sa.Connection, model: ModelRecord) -> None:
    """Adds a model within the caller's transaction; its `create_time` is the database's."""
    connection.execute(
        sa.insert(models).values(
            id=model.id,
            tenant=model.tenant,
            principal=model.principal,
            display_name=model.display_name,
            labels=dict(model.labels),
            schema=model.schema.to_json(),
            trainer=model.trainer,
            parameters=dict(model.parameters),
            job=model.job,
            dataset=model.dataset,
            content_digest=model.content_digest,
            bundle_digest=model.bundle_digest,
            size_bytes=model.size_bytes,
            program=model.program,
            unit=model.unit,
            verified=model.verified,
            privacy=dict(model.privacy),
            findings=rows.findings_to_json(model.findings),
            create_time=clock(),
            blob_key=model.blob_key,
            abilities=model.abilities and dict(model.abilities),
        )
    )


# Read at the start of every sample: to build it costs more than to run it.
_ONE = sa.select(models).where(
    models.c.id == sa.bindparam("model"), models.c.tenant == sa.bindparam("tenant")
)


class ModelStore:
    """The models. Trained ones come in by `LeaseStore.publish`."""

    def __init__(self, database: Database, window_s: float = WINDOW_SECONDS) -> None:
        self._database = database
        self._window_s = window_s

    def create(
        self, model: ModelRecord, *, request_id: str = "", request_hash: bytes = b""
    ) -> tuple[ModelRecord, bool]:
        """Adds an imported model; the one made before, and False, when the request is a repeat.

        The blob MUST be stored already; of a repeat the caller deletes its own.
        Raises Problem REQUEST_ID_REUSED.
        """
        with self._database.write() as connection:
            take_turn(connection, "uploads")
            known = made_before(connection, model.tenant, "import", request_id, request_hash)
            if known is not None:
                return self._get(connection, model.tenant, known), False
            insert_model(connection, model)
            remember(connection, model.tenant, "import", request_id, request_hash, model.id, self._window_s)
            return self._get(connection, model.tenant, model.id), True

    def get(self, tenant: str, model: str) -> ModelRecord:
        """One model. Raises Problem MODEL_NOT_FOUND."""
        with self._database.read() as connection:
            return self._get(connection, tenant, model)

    def list(self, tenant: str, *, page_size: int = 50, after: int | None = None) -> Page[ModelRecord]:
        """A page of models, newest first; `after` is the `next` of the page before."""
        statement = sa.select(models).where(models.c.tenant == tenant)
        if after is not None:
            statement = statement.where(models.c.number < after)
        with self._database.read() as connection:
            found = (
                connection.execute(statement.order_by(models.c.number.desc()).limit(page_size + 1))
                .mappings()
                .all()
            )
        more = found[page_size - 1]["number"] if len(found) > page_size else None
        return Page(tuple(rows.model(row) for row in found[:page_size]), more)

    def by_dataset(self, tenant: str, dataset: str) -> Sequence[ModelRecord]:
        """Every model made from a dataset, oldest first."""
        statement = (
            sa.select(models)
            .where(models.c.tenant == tenant, models.c.dataset == dataset)
            .order_by(models.c.number)
        )
        with self._database.read() as connection:
            return [rows.model(row) for row in connection.execute(statement).mappings()]

    def size_bytes(self) -> int:
        """Bytes of all bundles, of all tenants."""
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.sum(models.c.size_bytes))) or 0)

    def delete(self, tenant: str, model: str) -> ModelRecord:
        """Deletes a model and its reports; the caller then deletes the blobs, see `ReportStore.files`.

        Raises Problem MODEL_NOT_FOUND.
        """
        with self._database.write() as connection:
            record = self._get(connection, tenant, model)
            connection.execute(sa.delete(models).where(models.c.id == model))
            connection.execute(sa.delete(reports).where(reports.c.model == model, reports.c.tenant == tenant))
            connection.execute(
                sa.delete(requests).where(
                    requests.c.tenant == tenant, requests.c.kind == "import", requests.c.resource == model
                )
            )
            return record

    def blob_keys(self) -> set[str]:
        """The blobs that models need."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(models.c.blob_key)))

    @staticmethod
    def _get(connection: sa.Connection, tenant: str, model: str) -> ModelRecord:
        row = connection.execute(_ONE, {"model": model, "tenant": tenant}).mappings().first()
        if row is None:
            raise Problem("MODEL_NOT_FOUND", "there is no such model")
        return rows.model(row)
