"""Work that goes on beside the calls, from a server's start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from server.errors import where

_log = structlog.get_logger(log="server")


class Background:
    """Tasks that run until they are cancelled together; one that ends before is logged as a defect."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(_report)

    async def cancel(self) -> None:
        """Cancels all and waits for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _report(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        # Say so, and let health tell the rest.
        _log.error("task ended", error=where(error))
