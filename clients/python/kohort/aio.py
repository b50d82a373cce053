"""The asynchronous client: the surface of `kohort.client` on an event loop."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import grpc.aio

from kohort.aiomodelcalls import AsyncModelCalls
from kohort.aiotransport import AsyncTransport
from kohort.calls import DEFAULT, Timeout
from kohort.channel import CallMetadata, Extra, Token, credentials, endpoint, options
from kohort.config import DEFAULT_KEEPALIVE, DEFAULT_RETRY, DEFAULT_TIMEOUTS, TLS, KeepAlive, Retry, Timeouts
from kohort.dataset import AsyncDataset
from kohort.job import AsyncJob, async_job
from kohort.jobrequests import train_request
from kohort.operations import Operations
from kohort.release import Alert, EvaluationOptions
from kohort.resources import Capabilities, Inferred, JobState
from kohort.schema import Schema, SchemaOverrides, TableSchema
from kohort.uploads import DEFAULT_TABLE, Data, UploadOptions, dataset_name, name_of


class AsyncClient(AsyncModelCalls):
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
        evaluation: EvaluationOptions | str | None = None,
        alerts: Iterable[Alert] = (),
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
            evaluation=evaluation,
            alerts=alerts,
            display_name=display_name,
            labels=labels,
            request_id=request_id,
        )
        return AsyncJob(self, await self._transport.run(self._operations.train(request, timeout)))

    async def job(self, name: str, *, timeout: Timeout = DEFAULT) -> AsyncJob:
        """See `Client.job`."""
        return async_job(self, await self._transport.run(self._operations.job(name, timeout)))

    async def jobs(
        self, states: Iterable[JobState | str] = (), *, timeout: Timeout = DEFAULT
    ) -> AsyncIterator[AsyncJob]:
        """See `Client.jobs`."""
        async with aclosing(self._transport.iterate(self._operations.jobs(states, timeout))) as found:
            async for info in found:
                yield async_job(self, info)
