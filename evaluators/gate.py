"""The release gate: what a policy makes of the headline metrics of a report.

Pure: the same policy and metrics give the same verdict, in the job that wrote
the report and later in the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Whether what a model makes may leave (`ReleaseState`)."""

    OPEN = "OPEN"
    OPEN_WITH_WARNING = "OPEN_WITH_WARNING"
    INCONCLUSIVE = "INCONCLUSIVE"
    LOCKED = "LOCKED"


class RuleKind(StrEnum):
    """What a rule guards (`RuleKind`)."""

    PRIVACY = "PRIVACY"
    QUALITY = "QUALITY"


class Statistic(StrEnum):
    """What of a metric is compared (`RuleStatistic`)."""

    VALUE = "VALUE"
    LOWER = "LOWER"
    UPPER = "UPPER"


class Reference(StrEnum):
    """What it is compared with (`RuleReference`)."""

    ABSOLUTE = "ABSOLUTE"
    DIFFERENCE = "DIFFERENCE"
    RATIO = "RATIO"


class Effect(StrEnum):
    """What a broken rule does (`RuleEffect`)."""

    WARN = "WARN"
    LOCK = "LOCK"


@dataclass(frozen=True)
class Rule:
    """One thing that is asked of every model (`ReleaseRule`)."""

    metric: str
    kind: RuleKind
    threshold: float
    effect: Effect
    statistic: Statistic = Statistic.VALUE
    reference: Reference = Reference.ABSOLUTE
    below: bool = False


def _privacy(metric: str, threshold: float, statistic: Statistic) -> Rule:
    return Rule(metric, RuleKind.PRIVACY, threshold, Effect.LOCK, statistic)


def _quality(
    metric: str, threshold: float, reference: Reference, statistic: Statistic = Statistic.VALUE
) -> Rule:
    """A floor: broken below."""
    return Rule(metric, RuleKind.QUALITY, threshold, Effect.WARN, statistic, reference, below=True)


DEFAULT_RULES = (
    _privacy("membership_inference_auc", 0.6, Statistic.LOWER),
    _privacy("membership_inference_tpr_excess", 0.01, Statistic.LOWER),
    _privacy("identical_match_excess", 0.0, Statistic.LOWER),
    _privacy("attribute_inference_advantage", 0.1, Statistic.LOWER),
    _privacy("singling_out_risk", 0.1, Statistic.LOWER),
    _privacy("linkability_risk", 0.1, Statistic.LOWER),
    _privacy("inference_risk", 0.1, Statistic.LOWER),
    # Significantly less like real rows than real rows are: small tables differ by chance.
    _quality("column_similarity", -0.02, Reference.DIFFERENCE, Statistic.UPPER),
    _quality("pair_similarity", -0.02, Reference.DIFFERENCE, Statistic.UPPER),
    _quality("association_similarity", -0.05, Reference.DIFFERENCE, Statistic.UPPER),
    Rule("c2st_auc", RuleKind.QUALITY, 0.3, Effect.WARN, reference=Reference.DIFFERENCE),
    _quality("category_coverage", 0.9, Reference.RATIO),
    _quality("utility_ratio", 0.9, Reference.ABSOLUTE, Statistic.UPPER),
)
"""What is asked where a tenant has said nothing; docs/evaluation.md gives the reasons."""


@dataclass(frozen=True)
class Policy:
    """What a tenant asks (`ReleasePolicy`)."""

    rules: tuple[Rule, ...] = DEFAULT_RULES
    min_holdout_patients: int = 100
    """At the true-positive rate of 1 % false positives one patient of fewer is a whole point."""
    require_report: bool = False
    lock_inconclusive: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Policy:
        """The inverse of `to_json`."""
        return cls(**{**value, "rules": tuple(_rule(rule) for rule in value["rules"])})


def _rule(value: Mapping[str, Any]) -> Rule:
    return Rule(
        **{
            **value,
            "kind": RuleKind(value["kind"]),
            "effect": Effect(value["effect"]),
            "statistic": Statistic(value["statistic"]),
            "reference": Reference(value["reference"]),
        }
    )


@dataclass(frozen=True)
class Broken:
    """A broken rule (`BrokenRule`)."""

    rule: Rule
    where: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """What a policy makes of a report (`Verdict`)."""

    state: State
    privacy: tuple[Broken, ...] = ()
    quality: tuple[Broken, ...] = ()
    inconclusive: str = ""


_EARLIER = "of an earlier report"


@dataclass(frozen=True)
class Headline:
    """What the gate knows of a metric that is marked `headline`."""

    name: str
    where: str
    value: float | None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """What a report leaves behind for the gate, small enough for a database row."""

    holdout_patients: int
    headlines: tuple[Headline, ...] = field(default=())

    def after(self, older: Evidence) -> Evidence:
        """This, with what it did not measure as an older report on the same model did.

        A hasty evaluation opens nothing that a thorough one locked.
        """
        known = {headline.name for headline in self.headlines if headline.value is not None}
        kept = tuple(_earlier(one) for one in older.headlines if one.name not in known)
        return Evidence(self.holdout_patients, tuple(h for h in self.headlines if h.name in known) + kept)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        """The inverse of `to_json`."""
        return cls(value["holdout_patients"], tuple(Headline(**one) for one in value["headlines"]))


def _earlier(headline: Headline) -> Headline:
    where = headline.where.removesuffix(_EARLIER).removesuffix(", ")
    return replace(headline, where=", ".join(filter(None, (where, _EARLIER))))


def decide(policy: Policy, evidence: Evidence | None) -> Verdict:
    """The verdict on a model; `evidence` is that of its newest report, None without one.

    Broken rules that lock, lock, however few patients were held out; beyond
    that, too few make the verdict INCONCLUSIVE rather than OPEN.
    """
    if evidence is None:
        said = "there is no report"
        return Verdict(State.LOCKED if policy.require_report else _unknown(policy), inconclusive=said)
    broken = [found for rule in policy.rules for found in _broken(rule, evidence.headlines)]
    privacy = tuple(one for one in broken if one.rule.kind is RuleKind.PRIVACY)
    quality = tuple(one for one in broken if one.rule.kind is RuleKind.QUALITY)
    said = _why_inconclusive(policy, evidence)
    if any(one.rule.effect is Effect.LOCK for one in broken):
        state = State.LOCKED
    elif said:
        state = _unknown(policy)
    else:
        state = State.OPEN_WITH_WARNING if broken else State.OPEN
    return Verdict(state, privacy, quality, said)


def _unknown(policy: Policy) -> State:
    return State.LOCKED if policy.lock_inconclusive else State.INCONCLUSIVE


def _why_inconclusive(policy: Policy, evidence: Evidence) -> str:
    held, least = evidence.holdout_patients, policy.min_holdout_patients
    if not held:
        return "no patients were held out, so attacks have no control"
    if held < least:
        return f"{held} patients were held out, fewer than the {least} that attacks need to say anything"
    # A value without the interval or the baseline that a rule asks for does not show that it holds.
    missing = {
        rule.metric
        for rule in policy.rules
        if rule.effect is Effect.LOCK
        and all(_statistic(rule, one) is None for one in evidence.headlines if one.name == rule.metric)
    }
    return f"not measured: {', '.join(sorted(missing))}" if missing else ""


def _broken(rule: Rule, headlines: Sequence[Headline]) -> list[Broken]:
    found = []
    for headline in headlines:
        if headline.name != rule.metric:
            continue
        statistic = _statistic(rule, headline)
        if statistic is None:
            continue
        if statistic < rule.threshold if rule.below else statistic > rule.threshold:
            found.append(Broken(rule, headline.where, _message(rule, headline)))
    return found


def _statistic(rule: Rule, headline: Headline) -> float | None:
    value = {
        Statistic.VALUE: headline.value,
        Statistic.LOWER: headline.low,
        Statistic.UPPER: headline.high,
    }[rule.statistic]
    if value is None or rule.reference is Reference.ABSOLUTE:
        return value
    if headline.baseline is None or (rule.reference is Reference.RATIO and headline.baseline == 0):
        return None
    if rule.reference is Reference.RATIO:
        return value / headline.baseline
    difference = value - headline.baseline
    return difference if math.isfinite(difference) else None


def _message(rule: Rule, headline: Headline) -> str:
    what = {
        "VALUE": "",
        "LOWER": "the lower end of the interval of ",
        "UPPER": "the upper end of the interval of ",
    }
    against = {"ABSOLUTE": "", "DIFFERENCE": " minus that of real rows", "RATIO": " over that of real rows"}
    side = "below" if rule.below else "above"
    where = f" ({headline.where})" if headline.where else ""
    return f"{what[rule.statistic]}{rule.metric}{where}{against[rule.reference]} is {side} {rule.threshold:g}"
