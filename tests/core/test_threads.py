"""Threads that serve the event loop: what hangs on them hangs nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import threading
import weakref

import pytest

from kohort.problem import Problem
from server.metrics import Metrics
from server.threads import Threads
from tests.core.support import eventually


async def test_a_store_that_hangs_is_told_and_not_waited_for() -> None:
    threads, answers = Threads("store", 1, patience_s=0.05), threading.Event()
    try:
        for _ in range(2):  # the second has no thread to run on
            with pytest.raises(Problem) as caught:
                await threads.run(answers.wait)
            assert caught.value.reason == "STORE_UNAVAILABLE"
        answers.set()
        threads._patience_s = 60.0
        assert await threads.run(answers.wait), "what was given up does not run, and the thread is free again"
    finally:
        answers.set()
        threads.close()


async def test_a_timeout_of_the_work_is_its_own() -> None:
    def work() -> None:
        raise TimeoutError

    threads = Threads("store", 1, patience_s=60)
    try:
        with pytest.raises(TimeoutError):
            await threads.run(work)
    finally:
        threads.close()


async def test_without_patience_the_work_takes_as_long_as_it_takes() -> None:
    threads, go = Threads("spool", 1), threading.Event()
    try:
        waiting = asyncio.create_task(threads.run(go.wait))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        go.set()
        assert await waiting
    finally:
        go.set()
        threads.close()


async def test_bulk_gives_way_to_what_somebody_waits_for() -> None:
    threads, go, done = Threads("sample", 1), threading.Event(), list[str]()
    try:
        first = asyncio.create_task(threads.run_behind(go.wait))
        await asyncio.sleep(0)  # it has the only thread now
        bulk = [asyncio.create_task(threads.run_behind(done.append, f"bulk {i}")) for i in range(3)]
        await asyncio.sleep(0)
        urgent = [asyncio.create_task(threads.run(done.append, f"urgent {i}")) for i in range(2)]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, *bulk, *urgent)
        assert done == ["urgent 0", "urgent 1", "bulk 0", "bulk 1", "bulk 2"]
    finally:
        go.set()
        threads.close()


async def test_bulk_has_its_turn_although_others_never_cease() -> None:
    threads, begun, go, done = Threads("sample", 1), threading.Event(), threading.Event(), list[int]()

    def work() -> None:
        begun.set()
        go.wait()

    try:
        first = asyncio.create_task(threads.run(work))
        await asyncio.to_thread(begun.wait)  # it has the only thread now
        bulk = asyncio.create_task(threads.run_behind(done.append, -1))
        await asyncio.sleep(0)
        urgent = [asyncio.create_task(threads.run(done.append, i)) for i in range(1000)]
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, bulk, *urgent)
        assert [i for i in done if i >= 0] == list(range(1000))
        assert 100 < done.index(-1) < 500
    finally:
        go.set()
        threads.close()


async def test_what_failed_is_let_go_without_the_collector() -> None:
    class Held:
        """Such as the rows of a batch."""

    def work(held: Held) -> None:
        raise ValueError

    threads, held = Threads("sample", 1), Held()
    left = weakref.ref(held)
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            await threads.run(work, held)
        del held
        await threads.run(int)  # the thread has done with the other
        assert left() is None
    finally:
        gc.enable()
        threads.close()


def _closed(threads: Threads) -> bool:
    """Whether it takes no more, and has dropped what waits."""
    with threads._pool._shutdown_lock:
        return threads._pool._shutdown


async def test_what_has_not_begun_is_dropped_at_the_end() -> None:
    threads, begun, go, done = Threads("sample", 1), threading.Event(), threading.Event(), list[str]()

    def work() -> bool:
        begun.set()
        return go.wait()

    running = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait)
    waiting = asyncio.create_task(threads.run_behind(done.append, "too late"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(threads.close))
    await eventually(lambda: _closed(threads), "it to close")
    go.set()
    await closing
    assert await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not done


async def test_every_call_is_told_with_the_error_it_ended_with() -> None:
    told: list[tuple[float, Exception | None]] = []
    threads = Threads("store", 1, patience_s=60, told=lambda *call: told.append(call))
    error = Problem("STORE_UNAVAILABLE", "")

    def fail() -> None:
        raise error

    try:
        assert await threads.run(lambda: 3) == 3
        with pytest.raises(Problem):
            await threads.run(fail)
    finally:
        threads.close()
    assert [caught for _, caught in told] == [None, error]
    assert all(seconds > 0 for seconds, _ in told)


def test_what_a_store_refuses_is_no_error_of_the_store() -> None:
    metrics = Metrics()
    for error in (
        None,
        Problem("MODEL_NOT_FOUND", ""),
        Problem("STORE_UNAVAILABLE", ""),
        Problem("STORAGE_FULL", ""),
        OSError(errno.ENOSPC, ""),
        ValueError("a defect"),
    ):
        metrics.store_called(0.1, error)
    assert metrics.registry.get_sample_value("kohort_store_seconds_count") == 6
    assert metrics.registry.get_sample_value("kohort_store_errors_total") == 4
