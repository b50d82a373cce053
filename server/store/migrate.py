"""Alembic, without its command line: the migrations travel with the package."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from server.store.engine import Database, translated

_ADVISORY_LOCK = 0x6B6F686F7274  # "kohort"


def upgrade(database: Database, revision: str = "head") -> None:
    """Brings the tables to `revision`, one process at a time."""
    with _alone(database), database.write() as connection:
        if not _at_head(connection) or revision != "head":
            command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Takes the tables back to `revision`."""
    with _alone(database), database.write() as connection:
        command.downgrade(_config(connection), revision)


def is_current(database: Database) -> bool:
    """Whether the tables are of this version."""
    with database.read() as connection:
        return _at_head(connection)


def _at_head(connection: sa.Connection) -> bool:
    heads = set(ScriptDirectory.from_config(_config(connection)).get_heads())
    return set(MigrationContext.configure(connection).get_current_heads()) == heads


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parents[1] / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    if database.path is None:
        with translated(), database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.select(sa.func.pg_advisory_lock(_ADVISORY_LOCK)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(_ADVISORY_LOCK)))
        return
    with database.path.with_name(database.path.name + ".migrate").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
