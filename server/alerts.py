"""Alerts on a training, in the child: told as findings, or ending the job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kohort.problem import Problem
from kohort.schema import Finding
from server.records import AlertAction

if TYPE_CHECKING:
    from evaluators.watching import Raised, Watcher
    from trainers.base import FitRequest, Generator, Progress


class Alerts:
    """Holds a job's alerts against the model while it is fitted; without any it imports nothing.

    Raises Problem TOO_FEW_PATIENTS where one that is to stop training could never be raised.

    Args:
        asked: `server.records.Alert`, each as a mapping.
        request: what is learned from; its validation patients are the attack's control.
        warn: told what was raised.
    """

    def __init__(
        self, asked: Sequence[Mapping[str, Any]], request: FitRequest, warn: Callable[[Finding], None]
    ) -> None:
        self._warn = warn
        self._watcher: Watcher | None = None
        if not asked:
            return
        from evaluators.watching import MEMBERSHIP, WatchedAlert, Watcher

        alerts = [
            WatchedAlert(a["metric"], a["threshold"], a["below"], a["action"] == AlertAction.STOP_TRAINING)
            for a in asked
        ]
        self._watcher = Watcher(request.train, request.validation, alerts, request.seed)
        self._metrics = [alert.metric for alert in alerts]
        if any(a.stop and a.metric == MEMBERSHIP for a in alerts) and not self._watcher.attackable:
            raise Problem("TOO_FEW_PATIENTS", _unwatched(self._watcher, MEMBERSHIP))

    def take(self, progress: Progress) -> None:
        """After an epoch. Raises Problem ALERT_STOPPED_TRAINING."""
        if self._watcher is not None:
            self._tell(self._watcher.take(progress))

    def watch(self, make: Callable[[], Generator]) -> None:
        """For `trainers.base.Hooks.watch`. Raises Problem ALERT_STOPPED_TRAINING."""
        if self._watcher is not None:
            self._tell(self._watcher.watch(make))

    def done(self, generator: Generator) -> None:
        """Once fitting is over. Raises Problem ALERT_STOPPED_TRAINING."""
        if self._watcher is None:
            return
        self._tell(self._watcher.look(generator))
        for metric in self._metrics:
            if metric not in self._watcher.values:
                self._warn(Finding("EVALUATION_INCOMPLETE", _unwatched(self._watcher, metric)))

    def _tell(self, raised: Iterable[Raised]) -> None:
        for one in raised:
            alert = one.alert
            # Without the value: an attack's is for the custodian.
            said = f"{alert.metric} is {'below' if alert.below else 'above'} {alert.threshold:g}"
            self._warn(Finding("ALERT_RAISED", said))
            if alert.stop:
                raise Problem("ALERT_STOPPED_TRAINING", f"an alert stopped training: {said}")


def _unwatched(watcher: Watcher, metric: str) -> str:
    return f"the alert on {metric} could not be watched: {watcher.why_unknown(metric)}"
