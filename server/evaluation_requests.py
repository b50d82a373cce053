"""What Train and Evaluate ask of an evaluation, checked before a job is made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from evaluators.case import BUDGETS, Profile
from evaluators.headlines import HEADLINES
from kohort import wire
from kohort.problem import Problem
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from kohort.v1 import release_pb2
from server import validation
from server.evaluating import available
from server.records import Alert, AlertAction, EvaluationSpec, JobOptions
from server.settings import Settings

MAX_ALERTS = 16
ATTACK, COPIES = "membership_inference_attack_success", "identical_match_share"
_REPORTED = frozenset(name for names in HEADLINES.values() for name in names) - {COPIES}
_MOST_NAMED = 5
_LISTS = ("targets", "quasi_identifiers", "sensitive", "protected")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_COMPARED = frozenset(Kind) - {Kind.UNSPECIFIED, Kind.TEXT, Kind.ID, Kind.CODE_LIST}
_NUMBERS = frozenset({Storage.BOOL, Storage.INT64, Storage.DOUBLE, Storage.DECIMAL})
_DATES = frozenset({Storage.DATE, Storage.DATETIME})


def check_options(checks: validation.Checks, options: release_pb2.EvaluationOptions, field: str) -> None:
    """Notes what breaks the documented limits, whatever the columns are."""
    known = options.profile in release_pb2.EvaluationProfile.values()
    checks.require(known, f"{field}.profile", "is not known")
    for name in _LISTS:
        asked = list(getattr(options, name))
        checks.require(len(set(asked)) == len(asked), f"{field}.{name}", "names a column twice")
    for name in ("targets", "protected"):
        few = len(getattr(options, name)) <= _MOST_NAMED
        checks.require(few, f"{field}.{name}", f"at most {_MOST_NAMED} columns")
    checks.require(options.seed >= 0, f"{field}.seed", "must not be negative")
    if options.HasField("time_budget"):
        seconds = wire.duration_from_proto(options.time_budget)
        checks.require(seconds > 0, f"{field}.time_budget", "must be positive")


def check_alerts(checks: validation.Checks, alerts: Sequence[release_pb2.Alert]) -> None:
    """Notes what breaks the documented limits."""
    checks.require(len(alerts) <= MAX_ALERTS, "alerts", f"at most {MAX_ALERTS}")
    for i, alert in enumerate(alerts[:MAX_ALERTS]):
        named = _NAME.fullmatch(alert.metric) is not None
        checks.require(named, f"alerts[{i}].metric", "must name a metric or a loss")
        reported = alert.metric in _REPORTED
        watched = f"is a metric of reports; a training tells {ATTACK}, {COPIES}, losses and gradient_norm"
        checks.require(not reported, f"alerts[{i}].metric", watched)
        checks.require(math.isfinite(alert.threshold), f"alerts[{i}].threshold", "must be a finite number")
        said = alert.action in release_pb2.AlertAction.values() and alert.action != 0
        checks.require(said, f"alerts[{i}].action", "must be said")


def alerts_of(alerts: Iterable[release_pb2.Alert], options: JobOptions) -> tuple[Alert, ...]:
    """Checked alerts as the job keeps them. Raises Problem INVALID_REQUEST where nothing could be watched."""
    found = tuple(
        Alert(
            alert.metric,
            alert.threshold,
            alert.below,
            AlertAction(release_pb2.AlertAction.Name(alert.action).removeprefix("ALERT_ACTION_")),
        )
        for alert in alerts
    )
    if not options.validation and any(alert.metric == ATTACK for alert in found):
        said = f"{ATTACK} is measured against validation patients, and there are none"
        raise Problem.at("INVALID_REQUEST", "validation_fraction", said)
    return found


def evaluation_spec(
    options: release_pb2.EvaluationOptions,
    settings: Settings,
    schema: Schema,
    seed: int,
    field: str,
    default: str,
) -> EvaluationSpec:
    """Checked options with every default filled in.

    Args:
        options: as sent, see `check_options`.
        settings: of the server.
        schema: what the real rows mean.
        seed: that of the job.
        field: where the options stand in the request.
        default: the profile where none is named.

    Raises:
        Problem: UNKNOWN_COLUMN; EVALUATION_UNAVAILABLE where a profile is asked
            for and the libraries are missing.
    """
    asked = release_pb2.EvaluationProfile.Name(options.profile).removeprefix("EVALUATION_PROFILE_")
    profile = default.upper() if asked == "UNSPECIFIED" else asked
    if asked not in ("UNSPECIFIED", "NONE") and not available():
        raise unavailable()
    _check_columns(options, schema, field)
    return EvaluationSpec(
        profile=profile,
        targets=tuple(options.targets),
        quasi_identifiers=tuple(options.quasi_identifiers),
        sensitive=tuple(options.sensitive),
        protected=tuple(options.protected),
        seed=options.seed if options.HasField("seed") else seed,
        seconds=_seconds(options, profile, settings.max_evaluation_seconds),
    )


def unavailable() -> Problem:
    """This installation cannot evaluate."""
    return Problem("EVALUATION_UNAVAILABLE", "this server has no libraries for evaluation")


def budget(spec: EvaluationSpec) -> float:
    """Seconds that an evaluation may take."""
    return BUDGETS[Profile(spec.profile.lower())] if spec.seconds is None else spec.seconds


def comparable(real: Schema, other: Schema, field: str) -> None:
    """Checks that another table has what is modelled of the real one, in cells that can be compared.

    Raises:
        Problem: MULTI_TABLE_UNSUPPORTED; SCHEMAS_DIFFER naming the columns.
    """
    if len(real.tables) != 1 or len(other.tables) != 1:
        raise Problem("MULTI_TABLE_UNSUPPORTED", "this server compares one table at a time")
    checks = validation.Checks("SCHEMAS_DIFFER")
    there = {column.name: column for column in other.tables[0].columns}
    for column in real.tables[0].columns:
        if column.handling is not Handling.MODEL:
            continue
        where, found = f"{field}.{column.name}", there.get(column.name)
        if found is None:
            checks.require(False, where, "the table to compare has no such column")
        else:
            checks.require(_alike(column, found), where, "its cells are not of the kind of the real ones")
    checks.done()


def _alike(real: Column, other: Column) -> bool:
    """Storages rather than kinds: a sex of 0 and 1 may be read as truth values here and as numbers there."""
    if other.handling_reason == "ALL_NULL":
        return True
    if real.kind in (Kind.INTEGER, Kind.DECIMAL):
        return other.storage in _NUMBERS
    if real.storage in _DATES:
        return other.storage in _DATES
    return real.storage is not Storage.DURATION or other.storage is Storage.DURATION


def _check_columns(options: release_pb2.EvaluationOptions, schema: Schema, field: str) -> None:
    checks = validation.Checks("UNKNOWN_COLUMN")
    for table in schema:
        known = _compared(table)
        for name in _LISTS:
            for column in getattr(options, name):
                checks.require(column in known, f"{field}.{name}", f"{column[:100]!r} is no modelled column")
    checks.done()


def _compared(table: TableSchema) -> frozenset[str]:
    return frozenset(c.name for c in table.columns if c.handling is Handling.MODEL and c.kind in _COMPARED)


def _seconds(options: release_pb2.EvaluationOptions, profile: str, most: float) -> float | None:
    if options.HasField("time_budget"):
        return min(wire.duration_from_proto(options.time_budget), most)
    return most if BUDGETS[Profile(profile.lower())] > most else None
