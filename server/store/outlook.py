"""How long a job still takes: its place in the queue and an estimate of its end."""

from __future__ import annotations

import sqlalchemy as sa

from server.records import HELD, JobKind, JobOutlook, JobRecord, JobSpec, JobState
from server.store.engine import clock
from server.store.schema import EVALUATES, jobs

_RECENT = 20


def outlook(connection: sa.Connection, job: JobRecord, slots: int) -> JobOutlook:
    """The jobs before it and the seconds until it ends.

    A running job reports its own estimate while it fits; before and after that,
    and while it waits, the mean run time of the latest successful jobs of its
    trainer (evaluations for an evaluation) stands in. Without any the estimate is None.
    """
    if job.state is JobState.RUNNING:
        return JobOutlook(None, _running(connection, job))
    if job.state is not JobState.QUEUED:
        return JobOutlook(None, None)
    own = sa.select(jobs.c.number).where(jobs.c.id == job.id).scalar_subquery()
    ahead = (
        sa.select(sa.func.count())
        .select_from(jobs)
        .where(jobs.c.state == JobState.QUEUED.value, jobs.c.number < own)
    )
    position = connection.scalar(ahead) or 0
    usual = _usual_seconds(connection, job.spec)
    if usual is None:
        return JobOutlook(position, None)
    running = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(sorted(HELD)))
    busy = min(connection.scalar(running) or 0, slots)
    # Half of a running job is over on average.
    waves = (position + busy / 2) / max(slots, 1)
    return JobOutlook(position, (waves + 1) * usual)


def _running(connection: sa.Connection, job: JobRecord) -> float | None:
    if job.progress is not None and job.progress.get("eta_s") is not None:
        return max(float(job.progress["eta_s"]) - (_now(connection) - job.update_time), 0.0)
    usual = _usual_seconds(connection, job.spec)
    if usual is None or job.attempt_time is None:
        return None
    return max(usual - (_now(connection) - job.attempt_time), 0.0)


def _now(connection: sa.Connection) -> float:
    return connection.scalar(sa.select(clock())) or 0.0


def _usual_seconds(connection: sa.Connection, spec: JobSpec) -> float | None:
    alike = EVALUATES if spec.kind is JobKind.EVALUATE else ~EVALUATES
    recent = (
        sa.select((jobs.c.end_time - jobs.c.attempt_time + jobs.c.run_seconds).label("seconds"))
        .where(jobs.c.trainer == spec.trainer, alike, jobs.c.state == JobState.SUCCEEDED.value)
        .order_by(jobs.c.number.desc())
        .limit(_RECENT)
        .subquery()
    )
    return connection.scalar(sa.select(sa.func.avg(recent.c.seconds)))
