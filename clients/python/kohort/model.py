"""Handles of models: sample, download, delete."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from kohort.calls import DEFAULT, Timeout
from kohort.job import ProgressHook
from kohort.partial import Rows
from kohort.release import EvaluationKeywords, EvaluationOptions
from kohort.resources import ModelInfo
from kohort.uploads import Data
from kohort.wishes import Limits, Wishes

if TYPE_CHECKING:
    import pandas as pd

    from kohort.aiomodelcalls import AsyncModelCalls
    from kohort.dataset import AsyncDataset, Dataset
    from kohort.modelcalls import ModelCalls
    from kohort.report import AsyncReport, Report
    from kohort.sampling import SampleBatch


class _Handle:
    """What both handles know.

    Attributes:
        info: the model; it never changes, except for `release`, which is as it was when it was read.
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

    def __init__(self, client: ModelCalls, info: ModelInfo) -> None:
        self._client = client
        self.info = info

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> pd.DataFrame:
        """See `Client.sample`."""
        return self._client.sample(self.name, n, seed=seed, start=start, timeout=timeout, **wishes)

    def sample_tables(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> dict[str, pd.DataFrame]:
        """See `Client.sample_tables`."""
        return self._client.sample_tables(self.name, n, seed=seed, start=start, timeout=timeout, **wishes)

    def sample_batches(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> Iterator[SampleBatch]:
        """See `Client.sample_batches`."""
        return self._client.sample_batches(
            self.name, n, seed=seed, start=start, max_batch_rows=max_batch_rows, timeout=timeout, **wishes
        )

    def complete(
        self,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> pd.DataFrame:
        """See `Client.complete`."""
        return self._client.complete(self.name, rows, seed=seed, start=start, timeout=timeout, **limits)

    def complete_batches(
        self,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> Iterator[SampleBatch]:
        """See `Client.complete_batches`."""
        return self._client.complete_batches(
            self.name, rows, seed=seed, start=start, timeout=timeout, **limits
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

    def evaluate(
        self,
        *,
        dataset: Dataset | Data | None = None,
        holdout: Dataset | Data | None = None,
        options: EvaluationOptions | str | None = None,
        progress: ProgressHook = False,
        timeout: float | None = None,
        **keywords: Unpack[EvaluationKeywords],
    ) -> Report:
        """See `Client.evaluate`."""
        return self._client.evaluate(
            self.name,
            dataset=dataset,
            holdout=holdout,
            options=options,
            progress=progress,
            timeout=timeout,
            **keywords,
        )

    def delete(self) -> None:
        """See `Client.delete_model`."""
        self._client.delete_model(self.name)


class AsyncModel(_Handle):
    """A published generator; see `Model`."""

    def __init__(self, client: AsyncModelCalls, info: ModelInfo) -> None:
        self._client = client
        self.info = info

    async def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> pd.DataFrame:
        """See `Client.sample`."""
        return await self._client.sample(self.name, n, seed=seed, start=start, timeout=timeout, **wishes)

    async def sample_tables(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> dict[str, pd.DataFrame]:
        """See `Client.sample_tables`."""
        return await self._client.sample_tables(
            self.name, n, seed=seed, start=start, timeout=timeout, **wishes
        )

    def sample_batches(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> AsyncIterator[SampleBatch]:
        """See `Client.sample_batches`."""
        return self._client.sample_batches(
            self.name, n, seed=seed, start=start, max_batch_rows=max_batch_rows, timeout=timeout, **wishes
        )

    async def complete(
        self,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> pd.DataFrame:
        """See `Client.complete`."""
        return await self._client.complete(self.name, rows, seed=seed, start=start, timeout=timeout, **limits)

    def complete_batches(
        self,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> AsyncIterator[SampleBatch]:
        """See `Client.complete_batches`."""
        return self._client.complete_batches(
            self.name, rows, seed=seed, start=start, timeout=timeout, **limits
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

    async def evaluate(
        self,
        *,
        dataset: AsyncDataset | Data | None = None,
        holdout: AsyncDataset | Data | None = None,
        options: EvaluationOptions | str | None = None,
        progress: ProgressHook = False,
        timeout: float | None = None,
        **keywords: Unpack[EvaluationKeywords],
    ) -> AsyncReport:
        """See `Client.evaluate`."""
        return await self._client.evaluate(
            self.name,
            dataset=dataset,
            holdout=holdout,
            options=options,
            progress=progress,
            timeout=timeout,
            **keywords,
        )

    async def delete(self) -> None:
        """See `Client.delete_model`."""
        await self._client.delete_model(self.name)
