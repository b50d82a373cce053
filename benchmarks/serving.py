"""The server that a benchmark measures."""

from __future__ import annotations

import psutil

import kohort
from examples.local_server import LocalServer


class BenchServer(LocalServer):
    """A server whose process can be measured; `restart` empties its caches."""

    @property
    def process(self) -> psutil.Process:
        """The process."""
        assert self.popen is not None
        return psutil.Process(self.popen.pid)

    def restart(self) -> None:
        """Stops the server and starts it again on the same data."""
        self.stop()
        self.start()

    def client(self) -> kohort.Client:
        """A client of this server."""
        return kohort.Client(self.address)


def sampled(client: kohort.Client, model: kohort.Model, rows: int, start: int = 0, most: int = 0) -> int:
    """Samples rows as typed columns, digests checked, at most so many in a batch; how many came."""
    found = client.sample_batches(model, rows, seed=1, start=start, max_batch_rows=most)
    return sum(len(batch) for batch in found)
