"""The workers that are there: what health, devices and estimates are read from."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from server.records import HELD, WorkerRecord
from server.store.engine import Database, clock
from server.store.schema import jobs, workers

_KEPT_SECONDS = 24 * 3600.0


class WorkerStore:
    """Presence of workers, by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker: str, slot: str, kind: str, host: str) -> None:
        """A worker begins, or goes on after it was forgotten."""
        with self._database.write() as connection:
            connection.execute(
                sa.insert(workers).values(
                    id=worker, slot=slot, kind=kind, host=host, start_time=clock(), seen_time=clock()
                )
            )

    def beat(self, worker: str) -> bool:
        """A worker lives. False where it is not known: never registered, forgotten or dismissed."""
        with self._database.write() as connection:
            seen = sa.update(workers).where(workers.c.id == worker).values(seen_time=clock())
            return connection.execute(seen).rowcount > 0

    def leave(self, worker: str) -> None:
        """A worker ends; it holds no job any more."""
        self.dismiss([worker])

    def dismiss(self, ids: Collection[str]) -> None:
        """Asks workers that are there for one job to leave: they do once they are not known any more."""
        with self._database.write() as connection:
            connection.execute(sa.delete(workers).where(workers.c.id.in_(ids)))

    def live(self, within_s: float) -> list[WorkerRecord]:
        """Workers heard of within that time, by slot."""
        statement = (
            sa.select(workers)
            .where(workers.c.seen_time > clock() - within_s)
            .order_by(workers.c.slot, workers.c.id)
        )
        with self._database.read() as connection:
            return [WorkerRecord(**row) for row in connection.execute(statement).mappings()]

    def forget_dead(self) -> int:
        """Drops workers not heard of for a day that hold no job; how many."""
        holds = sa.exists().where(jobs.c.worker == workers.c.id, jobs.c.state.in_(sorted(HELD)))
        with self._database.write() as connection:
            return connection.execute(
                sa.delete(workers).where(workers.c.seen_time < clock() - _KEPT_SECONDS, ~holds)
            ).rowcount
