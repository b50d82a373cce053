"""Databases for the tests of the core: every store test runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_postgres import LocalPostgres
from server.blobs import BlobPlace
from server.store import Store
from tests.core.objectstore import SeaweedFS
from tests.core.support import unavailable
from tests.core.workers import Bench


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LocalPostgres]:
    """A private server."""
    if not LocalPostgres.installed():
        unavailable("needs PostgreSQL's initdb and pg_ctl")
    with LocalPostgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: LocalPostgres) -> Iterator[str]:
    """A fresh database of the private server."""
    with postgres_server.database() as url:
        yield url


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


@pytest.fixture(scope="session")
def weed() -> Iterator[SeaweedFS]:
    """A real S3 store. Who stops it starts it again."""
    folder = Path(tempfile.mkdtemp(prefix="kohort-s3-", dir="/tmp"))
    try:
        with SeaweedFS(folder) as store:
            yield store
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bucket(weed: SeaweedFS, tmp_path: Path) -> BlobPlace:
    """An empty place in the real S3 store."""
    return weed.place(tmp_path / "credentials", uuid.uuid4().hex)


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
