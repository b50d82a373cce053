"""How many workers the queue could use, by kind of device."""

from __future__ import annotations

import pytest

from server.records import JobState
from server.store import Store
from tests.core.support import ADA, BOB, add_job

KINDS = ("cuda", "cpu")


def waiting(store: Store, kinds: tuple[str, ...] = KINDS) -> dict[str, int]:
    return dict(store.demand(kinds, []).waiting)


def test_jobs_count_for_the_kind_they_name_or_the_first(store: Store) -> None:
    for device in ("", "", "cpu", "cuda"):
        add_job(store, device_filter=device)
    assert waiting(store) == {"cuda": 3, "cpu": 1}
    assert waiting(store, ("cpu",)) == {"cpu": 3}, "nobody asked for a GPU here"


def test_a_job_that_names_a_slot_waits_for_that_slot(store: Store) -> None:
    add_job(store, device_filter="cuda:1")
    assert waiting(store) == {"cuda": 0, "cpu": 0}


def test_a_job_is_waiting_or_held(store: Store) -> None:
    job, _ = add_job(store), add_job(store)
    store.workers.register("w", "cpu:0", "cpu", "here")
    taken = store.leases.claim("w", "cpu:0", "cpu", 30)
    assert taken is not None
    assert taken.id == job.id
    found = store.demand(("cpu",), ["w", "other"])
    assert (found.waiting, found.holding) == ({"cpu": 1}, {"w"})
    assert store.demand(("cpu",), ["other"]).holding == set()
    store.jobs.request_cancel(job.tenant, job.id)
    assert store.demand(("cpu",), ["w"]).holding == {"w"}, "it still stops"
    store.leases.cancelled(job.id, 1, "w")
    assert store.jobs.get(job.tenant, job.id).state is JobState.CANCELLED
    assert store.demand(("cpu",), ["w"]).holding == set()


@pytest.mark.parametrize("running", [0, 1, 2])
def test_what_would_not_be_given_out_is_not_counted(database_url: str, running: int) -> None:
    store = Store(database_url, max_running_per_principal=2)
    store.migrate()
    try:
        for principal in (ADA, ADA, ADA, BOB):
            add_job(store, principal=principal)
        for number in range(running):
            worker = f"w{number}"
            store.workers.register(worker, f"cpu:{number}", "cpu", "here")
            assert store.leases.claim(worker, f"cpu:{number}", "cpu", 30)
        assert waiting(store) == {"cuda": 3 - running, "cpu": 0}
    finally:
        store.close()
