"""What the asynchronous client does with models."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from kohort.aioreportcalls import AsyncReportCalls
from kohort.calls import DEFAULT, Timeout
from kohort.dataset import AsyncDataset
from kohort.job import AsyncEvaluationJob, ProgressHook
from kohort.jobrequests import Subject
from kohort.model import AsyncModel
from kohort.partial import Rows
from kohort.release import EvaluationKeywords, EvaluationOptions, merged
from kohort.report import AsyncReport
from kohort.sampling import Collector, SampleBatch
from kohort.uploads import DEFAULT_TABLE, Data, name_of
from kohort.wishes import Limits, Wishes, asked

if TYPE_CHECKING:
    import pandas as pd


class AsyncModelCalls(AsyncReportCalls):
    """The part of `kohort.AsyncClient` that is about models."""

    async def model(self, name: str, *, timeout: Timeout = DEFAULT) -> AsyncModel:
        """See `Client.model`."""
        return AsyncModel(self, await self._transport.run(self._operations.model(name, timeout)))

    async def models(self, *, timeout: Timeout = DEFAULT) -> AsyncIterator[AsyncModel]:
        """See `Client.models`."""
        async with aclosing(self._transport.iterate(self._operations.models(timeout))) as found:
            async for info in found:
                yield AsyncModel(self, info)

    async def delete_model(self, model: AsyncModel | str, *, timeout: Timeout = DEFAULT) -> None:
        """See `Client.delete_model`."""
        await self._transport.run(self._operations.delete_model(name_of(model), timeout))

    async def sample(
        self,
        model: AsyncModel | str,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> pd.DataFrame:
        """See `Client.sample`."""
        rows = Collector(single=True)
        async for batch in self.sample_batches(model, n, seed=seed, start=start, timeout=timeout, **wishes):
            rows.add(batch)
        return rows.frame()

    async def sample_tables(
        self,
        model: AsyncModel | str,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> dict[str, pd.DataFrame]:
        """See `Client.sample_tables`."""
        rows = Collector()
        async for batch in self.sample_batches(model, n, seed=seed, start=start, timeout=timeout, **wishes):
            rows.add(batch)
        return rows.frames()

    async def sample_batches(
        self,
        model: AsyncModel | str,
        n: int | None = None,
        *,
        seed: int | None = None,
        start: int = 0,
        max_batch_rows: int = 0,
        timeout: Timeout = DEFAULT,
        **wishes: Unpack[Wishes],
    ) -> AsyncIterator[SampleBatch]:
        """See `Client.sample_batches`."""
        wanted = asked(n, seed, start, max_batch_rows, **wishes)
        sample = self._operations.sample(name_of(model), wanted, timeout)
        async with aclosing(self._transport.iterate(sample)) as batches:
            async for batch in batches:
                yield batch

    async def complete(
        self,
        model: AsyncModel | str,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> pd.DataFrame:
        """See `Client.complete`."""
        found = Collector(single=True)
        async for batch in self.complete_batches(
            model, rows, seed=seed, start=start, timeout=timeout, **limits
        ):
            found.add(batch)
        return found.frame()

    async def complete_batches(
        self,
        model: AsyncModel | str,
        rows: Rows,
        *,
        seed: int | None = None,
        start: int = 0,
        timeout: Timeout = DEFAULT,
        **limits: Unpack[Limits],
    ) -> AsyncIterator[SampleBatch]:
        """See `Client.complete_batches`."""
        completion = self._operations.complete(name_of(model), rows, seed, start, limits, timeout)
        async with aclosing(self._transport.iterate(completion)) as batches:
            async for batch in batches:
                yield batch

    async def download(
        self,
        model: AsyncModel | str,
        path: str | Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """See `Client.download`."""
        download = self._operations.download(name_of(model), Path(path), progress, timeout)
        return await self._transport.run(download)

    async def import_model(
        self,
        path: str | Path,
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
    ) -> AsyncModel:
        """See `Client.import_model`."""
        sent = self._operations.import_model(path, display_name, labels, request_id, timeout)
        return AsyncModel(self, await self._transport.run(sent))

    async def start_evaluation(
        self,
        model: AsyncModel | str | None = None,
        *,
        synthetic: AsyncDataset | Data | None = None,
        dataset: AsyncDataset | Data | None = None,
        holdout: AsyncDataset | Data | None = None,
        options: EvaluationOptions | str | None = None,
        table: str = DEFAULT_TABLE,
        subject_key: str = "",
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **keywords: Unpack[EvaluationKeywords],
    ) -> AsyncEvaluationJob:
        """See `Client.start_evaluation`."""
        subject = Subject(
            None if model is None else name_of(model), synthetic, dataset, holdout, table, subject_key
        )
        started = self._operations.evaluate(
            subject, merged(options, keywords), display_name, labels, request_id, timeout
        )
        return AsyncEvaluationJob(self, await self._transport.run(started))

    async def evaluate(
        self,
        model: AsyncModel | str | None = None,
        *,
        synthetic: AsyncDataset | Data | None = None,
        dataset: AsyncDataset | Data | None = None,
        holdout: AsyncDataset | Data | None = None,
        options: EvaluationOptions | str | None = None,
        table: str = DEFAULT_TABLE,
        subject_key: str = "",
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        progress: ProgressHook = False,
        timeout: float | None = None,
        **keywords: Unpack[EvaluationKeywords],
    ) -> AsyncReport:
        """See `Client.evaluate`."""
        job = await self.start_evaluation(
            model,
            synthetic=synthetic,
            dataset=dataset,
            holdout=holdout,
            options=options,
            table=table,
            subject_key=subject_key,
            display_name=display_name,
            labels=labels,
            request_id=request_id,
            **keywords,
        )
        return await job.result(progress=progress, timeout=timeout)
