"""Jobs as workers see them: claimed under a lease, kept by heartbeats, ended exactly once.

A worker owns a job while its lease, measured by the database's clock, runs.
Everything it writes is fenced by job, attempt, worker and lease: one that was
paused and wakes too late changes nothing and is told so by `LeaseLost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from kohort.schema import Finding
from server.records import HELD, JobRecord, JobState, LeaseLost, ModelRecord, ReportRecord, TakenJob
from server.store import rows
from server.store.engine import Database, clock
from server.store.models import insert_model
from server.store.reports import insert_report
from server.store.requests import take_turn
from server.store.schema import jobs, models, workers
from server.store.transitions import move, record


class LeaseStore:
    """Claims and what may be done under them.

    Args:
        database: where.
        max_attempts: how often the workers of a job may be lost.
        max_running_per_principal: jobs of one principal that run at once.
    """

    def __init__(
        self, database: Database, max_attempts: int = 3, max_running_per_principal: int = 1_000_000
    ) -> None:
        self._database = database
        self._max_attempts = max_attempts
        self._max_running = max_running_per_principal

    def claim(self, worker: str, slot: str, kind: str, lease_s: float) -> JobRecord | None:
        """The oldest job that this slot may run, now this worker's for `lease_s`; None if there is none.

        Jobs of a principal that already runs as many as it may wait. Job rows
        that another transaction holds are passed over.
        """
        queued = sa.select(jobs.c.id).where(jobs.c.state == JobState.QUEUED.value).limit(1)
        with self._database.read() as connection:
            if connection.execute(queued).first() is None:
                return None
        with self._database.write() as connection:
            take_turn(connection, "queue")
            row = move(
                connection,
                self._next_job(slot, kind),
                JobState.RUNNING,
                f"taken by {slot}",
                attempt=jobs.c.attempt + 1,
                worker=worker,
                device=slot,
                phase="",
                lease_until=clock() + lease_s,
                start_time=sa.func.coalesce(jobs.c.start_time, clock()),
                attempt_time=clock(),
            )
            return None if row is None else rows.job(row)

    def heartbeat(self, job: str, attempt: int, worker: str, lease_s: float) -> bool:
        """Renews the lease; whether a stop was asked for. Raises LeaseLost."""
        statement = (
            sa.update(jobs)
            .where(jobs.c.id == job, _fence(attempt, worker))
            .values(lease_until=clock() + lease_s)
            .returning(jobs.c.state)
        )
        with self._database.write() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise LeaseLost
        return bool(row.state == JobState.CANCELLING.value)

    def stop_asked(self, job: str) -> bool:
        """Whether a stop was asked for: cheaper than a heartbeat, and so asked more often."""
        statement = sa.select(jobs.c.state).where(jobs.c.id == job)
        with self._database.read() as connection:
            return connection.scalar(statement) == JobState.CANCELLING.value

    def phase(self, job: str, attempt: int, worker: str, phase: str) -> None:
        """A step begins. Raises LeaseLost."""
        self._record(job, attempt, worker, "phase", {"phase": phase}, phase=phase)

    def progress(self, job: str, attempt: int, worker: str, progress: Mapping[str, Any]) -> None:
        """Fitting went on; see `JobRecord.progress`. Raises LeaseLost."""
        self._record(job, attempt, worker, "progress", progress, progress=dict(progress))

    def warning(self, job: str, attempt: int, worker: str, finding: Finding) -> None:
        """Something a person should know. Raises LeaseLost."""
        self._record(job, attempt, worker, "warning", finding.to_json())

    def publish(
        self,
        job: str,
        attempt: int,
        worker: str,
        model: ModelRecord | None,
        report: ReportRecord | None = None,
    ) -> JobState:
        """Makes the model and its report visible and the job SUCCEEDED, all or nothing. Raises LeaseLost.

        An evaluation publishes a report alone; where its model was deleted in
        the meantime the job FAILED, and there is no report either. Returns which.
        """
        with self._database.write() as connection:
            if (
                model is None
                and report is not None
                and report.model
                and not _exists(connection, report.model)
            ):
                error = _error("MODEL_NOT_FOUND", "the model was deleted while it was evaluated")
                self._end(connection, job, attempt, worker, JobState.FAILED, error["reason"], error=error)
                return JobState.FAILED
            made = {"model": model.id if model else "", "report": report.id if report else ""}
            self._end(connection, job, attempt, worker, JobState.SUCCEEDED, "", **made)
            if model is not None:
                insert_model(connection, model)
            if report is not None:
                insert_report(connection, report)
            return JobState.SUCCEEDED

    def fail(self, job: str, attempt: int, worker: str, reason: str, message: str, column: str = "") -> None:
        """The job FAILED. Raises LeaseLost."""
        with self._database.write() as connection:
            error = {"reason": reason, "message": message, "column": column}
            self._end(connection, job, attempt, worker, JobState.FAILED, reason, error=error)

    def cancelled(self, job: str, attempt: int, worker: str) -> None:
        """The stop that was asked for is done. Raises LeaseLost."""
        with self._database.write() as connection:
            self._end(connection, job, attempt, worker, JobState.CANCELLED, "")

    def give_back(self, job: str, attempt: int, worker: str, *, lost: bool, message: str) -> JobState:
        """Ends an attempt without a result; the state that follows. Raises LeaseLost.

        Args:
            job: whose.
            attempt: which.
            worker: who.
            lost: the child died, which counts against the attempts that a job
                has; False when the worker merely goes away.
            message: for people.
        """
        with self._database.write() as connection:
            taken = self._give_back(connection, job, _fence(attempt, worker), lost, message)
        if taken is None:
            raise LeaseLost
        return taken.state

    def requeue_expired(self) -> list[TakenJob]:
        """Takes jobs from workers whose lease ran out."""
        return self._take(jobs.c.lease_until <= clock(), "its worker was not heard of")

    def recover(self, worker: str) -> list[TakenJob]:
        """Takes the jobs of earlier workers of this worker's slot, without waiting for their leases.

        To be called only by a worker that holds the slot's locks: whoever held
        them before is dead.
        """
        own = sa.select(workers.c.host, workers.c.slot).where(workers.c.id == worker).subquery()
        before = sa.select(workers.c.id).where(
            workers.c.host == own.c.host, workers.c.slot == own.c.slot, workers.c.id != worker
        )
        return self._take(jobs.c.worker.in_(before), "its worker died")

    def _take(self, condition: sa.ColumnElement[bool], message: str) -> list[TakenJob]:
        condition = sa.and_(jobs.c.state.in_(sorted(HELD)), condition)
        with self._database.read() as connection:
            found = connection.scalars(sa.select(jobs.c.id).where(condition)).all()
        taken = []
        for job in found:
            with self._database.write() as connection:
                taken.append(self._give_back(connection, job, condition, True, message))
        return [one for one in taken if one is not None]

    def _give_back(
        self, connection: sa.Connection, job: str, condition: sa.ColumnElement[bool], lost: bool, message: str
    ) -> TakenJob | None:
        statement = sa.select(jobs, (clock() - jobs.c.attempt_time).label("ran")).where(
            jobs.c.id == job, condition
        )
        row = connection.execute(statement.with_for_update()).mappings().first()
        if row is None:
            return None
        was = rows.job(row)
        ran, losses = row["run_seconds"] + row["ran"], row["losses"] + int(lost)
        kept: dict[str, Any] = {"run_seconds": ran, "losses": losses, "attempt_time": None}
        if row["state"] == JobState.CANCELLING.value:
            move(connection, job, JobState.CANCELLED, message)
            return TakenJob(was, JobState.CANCELLED)
        if ran >= row["max_runtime_s"]:
            error = _error("MAX_RUNTIME_EXCEEDED", "the job ran longer than it may")
            move(connection, job, JobState.FAILED, "MAX_RUNTIME_EXCEEDED", error=error, **kept)
            return TakenJob(was, JobState.FAILED)
        if losses >= self._max_attempts:
            error = _error("ATTEMPTS_EXHAUSTED", f"the worker was lost {losses} times")
            move(connection, job, JobState.FAILED, "ATTEMPTS_EXHAUSTED", error=error, **kept)
            return TakenJob(was, JobState.FAILED)
        if lost:
            record(connection, job, "warning", Finding("WORKER_LOST", message).to_json())
        move(connection, job, JobState.QUEUED, message, phase="", device="", progress=None, **kept)
        return TakenJob(was, JobState.QUEUED)

    def _next_job(self, slot: str, kind: str) -> sa.ColumnElement[str]:
        job, running = jobs.alias("candidate"), jobs.alias("running")
        # Found once for all candidates, and few run: asked for each candidate, it made a claim behind n jobs
        # that have to wait cost n².
        busy = (
            sa.select(running.c.tenant, running.c.principal)
            .where(running.c.state.in_(sorted(HELD)))
            .group_by(running.c.tenant, running.c.principal)
            .having(sa.func.count() >= self._max_running)
        )
        return (
            sa.select(job.c.id)
            .where(
                job.c.state == JobState.QUEUED.value,
                job.c.device_filter.in_(["", kind, slot]),
                sa.tuple_(job.c.tenant, job.c.principal).not_in(busy),
            )
            .order_by(job.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )

    def _record(
        self, job: str, attempt: int, worker: str, kind: str, payload: Mapping[str, Any], **values: Any
    ) -> None:
        with self._database.write() as connection:
            if record(connection, job, kind, payload, where=_fence(attempt, worker), **values) is None:
                raise LeaseLost

    @staticmethod
    def _end(
        connection: sa.Connection,
        job: str,
        attempt: int,
        worker: str,
        to: JobState,
        message: str,
        **values: Any,
    ) -> None:
        if move(connection, job, to, message, where=_fence(attempt, worker), **values) is None:
            raise LeaseLost


def _fence(attempt: int, worker: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        jobs.c.attempt == attempt,
        jobs.c.worker == worker,
        jobs.c.state.in_(sorted(HELD)),
        jobs.c.lease_until > clock(),
    )


def _exists(connection: sa.Connection, model: str) -> bool:
    # Locked, so that a delete either takes the report with it or is seen here.
    return (
        connection.execute(sa.select(models.c.id).where(models.c.id == model).with_for_update()).first()
        is not None
    )


def _error(reason: str, message: str) -> dict[str, str]:
    return {"reason": reason, "message": message, "column": ""}
