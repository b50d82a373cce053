"""Handles of jobs: follow, await, stop."""

# ruff: noqa: ASYNC109 - a timeout covers all tries and reaches the server, which asyncio.timeout would not.

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from kohort.errors import JobCancelled, JobFailed, NotFound
from kohort.progress import progress_view
from kohort.resources import JobEvent, JobInfo, JobKind, JobState

if TYPE_CHECKING:
    from kohort.aiomodelcalls import AsyncModelCalls
    from kohort.model import AsyncModel, Model
    from kohort.modelcalls import ModelCalls
    from kohort.report import AsyncReport, Report

ProgressHook = bool | Callable[[JobInfo], None]


class _Handle:
    """What both handles know.

    Attributes:
        info: the job as it was last seen.
    """

    info: JobInfo

    @property
    def name(self) -> str:
        """ "jobs/{id}": attaches to this job again, from any process."""
        return self.info.name

    @property
    def state(self) -> JobState:
        """Where the job stood when it was last seen."""
        return self.info.state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.state}>"

    def _model_name(self) -> str:
        self._check()
        return self.info.model

    def _report_name(self) -> str:
        self._check()
        if not self.info.report:
            message = f"{self.name} has no report: its model was not evaluated"
            raise NotFound("NOT_FOUND", message, reason="REPORT_NOT_FOUND")
        return self.info.report

    def _check(self) -> None:
        if self.state is JobState.FAILED:
            raise JobFailed(self.info)
        if self.state is JobState.CANCELLED:
            raise JobCancelled(self.info)


class Job(_Handle):
    """A job on the server, from `Client.train` or `Client.job`.

    It lives apart from this handle and from every connection.
    """

    def __init__(self, client: ModelCalls, info: JobInfo) -> None:
        self._client = client
        self.info = info

    def refresh(self) -> JobInfo:
        """Asks for the job as it is now."""
        self.info = self._client._transport.run(self._client._operations.job(self.name))
        return self.info

    def events(self, *, after_sequence: int = 0, timeout: float | None = None) -> Iterator[JobEvent]:
        """The job's history from the event after `after_sequence`, then new events until it is over.

        Survives lost connections; each event comes once. `timeout` is in
        seconds for all of it.

        Raises:
            RpcError: the server stays out of reach.
        """
        watch = self._client._operations.watch(self.name, after_sequence, timeout)
        for update in self._client._transport.iterate(watch):
            self.info = update.job
            if update.event is not None:
                yield update.event

    def wait(self, *, progress: ProgressHook = False, timeout: float | None = None) -> JobInfo:
        """Waits until the job is over, however it ends.

        Args:
            progress: True draws a live bar on a terminal's stderr; a function is
                called with the job at every news.
            timeout: seconds; the job goes on when they are over.

        Raises:
            DeadlineExceeded: the timeout was over first.
        """
        with progress_view(progress) as show:
            for update in self._client._transport.iterate(
                self._client._operations.watch(self.name, timeout=timeout)
            ):
                self.info = update.job
                show(update.job)
        return self.refresh()

    def result(self, *, progress: ProgressHook = False, timeout: float | None = None) -> Model:
        """Waits for the model.

        Raises:
            JobFailed: the job failed.
            JobCancelled: the job was cancelled.
            DeadlineExceeded: the timeout was over first.
        """
        self.wait(progress=progress, timeout=timeout)
        return self._client.model(self._model_name())

    def report(self, *, progress: ProgressHook = False, timeout: float | None = None) -> Report:
        """Waits for the report: that of an evaluation, or of the model that was trained.

        Raises:
            NotFound: the model was not evaluated.
            JobFailed, JobCancelled, DeadlineExceeded: as `result`.
        """
        self.wait(progress=progress, timeout=timeout)
        return self._client.report(self._report_name())

    def cancel(self) -> JobInfo:
        """Asks the job to stop; safe to repeat. A job that ended first stays as it ended."""
        self.info = self._client._transport.run(self._client._operations.cancel(self.name))
        return self.info


class AsyncJob(_Handle):
    """A job on the server; see `Job`."""

    def __init__(self, client: AsyncModelCalls, info: JobInfo) -> None:
        self._client = client
        self.info = info

    async def refresh(self) -> JobInfo:
        """See `Job.refresh`."""
        self.info = await self._client._transport.run(self._client._operations.job(self.name))
        return self.info

    async def events(
        self,
        *,
        after_sequence: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[JobEvent]:
        """See `Job.events`."""
        watch = self._client._operations.watch(self.name, after_sequence, timeout)
        async with aclosing(self._client._transport.iterate(watch)) as updates:
            async for update in updates:
                self.info = update.job
                if update.event is not None:
                    yield update.event

    async def wait(
        self,
        *,
        progress: ProgressHook = False,
        timeout: float | None = None,
    ) -> JobInfo:
        """See `Job.wait`."""
        watch = self._client._operations.watch(self.name, timeout=timeout)
        with progress_view(progress) as show:
            async with aclosing(self._client._transport.iterate(watch)) as updates:
                async for update in updates:
                    self.info = update.job
                    show(update.job)
        return await self.refresh()

    async def result(
        self,
        *,
        progress: ProgressHook = False,
        timeout: float | None = None,
    ) -> AsyncModel:
        """See `Job.result`."""
        await self.wait(progress=progress, timeout=timeout)
        return await self._client.model(self._model_name())

    async def report(self, *, progress: ProgressHook = False, timeout: float | None = None) -> AsyncReport:
        """See `Job.report`."""
        await self.wait(progress=progress, timeout=timeout)
        return await self._client.report(self._report_name())

    async def cancel(self) -> JobInfo:
        """See `Job.cancel`."""
        self.info = await self._client._transport.run(self._client._operations.cancel(self.name))
        return self.info


class EvaluationJob(Job):
    """An evaluation on the server, from `Client.start_evaluation`; its result is a report."""

    def result(self, *, progress: ProgressHook = False, timeout: float | None = None) -> Report:  # type: ignore[override]
        """Waits for the report; raises as `Job.report`."""
        return self.report(progress=progress, timeout=timeout)


class AsyncEvaluationJob(AsyncJob):
    """An evaluation on the server; see `EvaluationJob`."""

    async def result(  # type: ignore[override]
        self, *, progress: ProgressHook = False, timeout: float | None = None
    ) -> AsyncReport:
        """See `EvaluationJob.result`."""
        return await self.report(progress=progress, timeout=timeout)


def job_handle(client: ModelCalls, info: JobInfo) -> Job:
    """The handle of a job of either kind."""
    return (EvaluationJob if info.kind is JobKind.EVALUATE else Job)(client, info)


def async_job(client: AsyncModelCalls, info: JobInfo) -> AsyncJob:
    """The handle of a job of either kind."""
    return (AsyncEvaluationJob if info.kind is JobKind.EVALUATE else AsyncJob)(client, info)
