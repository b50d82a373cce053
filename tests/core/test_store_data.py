"""Datasets, tombstones, models and migrations, on both databases."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from kohort.problem import Problem
from kohort.schema import Finding
from server.records import JobState
from server.store import Store, migrate
from server.store.engine import Database
from server.store.schema import metadata
from tests.core.support import SCHEMA, add_dataset, add_job, model_of


def test_a_dataset_comes_back_as_it_was_given(store: Store) -> None:
    finding = Finding("DIRECT_IDENTIFIER", "looks like a name", "heart", "name")
    made = add_dataset(
        store, labels={"a": "b"}, findings=(finding,), delete_after_training=True, lineage_key="l/x"
    )
    record = store.datasets.get("north", made)
    assert (record.schema, record.findings, record.labels) == (SCHEMA, (finding,), {"a": "b"})
    assert (record.digest, record.row_counts, record.lineage_key) == (b"\x01" * 32, {"heart": 3}, "l/x")
    assert record.delete_after_training
    assert record.create_time > 0
    assert store.datasets.get_live("north", made) == record
    for call in (store.datasets.get, store.datasets.delete, store.datasets.get_live):
        with pytest.raises(Problem) as error:
            call("south", made)
        assert error.value.reason == "DATASET_NOT_FOUND"


def test_an_upload_may_be_repeated(store: Store) -> None:
    record = store.datasets.get("north", add_dataset(store))
    first = dataclasses.replace(record, id="a")
    again = dataclasses.replace(record, id="b")
    assert store.datasets.create(first, request_id="r", request_hash=b"x")[1] is True
    repeat, created = store.datasets.create(again, request_id="r", request_hash=b"x")
    assert (repeat.id, created) == ("a", False)
    with pytest.raises(Problem) as error:
        store.datasets.create(again, request_id="r", request_hash=b"y")
    assert error.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(Problem):
        store.datasets.get("north", "b")


def test_deleting_leaves_a_tombstone_and_may_be_repeated(store: Store) -> None:
    made = add_dataset(store)
    tombstone = store.datasets.delete("north", made)
    assert tombstone.delete_time is not None
    assert tombstone.digest == b"\x01" * 32
    assert store.datasets.delete("north", made) == tombstone
    with pytest.raises(Problem) as error:
        store.datasets.get_live("north", made)
    assert error.value.reason == "DATASET_EXPIRED"
    assert [d.id for d in store.datasets.unpurged()] == [made]
    assert store.datasets.blob_prefixes() == {tombstone.blob_prefix}
    store.datasets.purged(made)
    assert store.datasets.unpurged() == []
    assert store.datasets.blob_prefixes() == set()
    assert store.datasets.get("north", made) == tombstone


def test_bytes_that_a_job_needs_stay(store: Store) -> None:
    made = add_dataset(store)
    job = add_job(store, made)
    with store._database.write() as connection:
        connection.execute(sa.text("UPDATE datasets SET expire_time = 1"))
    for step in ("queued", "running", "lost"):
        with pytest.raises(Problem) as error:
            store.datasets.delete("north", made)
        assert error.value.reason == "DATASET_IN_USE", step
        assert store.datasets.expire() == ()
        store.datasets.purged(made)
        assert store.datasets.blob_prefixes(), "only a tombstone can be purged"
        if step == "queued":
            store.leases.claim("w", "cpu:0", "cpu", 30)
        elif step == "running":
            store.leases.give_back(job.id, 1, "w", lost=True, message="")
    store.jobs.request_cancel("north", job.id)
    assert list(store.datasets.expire()) == [made]
    assert store.datasets.expire() == ()
    assert store.datasets.get("north", made).delete_time is not None


def test_delete_after_training_waits_for_the_last_job(store: Store) -> None:
    made = add_dataset(store, delete_after_training=True)
    first, second, third = (add_job(store, made) for _ in range(3))
    for worker in "abc":
        store.leases.claim(worker, f"cpu:{worker}", "cpu", 30)
    store.leases.fail(first.id, 1, "a", "TRAINING_FAILED", "")
    store.leases.publish(second.id, 1, "b", model_of(second))
    assert store.datasets.get("north", made).delete_time is None, "the third job still reads it"
    store.leases.fail(third.id, 1, "c", "TRAINING_FAILED", "")
    assert store.datasets.get("north", made).delete_time is not None


def test_delete_after_training_keeps_what_no_model_came_of(store: Store) -> None:
    made = add_dataset(store, delete_after_training=True)
    job = add_job(store, made)
    store.leases.claim("a", "cpu:0", "cpu", 30)
    store.leases.fail(job.id, 1, "a", "TRAINING_FAILED", "")
    assert store.datasets.get("north", made).delete_time is None


def test_models_of_a_dataset_are_found_after_its_deletion(store: Store) -> None:
    made = add_dataset(store)
    models = []
    for worker in "ab":
        job = add_job(store, made)
        store.leases.claim(worker, "cpu:0", "cpu", 30)
        models.append(model_of(job))
        store.leases.publish(job.id, 1, worker, models[-1])
    store.datasets.delete("north", made)
    assert [m.id for m in store.models.by_dataset("north", made)] == [m.id for m in models]
    assert list(store.models.by_dataset("south", made)) == []
    page = store.models.list("north", page_size=1)
    assert page.items[0].id == models[1].id
    assert store.models.list("north", after=page.next).items[0].id == models[0].id
    assert store.models.delete("north", models[0].id).blob_key == models[0].blob_key
    with pytest.raises(Problem) as error:
        store.models.delete("north", models[0].id)
    assert error.value.reason == "MODEL_NOT_FOUND"
    assert store.models.blob_keys() == {models[1].blob_key}


def test_an_import_may_be_repeated_until_its_model_is_deleted(store: Store) -> None:
    job = add_job(store)
    first, second = model_of(job), model_of(job)
    assert store.models.create(first, request_id="r", request_hash=b"x")[1] is True
    repeat, created = store.models.create(second, request_id="r", request_hash=b"x")
    assert (repeat.id, created) == (first.id, False)
    store.models.delete("north", first.id)
    assert store.models.create(second, request_id="r", request_hash=b"x")[0].id == second.id


def test_migrations_make_what_the_code_expects(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(Problem, match="older version"):
        migrate.check(database)
    migrate.upgrade(database)
    migrate.upgrade(database)
    migrate.check(database)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrate.downgrade(database)
    with database.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    migrate.upgrade(database)
    migrate.check(database)
    database.close()


def test_a_worker_refuses_a_database_of_another_version(database_url: str) -> None:
    store = Store(database_url)
    with pytest.raises(Problem) as error:
        store.check_version()
    assert error.value.reason == "STORE_UNAVAILABLE"
    store.migrate()
    store.check_version()
    store.check_writable()
    store.close()


def _migrate(url: str) -> int:
    store = Store(url)
    store.migrate()
    counted = sum(store.jobs.counts().values())
    store.close()
    return counted


def test_several_may_migrate_at_once(database_url: str) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_migrate, [database_url] * 3)) == [0, 0, 0]


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none/kohort.db", f"postgresql://kohort@/x?host={tmp_path}"):
        store = Store(url)
        with pytest.raises(Problem) as error:
            store.check_writable()
        assert error.value.reason == "STORE_UNAVAILABLE"
        assert error.value.retry_after
        assert str(tmp_path) not in error.value.message
        store.close()


def test_sqlite_survives_power_loss_and_queues_writers(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/kohort.db")
    with database.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        other = sqlite3.connect(tmp_path / "kohort.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    database.close()


def test_states_are_counted_for_all(store: Store) -> None:
    assert set(store.jobs.counts()) == set(JobState)
