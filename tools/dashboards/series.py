"""PromQL over the metrics that the server really has, right for one server and for several.

Two kinds of metrics, two functions. What a server counts of itself is added up:
`each`. What every server counts for the whole database, such as jobs, is the same
on all of them and must never be added up: `once` takes the most that any of them
says, series by series, before anything else; the server that started last has
counted least. Both refuse a metric of the other kind, one that is not declared, and a label that it has not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from server.metrics import Metrics

RATE = "$__rate_interval"
RANGE = "$__range"
HERE = ('job="kohort"', 'instance=~"$instance"')

WHOLE_DATABASE = frozenset(
    {
        "kohort_alerts_raised_total",
        "kohort_blob_bytes",
        "kohort_database_bytes",
        "kohort_evaluation_headline",
        "kohort_evaluation_seconds",
        "kohort_evaluations_total",
        "kohort_job_attempts_lost_total",
        "kohort_job_duration_seconds",
        "kohort_job_oldest_queued_seconds",
        "kohort_job_phase_seconds",
        "kohort_job_queue_seconds",
        "kohort_jobs",
        "kohort_jobs_ended_total",
        "kohort_jobs_failed_total",
        "kohort_queue_limit",
        "kohort_release_state",
        "kohort_train_epochs_total",
        "kohort_train_eta_seconds",
        "kohort_train_gradient_norm",
        "kohort_train_loss",
        "kohort_train_rows_per_second",
        "kohort_train_rows_total",
        "kohort_workers",
    }
)
"""Metrics that each server makes from the database: "of several servers ask one" (docs/metrics.md)."""

_FROM_ELSEWHERE = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "up",
)
"""Of prometheus-client and of Prometheus; without labels of their own."""


@cache
def declared() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels of every metric, by its name (`_total` for a counter, no suffix for a histogram)."""
    found: dict[str, tuple[str, tuple[str, ...]]] = dict.fromkeys(_FROM_ELSEWHERE, ("gauge", ()))
    collectors: Any = Metrics().registry._collector_to_names
    for metric in collectors:
        if hasattr(metric, "_labelnames"):
            name = metric._name + ("_total" if metric._type == "counter" else "")
            found[name] = (metric._type, tuple(metric._labelnames))
    return found


@dataclass(frozen=True)
class Series:
    """Some series of a metric, and the labels by which the answer is told apart."""

    name: str
    matchers: tuple[str, ...]
    groups: tuple[str, ...] = ()

    def by(self, *labels: str) -> Series:
        """The same, told apart by these labels. Raises ValueError for one that the metric has not."""
        known = {*self.labels, *(() if self.is_whole else ("instance",))}
        if not set(labels) <= known:
            raise ValueError(f"{self.name} has no label {sorted(set(labels) - known)}")
        return replace(self, groups=labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the metric itself."""
        return declared()[self.name][1]

    @property
    def is_whole(self) -> bool:
        """Whether every server counts it for the whole database."""
        return self.name in WHOLE_DATABASE

    def now(self, how: str = "sum") -> str:
        """The present value of a gauge. `how` aggregates what servers say of themselves."""
        return self._together(self.select(), how)

    def rate(self, window: str = RATE) -> str:
        """What a counter grows by per second."""
        return self._together(f"rate({self.select()}[{window}])")

    def increase(self, window: str = RATE) -> str:
        """What a counter grew by."""
        return self._together(f"increase({self.select()}[{window}])")

    def quantile(self, share: float) -> str:
        """A quantile of a histogram; NaN where nothing happened."""
        rates = self._together(f"rate({self.select('_bucket')}[{RATE}])", "sum", "le")
        return f"histogram_quantile({share}, {rates})"

    def mean(self, window: str = RATE) -> str:
        """The mean of a histogram; nothing where nothing happened."""
        return f"{self.total_rate(window)} / ({self.count_rate(window)} > 0)"

    def count_rate(self, window: str = RATE) -> str:
        """How often per second a histogram was told something."""
        return self._together(f"rate({self.select('_count')}[{window}])")

    def total_rate(self, window: str = RATE) -> str:
        """What a histogram was told per second, added up."""
        return self._together(f"rate({self.select('_sum')}[{window}])")

    def heat(self) -> str:
        """The buckets of a histogram, for a heatmap."""
        return self._together(f"increase({self.select('_bucket')}[{RATE}])", "sum", "le")

    def select(self, suffix: str = "") -> str:
        """The selector."""
        return f"{self.name}{suffix}{{{', '.join(self.matchers)}}}"

    def _together(self, expr: str, how: str = "sum", *extra: str) -> str:
        groups = (*self.groups, *extra)
        if not self.is_whole:
            return f"{how}{_by(groups)}({expr})"
        own = (*self.labels, *extra)
        most = f"max{_by(own)}({expr})"
        return most if set(groups) == set(own) else f"{how}{_by(groups)}({most})"


def each(name: str, *matchers: str) -> Series:
    """A metric that a server counts of itself. Raises ValueError for any other."""
    if name in WHOLE_DATABASE:
        raise ValueError(f"{name} is counted by every server for the whole database: use once()")
    return _series(name, matchers)


def once(name: str, *matchers: str) -> Series:
    """A metric that every server counts for the whole database. Raises ValueError for any other."""
    if name not in WHOLE_DATABASE:
        raise ValueError(f"{name} is each server's own: use each()")
    return _series(name, matchers)


def _series(name: str, matchers: tuple[str, ...]) -> Series:
    if name not in declared():
        raise ValueError(f"there is no metric {name}")
    for matcher in matchers:
        label = re.match(r"\w+", matcher)
        if label is None or label[0] not in declared()[name][1]:
            raise ValueError(f"{name} has no label for {matcher}")
    return Series(name, (*HERE, *matchers))


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""
