"""Release policies and verdicts as messages of the contract, and policies back."""

from __future__ import annotations

import math

from evaluators.gate import (
    Broken,
    Effect,
    Policy,
    Reference,
    Rule,
    RuleKind,
    State,
    Statistic,
    Verdict,
    decide,
)
from evaluators.headlines import HEADLINES
from kohort import wire
from kohort.v1 import release_pb2
from server import validation
from server.store.releases import Override, Standing, StoredPolicy

MAX_RULES = 100
_METRICS = frozenset(name for names in HEADLINES.values() for name in names)
_MOST_PATIENTS = 1_000_000


def state_of(standing: Standing, verdict: Verdict) -> State:
    """The state in force: what a custodian decided, else what the policy says."""
    override = standing.override
    return verdict.state if override is None or override.state is None else override.state


def release(standing: Standing) -> release_pb2.Release:
    """Whether a model's rows may leave, and why: names of rules, no values."""
    verdict = decide(standing.policy, standing.evidence)
    message = release_pb2.Release(
        state=state_to_proto(state_of(standing, verdict)),
        verdict=verdict_to_proto(verdict),
        report=f"reports/{standing.report}" if standing.report else "",
    )
    if standing.override is not None:
        message.override.CopyFrom(_override(standing.override))
    return message


def state_to_proto(state: State | None) -> release_pb2.ReleaseState.ValueType:
    """A state; UNSPECIFIED for None."""
    name = "UNSPECIFIED" if state is None else state.value
    return release_pb2.ReleaseState.Value(f"RELEASE_STATE_{name}")


def verdict_to_proto(verdict: Verdict) -> release_pb2.Verdict:
    """What a policy makes of a report."""
    return release_pb2.Verdict(
        state=state_to_proto(verdict.state),
        privacy=map(_broken, verdict.privacy),
        quality=map(_broken, verdict.quality),
        inconclusive=verdict.inconclusive,
    )


def policy_to_proto(stored: StoredPolicy) -> release_pb2.ReleasePolicy:
    """A policy in force."""
    policy = stored.policy
    message = release_pb2.ReleasePolicy(
        rules=map(_rule, policy.rules),
        min_holdout_patients=policy.min_holdout_patients,
        require_report=policy.require_report,
        lock_inconclusive=policy.lock_inconclusive,
        etag=stored.etag,
        updated_by=stored.updated_by,
    )
    if stored.update_time is not None:
        message.update_time.CopyFrom(wire.timestamp_to_proto(stored.update_time))
    return message


def policy_from_proto(message: release_pb2.ReleasePolicy) -> Policy:
    """A policy that a custodian sends. Raises Problem INVALID_REQUEST naming the rules that make no sense."""
    checks = validation.Checks()
    checks.require(len(message.rules) <= MAX_RULES, "policy.rules", f"at most {MAX_RULES}")
    held = message.min_holdout_patients
    checks.require(0 <= held <= _MOST_PATIENTS, "policy.min_holdout_patients", "must not be negative")
    for i, rule in enumerate(message.rules[:MAX_RULES]):
        where = f"policy.rules[{i}]"
        # A rule on another would never be broken, and nobody would notice.
        checks.require(rule.metric in _METRICS, f"{where}.metric", "must name a headline metric")
        checks.require(math.isfinite(rule.threshold), f"{where}.threshold", "must be a finite number")
        for field, enum in (
            ("kind", release_pb2.RuleKind),
            ("effect", release_pb2.RuleEffect),
        ):
            known = getattr(rule, field) in enum.values() and getattr(rule, field) != 0
            checks.require(known, f"{where}.{field}", "must be said")
        for field, other in (
            ("statistic", release_pb2.RuleStatistic),
            ("reference", release_pb2.RuleReference),
        ):
            checks.require(getattr(rule, field) in other.values(), f"{where}.{field}", "is not known")
    checks.done()
    return Policy(
        rules=tuple(map(_rule_from_proto, message.rules)),
        min_holdout_patients=held,
        require_report=message.require_report,
        lock_inconclusive=message.lock_inconclusive,
    )


def _rule_from_proto(rule: release_pb2.ReleaseRule) -> Rule:
    statistic = rule.statistic or release_pb2.RULE_STATISTIC_VALUE
    reference = rule.reference or release_pb2.RULE_REFERENCE_ABSOLUTE
    return Rule(
        metric=rule.metric,
        kind=RuleKind(release_pb2.RuleKind.Name(rule.kind).removeprefix("RULE_KIND_")),
        threshold=rule.threshold,
        effect=Effect(release_pb2.RuleEffect.Name(rule.effect).removeprefix("RULE_EFFECT_")),
        statistic=Statistic(release_pb2.RuleStatistic.Name(statistic).removeprefix("RULE_STATISTIC_")),
        reference=Reference(release_pb2.RuleReference.Name(reference).removeprefix("RULE_REFERENCE_")),
        below=rule.below,
    )


def _rule(rule: Rule) -> release_pb2.ReleaseRule:
    return release_pb2.ReleaseRule(
        metric=rule.metric,
        kind=release_pb2.RuleKind.Value(f"RULE_KIND_{rule.kind}"),
        statistic=release_pb2.RuleStatistic.Value(f"RULE_STATISTIC_{rule.statistic}"),
        reference=release_pb2.RuleReference.Value(f"RULE_REFERENCE_{rule.reference}"),
        threshold=rule.threshold,
        below=rule.below,
        effect=release_pb2.RuleEffect.Value(f"RULE_EFFECT_{rule.effect}"),
    )


def _broken(broken: Broken) -> release_pb2.BrokenRule:
    return release_pb2.BrokenRule(rule=_rule(broken.rule), where=broken.where, message=broken.message)


def _override(override: Override) -> release_pb2.ReleaseOverride:
    return release_pb2.ReleaseOverride(
        state=state_to_proto(override.state),
        reason=override.reason,
        principal=override.principal,
        time=wire.timestamp_to_proto(override.time),
    )
