"""A wire that counts what passes, breaks where it is told, and can be slow."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from tests.e2e.harness import Wire

SMALL_BUFFER = 64 << 10
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0])
"""The head of a PING frame that is no answer."""


class Meter(Wire):
    """A TCP proxy on loopback.

    Args:
        target: host:port of the server.
        cuts: after how many bytes from the server it cuts, counted in all, each once.
        sent_cuts: the same of bytes to the server.
        pace: at most so many bytes a second from the server, which then soon has to wait.

    Attributes:
        received: bytes from the server.
        sent: bytes to it.
        pings: how many of HTTP/2 the client sent; in plaintext only.
        connections: how many were opened.
        pace: as it was given; may change.
    """

    def __init__(
        self, target: str, cuts: Iterable[int] = (), sent_cuts: Iterable[int] = (), pace: float | None = None
    ) -> None:
        self.received = self.sent = self.pings = self.connections = 0
        self._cuts = {True: sorted(cuts), False: sorted(sent_cuts)}
        self.pace = pace
        super().__init__(target)

    def _breaks(self, data: bytes, from_server: bool) -> bool:
        if from_server:
            self.received += len(data)
            end = time.monotonic() + (len(data) / self.pace if self.pace else 0)
            while self.pace and time.monotonic() < end:
                time.sleep(0.02)
        else:
            self.sent += len(data)
            self.pings += data.count(PING)
        cuts, passed = self._cuts[from_server], self.received if from_server else self.sent
        broken = bool(cuts) and passed >= cuts[0]
        while cuts and passed >= cuts[0]:
            del cuts[0]
        return broken or super()._breaks(data, from_server)

    def _reach(self) -> socket.socket:
        self.connections += 1
        if not self.pace:
            return super()._reach()
        # Set before it connects, or the kernel takes more from the server than was asked.
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        far.connect(self._target)
        return far
