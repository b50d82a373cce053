"""Whether the server is stopping, and who waits to hear of it."""

from __future__ import annotations

import asyncio

from kohort.problem import Problem


class Lifecycle:
    """Serving, draining, ending, closing: each once, never back."""

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        """No new work is taken."""
        self.ending = asyncio.Event()
        """Streams that only watch end: they go on elsewhere, or later."""
        self.closing = asyncio.Event()
        """Streams that still send had their time, and end where they can be resumed."""

    def check(self) -> None:
        """Raises Problem DRAINING once no new work is taken."""
        if self.draining.is_set():
            raise draining()


def draining() -> Problem:
    """The answer to calls that another server should take."""
    return Problem("DRAINING", "this server is shutting down; try again, or elsewhere")
