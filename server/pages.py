"""Pages of a list: read and written out in one go, and never larger than a message may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from server.records import Page

MAX_BYTES = 3 << 20
"""Resources carry schemas: those of wide tables fill a message long before the page is full."""

R = TypeVar("R")
M = TypeVar("M", bound=Message)


def fill(read: Callable[[int], Page[R]], render: Callable[[R], M], size: int) -> tuple[list[M], int | None]:
    """A page as messages, and where the next begins; blocking.

    Args:
        read: gives a page of at most so many records.
        render: makes the message of one.
        size: how many were asked for. Fewer come where they are large, but one at least.
    """
    while True:
        page = read(size)
        messages = [render(record) for record in page.items]
        total = sum(message.ByteSize() for message in messages)
        if total <= MAX_BYTES or len(messages) <= 1:
            return messages, page.next
        size = max(1, len(messages) * MAX_BYTES // (total + 1))
