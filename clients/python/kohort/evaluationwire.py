"""Between messages of evaluations and releases and the values of `kohort.evaluation`, `kohort.release`."""

from __future__ import annotations

from typing import Any

from kohort import evaluation as e
from kohort import release as r
from kohort import wire
from kohort.v1 import evaluation_pb2, release_pb2

PROFILES = wire.EnumMap(r.EvaluationProfile, release_pb2.EvaluationProfile, "EVALUATION_PROFILE_")
STATES = wire.EnumMap(r.ReleaseState, release_pb2.ReleaseState, "RELEASE_STATE_")
ACTIONS = wire.EnumMap(r.AlertAction, release_pb2.AlertAction, "ALERT_ACTION_")
RULE_KINDS = wire.EnumMap(r.RuleKind, release_pb2.RuleKind, "RULE_KIND_")
STATISTICS = wire.EnumMap(r.RuleStatistic, release_pb2.RuleStatistic, "RULE_STATISTIC_")
REFERENCES = wire.EnumMap(r.RuleReference, release_pb2.RuleReference, "RULE_REFERENCE_")
EFFECTS = wire.EnumMap(r.RuleEffect, release_pb2.RuleEffect, "RULE_EFFECT_")
FAMILIES = wire.EnumMap(e.MetricFamily, evaluation_pb2.MetricFamily, "METRIC_FAMILY_")
DIRECTIONS = wire.EnumMap(e.MetricDirection, evaluation_pb2.MetricDirection, "METRIC_DIRECTION_")
FIGURES = wire.EnumMap(e.FigureKind, evaluation_pb2.FigureKind, "FIGURE_KIND_")


# How an evaluation is asked for


def options_to_proto(options: r.EvaluationOptions) -> release_pb2.EvaluationOptions:
    """The message of options."""
    message = release_pb2.EvaluationOptions(
        profile=PROFILES.to(r.EvaluationProfile(options.profile)),
        targets=options.targets,
        quasi_identifiers=options.quasi_identifiers,
        sensitive=options.sensitive,
        protected=options.protected,
        seed=options.seed,
    )
    if options.time_budget is not None:
        message.time_budget.CopyFrom(wire.duration_to_proto(options.time_budget))
    return message


def options_from_proto(message: release_pb2.EvaluationOptions) -> r.EvaluationOptions:
    """Options of their message."""
    return r.EvaluationOptions(
        profile=PROFILES.read(message.profile),
        targets=tuple(message.targets),
        quasi_identifiers=tuple(message.quasi_identifiers),
        sensitive=tuple(message.sensitive),
        protected=tuple(message.protected),
        seed=_maybe(message, "seed"),
        time_budget=wire.duration_from_proto(message.time_budget)
        if message.HasField("time_budget")
        else None,
    )


def alert_to_proto(alert: r.Alert) -> release_pb2.Alert:
    """The message of an alert."""
    action = ACTIONS.to(r.AlertAction(alert.action))
    return release_pb2.Alert(metric=alert.metric, threshold=alert.threshold, below=alert.below, action=action)


# Release


def rule_to_proto(rule: r.ReleaseRule) -> release_pb2.ReleaseRule:
    """The message of a rule."""
    return release_pb2.ReleaseRule(
        metric=rule.metric,
        kind=RULE_KINDS.to(r.RuleKind(rule.kind)),
        statistic=STATISTICS.to(r.RuleStatistic(rule.statistic)),
        reference=REFERENCES.to(r.RuleReference(rule.reference)),
        threshold=rule.threshold,
        below=rule.below,
        effect=EFFECTS.to(r.RuleEffect(rule.effect)),
    )


def rule_from_proto(message: release_pb2.ReleaseRule) -> r.ReleaseRule:
    """A rule of its message."""
    return r.ReleaseRule(
        metric=message.metric,
        kind=RULE_KINDS.read(message.kind),
        threshold=message.threshold,
        effect=EFFECTS.read(message.effect),
        statistic=STATISTICS.read(message.statistic),
        reference=REFERENCES.read(message.reference),
        below=message.below,
    )


def policy_to_proto(policy: r.ReleasePolicy) -> release_pb2.ReleasePolicy:
    """The message of a policy; when and by whom it was changed is the server's to say."""
    return release_pb2.ReleasePolicy(
        rules=[rule_to_proto(rule) for rule in policy.rules],
        min_holdout_patients=policy.min_holdout_patients,
        require_report=policy.require_report,
        lock_inconclusive=policy.lock_inconclusive,
        etag=policy.etag,
    )


def policy_from_proto(message: release_pb2.ReleasePolicy) -> r.ReleasePolicy:
    """A policy of its message."""
    return r.ReleasePolicy(
        rules=tuple(rule_from_proto(rule) for rule in message.rules),
        min_holdout_patients=message.min_holdout_patients,
        require_report=message.require_report,
        lock_inconclusive=message.lock_inconclusive,
        etag=message.etag,
        update_time=_time(message, "update_time"),
        updated_by=message.updated_by,
    )


def verdict_from_proto(message: release_pb2.Verdict) -> r.Verdict:
    """A verdict of its message."""
    return r.Verdict(
        state=STATES.read(message.state),
        privacy=tuple(map(_broken, message.privacy)),
        quality=tuple(map(_broken, message.quality)),
        inconclusive=message.inconclusive,
    )


def _broken(message: release_pb2.BrokenRule) -> r.BrokenRule:
    return r.BrokenRule(rule_from_proto(message.rule), message.where, message.message)


def release_from_proto(message: release_pb2.Release) -> r.Release:
    """A model's release of its message."""
    said = message.override
    override = r.ReleaseOverride(STATES.read(said.state), said.reason, said.principal, _time(said, "time"))
    return r.Release(
        state=STATES.read(message.state),
        verdict=verdict_from_proto(message.verdict),
        report=message.report,
        override=override if message.HasField("override") else None,
    )


# Reports


def report_from_proto(message: evaluation_pb2.Report) -> e.ReportInfo:
    """A report of its message."""
    counts = message.counts
    return e.ReportInfo(
        format=message.format,
        name=message.name,
        model=message.model,
        synthetic_dataset=message.synthetic_dataset,
        dataset=message.dataset,
        holdout_dataset=message.holdout_dataset,
        job=message.job,
        display_name=message.display_name,
        labels=dict(message.labels),
        create_time=_time(message, "create_time"),
        options=options_from_proto(message.options),
        counts=e.EvaluationCounts(
            training_rows=counts.training_rows,
            training_patients=counts.training_patients,
            holdout_rows=counts.holdout_rows,
            holdout_patients=counts.holdout_patients,
            synthetic_rows=counts.synthetic_rows,
        ),
        summary=tuple(message.summary),
        verdict=verdict_from_proto(message.verdict),
        limits=tuple(message.limits),
        definitions=tuple(map(_definition, message.definitions)),
        metrics=tuple(map(_metric, message.metrics)),
        figures=tuple(map(_figure, message.figures)),
        left_out=tuple(e.LeftOut(left.part, left.reason) for left in message.left_out),
        duration=wire.duration_from_proto(message.duration) if message.HasField("duration") else None,
        content_digest=message.content_digest.hex(),
        versions=dict(message.versions),
    )


def _definition(message: evaluation_pb2.MetricInfo) -> e.MetricInfo:
    return e.MetricInfo(
        name=message.name,
        family=FAMILIES.read(message.family),
        title=message.title,
        description=message.description,
        direction=DIRECTIONS.read(message.direction),
        target=_maybe(message, "target"),
        reference=message.reference,
    )


def _metric(message: evaluation_pb2.Metric) -> e.Metric:
    return e.Metric(
        name=message.name,
        table=message.table,
        columns=tuple(message.columns),
        detail=dict(message.detail),
        value=_maybe(message, "value"),
        interval=_interval(message, "interval"),
        baseline=_maybe(message, "baseline"),
        baseline_interval=_interval(message, "baseline_interval"),
        null_value=_maybe(message, "null_value"),
        size=message.size,
        headline=message.headline,
    )


def _interval(message: evaluation_pb2.Metric, field: str) -> e.Interval | None:
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    said = getattr(message, field)
    return e.Interval(said.low, said.high, said.level, said.method)


def _figure(message: evaluation_pb2.Figure) -> e.Figure:
    return e.Figure(
        name=message.name,
        family=FAMILIES.read(message.family),
        title=message.title,
        kind=FIGURES.read(message.kind),
        x_label=message.x_label,
        y_label=message.y_label,
        categories=tuple(message.categories),
        series=tuple(
            e.Series(s.name, tuple(s.x), tuple(s.y), tuple(s.low), tuple(s.high)) for s in message.series
        ),
        y_min=_maybe(message, "y_min"),
        y_max=_maybe(message, "y_max"),
    )


def _maybe(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _time(message: Any, field: str) -> Any:
    return wire.timestamp_from_proto(getattr(message, field)) if message.HasField(field) else None
