"""What the asynchronous client does with reports and releases."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

from kohort.aiotransport import AsyncTransport
from kohort.calls import DEFAULT, Timeout
from kohort.model import AsyncModel
from kohort.operations import Operations
from kohort.release import Release, ReleasePolicy, ReleaseState
from kohort.report import AsyncReport
from kohort.reportcalls import form_of
from kohort.uploads import name_of


class AsyncReportCalls:
    """The part of `kohort.AsyncClient` that is about reports and releases. It needs the role custodian."""

    _operations: Operations
    _transport: AsyncTransport

    async def report(self, name: str, *, timeout: Timeout = DEFAULT) -> AsyncReport:
        """See `Client.report`."""
        return AsyncReport(self, await self._transport.run(self._operations.report(name, timeout)))

    async def reports(
        self, *, model: AsyncModel | str | None = None, timeout: Timeout = DEFAULT
    ) -> AsyncIterator[AsyncReport]:
        """See `Client.reports`."""
        of = "" if model is None else name_of(model)
        async with aclosing(self._transport.iterate(self._operations.reports(of, timeout))) as found:
            async for info in found:
                yield AsyncReport(self, info)

    async def download_report(
        self,
        report: AsyncReport | str,
        path: str | Path,
        *,
        format: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """See `Client.download_report`."""
        wanted = format or form_of(path)
        download = self._operations.download_report(name_of(report), Path(path), wanted, progress, timeout)
        return await self._transport.run(download)

    async def delete_report(self, report: AsyncReport | str, *, timeout: Timeout = DEFAULT) -> None:
        """See `Client.delete_report`."""
        await self._transport.run(self._operations.delete_report(name_of(report), timeout))

    async def release_policy(self, *, timeout: Timeout = DEFAULT) -> ReleasePolicy:
        """See `Client.release_policy`."""
        return await self._transport.run(self._operations.release_policy(timeout))

    async def update_release_policy(
        self, policy: ReleasePolicy | None, *, timeout: Timeout = DEFAULT
    ) -> ReleasePolicy:
        """See `Client.update_release_policy`."""
        return await self._transport.run(self._operations.update_release_policy(policy, timeout))

    async def override_release(
        self,
        model: AsyncModel | str,
        state: ReleaseState | str | None,
        reason: str,
        *,
        timeout: Timeout = DEFAULT,
    ) -> Release:
        """See `Client.override_release`."""
        override = self._operations.override_release(name_of(model), state, reason, timeout)
        return await self._transport.run(override)
