"""What the options before the command say, and the client that follows from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kohort.client import Client


@dataclass
class State:
    """The options of all commands."""

    server: str = "localhost:50051"
    token_file: Path | None = None
    tls: bool | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    timeout: float | None = None
    json: bool = False

    def connect(self, server: str = "") -> Client:
        """A client, of another server where one is named. Raises OSError when a file cannot be read."""
        from kohort.client import Client
        from kohort.config import TLS, Timeouts

        tls: TLS | bool | None = self.tls
        if self.tls is not False and (self.ca or self.cert or self.key or self.server_name):
            tls = TLS(self.ca, self.cert, self.key, self.server_name)
        timeouts = Timeouts() if self.timeout is None else Timeouts(call=self.timeout, transfer=self.timeout)
        return Client(server or self.server, token=self.token(), tls=tls, timeouts=timeouts)

    def token(self) -> str | None:
        """The token of the file, else of KOHORT_TOKEN; never an argument, which other users could read."""
        if self.token_file is not None:
            return self.token_file.read_text().strip()
        return os.environ.get("KOHORT_TOKEN") or None


STATE = State()
