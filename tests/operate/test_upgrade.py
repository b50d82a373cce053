"""Upgrades: migrations only expand, neighbouring versions work side by side, data of every age survives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from kohort.problem import Problem
from server.records import JobState
from server.store import Store, migrate
from server.store.engine import Database
from tests.core.support import until
from tests.e2e.harness import Server
from tests.operate.gated_trainer import NAMED

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = ROOT / "server" / "migrations"
TABLE = pd.DataFrame({"age": [50 + n % 30 for n in range(200)], "sex": ["f", "m"] * 100})


def chain() -> list[ModuleType]:
    """Every migration, the first one first."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    return [script.module for script in reversed(scripts)]


HEAD = chain()[-1].revision


class Recorder:
    """Stands for `alembic.op` and remembers what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*args: Any, **named: Any) -> Any:
            self.asked.append((name, args, named))
            return args[0] if name == "f" else None

        return ask


def not_expanding(module: ModuleType) -> list[str]:
    """What in an upgrade would disturb code of the version before."""
    recorder, wrong, made = Recorder(), [], set()
    module.op, real = recorder, module.op  # type: ignore[attr-defined]
    try:
        module.upgrade()
    finally:
        module.op = real  # type: ignore[attr-defined]
    for name, args, named in recorder.asked:
        match name:
            case "create_table":
                made.add(args[0])
            case "add_column" if args[1].nullable or args[1].server_default is not None:
                pass
            case "create_index" if args[1] in made or not named.get("unique"):
                pass
            case "f" | "bulk_insert":
                pass
            case _:
                wrong.append(f"{name} {args[:2]}")
    return wrong


@pytest.mark.parametrize("module", chain(), ids=lambda m: m.revision)
def test_a_migration_only_expands_and_says_who_may_still_work(module: ModuleType) -> None:
    assert not_expanding(module) == []
    known = [m.revision for m in chain()]
    assert known.index(module.oldest) < known.index(module.revision) or module.down_revision is None


@pytest.mark.parametrize(
    "line",
    [
        "op.drop_column('jobs', 'device')",
        "op.alter_column('jobs', 'device', nullable=False)",
        "op.add_column('jobs', sa.Column('colour', sa.String(8), nullable=False))",
        "op.create_index('u', 'jobs', ['device'], unique=True)",
        "op.rename_table('jobs', 'work')",
        "op.execute('DELETE FROM jobs')",
    ],
)
def test_what_does_more_than_expand_is_found(line: str) -> None:
    module = ModuleType("contracting")
    exec(f"import sqlalchemy as sa\nfrom alembic import op\ndef upgrade():\n    {line}\n", vars(module))
    assert len(not_expanding(module)) == 1


def described(database: Database) -> tuple[str, str]:
    with database.read() as connection:
        return tuple(connection.execute(sa.text("SELECT revision, oldest FROM versions")).one())  # type: ignore[return-value]


def becomes(database: Database, revision: str, oldest: str) -> None:
    """Makes the tables those of a version that this code does not know."""
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
        connection.execute(
            sa.text("UPDATE versions SET revision = :r, oldest = :o"), {"r": revision, "o": oldest}
        )


def test_tables_say_who_may_work_on_them(database_url: str) -> None:
    database, store = Database(database_url), Store(database_url)
    for module in chain():
        migrate.upgrade(database, module.revision)
        assert described(database) == (module.revision, module.oldest)
        if module.revision != HEAD:
            with pytest.raises(Problem, match=r"older version .*start the new server first"):
                store.check_version()
    store.migrate()
    store.check_version()

    becomes(database, "9999", HEAD)  # the next version's, which still fit
    store.check_version()
    store.migrate()
    assert described(database) == ("9999", HEAD), "the older server leaves them as they are"

    becomes(database, "9999", "9998")  # what came after the next one's contraction
    for refused in (store.check_version, store.migrate):
        with pytest.raises(Problem, match=r"newer version .*9999.* works with 9998 or later") as error:
            refused()
        assert error.value.reason == "STORE_UNAVAILABLE"

    with database.write() as connection:  # and one that says nothing is taken for strict
        connection.execute(sa.text("DELETE FROM versions"))
    with pytest.raises(Problem, match="works with its own or later"):
        store.check_version()
    store.close()
    database.close()


@pytest.mark.parametrize("revision", [m.revision for m in chain()])
def test_data_of_every_older_version_is_read(database_url: str, revision: str) -> None:
    database = Database(database_url)
    migrate.upgrade(database, revision)
    schema = {"tables": [{"name": "heart", "columns": []}]}
    with database.write() as connection:
        old = sa.MetaData()
        old.reflect(connection)
        _insert(
            connection, old, "datasets", id="d" * 32, tenant="north", schema=schema, findings=[],
            row_counts={"heart": 3}, expire_time=4e9, create_time=1.0, digest=b"\1" * 32, labels={},
        )  # fmt: skip
        _insert(
            connection, old, "jobs", id="a" * 32, tenant="north", principal="ada", dataset="d" * 32,
            trainer="copula", state="QUEUED", spec=_spec(), max_runtime_s=60.0, last_sequence=1,
            oldest_sequence=1, create_time=1.0, update_time=1.0,
        )  # fmt: skip
        _insert(
            connection, old, "events", job="a" * 32, sequence=1, time=1.0, kind="state",
            payload={"state": "QUEUED", "message": ""},
        )  # fmt: skip
        _insert(
            connection, old, "models", id="b" * 32, tenant="north", schema=schema, labels={}, parameters={},
            privacy={}, findings=[], content_digest=b"\2" * 32, bundle_digest=b"\3" * 32, blob_key="models/b",
            create_time=1.0,
        )  # fmt: skip
    database.close()

    store = Store(database_url)
    store.migrate()
    assert store.datasets.get("north", "d" * 32).row_counts == {"heart": 3}
    assert store.models.get("north", "b" * 32).blob_key == "models/b"
    assert [e.sequence for e in store.jobs.events("north", "a" * 32, 0)] == [1]
    store.workers.register("w", "cpu:0", "cpu", "here")
    job = store.leases.claim("w", "cpu:0", "cpu", 60)
    assert job is not None
    assert job.id == "a" * 32
    store.leases.progress(job.id, 1, "w", {"step": 1})
    store.leases.fail(job.id, 1, "w", "TRAINING_FAILED", "enough")
    assert store.jobs.get("north", job.id).state is JobState.FAILED
    store.close()


def _spec() -> Any:
    from server.store import rows
    from tests.core.support import spec_for

    return rows.spec_to_json(spec_for("d" * 32))


def _insert(connection: sa.Connection, old: sa.MetaData, name: str, **given: Any) -> None:
    """A row as code of that time wrote it: every column that may not be null has some value."""
    table, values = old.tables[name], {}
    for column in table.columns:
        if column.name in given:
            value = given[column.name]
            as_text = isinstance(value, (dict, list)) and not isinstance(column.type, sa.JSON)
            values[column.name] = json.dumps(value) if as_text else value
        elif not column.nullable and not column.primary_key and column.server_default is None:
            values[column.name] = {str: "", bytes: b"", bool: False}.get(column.type.python_type, 0)
    connection.execute(sa.insert(table).values(**values))


# Two versions as processes: this code, and this code with one migration more.


def next_version(folder: Path, oldest: str) -> dict[str, str]:
    """The environment of a version whose migration adds a column, a table and an index."""
    shutil.copytree(ROOT / "server", folder / "server", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "server" / "migrations" / "versions" / "9999_next.py").write_text(
        textwrap.dedent(f"""
        import sqlalchemy as sa
        from alembic import op

        revision = "9999"
        down_revision = {HEAD!r}
        branch_labels = None
        depends_on = None
        oldest = {oldest!r}


        def upgrade() -> None:
            op.add_column("jobs", sa.Column("colour", sa.String(8), nullable=False, server_default="red"))
            op.add_column("models", sa.Column("weight", sa.Double(), nullable=True))
            op.create_table("notes", sa.Column("text", sa.Text(), primary_key=True))
            op.create_index("ix_jobs_colour", "jobs", ["colour"])
        """)
    )
    packages = os.pathsep.join(map(str, (folder, ROOT, ROOT / "clients" / "python")))
    # Safe path: the working directory, which is this checkout, must not come first.
    return {"PYTHONPATH": packages, "PYTHONSAFEPATH": "1"}


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def old_worker(started: ExitStack, folder: Path, url: str) -> subprocess.Popen[bytes]:
    """A worker of this version as on a machine of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "clients" / "python"))),
        "KOHORT_TRAINERS": NAMED,
        "KOHORT_POLL_SECONDS": "0.2",
    }
    log = started.enter_context((folder / "worker.log").open("ab"))
    command = ["-m", "server", "worker", "--slot", "cpu:0", "--data-dir", str(folder / "var")]
    command += ["--database-url", url]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)

    def end() -> None:
        process.kill()
        process.wait(30)

    started.callback(end)
    return process


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_job_of_an_old_worker_runs_through_the_upgrade(
    tmp_path: Path, database_url: str, started: ExitStack
) -> None:
    newer = next_version(tmp_path / "next", oldest=HEAD) | {"KOHORT_TRAINERS": NAMED}
    url, flags = database_url, ("--devices", "", "--database-url", database_url)
    old = Server(tmp_path, *flags, env={"KOHORT_TRAINERS": NAMED})
    new = Server(tmp_path, *flags, env=newer)
    with old, old.client() as client:
        dataset = client.upload(TABLE, table="heart")
        before = client.train(dataset, trainer="copula", seed=1)
        worker = old_worker(started, tmp_path, url)
        first = before.result()
        sampled = first.sample(50, seed=3)
        gate = tmp_path / "gate"
        job = client.train(dataset, trainer="gated", parameters={"gate": str(gate)}, seed=1)
        until(lambda: _step(url, job.name), "progress", say=old.log)
    store = Store(url)
    with new, new.client() as client:
        assert described(store._database)[0] == "9999"
        step = _step(url, job.name)
        until(lambda: _step(url, job.name) > step + 2, "the old worker to go on", say=new.log)
        gate.touch()
        again = client.job(job.name)
        assert len(again.result().sample(10)) == 10
        assert client.model(first.name).sample(50, seed=3).equals(sampled)
        record = store.jobs.get("local", job.name.partition("/")[2])
        assert (record.attempt, record.state) == (1, JobState.SUCCEEDED), "one attempt, through the upgrade"
        assert len(list(client.models())) == 2, "published once"
        # An old worker that starts anew on the new tables.
        worker.terminate()
        assert worker.wait(60) == 0
        worker = old_worker(started, tmp_path, url)
        client.train(client.dataset(dataset.name), trainer="copula", seed=2).result()
    # And the way back: the old server serves what the new one made.
    with old, old.client() as client:
        assert len(list(client.models())) == 3
        assert client.model(first.name).sample(50, seed=3).equals(sampled)
    worker.terminate()
    assert worker.wait(60) == 0
    # Two versions on, after what was left has been taken away, it says what to do and starts nothing.
    becomes(store._database, "9999", "9998")
    store.close()
    assert old_worker(started, tmp_path, url).wait(60) == 1
    assert "update this installation" in (tmp_path / "worker.log").read_text()
    with pytest.raises(RuntimeError, match="update this installation"):
        old.start()


def _step(url: str, job: str) -> int:
    """The steps that a job has told."""
    store = Store(url)
    try:
        return int((store.jobs.get("local", job.partition("/")[2]).progress or {}).get("step") or 0)
    finally:
        store.close()
