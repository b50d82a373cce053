"""Databases for the tests of the core: every store test runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from server.records import Principal
from server.store import Store
from tests.core.support import unavailable
from tests.core.workers import Bench

PRINCIPAL = Principal("north", "ada")
SCHEMA = Schema((TableSchema("heart", (Column("age", Kind.INTEGER, Storage.INT64, Handling.MODEL),)),))


def _binary(name: str) -> str | None:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A private server on a Unix socket in a temporary directory; its URL without a database."""
    initdb, pg_ctl = _binary("initdb"), _binary("pg_ctl")
    if initdb is None or pg_ctl is None:
        unavailable("needs PostgreSQL's initdb and pg_ctl")
        return
    # Socket paths are short by law, so not below pytest's own directory.
    folder = Path(tempfile.mkdtemp(prefix="kohort-pg-", dir="/tmp"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, cwd=folder, timeout=120, stdout=subprocess.DEVNULL)

    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c shared_buffers=16MB -c max_connections=50"
    try:
        run(initdb, "-D", str(data), "-A", "trust", "-U", "kohort", "--no-sync", "-E", "UTF8", "--locale=C")
        run(pg_ctl, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql://kohort@/{{database}}?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            run(pg_ctl, "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh database of the private server."""
    name = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(
        postgres_server.format(database="postgres").replace("postgresql:", "postgresql+psycopg:"),
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield postgres_server.format(database=name)
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kohort.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The stores on a fresh database."""
    opened = Store(database_url, max_queued_jobs=20, max_jobs_per_principal=10)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A data directory with SQLite, and workers on it."""
    made = Bench(tmp_path, f"sqlite:///{tmp_path}/kohort.db")
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])])
def any_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A data directory with either database."""
    postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path}/kohort.db"
    made = Bench(tmp_path, url)
    yield made
    made.close()
