"""A backup of a data directory while its server runs, and the way back.

For SQLite with blobs in a directory; a PostgreSQL is dumped, a bucket
replicated with their own means (docs/operations.md).

The database is copied first, by SQLite's own backup, which sees one state and
holds up no writer; then the blobs that this copy names. Blobs never change and
lie there before a row names them, so only what was deleted in the meantime can
be missing. Then the database is copied again, and so on until nothing is.
What is deleted is not in the backup, and neither is work under way
(checkpoints, uploads): jobs that ran begin again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from kohort.problem import Problem
from kohort.version import __version__
from server.layout import DataDir
from server.processes import is_full
from server.settings import Settings
from server.store import Store
from server.store.engine import Database

MANIFEST = "manifest.json"
_FORMAT = 1
_DATABASE = "kohort.db"
_BLOBS, _SIGNING, _PATIENTS = "blobs", "keys/signing.pem", "keys/patients"
_ROUNDS = 10
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Summary:
    """What a backup holds."""

    files: int
    size_bytes: int
    revision: str
    """Of the tables."""


class BackupError(Exception):
    """It cannot be made or restored; the text says why, for the operator."""


def back_up(settings: Settings, target: Path) -> Summary:
    """Copies database, blobs and keys into a new directory, the manifest last: without one it is unfinished.

    Raises:
        BackupError: the settings name no SQLite with a directory of blobs, the target is not empty,
            or a blob that the database names is not there.
        Problem: STORAGE_FULL.
    """
    source = _source(settings)
    _make_empty(target)
    try:
        made = _copy(settings, source, target)
    except OSError as error:
        if is_full(error):
            raise Problem("STORAGE_FULL", "the backup's file system has no room left") from error
        raise BackupError(f"the backup cannot be written: {error.strerror}") from error
    return made


def restore(settings: Settings, source: Path) -> Summary:
    """Lays out a backup as the data directory of `settings`, which must be empty; every digest is checked.

    Raises:
        BackupError: there is no whole backup, a file is not what it was, or something is in the way.
    """
    try:
        manifest = json.loads((source / MANIFEST).read_bytes())
        files = {name: (str(told["sha256"]), int(told["size"])) for name, told in manifest["files"].items()}
        revision = str(manifest["revision"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError("there is no finished backup: manifest.json is missing or damaged") from error
    if manifest.get("format") != _FORMAT:
        raise BackupError("the backup is of a format that this version does not know")
    folders, database = _folders(settings), _database(settings)
    places = {_DATABASE: database, _SIGNING: settings.signing_key_file, _PATIENTS: folders.patient_key}
    if database.exists() or (folders.root.exists() and any(folders.root.iterdir())):
        raise BackupError("restore into an empty data_dir, and where there is no database")
    # A restored directory without a database is no server's: it comes last, when all else is right.
    names = sorted(files, key=lambda name: name == _DATABASE)
    try:
        folders.prepare()
        for name in names:
            place = places.get(name) or _inside(folders.root, name)
            if place.exists():  # a key that lies outside data_dir, and must be the same
                if _facts(place) != files[name]:
                    raise BackupError(f"{name} is there already, and another than the backup's")
                continue
            draft = place.with_name(f".{place.name}.restoring")
            if _copy_file(source / name, draft) != files[name]:
                draft.unlink()
                raise BackupError(f"{name} is not what was backed up")
            draft.replace(place)
    except OSError as error:
        raise BackupError(f"the backup cannot be restored: {error.strerror}") from error
    return Summary(len(files), sum(size for _, size in files.values()), revision)


def _source(settings: Settings) -> DataDir:
    if settings.blob_url:
        raise BackupError("blob_url is set: a bucket is replicated by its own means, see docs/operations.md")
    if not _database(settings).is_file():
        raise BackupError("there is no database to back up")
    return _folders(settings)


def _folders(settings: Settings) -> DataDir:
    return DataDir(settings.data_dir.absolute(), settings.patient_key_file.absolute())


def _database(settings: Settings) -> Path:
    path = Database(settings.database).path
    if path is None:
        raise BackupError("only SQLite is backed up by this command; for PostgreSQL see docs/operations.md")
    return path


def _make_empty(target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise BackupError("the directory of the backup is not empty")
    target.chmod(0o700)


def _copy(settings: Settings, source: DataDir, target: Path) -> Summary:
    database, copies = _database(settings), dict[str, tuple[str, int]]()
    for _ in range(_ROUNDS):
        _copy_database(database, target / _DATABASE)
        named = _named(target / _DATABASE)
        for key in [key for key in copies if not _within(key, named)]:
            (target / _BLOBS / key).unlink()  # deleted since the copy before
            del copies[key]
        _copy_blobs(source.blobs, target / _BLOBS, named, copies)
        # A row goes before its blobs: what still has its row had its blobs while they were copied.
        if named <= _named(database):
            break
    else:
        raise BackupError("data is deleted faster than it can be copied: try again")
    there = {prefix for key in copies for prefix in _prefixes(key)}
    lost = named - there
    if lost:
        raise BackupError(f"{len(lost)} of the blobs that the database names are not there")
    files = {f"{_BLOBS}/{key}": told for key, told in copies.items()}
    files[_DATABASE] = _facts(target / _DATABASE)
    for name, path in ((_SIGNING, settings.signing_key_file), (_PATIENTS, source.patient_key)):
        if path.exists():
            files[name] = _copy_file(path, target / name)
    revision = _revision(target / _DATABASE)
    told = {name: {"sha256": digest, "size": size} for name, (digest, size) in sorted(files.items())}
    manifest = {"format": _FORMAT, "kohort": __version__, "revision": revision, "time": time.time()}
    draft = target / f".{MANIFEST}"
    _write(draft, json.dumps({**manifest, "files": told}, indent=1).encode())
    draft.replace(target / MANIFEST)
    return Summary(len(files), sum(size for _, size in files.values()), revision)


def _copy_database(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)


def _revision(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _named(database: Path) -> set[str]:
    """Keys, and prefixes of keys, of all blobs that the rows of a database need."""
    store = Store(f"sqlite:///{database}", pool_size=1)
    try:
        deleted = {dataset.blob_prefix for dataset in store.datasets.unpurged()}
        prefixes = store.datasets.blob_prefixes() - deleted
        return store.models.blob_keys() | store.reports.blob_keys() | prefixes
    finally:
        store.close()


def _copy_blobs(source: Path, target: Path, named: set[str], copies: dict[str, tuple[str, int]]) -> None:
    """Copies what is named, still there and not yet copied."""
    for name in sorted(named):
        place = source / name
        below = [Path(folder, file) for folder, _, files in os.walk(place) for file in files]
        for path in sorted(below) or [place]:
            key = path.relative_to(source).as_posix()
            if key not in copies:
                with suppress(FileNotFoundError):
                    copies[key] = _copy_file(path, target / key)


def _within(key: str, named: set[str]) -> bool:
    return any(prefix in named for prefix in _prefixes(key))


def _prefixes(key: str) -> list[str]:
    """The key and every folder above it."""
    parts = key.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _inside(root: Path, name: str) -> Path:
    parts = name.split("/")
    if parts[0] != _BLOBS or len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise BackupError("the manifest names a file that no backup holds")
    return root.joinpath(*parts)


def _copy_file(source: Path, target: Path) -> tuple[str, int]:
    """SHA-256 and size of what was copied, readable by its owner alone and on the disk."""
    with source.open("rb") as file:  # first: where it is gone nothing is made
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
    return digest.hexdigest(), size


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _facts(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
