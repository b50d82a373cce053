"""Handles of datasets: look at what training would use, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kohort.resources import DatasetInfo, Inferred
from kohort.schema import Finding, Schema, SchemaOverrides

if TYPE_CHECKING:
    from kohort.aio import AsyncClient
    from kohort.client import Client


class _Handle:
    """What both handles know.

    Attributes:
        info: the dataset as it was last seen.
    """

    info: DatasetInfo

    @property
    def name(self) -> str:
        """ "datasets/{id}"."""
        return self.info.name

    @property
    def schema(self) -> Schema:
        """What was declared, and what the server inferred of the rest."""
        return self.info.schema

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a person should look at before training."""
        return self.info.findings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Dataset(_Handle):
    """Tables on the server, from `Client.upload` or `Client.dataset`."""

    def __init__(self, client: Client, info: DatasetInfo) -> None:
        self._client = client
        self.info = info

    def infer_schema(self, overrides: SchemaOverrides | None = None) -> Inferred:
        """See `Client.infer_schema`."""
        return self._client.infer_schema(self.name, overrides)

    def delete(self) -> tuple[str, ...]:
        """See `Client.delete_dataset`."""
        return self._client.delete_dataset(self.name)


class AsyncDataset(_Handle):
    """Tables on the server; see `Dataset`."""

    def __init__(self, client: AsyncClient, info: DatasetInfo) -> None:
        self._client = client
        self.info = info

    async def infer_schema(self, overrides: SchemaOverrides | None = None) -> Inferred:
        """See `Client.infer_schema`."""
        return await self._client.infer_schema(self.name, overrides)

    async def delete(self) -> tuple[str, ...]:
        """See `Client.delete_dataset`."""
        return await self._client.delete_dataset(self.name)
