"""What the synchronous client does with reports and releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kohort.calls import DEFAULT, Timeout
from kohort.model import Model
from kohort.operations import Operations
from kohort.release import Release, ReleasePolicy, ReleaseState
from kohort.report import Report
from kohort.transport import Transport
from kohort.uploads import name_of


class ReportCalls:
    """The part of `kohort.Client` that is about reports and releases. It needs the role custodian."""

    _operations: Operations
    _transport: Transport

    def report(self, name: str, *, timeout: Timeout = DEFAULT) -> Report:
        """The report of that name, whole. Raises NotFound."""
        return Report(self, self._transport.run(self._operations.report(name, timeout)))

    def reports(self, *, model: Model | str | None = None, timeout: Timeout = DEFAULT) -> Iterator[Report]:
        """The reports of a model, by default all, newest first, without definitions, metrics and figures.

        Pages are fetched as needed, each within the timeout; `report` gets one as a whole.
        """
        of = "" if model is None else name_of(model)
        for info in self._transport.iterate(self._operations.reports(of, timeout)):
            yield Report(self, info)

    def download_report(
        self,
        report: Report | str,
        path: str | Path,
        *,
        format: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        timeout: Timeout = DEFAULT,
    ) -> Path:
        """Stores a report as a file, whole and verified or not at all.

        Args:
            report: a report or its name.
            path: the file, replaced if it exists.
            format: "html", one page that needs nothing else, or "json"; by default JSON where the
                file's name ends in .json, else HTML.
            progress: called with bytes so far and in all.
            timeout: seconds for all tries.

        Raises:
            NotFound: no such report.
            ValueError: another format.
        """
        wanted = format or form_of(path)
        download = self._operations.download_report(name_of(report), Path(path), wanted, progress, timeout)
        return self._transport.run(download)

    def delete_report(self, report: Report | str, *, timeout: Timeout = DEFAULT) -> None:
        """Deletes a report: what it said of its model no longer counts. Raises NotFound."""
        self._transport.run(self._operations.delete_report(name_of(report), timeout))

    def release_policy(self, *, timeout: Timeout = DEFAULT) -> ReleasePolicy:
        """What is asked of models before their rows may leave."""
        return self._transport.run(self._operations.release_policy(timeout))

    def update_release_policy(
        self, policy: ReleasePolicy | None, *, timeout: Timeout = DEFAULT
    ) -> ReleasePolicy:
        """Replaces the policy; it applies to every model at once, by the reports that there are.

        Args:
            policy: with the `etag` that was read, only if nobody changed it since; with an empty
                one in any case. None takes the server's defaults.
            timeout: seconds for all tries.

        Raises:
            Conflict: somebody else changed it since it was read.
            InvalidRequest: a rule.
        """
        return self._transport.run(self._operations.update_release_policy(policy, timeout))

    def override_release(
        self,
        model: Model | str,
        state: ReleaseState | str | None,
        reason: str,
        *,
        timeout: Timeout = DEFAULT,
    ) -> Release:
        """Opens or locks one model whatever the policy says; written down with who, when and why.

        Args:
            model: a model or its name.
            state: OPEN, OPEN_WITH_WARNING or LOCKED; None takes an override back.
            reason: why, of taking one back too; 10 to 2,000 characters.
            timeout: seconds for all tries.

        Raises:
            InvalidRequest: no reason, or another state.
        """
        override = self._operations.override_release(name_of(model), state, reason, timeout)
        return self._transport.run(override)


def form_of(path: str | Path) -> str:
    """The format of a report that a file's name means."""
    return "json" if Path(path).suffix.lower() == ".json" else "html"
