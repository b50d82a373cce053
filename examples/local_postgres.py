"""A PostgreSQL server of one's own, on a Unix socket in a temporary directory, for a benchmark or a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import sqlalchemy as sa


def binary(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, the newest version's; None where it is not installed."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


class LocalPostgres:
    """Lives as long as its block.

    Args:
        durable: whether commits reach the disk before they return, as in production.
    """

    def __init__(self, *, durable: bool = False) -> None:
        # Socket paths are short by law, so not below a test's own directory.
        self.folder = Path(tempfile.mkdtemp(prefix="kohort-pg-", dir="/tmp"))
        self._fsync = "on" if durable else "off"
        self._as_user: list[str] = []

    @staticmethod
    def installed() -> bool:
        """Whether there is a PostgreSQL server here to start."""
        return binary("initdb") is not None and binary("pg_ctl") is not None

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://kohort@/{database}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh database, dropped when the block ends."""
        name = f"t{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}")
        yield self.url(name)
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def run(self, name: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs as the server's user. Raises CalledProcessError."""
        command = [*self._as_user, binary(name) or name, *arguments]
        subprocess.run(command, check=True, cwd=self.folder, timeout=120, stdout=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        data = str(self.folder / "data")
        options = f"-k {self.folder} -c listen_addresses='' -c fsync={self._fsync} -c shared_buffers=16MB"
        try:
            self.run(
                "initdb", "-D", data, "-A", "trust", "-U", "kohort", "--no-sync", "-E", "UTF8", "--locale=C"
            )
            self.run(
                "pg_ctl", "-D", data, "-w", "-l", str(self.folder / "log"), "-o",
                f"{options} -c max_connections=100", "start",
            )  # fmt: skip
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _execute(self, statement: str) -> None:
        url = self.url("postgres").replace("postgresql:", "postgresql+psycopg:")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()
