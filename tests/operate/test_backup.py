"""Backup and restore: of a data directory while its server works, and of PostgreSQL by its own tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import kohort
from examples.local_postgres import LocalPostgres, binary
from kohort.errors import NotFound
from server import __main__ as commands
from server import backup
from server.backup import MANIFEST, BackupError, back_up, restore
from server.blobs import LocalBlobStore
from server.layout import DataDir
from server.records import JobState
from server.settings import Settings
from server.store import Store
from tests.core.support import add_dataset, add_job, model_of, until
from tests.e2e.harness import Server
from tests.operate.gated_trainer import NAMED

ROOT = Path(__file__).resolve().parents[2]
TABLE = pd.DataFrame({"age": [50 + n % 30 for n in range(200)], "sex": ["f", "m"] * 100})


class Home:
    """A data directory without a server, with models and datasets that have bytes."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(data_dir=root)
        self.folders = DataDir(root)
        self.folders.prepare()
        self.blobs = LocalBlobStore(self.folders.blobs)
        self.store = Store(self.settings.database)
        self.store.migrate()
        for path in (self.settings.signing_key_file, self.folders.patient_key):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_text(path.name)
            path.chmod(0o600)

    def put(self, key: str) -> None:
        draft = self.folders.root / "draft"
        draft.write_text(key)
        self.blobs.put(key, draft)
        draft.unlink()

    def model(self) -> str:
        """Its id."""
        job = add_job(self.store, self.dataset())
        self.store.workers.register(job.id, "cpu:0", "cpu", "here")
        self.store.leases.claim(job.id, "cpu:0", "cpu", 60)
        model = model_of(job)
        self.put(model.blob_key)
        self.store.leases.publish(job.id, 1, job.id, model)
        return model.id

    def dataset(self) -> str:
        """Its id."""
        dataset = add_dataset(self.store)
        self.put(f"{self.store.datasets.get('north', dataset).blob_prefix}/heart.arrow")
        return dataset

    def delete_model(self, model: str) -> None:
        self.blobs.delete(self.store.models.delete("north", model).blob_key)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    made.store.close()


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def private(folder: Path) -> bool:
    """Whether nobody else may look into the directory or, were it opened to them, any of its files."""
    return all(
        p.stat().st_mode & 0o077 == 0 for p in (folder, *folder.rglob("*")) if p == folder or p.is_file()
    )


def test_what_is_restored_is_what_was_there(home: Home, tmp_path: Path) -> None:
    kept, gone = home.model(), home.model()
    dropped = home.dataset()
    home.delete_model(gone)
    home.store.datasets.delete("north", dropped)  # its bytes are still there: nobody has swept yet
    made = back_up(home.settings, tmp_path / "backup")
    assert made.files == len(files(tmp_path / "backup")) - 1
    assert private(tmp_path / "backup")
    assert not any(dropped in name or gone in name for name in files(tmp_path / "backup"))

    settings = Settings(data_dir=tmp_path / "again")
    assert restore(settings, tmp_path / "backup") == made
    assert private(settings.data_dir)
    assert settings.signing_key_file.read_text() == "signing.pem"
    assert DataDir(settings.data_dir).patient_key.read_text() == "patients"
    store, blobs = Store(settings.database), LocalBlobStore(settings.data_dir / "blobs")
    store.check_version()
    key = store.models.get("north", kept).blob_key
    assert blobs.open(key).read() == key.encode()
    assert store.datasets.get("north", dropped).delete_time is not None
    assert store.models.blob_keys() == {key}
    store.close()


def test_what_is_deleted_while_it_is_copied_is_not_in_the_backup(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, early, late = home.model(), home.model(), home.model()
    copy, rounds = backup._copy_blobs, list[int]()

    def meanwhile(*arguments: Any) -> None:
        rounds.append(1)
        if len(rounds) == 1:
            home.delete_model(early)  # before its blob is copied
        copy(*arguments)
        if len(rounds) == 1:
            home.delete_model(late)  # after
            home.model()  # and one that is new

    monkeypatch.setattr(backup, "_copy_blobs", meanwhile)
    back_up(home.settings, tmp_path / "backup")
    assert len(rounds) == 2
    held = " ".join(files(tmp_path / "backup"))
    assert kept in held
    assert early not in held
    assert late not in held
    restore(Settings(data_dir=tmp_path / "again"), tmp_path / "backup")
    store = Store(Settings(data_dir=tmp_path / "again").database)
    assert all((tmp_path / "again" / "blobs" / key).is_file() for key in store.models.blob_keys())
    assert len(store.models.blob_keys()) == 2
    store.close()


def test_a_blob_that_is_lost_is_told_when_it_is_backed_up(home: Home, tmp_path: Path) -> None:
    home.blobs.delete(home.store.models.get("north", home.model()).blob_key)
    with pytest.raises(BackupError, match="1 of the blobs"):
        back_up(home.settings, tmp_path / "backup")
    with pytest.raises(BackupError, match="no finished backup"):
        restore(Settings(data_dir=tmp_path / "again"), tmp_path / "backup")


def test_restore_puts_nothing_over_anything(home: Home, tmp_path: Path) -> None:
    home.model()
    back_up(home.settings, tmp_path / "backup")
    with pytest.raises(BackupError, match="not empty"):
        back_up(home.settings, tmp_path / "backup")
    with pytest.raises(BackupError, match="empty data_dir"):
        restore(home.settings, tmp_path / "backup")
    other = Settings(data_dir=tmp_path / "again", signing_key_file=tmp_path / "signing.pem")
    other.signing_key_file.write_text("another")
    with pytest.raises(BackupError, match=r"keys/signing.pem is there already, and another"):
        restore(other, tmp_path / "backup")
    shutil.rmtree(other.data_dir)
    other.signing_key_file.write_text("signing.pem")  # the same: it lies outside and may stay
    restore(other, tmp_path / "backup")


@pytest.mark.parametrize(
    "what", ["blob", "database", "missing", "traversal", "format", "manifest", "entry", "files"]
)
def test_a_damaged_backup_is_refused(home: Home, tmp_path: Path, what: str) -> None:
    home.model()
    folder = tmp_path / "backup"
    back_up(home.settings, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    blob = next(p for p in (folder / "blobs").rglob("bundle.kohort"))
    match what:
        case "blob":
            blob.write_bytes(blob.read_bytes()[::-1])
        case "database":
            (folder / "kohort.db").write_bytes((folder / "kohort.db").read_bytes()[:-1] + b"x")
        case "missing":
            blob.unlink()
        case "traversal":
            manifest["files"]["blobs/../../evil"] = {"sha256": "", "size": 0}
        case "format":
            manifest["format"] = 2
        case "manifest":
            manifest = "half"
        case "entry":
            manifest["files"]["kohort.db"] = {"sha256": "", "size": None}
        case "files":
            manifest["files"] = ["kohort.db"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    settings = Settings(data_dir=tmp_path / "again")
    with pytest.raises(BackupError):
        restore(settings, folder)
    assert not (settings.data_dir / "kohort.db").exists(), "no server starts on half of a backup"
    assert not (tmp_path / "evil").exists()


def test_another_database_is_not_for_this_command(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql://kohort@/x")
    with pytest.raises(BackupError, match="for PostgreSQL see"):
        back_up(settings, tmp_path / "backup")
    with pytest.raises(BackupError, match="no database"):
        back_up(Settings(data_dir=tmp_path / "none"), tmp_path / "backup")


def test_the_commands(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, again = str(tmp_path / "backup"), str(tmp_path / "again")
    assert commands.main(["backup", "--to", there, "--data-dir", str(home.folders.root)]) == 0
    assert commands.main(["restore", "--from", there, "--data-dir", again]) == 0
    assert capsys.readouterr().out.count("tables of revision") == 2
    assert commands.main(["restore", "--from", there, "--data-dir", again]) == 1
    assert "empty data_dir" in capsys.readouterr().err


def ids(client: kohort.Client) -> set[str]:
    return {model.name for model in client.models()}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_backup_of_a_server_that_works(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    environment, gate = {"KOHORT_TRAINERS": NAMED}, tmp_path / "gate"
    with (
        Server(tmp_path / "first", "--devices", "cpu:1", env=environment) as server,
        server.client() as client,
    ):
        dataset = client.upload(TABLE, table="heart")
        model = client.train(dataset, trainer="copula", seed=1).result()
        sampled, file = model.sample(100, seed=5), model.download(tmp_path / "before.kohort")
        deleted = client.train(dataset, trainer="copula", seed=2).result()
        deleted.delete()
        dropped = client.upload(TABLE, table="heart")
        client.delete_dataset(dropped)
        job = client.train(dataset, trainer="gated", parameters={"gate": str(gate)}, seed=1)
        until(lambda: job.refresh().state is kohort.JobState.RUNNING, "a running job", say=server.log)
        ended = threading.Event()

        def busy() -> None:
            while not ended.wait(0.02):
                client.delete_dataset(client.upload(TABLE, table="heart"))

        other = threading.Thread(target=busy)
        other.start()
        try:
            command = [sys.executable, "-m", "server", "backup", "--to", str(tmp_path / "backup")]
            command += ["--data-dir", str(tmp_path / "first" / "var")]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        finally:
            ended.set()
            other.join(60)
        assert done.returncode == 0, done.stderr
        key = client.capabilities().signing_key

    command = [sys.executable, "-m", "server", "restore", "--from", str(tmp_path / "backup")]
    command += ["--data-dir", str(tmp_path / "second" / "var")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    with (
        Server(tmp_path / "second", "--devices", "cpu:1", env=environment) as server,
        server.client() as client,
    ):
        same(client, model.name, sampled, file, tmp_path)
        assert client.capabilities().signing_key == key
        assert ids(client) == {model.name}
        with pytest.raises(NotFound):
            client.model(deleted.name)
        assert client.dataset(dropped.name).info.delete_time is not None
        gate.touch()
        assert client.job(job.name).result().sample(10).shape == (10, 2)
        assert len(ids(client)) == 2


def same(client: kohort.Client, model: str, sampled: pd.DataFrame, file: Path, folder: Path) -> None:
    """The model is there, gives the same rows and is the same file."""
    restored = client.model(model)
    assert restored.sample(100, seed=5).equals(sampled)
    assert restored.download(folder / "after.kohort").read_bytes() == file.read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.postgres
def test_postgresql_is_dumped_and_restored_by_its_own_tools(
    tmp_path: Path, postgres_server: LocalPostgres
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    environment, gate = {"KOHORT_TRAINERS": NAMED}, tmp_path / "gate"
    dump = str(tmp_path / "kohort.dump")
    with ExitStack() as stack:
        first = stack.enter_context(postgres_server.database())
        second = stack.enter_context(postgres_server.database())
        flags = ("--devices", "cpu:1", "--database-url")
        with Server(tmp_path / "first", *flags, first, env=environment) as server, server.client() as client:
            dataset = client.upload(TABLE, table="heart")
            model = client.train(dataset, trainer="copula", seed=1).result()
            sampled, file = model.sample(100, seed=5), model.download(tmp_path / "before.kohort")
            job = client.train(dataset, trainer="gated", parameters={"gate": str(gate)}, seed=1)
            until(lambda: job.refresh().state is kohort.JobState.RUNNING, "a running job", say=server.log)
            # As docs/operations.md says: the database first, then blobs and keys.
            subprocess.run([binary("pg_dump") or "", "-Fc", "-f", dump, first], check=True, timeout=120)
            for part in ("blobs", "keys"):
                shutil.copytree(tmp_path / "first" / "var" / part, tmp_path / "second" / "var" / part)
        restoring = [binary("pg_restore") or "", "--no-owner", "--exit-on-error", "-d", second, dump]
        subprocess.run(restoring, check=True, timeout=120)
        with (
            Server(tmp_path / "second", *flags, second, env=environment) as server,
            server.client() as client,
        ):
            same(client, model.name, sampled, file, tmp_path)
            gate.touch()
            assert len(client.job(job.name).result().sample(10)) == 10
            assert len(ids(client)) == 2
            store = Store(second)
            assert store.jobs.get("local", job.name.partition("/")[2]).state is JobState.SUCCEEDED
            store.close()
