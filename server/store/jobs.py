"""Jobs as their owners see them: stored, listed, followed and stopped."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from kohort.problem import Problem
from server.records import (
    ACTIVE,
    EventRecord,
    JobKind,
    JobOutlook,
    JobRecord,
    JobSpec,
    JobState,
    Page,
    Principal,
    SubjectSpec,
)
from server.store import rows
from server.store.engine import Database, clock
from server.store.outlook import outlook
from server.store.requests import WINDOW_SECONDS, made_before, remember, take_turn
from server.store.schema import EVALUATES, datasets, events, jobs
from server.store.transitions import move

_RETRY_SECONDS = 15.0
_DAY_SECONDS = 24 * 3600.0
# Read for every watcher again and again: to build it costs more than to run it.
_ONE = sa.select(jobs).where(jobs.c.id == sa.bindparam("job"), jobs.c.tenant == sa.bindparam("tenant"))


class JobStore:
    """The jobs.

    Args:
        database: where.
        max_queued: jobs waiting, of all principals.
        max_per_principal: jobs waiting or running, of one principal.
        max_evaluations: evaluations of one model, or of rows made elsewhere against one
            dataset, that may begin in 24 hours.
        window_s: how long a request id makes `create` safe to repeat.
    """

    def __init__(
        self,
        database: Database,
        max_queued: int = 1000,
        max_per_principal: int = 100,
        window_s: float = WINDOW_SECONDS,
        max_evaluations: int = 20,
    ) -> None:
        self._database = database
        self._max_evaluations = max_evaluations
        self._window_s = window_s
        self._max_queued = max_queued
        self._max_per_principal = max_per_principal

    def create(
        self,
        principal: Principal,
        spec: JobSpec,
        *,
        request_id: str = "",
        request_hash: bytes = b"",
        traceparent: str | None = None,
    ) -> tuple[JobRecord, bool]:
        """Queues a job; the one made before, and False, when the request is a repeat.

        Raises:
            Problem: REQUEST_ID_REUSED, QUEUE_FULL, TOO_MANY_JOBS, TOO_MANY_EVALUATIONS,
                DATASET_NOT_FOUND, DATASET_EXPIRED; nothing is stored then.
        """
        kind, subject = spec.kind.value.lower(), spec.subject or SubjectSpec()
        with self._database.write() as connection:
            take_turn(connection, "queue")
            known = made_before(connection, principal.tenant, kind, request_id, request_hash)
            if known is not None:
                return self._get(connection, principal.tenant, known), False
            self._check_caps(connection, principal)
            if spec.subject is not None:
                self._check_evaluations(connection, principal.tenant, spec.dataset, spec.subject)
            # Sorted, so that two jobs lock them in one order.
            for dataset in sorted({spec.dataset, subject.synthetic_dataset, subject.holdout_dataset} - {""}):
                _check_dataset(connection, principal.tenant, dataset)
            job = uuid.uuid4().hex
            connection.execute(
                sa.insert(jobs).values(
                    id=job,
                    tenant=principal.tenant,
                    principal=principal.name,
                    dataset=spec.dataset,
                    subject_model=subject.model,
                    subject_dataset=subject.synthetic_dataset,
                    holdout_dataset=subject.holdout_dataset,
                    trainer=spec.trainer,
                    spec=rows.spec_to_json(spec),
                    device_filter=spec.device_filter,
                    max_runtime_s=spec.max_runtime_s,
                    state=JobState.QUEUED.value,
                    create_time=clock(),
                    update_time=clock(),
                    last_sequence=1,
                    traceparent=traceparent,
                )
            )
            connection.execute(
                sa.insert(events).values(
                    job=job,
                    sequence=1,
                    time=clock(),
                    attempt=0,
                    kind="state",
                    payload={"state": JobState.QUEUED.value, "message": ""},
                )
            )
            remember(connection, principal.tenant, kind, request_id, request_hash, job, self._window_s)
            return self._get(connection, principal.tenant, job), True

    def get(self, tenant: str, job: str) -> JobRecord:
        """One job. Raises Problem JOB_NOT_FOUND."""
        with self._database.read() as connection:
            return self._get(connection, tenant, job)

    def list(
        self, tenant: str, *, states: Collection[JobState] = (), page_size: int = 50, after: int | None = None
    ) -> Page[JobRecord]:
        """A page of jobs, newest first; `after` is the `next` of the page before."""
        statement = sa.select(jobs).where(jobs.c.tenant == tenant)
        if states:
            statement = statement.where(jobs.c.state.in_(sorted(states)))
        if after is not None:
            statement = statement.where(jobs.c.number < after)
        with self._database.read() as connection:
            found = (
                connection.execute(statement.order_by(jobs.c.number.desc()).limit(page_size + 1))
                .mappings()
                .all()
            )
        more = found[page_size - 1]["number"] if len(found) > page_size else None
        return Page(tuple(rows.job(row) for row in found[:page_size]), more)

    def events(self, tenant: str, job: str, after_sequence: int, limit: int = 256) -> Sequence[EventRecord]:
        """Up to `limit` events after that sequence, oldest first.

        Raises:
            Problem: JOB_NOT_FOUND; EVENTS_COMPACTED with `oldest` in the metadata.
        """
        with self._database.read() as connection:
            record = self._get(connection, tenant, job)
            if after_sequence + 1 < record.oldest_sequence:
                raise Problem(
                    "EVENTS_COMPACTED",
                    f"events before {record.oldest_sequence} are no longer kept",
                    metadata={"oldest": str(record.oldest_sequence)},
                )
            found = connection.execute(
                sa.select(events)
                .where(events.c.job == job, events.c.sequence > after_sequence)
                .order_by(events.c.sequence)
                .limit(limit)
            )
            return [rows.event(row) for row in found.mappings()]

    def sequences(self, ids: Iterable[str]) -> dict[str, int]:
        """The latest sequence of each job: one cheap question for all watchers together."""
        statement = sa.select(jobs.c.id, jobs.c.last_sequence).where(jobs.c.id.in_(tuple(ids)))
        with self._database.read() as connection:
            return {row.id: row.last_sequence for row in connection.execute(statement)}

    def standing(self, ids: Collection[str]) -> dict[str, tuple[JobState, int]]:
        """State and attempt of each job that exists."""
        statement = sa.select(jobs.c.id, jobs.c.state, jobs.c.attempt).where(jobs.c.id.in_(tuple(ids)))
        with self._database.read() as connection:
            return {row.id: (JobState(row.state), row.attempt) for row in connection.execute(statement)}

    def tail(self, after: int, limit: int = 1000) -> Sequence[tuple[int, str, EventRecord]]:
        """Events of all jobs after a number, as (number, trainer, event): what metrics are made of.

        An evaluation by itself has an empty trainer.

        On PostgreSQL an event that commits late may have a lower number than
        one read before, and is then missed: good enough to count, not to follow.
        """
        statement = (
            sa.select(events, sa.case((EVALUATES, ""), else_=jobs.c.trainer).label("trainer"))
            .join(jobs, jobs.c.id == events.c.job)
            .where(events.c.number > after)
            .order_by(events.c.number)
            .limit(limit)
        )
        with self._database.read() as connection:
            found = connection.execute(statement).mappings().all()
        return [(row["number"], row["trainer"], rows.event(row)) for row in found]

    def evaluation(self, job: str) -> tuple[JobKind, str, str]:
        """What metrics tell of a job that is over, of any tenant: its kind, profile and report."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job)).mappings().one()
        record = rows.job(row)
        return record.spec.kind, record.spec.evaluation.profile, record.report

    def last_event_number(self) -> int:
        """Where `tail` begins when only what is to come matters."""
        with self._database.read() as connection:
            return connection.scalar(sa.select(sa.func.max(events.c.number))) or 0

    def counts(self, states: Collection[JobState] = tuple(JobState)) -> dict[JobState, int]:
        """Jobs in each of these states; to count those that are over takes as long as there are many."""
        statement = sa.select(jobs.c.state, sa.func.count()).where(jobs.c.state.in_(sorted(states)))
        with self._database.read() as connection:
            found = {
                JobState(state): count
                for state, count in connection.execute(statement.group_by(jobs.c.state))
            }
        return {state: found.get(state, 0) for state in states}

    def oldest_queued(self) -> float:
        """Seconds since the job that waits longest was queued, the last time it was; 0 when none waits."""
        statement = sa.select(clock() - sa.func.min(jobs.c.update_time)).where(
            jobs.c.state == JobState.QUEUED.value
        )
        with self._database.read() as connection:
            return max(0.0, connection.scalar(statement) or 0.0)

    def outlook(self, job: JobRecord, slots: int = 1) -> JobOutlook:
        """What waits ahead of a job, with `slots` workers; see `server.store.outlook`."""
        with self._database.read() as connection:
            return outlook(connection, job, slots)

    def request_cancel(self, tenant: str, job: str) -> JobRecord:
        """Asks a job to stop; a queued one is over at once, an ended one stays as it is.

        Raises:
            Problem: JOB_NOT_FOUND.
        """
        with self._database.write() as connection:
            self._get(connection, tenant, job)
            owned = jobs.c.tenant == tenant
            queued = sa.and_(owned, jobs.c.state == JobState.QUEUED.value)
            if move(connection, job, JobState.CANCELLED, "cancelled while it waited", where=queued) is None:
                move(connection, job, JobState.CANCELLING, "a stop was asked for", where=owned)
            return self._get(connection, tenant, job)

    def compact_events(self, keep: int) -> int:
        """Drops all but the latest `keep` events of each job; how many."""
        too_many = sa.select(jobs.c.id, jobs.c.last_sequence).where(
            jobs.c.last_sequence - jobs.c.oldest_sequence >= keep
        )
        dropped = 0
        with self._database.write() as connection:
            for job, last in connection.execute(too_many).all():
                oldest = last - keep + 1
                dropped += connection.execute(
                    sa.delete(events).where(events.c.job == job, events.c.sequence < oldest)
                ).rowcount
                connection.execute(sa.update(jobs).where(jobs.c.id == job).values(oldest_sequence=oldest))
        return dropped

    @staticmethod
    def _get(connection: sa.Connection, tenant: str, job: str) -> JobRecord:
        row = connection.execute(_ONE, {"job": job, "tenant": tenant}).mappings().first()
        if row is None:
            raise Problem("JOB_NOT_FOUND", "there is no such job")
        return rows.job(row)

    def _check_caps(self, connection: sa.Connection, principal: Principal) -> None:
        queued = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state == JobState.QUEUED.value)
        if (connection.scalar(queued) or 0) >= self._max_queued:
            raise Problem("QUEUE_FULL", "the queue is full", retry_after=_RETRY_SECONDS)
        own = (
            sa.select(sa.func.count())
            .select_from(jobs)
            .where(
                jobs.c.tenant == principal.tenant,
                jobs.c.principal == principal.name,
                jobs.c.state.in_(sorted(ACTIVE)),
            )
        )
        if (connection.scalar(own) or 0) >= self._max_per_principal:
            raise Problem(
                "TOO_MANY_JOBS",
                f"at most {self._max_per_principal} jobs may wait or run for one caller",
                retry_after=_RETRY_SECONDS,
            )

    def _check_evaluations(
        self, connection: sa.Connection, tenant: str, dataset: str, subject: SubjectSpec
    ) -> None:
        """A metric that can be asked for again and again is itself a leak: failed ones count, too.

        Of rows made elsewhere those count that are held against the same patients:
        rows come as often as somebody uploads them.
        """
        same = (
            sa.and_(jobs.c.subject_dataset != "", jobs.c.dataset == dataset)
            if subject.synthetic_dataset
            else jobs.c.subject_model == subject.model
        )
        began = sa.select(jobs.c.create_time + _DAY_SECONDS - clock()).where(
            jobs.c.tenant == tenant,
            jobs.c.create_time > clock() - _DAY_SECONDS,
            same,
        )
        waits = connection.scalars(began.order_by(jobs.c.number.desc()).limit(self._max_evaluations)).all()
        if len(waits) >= self._max_evaluations:
            raise Problem(
                "TOO_MANY_EVALUATIONS",
                f"at most {self._max_evaluations} evaluations of one model or dataset in 24 hours",
                retry_after=max(1.0, waits[-1]),
            )


def _check_dataset(connection: sa.Connection, tenant: str, dataset: str) -> None:
    # Locked, so that a delete either sees the new job or is seen by it.
    row = connection.execute(
        sa.select(datasets.c.delete_time, (datasets.c.expire_time <= clock()).label("expired"))
        .where(datasets.c.id == dataset, datasets.c.tenant == tenant)
        .with_for_update()
    ).first()
    if row is None:
        raise Problem("DATASET_NOT_FOUND", "there is no such dataset")
    if row.delete_time is not None or row.expired:
        raise Problem("DATASET_EXPIRED", "the bytes of the dataset are gone")
