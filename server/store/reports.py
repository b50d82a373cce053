"""Reports: what evaluations found, and the evidence that the release gate decides by.

The files of a report are blobs that the caller deletes; what a kill leaves of
them the janitor sweeps. A report without files is evidence alone: it is in no
list, and stays so that a model does not open because somebody tidied up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from evaluators.gate import Evidence
from kohort.problem import Problem
from server.records import Page, ReportRecord
from server.store import rows
from server.store.engine import Database, clock
from server.store.schema import reports


def insert_report(connection: sa.Connection, report: ReportRecord) -> None:
    """Adds a report within the caller's transaction; its `create_time` is the database's.

    What it did not measure of its model counts as the report before did.
    """
    earlier = sa.and_(reports.c.tenant == report.tenant, reports.c.model == report.model)
    last = sa.select(reports.c.evidence).where(earlier).order_by(reports.c.number.desc()).limit(1)
    older = connection.scalar(last) if report.model else None
    found = Evidence.from_json(report.evidence)
    evidence = found.after(Evidence.from_json(older)) if older else found
    connection.execute(
        sa.insert(reports).values(
            id=report.id,
            tenant=report.tenant,
            principal=report.principal,
            model=report.model,
            synthetic_dataset=report.synthetic_dataset,
            dataset=report.dataset,
            holdout_dataset=report.holdout_dataset,
            job=report.job,
            display_name=report.display_name,
            labels=dict(report.labels),
            overview=dict(report.overview),
            evidence=evidence.to_json(),
            json_key=report.json_key,
            html_key=report.html_key,
            create_time=clock(),
            size_bytes=report.size_bytes,
        )
    )


class ReportStore:
    """The reports. They come in by `LeaseStore.publish`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant: str, report: str) -> ReportRecord:
        """One report. Raises Problem REPORT_NOT_FOUND."""
        with self._database.read() as connection:
            return self._get(connection, tenant, report)

    def list(
        self, tenant: str, *, model: str = "", page_size: int = 50, after: int | None = None
    ) -> Page[ReportRecord]:
        """A page of reports, newest first, of one model or of all; `after`: the `next` of the page before."""
        statement = sa.select(reports).where(reports.c.tenant == tenant, reports.c.json_key != "")
        if model:
            statement = statement.where(reports.c.model == model)
        if after is not None:
            statement = statement.where(reports.c.number < after)
        statement = statement.order_by(reports.c.number.desc()).limit(page_size + 1)
        with self._database.read() as connection:
            found = connection.execute(statement).mappings().all()
        more = found[page_size - 1]["number"] if len(found) > page_size else None
        return Page(tuple(rows.report(row) for row in found[:page_size]), more)

    def files(self, tenant: str, model: str) -> Sequence[str]:
        """The blobs of a model's reports: to be asked before the model is deleted."""
        statement = sa.select(reports.c.json_key, reports.c.html_key).where(
            reports.c.tenant == tenant, reports.c.model == model
        )
        with self._database.read() as connection:
            return _keys(connection.execute(statement).all())

    def delete(self, tenant: str, report: str) -> ReportRecord:
        """Deletes a report; the caller then deletes its blobs. Raises Problem REPORT_NOT_FOUND."""
        with self._database.write() as connection:
            record = self._get(connection, tenant, report)
            connection.execute(sa.delete(reports).where(reports.c.id == report))
            return record

    def withdraw(self, tenant: str, dataset: str) -> Sequence[str]:
        """Takes back the reports that hold statistics of a dataset's patients; the blobs to delete.

        The newest evidence on each model stays, without files and summary: what
        was locked stays locked.
        """
        ours = sa.and_(
            reports.c.tenant == tenant,
            sa.or_(reports.c.dataset == dataset, reports.c.holdout_dataset == dataset),
        )
        later = reports.alias("later")
        newest = sa.and_(
            reports.c.model != "",
            ~sa.exists().where(later.c.model == reports.c.model, later.c.number > reports.c.number),
        )
        with self._database.write() as connection:
            found = connection.execute(
                sa.select(reports.c.json_key, reports.c.html_key).where(ours).with_for_update()
            ).all()
            kept = connection.scalars(sa.select(reports.c.id).where(ours, newest)).all()
            connection.execute(sa.delete(reports).where(ours, reports.c.id.not_in(kept)))
            connection.execute(
                sa.update(reports)
                .where(reports.c.id.in_(kept))
                .values(json_key="", html_key="", overview={}, labels={}, display_name="", size_bytes=0)
            )
        return _keys(found)

    def evidence(self, numbers: Collection[int]) -> dict[int, Evidence]:
        """The evidence of reports, by their `number` (see `ReleaseStore.models`)."""
        statement = sa.select(reports.c.number, reports.c.evidence).where(reports.c.number.in_(numbers))
        with self._database.read() as connection:
            return {number: Evidence.from_json(value) for number, value in connection.execute(statement)}

    def size_bytes(self) -> int:
        """Bytes of the files of all reports, of all tenants, as far as they are known."""
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.sum(reports.c.size_bytes))) or 0)

    def blob_keys(self) -> set[str]:
        """The blobs that reports need."""
        with self._database.read() as connection:
            return set(_keys(connection.execute(sa.select(reports.c.json_key, reports.c.html_key)).all()))

    @staticmethod
    def _get(connection: sa.Connection, tenant: str, report: str) -> ReportRecord:
        statement = sa.select(reports).where(
            reports.c.id == report, reports.c.tenant == tenant, reports.c.json_key != ""
        )
        row = connection.execute(statement).mappings().first()
        if row is None:
            raise Problem("REPORT_NOT_FOUND", "there is no such report")
        return rows.report(row)


def _keys(found: Iterable[sa.Row[Any, Any]]) -> list[str]:
    return [key for pair in found for key in pair if key]
