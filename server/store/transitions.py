"""The state machine of a job: every change of state and its event, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from server.records import ACTIVE, JobState
from server.store.engine import clock
from server.store.schema import EVALUATES, datasets, events, jobs

_Q, _R, _C = JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING
_S, _F, _X = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED

FROM: Mapping[JobState, frozenset[JobState]] = {
    _Q: frozenset({_R}),  # a worker was lost or is going away
    _R: frozenset({_Q}),
    _C: frozenset({_R}),
    _S: frozenset({_R, _C}),  # a cancel that loses the race changes nothing
    _F: frozenset({_Q, _R, _C}),
    _X: frozenset({_Q, _C}),
}
"""The states from which each state may be reached."""


def move(
    connection: sa.Connection,
    job: str | sa.ColumnElement[str],
    to: JobState,
    message: str,
    *,
    where: sa.ColumnElement[bool] | None = None,
    **values: Any,
) -> sa.RowMapping | None:
    """Compare-and-set: moves `job` to a state that its present one allows, and records it.

    Args:
        job: its id, or a query for it.
        to: the new state.
        message: why, for people; part of the event.
        where: what must hold besides, such as the lease.
        values: other columns of the job to set.

    Returns:
        The row as it is now; None when the job is elsewhere, and nothing changed.
    """
    condition = sa.and_(jobs.c.id == job, jobs.c.state.in_(sorted(FROM[to])))
    if where is not None:
        condition = sa.and_(condition, where)
    if to.terminal or to is _Q:
        values |= {"lease_until": None, "worker": ""}
    if to.terminal:
        values["end_time"] = clock()
    row = _update(connection, condition, {"state": to.value, **values})
    if row is None:
        return None
    _insert(connection, row, "state", {"state": to.value, "message": message})
    if to.terminal:
        # Sorted, so that two jobs that end at once lock them in one order.
        for dataset in sorted({row["dataset"], row["subject_dataset"], row["holdout_dataset"]} - {""}):
            retire_if_due(connection, dataset)
    return row


def record(
    connection: sa.Connection,
    job: str,
    kind: str,
    payload: Mapping[str, Any],
    *,
    where: sa.ColumnElement[bool] | None = None,
    **values: Any,
) -> sa.RowMapping | None:
    """Appends an event that changes no state; None when `where` does not hold."""
    condition = jobs.c.id == job
    if where is not None:
        condition = sa.and_(condition, where)
    row = _update(connection, condition, values)
    if row is not None:
        _insert(connection, row, kind, payload)
    return row


def retire_if_due(connection: sa.Connection, dataset: str) -> None:
    """Makes a tombstone of a delete-after-training dataset that has its model and no more work.

    The dataset's row is locked first, so of two jobs that end at once the
    second sees the first.
    """
    row = connection.execute(
        sa.select(datasets.c.delete_after_training, datasets.c.delete_time)
        .where(datasets.c.id == dataset)
        .with_for_update()
    ).first()
    if row is None or not row.delete_after_training or row.delete_time is not None:
        return
    trained = sa.exists().where(jobs.c.dataset == dataset, jobs.c.state == _S.value, ~EVALUATES)
    connection.execute(
        sa.update(datasets)
        .where(datasets.c.id == dataset, trained, ~needed(dataset))
        .values(delete_time=clock())
    )


def needed(dataset: str | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a job that is not over, and so may retry, reads the dataset."""
    reads = sa.or_(
        jobs.c.dataset == dataset, jobs.c.subject_dataset == dataset, jobs.c.holdout_dataset == dataset
    )
    return sa.exists().where(jobs.c.state.in_(sorted(ACTIVE)), reads)


def _update(
    connection: sa.Connection, condition: sa.ColumnElement[bool], values: Mapping[str, Any]
) -> sa.RowMapping | None:
    statement = (
        sa.update(jobs)
        .where(condition)
        .values(**values, last_sequence=jobs.c.last_sequence + 1, update_time=clock())
        .returning(*jobs.c)
    )
    return connection.execute(statement).mappings().first()


def _insert(connection: sa.Connection, row: sa.RowMapping, kind: str, payload: Mapping[str, Any]) -> None:
    connection.execute(
        sa.insert(events).values(
            job=row["id"],
            sequence=row["last_sequence"],
            time=row["update_time"],
            attempt=row["attempt"],
            kind=kind,
            payload=dict(payload),
        )
    )
