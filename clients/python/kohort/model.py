"""Handles of models: sample, download, delete."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kohort.calls import DEFAULT, Timeout
from kohort.resources import ModelInfo

if TYPE_CHECKING:
    import pandas as pd

    from kohort.aio import AsyncClient
    from kohort.client import Client
    from kohort.sampling import SampleBatch


class _Handle:
    """What both handles know.

    Attributes:
        info: the model; it never changes.
    """

    info: ModelInfo

    @property
    def name(self) -> str:
        """ "models/{id}"."""
        return self.info.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.info.trainer}>"


class Model(_Handle):
    """A published generator, from `Job.result` or `Client.model`."""

    def __init__(self, client: Client, info: ModelInfo) -> None:
        self._client = client
        self.info = info

    def sample(
        self, n: int, *, seed: int | None = None, start: int = 0, timeout: Timeout = DEFAULT
    ) -> pd.DataFrame:
        """See `Client.sample`."""
        return self._client.sample(self.name, n, seed=seed, start=start, timeout=timeout)

    def sample_tables(
        self, n: int, *, seed: int | None = None, start: int = 0, timeout: Timeout = DEFAULT
    ) -> dict[str, pd.DataFrame]:
        """See `Client.sample_tables`."""
        return self._client.sample_tables(self.name, n, seed=seed, start=start, timeout=timeout)

    def sample_batches(
        self,
        n: int,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
    ) -> Iterator[SampleBatch]:
        """See `Client.sample_batches`."""
        return self._client.sample_batches(
            self.name, n, seed=seed, start=start, max_batch_rows=max_batch_rows, timeout=timeout
        )

    def download(
        self,
        path: str | Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """See `Client.download`."""
        return self._client.download(self.name, path, progress=progress, timeout=timeout)

    def delete(self) -> None:
        """See `Client.delete_model`."""
        self._client.delete_model(self.name)


class AsyncModel(_Handle):
    """A published generator; see `Model`."""

    def __init__(self, client: AsyncClient, info: ModelInfo) -> None:
        self._client = client
        self.info = info

    async def sample(
        self, n: int, *, seed: int | None = None, start: int = 0, timeout: Timeout = DEFAULT
    ) -> pd.DataFrame:
        """See `Client.sample`."""
        return await self._client.sample(self.name, n, seed=seed, start=start, timeout=timeout)

    async def sample_tables(
        self, n: int, *, seed: int | None = None, start: int = 0, timeout: Timeout = DEFAULT
    ) -> dict[str, pd.DataFrame]:
        """See `Client.sample_tables`."""
        return await self._client.sample_tables(self.name, n, seed=seed, start=start, timeout=timeout)

    def sample_batches(
        self,
        n: int,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
    ) -> AsyncIterator[SampleBatch]:
        """See `Client.sample_batches`."""
        return self._client.sample_batches(
            self.name, n, seed=seed, start=start, max_batch_rows=max_batch_rows, timeout=timeout
        )

    async def download(
        self,
        path: str | Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """See `Client.download`."""
        return await self._client.download(self.name, path, progress=progress, timeout=timeout)

    async def delete(self) -> None:
        """See `Client.delete_model`."""
        await self._client.delete_model(self.name)
