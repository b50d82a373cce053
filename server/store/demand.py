"""How many workers the queue could use now, by kind of device: what an executor that starts them looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from server.records import ACTIVE, JobState
from server.store.schema import jobs


@dataclass(frozen=True)
class Demand:
    """One look at the queue."""

    waiting: Mapping[str, int]
    """By kind, jobs that a worker would get if it asked now. Those that name one slot wait for that slot."""
    holding: frozenset[str]
    """Of the workers asked about, those that hold a job."""


def demand(
    connection: sa.Connection, kinds: Sequence[str], workers: Collection[str], max_running: int
) -> Demand:
    """Looks once; a job is counted where it waits or with who holds it, never both.

    Args:
        connection: where.
        kinds: of devices, such as ("cuda", "cpu"); jobs that name none count for the first.
        workers: ids to be told apart.
        max_running: jobs of one principal that run at once; those beyond would not be given out.
    """
    columns = (jobs.c.state, jobs.c.tenant, jobs.c.principal, jobs.c.device_filter, jobs.c.worker)
    # One statement, so that on PostgreSQL too it is one moment.
    statement = sa.select(*columns).where(jobs.c.state.in_(sorted(ACTIVE))).order_by(jobs.c.number)
    found = connection.execute(statement).all()
    room: Counter[tuple[str, str]] = Counter()
    for row in found:
        room[row.tenant, row.principal] -= row.state != JobState.QUEUED.value
    waiting = dict.fromkeys(kinds, 0)
    for row in found:
        kind = row.device_filter or kinds[0]
        who = (row.tenant, row.principal)
        if row.state == JobState.QUEUED.value and kind in waiting and room[who] + max_running > 0:
            waiting[kind] += 1
            room[who] -= 1
    return Demand(
        waiting,
        frozenset(row.worker for row in found if row.state != JobState.QUEUED.value) & frozenset(workers),
    )
