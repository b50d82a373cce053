"""Whether what a model makes may leave: states, rules, policies, and how an evaluation is asked for.

Field names are those of the contract (release.proto), which documents them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypedDict, TypeVar

E = TypeVar("E", bound=StrEnum)


class ReleaseWarning(UserWarning):
    """Rows were sampled from a model that breaks a rule which only warns; once per model and client."""


class EvaluationProfile(StrEnum):
    """How much is computed (`EvaluationProfile`)."""

    UNSPECIFIED = "unspecified"
    NONE = "none"
    STANDARD = "standard"
    FULL = "full"


class ReleaseState(StrEnum):
    """Whether what a model makes may leave (`ReleaseState`)."""

    UNSPECIFIED = "unspecified"
    OPEN = "open"
    OPEN_WITH_WARNING = "open_with_warning"
    INCONCLUSIVE = "inconclusive"
    LOCKED = "locked"


class AlertAction(StrEnum):
    """What an alert does (`AlertAction`)."""

    UNSPECIFIED = "unspecified"
    NOTIFY = "notify"
    STOP_TRAINING = "stop_training"


class RuleKind(StrEnum):
    """What a rule guards (`RuleKind`)."""

    UNSPECIFIED = "unspecified"
    PRIVACY = "privacy"
    QUALITY = "quality"


class RuleStatistic(StrEnum):
    """What of a metric is compared (`RuleStatistic`); UNSPECIFIED means the value."""

    UNSPECIFIED = "unspecified"
    VALUE = "value"
    LOWER = "lower"
    UPPER = "upper"


class RuleReference(StrEnum):
    """What it is compared with (`RuleReference`); UNSPECIFIED means the threshold itself."""

    UNSPECIFIED = "unspecified"
    ABSOLUTE = "absolute"
    DIFFERENCE = "difference"
    RATIO = "ratio"


class RuleEffect(StrEnum):
    """What a broken rule does (`RuleEffect`)."""

    UNSPECIFIED = "unspecified"
    WARN = "warn"
    LOCK = "lock"


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate (`EvaluationOptions`); what is left out is the server's to choose."""

    profile: EvaluationProfile | str = EvaluationProfile.UNSPECIFIED
    targets: Sequence[str] = ()
    """What predictions are made of; at most 5 columns."""
    quasi_identifiers: Sequence[str] = ()
    """What an attacker is taken to know of a patient."""
    sensitive: Sequence[str] = ()
    """What an attacker would like to know."""
    protected: Sequence[str] = ()
    """Columns that make the groups whose fairness is looked at; at most 5."""
    seed: int | None = None
    time_budget: float | timedelta | None = None
    """Seconds, or a timedelta."""

    def __post_init__(self) -> None:
        # Checked where it is written: the wire would take an unknown profile for the default.
        object.__setattr__(self, "profile", _member(EvaluationProfile, self.profile, "profile"))
        for name in ("targets", "quasi_identifiers", "sensitive", "protected"):
            if isinstance(getattr(self, name), str):
                raise TypeError(f"{name} takes a list of columns")

    @classmethod
    def of(cls, said: EvaluationOptions | str | None) -> EvaluationOptions:
        """Options as such, a profile by its name, or the server's defaults."""
        if isinstance(said, EvaluationOptions):
            return said
        return cls() if said is None else cls(profile=said)


class EvaluationKeywords(TypedDict, total=False):
    """`EvaluationOptions` as keywords."""

    profile: EvaluationProfile | str
    targets: Sequence[str]
    quasi_identifiers: Sequence[str]
    sensitive: Sequence[str]
    protected: Sequence[str]
    seed: int | None
    time_budget: float | timedelta | None


def merged(said: EvaluationOptions | str | None, keywords: EvaluationKeywords) -> EvaluationOptions:
    """Options with keywords in place of what they say. Raises TypeError for a keyword that is none."""
    return replace(EvaluationOptions.of(said), **keywords)


@dataclass(frozen=True)
class Alert:
    """Something to do when a metric passes a threshold while a model is trained (`Alert`)."""

    metric: str
    """"membership_inference_attack_success", "identical_match_share", "loss", "validation",
    "gradient_norm", or the name of another loss of the trainer."""
    threshold: float
    below: bool = False
    """Passed by values below rather than above."""
    action: AlertAction | str = AlertAction.NOTIFY

    def __post_init__(self) -> None:
        object.__setattr__(self, "action", _member(AlertAction, self.action, "action"))

    @classmethod
    def parse(cls, text: str) -> Alert:
        """An alert such as "membership_inference_attack_success>0.6:stop_training"; the action is
        "notify" when left out.

        Raises:
            ValueError: it does not have this form.
        """
        found = _ALERT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no alert; such as loss<0.01:notify or loss>100:stop_training")
        metric, sign, threshold, action = found.groups()
        return cls(metric, float(threshold), sign == "<", action or AlertAction.NOTIFY)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ALERT = re.compile(rf"\s*([^\s<>:]+)\s*([<>])\s*({_NUMBER})\s*(?::\s*(\w+)\s*)?")


@dataclass(frozen=True)
class ReleaseRule:
    """One thing that is asked of every model (`ReleaseRule`)."""

    metric: str
    kind: RuleKind | str
    threshold: float
    effect: RuleEffect | str
    statistic: RuleStatistic | str = RuleStatistic.VALUE
    reference: RuleReference | str = RuleReference.ABSOLUTE
    below: bool = False
    """Broken by values below rather than above."""

    def __post_init__(self) -> None:
        for name, kind in _RULE_ENUMS.items():
            object.__setattr__(self, name, _member(kind, getattr(self, name), name))

    def __str__(self) -> str:
        of = {"lower": "lower end of ", "upper": "upper end of "}.get(str(self.statistic), "")
        to = {"difference": " - real rows", "ratio": " / real rows"}.get(str(self.reference), "")
        sign = "<" if self.below else ">"
        return f"{of}{self.metric}{to} {sign} {self.threshold:g}"


_RULE_ENUMS: Mapping[str, type[StrEnum]] = {
    "kind": RuleKind,
    "effect": RuleEffect,
    "statistic": RuleStatistic,
    "reference": RuleReference,
}


@dataclass(frozen=True)
class ReleasePolicy:
    """What a tenant asks of models before their rows may leave (`ReleasePolicy`)."""

    rules: Sequence[ReleaseRule]
    min_holdout_patients: int = 100
    """With fewer patients held out, attacks say nothing: INCONCLUSIVE."""
    require_report: bool = False
    """A model without a report is LOCKED rather than INCONCLUSIVE."""
    lock_inconclusive: bool = False
    """An INCONCLUSIVE model is LOCKED."""
    etag: str = ""
    """Of the policy that an update replaces; empty for any."""
    update_time: datetime | None = None
    """None for the server's defaults."""
    updated_by: str = ""

    @classmethod
    def from_json(cls, value: Any) -> ReleasePolicy:
        """A policy as `kohort policy show --json` writes it; when and by whom it was changed is not read.

        Raises:
            ValueError: something is missing or unknown; says where.
            TypeError: something is of another type.
        """
        told = _object(value, cls, "the policy", required={"rules"})
        told = {k: v for k, v in told.items() if k not in ("update_time", "updated_by")}
        rules = told.pop("rules")
        if not isinstance(rules, list):
            raise TypeError("rules must be a list")
        needed = {"metric", "kind", "threshold", "effect"}
        read = []
        for place, rule in enumerate(rules):
            try:
                read.append(ReleaseRule(**_object(rule, ReleaseRule, "a rule", required=needed)))
            except (ValueError, TypeError) as error:
                raise type(error)(f"rules[{place}]: {error}") from None
        return cls(tuple(read), **told)


@dataclass(frozen=True)
class BrokenRule:
    """A broken rule (`BrokenRule`)."""

    rule: ReleaseRule
    where: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """What a policy makes of a report (`Verdict`)."""

    state: ReleaseState
    privacy: tuple[BrokenRule, ...]
    """Broken rules that guard patients."""
    quality: tuple[BrokenRule, ...]
    """Broken rules that guard quality."""
    inconclusive: str
    """Why nothing is known; empty where something is."""

    @property
    def broken(self) -> tuple[BrokenRule, ...]:
        """All broken rules, those that guard patients first."""
        return self.privacy + self.quality


@dataclass(frozen=True)
class ReleaseOverride:
    """A custodian's decision (`ReleaseOverride`)."""

    state: ReleaseState
    reason: str
    principal: str
    time: datetime | None


@dataclass(frozen=True)
class Release:
    """Whether what a model makes may leave, and why (`Release`)."""

    state: ReleaseState
    """In force: the verdict's, or the override's."""
    verdict: Verdict
    report: str
    """The newest report of the model; empty where there is none."""
    override: ReleaseOverride | None


def _member(kind: type[E], value: Any, name: str) -> E:
    """The value as one of its enum. Raises ValueError naming those that there are."""
    try:
        return kind(value.lower() if isinstance(value, str) else value)
    except ValueError:
        known = ", ".join(list(kind)[1:])
        raise ValueError(f"{name} is none of {known}") from None


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "float": ((int, float), "a number"),
    "int": ((int,), "a whole number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
}


def _object(value: Any, kind: type[Any], what: str, *, required: set[str]) -> dict[str, Any]:
    """The fields of a JSON object that is to become a `kind`, of the types that its fields have."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be an object")
    types = {f.name: str(f.type).rpartition(" | ")[2] for f in fields(kind)}
    for name in sorted(required - set(value)):
        raise ValueError(f"{name} is missing")
    for name, given in value.items():
        if name not in types:
            raise ValueError(f"{name} is unknown; known are {', '.join(types)}")
        allowed, said = _TYPES.get(types[name], ((object,), ""))
        # Python counts truth values among the whole numbers.
        if not isinstance(given, allowed) or (isinstance(given, bool) and types[name] in ("int", "float")):
            raise TypeError(f"{name} must be {said}")
    return dict(value)
