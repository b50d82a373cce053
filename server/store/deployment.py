"""What all servers and workers on one database have in common."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from server.store.engine import Database
from server.store.schema import deployment

_PATIENT_KEY = "patient_key"


class DeploymentStore:
    """Facts that the first to start settles, and that hold for those that follow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def patient_key(self) -> str | None:
        """The fingerprint of the key of patient hashes; None before the first start."""
        with self._database.read() as connection:
            return _value(connection)

    def settle_patient_key(self, fingerprint: str) -> str:
        """Notes the fingerprint where none is known; the one that holds."""
        insert = sqlite.insert if self._database.sqlite else postgresql.insert
        with self._database.write() as connection:
            connection.execute(
                insert(deployment).values(name=_PATIENT_KEY, value=fingerprint).on_conflict_do_nothing()
            )
            return _value(connection) or ""


def _value(connection: sa.Connection) -> str | None:
    found = connection.scalar(sa.select(deployment.c.value).where(deployment.c.name == _PATIENT_KEY))
    return None if found is None else str(found)
