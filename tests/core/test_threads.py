"""Threads that serve the event loop: what hangs on them hangs nobody else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kohort.problem import Problem
from server.threads import Threads


async def test_a_store_that_hangs_is_told_and_not_waited_for() -> None:
    threads, answers = Threads("store", 1, patience_s=0.05), threading.Event()
    try:
        for _ in range(2):  # the second has no thread to run on
            with pytest.raises(Problem) as caught:
                await threads.run(answers.wait)
            assert caught.value.reason == "STORE_UNAVAILABLE"
        answers.set()
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
