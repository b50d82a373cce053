"""Connections: one way to read and one way to write, on SQLite and on PostgreSQL.

SQLite runs in WAL mode; a write begins with BEGIN IMMEDIATE, so that two
writers queue instead of failing half-way. On PostgreSQL a transaction that a
stopped process holds open is ended by the server. Never put SQLite on NFS.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from kohort.problem import Problem

_BUSY_SECONDS = 30
_MUTE_SECONDS = 10
"""How long a process that is paused or cut off amid a transaction may hold what others wait for."""
_DISK_FULL_SQLSTATES = frozenset({"53100", "53000"})


class clock(FunctionElement[float]):  # noqa: N801 (an SQL function)
    """Seconds since 1970 by the database's clock, at the time of the statement."""

    type = sa.Double()
    inherit_cache = True


@compiles(clock)
def _clock(element: clock, compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(clock, "sqlite")
def _clock_sqlite(element: clock, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class Database:
    """An engine with two doors: `read` and `write`.

    Args:
        url: ``sqlite:////var/lib/kohort/kohort.db`` or ``postgresql+psycopg://…``.
        pool_size: connections at most; calls beyond wait.

    Both doors raise Problem STORE_UNAVAILABLE or STORAGE_FULL when the database
    does not answer. Raises ValueError for a URL of another kind.
    """

    def __init__(self, url: str, pool_size: int = 8) -> None:
        parsed = _parse(url)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        if not self.sqlite and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.engine = sa.create_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_BUSY_SECONDS,
            pool_pre_ping=not self.sqlite,
            hide_parameters=True,  # an error's text must hold no schema, label or name
            connect_args=connect_args(self.sqlite),
        )
        # SQLite's own way to queue is to try again at random, and who is unlucky waits for seconds.
        self._turn: AbstractContextManager[object] = threading.Lock() if self.sqlite else nullcontext()
        self.path = Path(parsed.database) if self.sqlite and parsed.database else None
        if self.sqlite:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state and changes nothing."""
        with translated(), self.engine.connect() as plain:
            connection = plain.execution_options(kohort_write=False)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        with translated(), self._turn, self.engine.connect() as plain:
            connection = plain.execution_options(kohort_write=True)
            with connection.begin():
                yield connection

    def size_bytes(self) -> int:
        """Bytes that the database takes on its disk, its journal among them."""
        if self.path is not None:
            files = (self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm"))
            return sum(file.stat().st_size for file in files if file.exists())
        with self.read() as connection:
            size = sa.func.pg_database_size(sa.func.current_database())
            return int(connection.scalar(sa.select(size)) or 0)

    def close(self) -> None:
        """Closes idle connections."""
        self.engine.dispose()


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("sqlite", "postgresql"):
        # Without the URL itself, which may hold a password.
        raise ValueError("database_url must look like postgresql://user@host/database or sqlite:///file")
    return parsed


def connect_args(sqlite: bool) -> dict[str, Any]:
    """What the driver is told: how long to wait for what, on either side."""
    if sqlite:
        return {"timeout": _BUSY_SECONDS, "check_same_thread": False}
    limits = {
        "idle_in_transaction_session_timeout": _MUTE_SECONDS * 1000,
        "lock_timeout": _BUSY_SECONDS * 1000,
        "statement_timeout": 2 * _BUSY_SECONDS * 1000,
    }
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    # A network or machine that is gone says nothing: without these a call would wait a quarter of an hour.
    vigilance = {
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _BUSY_SECONDS * 1000,
    }
    return {**vigilance, "options": options, "application_name": "kohort"}


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred: ours stands in _begin_sqlite
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("kohort_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def translated() -> Iterator[None]:
    """Turns what a database that does not answer raises into Problem STORE_UNAVAILABLE or STORAGE_FULL."""
    try:
        yield
    except PoolTimeout as error:
        raise Problem("STORE_UNAVAILABLE", "the database is busy", retry_after=1.0) from error
    except DBAPIError as error:
        if isinstance(error, (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError)):
            raise
        if _disk_full(error.orig):
            raise Problem("STORAGE_FULL", "the database has no room left", retry_after=30.0) from error
        raise Problem("STORE_UNAVAILABLE", "the database does not answer", retry_after=1.0) from error


def _disk_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(error, "sqlstate", None) in _DISK_FULL_SQLSTATES
