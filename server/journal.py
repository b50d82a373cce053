"""From a child's messages to the history of its job."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import structlog

from kohort.problem import Problem
from kohort.schema import Finding
from server.logs import Trouble
from server.store import Store

log = structlog.get_logger(log="worker")


class Journal:
    """Appends to a job's events, in order.

    While the store does not answer, what is to be said waits: phases and
    warnings whole, of progress the latest.
    """

    def __init__(self, store: Store, job: str, attempt: int, worker: str, every_s: float = 0.1) -> None:
        self._store, self._fence = store, (job, attempt, worker)
        self._every_s = every_s
        self._waiting: list[Mapping[str, Any]] = []
        self._failed_at: float | None = None
        self._trouble = Trouble(log, "event waits")

    def take(self, message: Mapping[str, Any]) -> None:
        """One message of a child. Raises LeaseLost."""
        if message["type"] == "progress" and self._waiting and self._waiting[-1]["type"] == "progress":
            self._waiting.pop()
        if message["type"] != "alive":
            self._waiting.append(message)

        if self._failed_at is None or time.monotonic() - self._failed_at >= self._every_s:
            try:
                self.finish()
            except Problem as problem:
                self._failed_at = time.monotonic()
                self._trouble.failed(problem.reason, job=self._fence[0])

    def finish(self) -> None:
        """Says all that waits. Raises LeaseLost, and Problem when the store does not answer."""
        while self._waiting:
            self._say(self._waiting[0])
            self._waiting.pop(0)
        self._failed_at = None
        self._trouble.worked()

    def _say(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "phase":
                self._store.leases.phase(*self._fence, str(message["phase"])[:128])
            case "progress":
                self._store.leases.progress(*self._fence, _progress(message["progress"]))
            case "warning":
                self._store.leases.warning(*self._fence, Finding(**message["finding"]))


def _progress(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the store keeps of a report: losses that are no finite number arrive as None and are left out."""
    return {
        "step": int(values["step"]),
        "total_steps": int(values["total_steps"]),
        "losses": {k: float(v) for k, v in values["losses"].items() if v is not None},
        "rows_per_second": float(values["rows_per_second"] or 0.0),
        "gradient_norm": float(values.get("gradient_norm") or 0.0),
        "eta_s": values.get("eta_s"),
    }
