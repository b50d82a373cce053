"""How the database is reached, and what its errors do not say."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from kohort.problem import Problem
from server.store import Store
from server.store.engine import Database, connect_args


@pytest.mark.parametrize("url", ["nonsense", "mysql://user:secret@host/x", ""])
def test_a_url_of_another_kind_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="database_url must look like") as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_a_problem_of_the_store(tmp_path: Path) -> None:
    store = Store(f"postgresql://kohort@/x?host={tmp_path}")
    with pytest.raises(Problem) as caught:
        store.migrate()
    assert caught.value.reason == "STORE_UNAVAILABLE"


def test_an_error_quotes_no_parameter(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(sa.exc.DBAPIError) as caught, database.engine.connect() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere WHERE name = :name"), {"name": "SECRET"})
    assert "SECRET" not in str(caught.value)


def test_a_silent_network_is_noticed() -> None:
    given = connect_args(sqlite=False)
    # libpq, 34.1.2 Parameter Key Words: without these it is for the kernel to say, after some 15 minutes.
    assert {"connect_timeout", "keepalives_idle", "keepalives_count", "tcp_user_timeout"} <= given.keys()


def test_writers_of_one_process_queue_before_they_ask_sqlite(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    begun, done = threading.Barrier(4), []

    def write(number: int) -> None:
        begun.wait()
        with database.write() as connection:
            connection.execute(sa.text("SELECT 1"))
            done.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    with database.write():
        for writer in writers:
            writer.start()
        begun.wait()
        writers[0].join(0.2)
        assert not done
        assert database.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    for writer in writers:
        writer.join(30)
    assert sorted(done) == [0, 1, 2]
