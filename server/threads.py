"""Bounded threads for what must not run on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from kohort.problem import Problem

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A pool for one class of work, so that slow disks never hold up the database, nor graphs either.

    Args:
        name: of the threads.
        size: how many.
        patience_s: how long callers wait, None for as long as it takes. For work that asks a store: one
            that hangs instead of failing must not hang every call with it.
    """

    def __init__(self, name: str, size: int, patience_s: float | None = None) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"kohort-{name}")
        self._patience_s = patience_s

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `work` on a thread. A caller that leaves goes on at once; the work still ends by itself.

        Raises:
            Problem: STORE_UNAVAILABLE when the patience is over; the work may still succeed.
        """
        context = contextvars.copy_context()
        call = partial(context.run, partial(work, *args, **kwargs))
        try:
            async with asyncio.timeout(self._patience_s) as patience:
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except TimeoutError:
            if not patience.expired():  # the work's own
                raise
            raise Problem("STORE_UNAVAILABLE", "the store takes too long to answer") from None

    def close(self) -> None:
        """Drops what has not begun and waits for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)
