"""Handles of reports: what an evaluation found, its file, its end."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kohort.calls import DEFAULT, Timeout
from kohort.evaluation import Metric, ReportInfo
from kohort.release import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from kohort.aioreportcalls import AsyncReportCalls
    from kohort.reportcalls import ReportCalls


class _Handle:
    """What both handles know.

    Attributes:
        info: the report; it never changes. One that was listed lacks definitions, metrics and
            figures, which `Client.report` gets.
    """

    info: ReportInfo

    @property
    def name(self) -> str:
        """ "reports/{id}"."""
        return self.info.name

    @property
    def model(self) -> str:
        """ "models/{id}", or empty."""
        return self.info.model

    @property
    def summary(self) -> tuple[str, ...]:
        """Three sentences for everybody."""
        return self.info.summary

    @property
    def verdict(self) -> Verdict:
        """What the policy made of it when it was written; `Client.model` says what it makes of it now."""
        return self.info.verdict

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The values."""
        return self.info.metrics

    def metric(self, name: str, *columns: str, **detail: str) -> Metric:
        """See `ReportInfo.metric`."""
        return self.info.metric(name, *columns, **detail)

    def metrics_frame(self) -> pd.DataFrame:
        """See `ReportInfo.metrics_frame`."""
        return self.info.metrics_frame()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.verdict.state}>"


class Report(_Handle):
    """An evaluation, from `Client.evaluate`, `Job.report` or `Client.report`."""

    def __init__(self, client: ReportCalls, info: ReportInfo) -> None:
        self._client = client
        self.info = info

    def download(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """See `Client.download_report`."""
        return self._client.download_report(
            self.name, path, format=format, progress=progress, timeout=timeout
        )

    def delete(self) -> None:
        """See `Client.delete_report`."""
        self._client.delete_report(self.name)


class AsyncReport(_Handle):
    """An evaluation; see `Report`."""

    def __init__(self, client: AsyncReportCalls, info: ReportInfo) -> None:
        self._client = client
        self.info = info

    async def download(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """See `Client.download_report`."""
        return await self._client.download_report(
            self.name, path, format=format, progress=progress, timeout=timeout
        )

    async def delete(self) -> None:
        """See `Client.delete_report`."""
        await self._client.delete_report(self.name)
