"""The asynchronous client: the surface of `kohort.client` on an event loop."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import grpc.aio

from kohort.aiotransport import AsyncTransport
from kohort.calls import DEFAULT, Timeout
from kohort.channel import CallMetadata, Extra, Token, credentials, endpoint, options
from kohort.config import DEFAULT_KEEPALIVE, DEFAULT_RETRY, DEFAULT_TIMEOUTS, TLS, KeepAlive, Retry, Timeouts
from kohort.dataset import AsyncDataset
from kohort.job import AsyncJob
from kohort.model import AsyncModel
from kohort.operations import Operations, train_request
from kohort.partial import Rows
from kohort.resources import Capabilities, Inferred, JobState
from kohort.sampling import Collector, SampleBatch
from kohort.schema import Schema, SchemaOverrides, TableSchema
from kohort.uploads import DEFAULT_TABLE, Data, UploadOptions, dataset_name, name_of
from kohort.wishes import Limits, Wishes, asked

if TYPE_CHECKING:
    import pandas as pd


class AsyncClient:
    """A connection to a Kohort server, on one event loop; surface and settings are those of `Client`.

    Example:
        >>> async with AsyncClient("localhost:50051") as client:  # doctest: +SKIP
        ...     job = await client.train(patients, trainer="ctgan", epochs=50)
        ...     model = await job.result()
        ...     synthetic = await model.sample(1000, seed=7)
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        token: Token | None = None,
        tls: TLS | bool | None = None,
        retry: Retry = DEFAULT_RETRY,
        keepalive: KeepAlive = DEFAULT_KEEPALIVE,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        metadata: Extra | None = None,
    ) -> None:
        where = endpoint(target, tls)
        settings = options(tls, keepalive, timeouts)

        def connect() -> grpc.aio.Channel:
            if where.secure:
                return grpc.aio.secure_channel(where.target, credentials(tls), options=settings)
            return grpc.aio.insecure_channel(where.target, options=settings)

        self.target = where.target
        self._operations = Operations(retry, timeouts)
        self._transport = AsyncTransport(connect, where, CallMetadata(token, metadata))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """See `Client.close`."""
        await self._transport.close()

    async def capabilities(self, *, timeout: Timeout = DEFAULT) -> Capabilities:
        """See `Client.capabilities`."""
        return await self._transport.run(self._operations.capabilities(timeout))

    # Datasets

    async def upload(
        self,
        data: Data,
        *,
        table: str = DEFAULT_TABLE,
        schema: Schema | TableSchema | None = None,
        subject_key: str = "",
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        expires_in: timedelta | None = None,
        delete_after_training: bool = False,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
    ) -> AsyncDataset:
        """See `Client.upload`."""
        said = UploadOptions(
            table, schema, subject_key, display_name, labels, expires_in, delete_after_training, request_id
        )
        return AsyncDataset(self, await self._transport.run(self._operations.upload(data, said, timeout)))

    async def dataset(self, name: str, *, timeout: Timeout = DEFAULT) -> AsyncDataset:
        """See `Client.dataset`."""
        return AsyncDataset(self, await self._transport.run(self._operations.dataset(name, timeout)))

    async def datasets(self, *, timeout: Timeout = DEFAULT) -> AsyncIterator[AsyncDataset]:
        """See `Client.datasets`."""
        async with aclosing(self._transport.iterate(self._operations.datasets(timeout))) as found:
            async for info in found:
                yield AsyncDataset(self, info)

    async def infer_schema(
        self,
        dataset: AsyncDataset | str,
        overrides: SchemaOverrides | None = None,
        *,
        timeout: Timeout = DEFAULT,
    ) -> Inferred:
        """See `Client.infer_schema`."""
        return await self._transport.run(self._operations.infer(name_of(dataset), overrides, timeout))

    async def delete_dataset(
        self, dataset: AsyncDataset | str, *, timeout: Timeout = DEFAULT
    ) -> tuple[str, ...]:
        """See `Client.delete_dataset`."""
        return await self._transport.run(self._operations.delete_dataset(name_of(dataset), timeout))

    # Jobs

    async def train(
        self,
        data: AsyncDataset | Data,
        trainer: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        overrides: SchemaOverrides | None = None,
        min_patients: int | None = None,
        max_rows_per_patient: int | None = None,
        weight_patients_equally: bool = False,
        holdout: float | None = None,
        validation: float | None = None,
        device: str = "",
        max_runtime: float | None = None,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **more_parameters: Any,
    ) -> AsyncJob:
        """See `Client.train`."""
        name = dataset_name(data) or (await self.upload(data, display_name=display_name, labels=labels)).name
        request = train_request(
            name,
            trainer,
            {**(parameters or {}), **more_parameters},
            seed=seed,
            overrides=overrides,
            min_patients=min_patients,
            max_rows_per_patient=max_rows_per_patient,
            weight_patients_equally=weight_patients_equally,
            holdout=holdout,
            validation=validation,
            device=device,
            max_runtime=max_runtime,
            display_name=display_name,
            labels=labels,
            request_id=request_id,
        )
        return AsyncJob(self, await self._transport.run(self._operations.train(request, timeout)))

    async def job(self, name: str, *, timeout: Timeout = DEFAULT) -> AsyncJob:
        """See `Client.job`."""
        return AsyncJob(self, await self._transport.run(self._operations.job(name, timeout)))

    async def jobs(
        self, states: Iterable[JobState | str] = (), *, timeout: Timeout = DEFAULT
    ) -> AsyncIterator[AsyncJob]:
        """See `Client.jobs`."""
        async with aclosing(self._transport.iterate(self._operations.jobs(states, timeout))) as found:
            async for info in found:
                yield AsyncJob(self, info)

    # Models

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
