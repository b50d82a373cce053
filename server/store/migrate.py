"""Alembic, without its command line: the migrations travel with the package.

Which code may work on which tables is told by the tables themselves. Every
migration names in ``oldest`` the oldest revision whose code still works on what
it makes; whoever migrates notes it in `versions`. Code that meets a revision it
does not know looks there: where it knows the oldest, it may work. So a worker
or server of one version goes on while the next one has migrated.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from kohort.problem import Problem
from server.store.engine import Database, translated
from server.store.schema import versions

_ADVISORY_LOCK = 0x6B6F686F7274  # "kohort"


def upgrade(database: Database, revision: str = "head") -> None:
    """Brings the tables to `revision`, one process at a time.

    Tables of a newer version that this one may work on stay as they are.

    Raises:
        Problem: STORE_UNAVAILABLE when the tables are of a version that this one cannot work with.
    """
    with _alone(database), database.write() as connection:
        scripts = _scripts(connection)
        if revision == "head" and _is_foreign(connection, scripts):
            _check(connection, scripts)
            return
        if revision != "head" or _revision(connection) != scripts.get_current_head():
            command.upgrade(_config(connection), revision)
        _note(connection, scripts)


def downgrade(database: Database, revision: str = "base") -> None:
    """Takes the tables back to `revision`."""
    with _alone(database), database.write() as connection:
        command.downgrade(_config(connection), revision)
        _note(connection, _scripts(connection))


def check(database: Database) -> None:
    """Raises Problem STORE_UNAVAILABLE, which says what to update, when this code must not use the tables."""
    with database.read() as connection:
        _check(connection, _scripts(connection))


def _check(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    if not _is_foreign(connection, scripts):
        if _revision(connection) != scripts.get_current_head():
            raise Problem(
                "STORE_UNAVAILABLE",
                f"the database is of an older version ({_revision(connection) or 'empty'}; "
                f"this is {scripts.get_current_head()}): start the new server first, it migrates",
            )
        return
    row = connection.execute(sa.select(versions)).first() if _has_versions(connection) else None
    oldest = row.oldest if row is not None and row.revision == _revision(connection) else None
    if oldest not in _known(scripts):
        raise Problem(
            "STORE_UNAVAILABLE",
            f"the database is of a newer version ({_revision(connection)}), which works with "
            f"{oldest or 'its own'} or later and not with this one ({scripts.get_current_head()}): "
            "update this installation",
        )


def _is_foreign(connection: sa.Connection, scripts: ScriptDirectory) -> bool:
    revision = _revision(connection)
    return revision is not None and revision not in _known(scripts)


def _known(scripts: ScriptDirectory) -> dict[str, Script]:
    return {script.revision: script for script in scripts.walk_revisions()}


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _has_versions(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(versions.name)


def _note(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    """Writes down who may work on the tables as they are now."""
    revision = _revision(connection)
    if revision is None:
        versions.drop(connection, checkfirst=True)
        return
    wanted = (revision, getattr(_known(scripts)[revision].module, "oldest", revision))
    versions.create(connection, checkfirst=True)
    if connection.execute(sa.select(versions.c.revision, versions.c.oldest)).all() != [wanted]:
        connection.execute(sa.delete(versions))
        connection.execute(sa.insert(versions).values(revision=wanted[0], oldest=wanted[1]))


def _scripts(connection: sa.Connection) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(connection))


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
