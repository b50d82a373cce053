"""Bounded threads for what must not run on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, ParamSpec, TypeVar

from kohort.problem import Problem

P = ParamSpec("P")
T = TypeVar("T")

_GIVES_WAY_TO = 256
"""How many that come later pass work that gives way: without end it would never be its turn."""


class Threads:
    """A pool for one class of work, so that slow disks never hold up the database, nor graphs either.

    Args:
        name: of the threads.
        size: how many.
        patience_s: how long callers wait, None for as long as it takes. For work that asks a store: one
            that hangs instead of failing must not hang every call with it.
        told: hears of every call that ended how many seconds its caller waited, and the error if there
            was one.
    """

    def __init__(
        self,
        name: str,
        size: int,
        patience_s: float | None = None,
        told: Callable[[float, Exception | None], None] | None = None,
    ) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"kohort-{name}")
        self._patience_s = patience_s
        self._told = told
        self._numbers = count()
        # Turn, order of arrival, where the result goes, the work.
        self._waiting: queue.PriorityQueue[tuple[int, int, Future[Any], Callable[[], Any]]] = (
            queue.PriorityQueue()
        )

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `work` on a thread. A caller that leaves goes on at once; the work still ends by itself.

        Raises:
            Problem: STORE_UNAVAILABLE when the patience is over; the work may still succeed.
        """
        call = partial(work, *args, **kwargs)
        return await (self._run(0, call) if self._told is None else self._timed(call, self._told))

    async def run_behind(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for work that gives way to what `run` brings, such as one of very many batches."""
        return await self._run(_GIVES_WAY_TO, partial(work, *args, **kwargs))

    async def _timed(self, work: Callable[[], T], told: Callable[[float, Exception | None], None]) -> T:
        began, failed = time.perf_counter(), None
        try:
            return await self._run(0, work)
        except Exception as error:
            failed = error
            raise
        finally:
            told(time.perf_counter() - began, failed)
            del failed  # or its traceback, which holds this frame, would hold it

    async def _run(self, later: int, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._patience_s) as patience:
                return await self._bring(later, work)
        except TimeoutError:
            if not patience.expired():  # the work's own
                raise
            raise Problem("STORE_UNAVAILABLE", "the store takes too long to answer") from None

    def _bring(self, later: int, work: Callable[[], T]) -> asyncio.Future[T]:
        future: Future[T] = Future()
        call = partial(contextvars.copy_context().run, work)
        number = next(self._numbers)
        self._waiting.put((number + later, number, future, call))
        self._pool.submit(self._next)
        return asyncio.wrap_future(future)

    def _next(self) -> None:
        """Does what is next in turn: for each that waits this is called once."""
        _, _, future, call = self._waiting.get_nowait()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            # An error's traceback holds this frame: without a circle both go once the error is told.
            del future

    def close(self) -> None:
        """Drops what has not begun and waits for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        while not self._waiting.empty():
            self._waiting.get_nowait()[2].cancel()
