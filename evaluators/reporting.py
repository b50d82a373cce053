"""A report as JSON: that of the message `Report` in evaluation.proto.

proto3's JSON mapping with field names as in the protos, enum values by their
full names, bytes in base64; what is unset or empty is left out. The page is
made of this dict alone, and so is what the server stores.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evaluators.gate import Broken, Verdict
from evaluators.results import FORMAT, Family, Figure, FigureKind, Series
from evaluators.run import Evaluation, versions
from evaluators.summary import limits, sentences

_ABOUT = (
    "name",
    "model",
    "synthetic_dataset",
    "dataset",
    "holdout_dataset",
    "job",
    "display_name",
    "labels",
)
_LONG = ("definitions", "metrics", "figures")
_MOST_POINTS = 400
"""Of a loss curve: as many as a picture can show."""


def report_json(evaluation: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """The report.

    Args:
        evaluation: what was computed.
        about: what the evaluation does not know of itself: name, model,
            synthetic_dataset, dataset, holdout_dataset, job, display_name,
            labels, create_time (an aware datetime or RFC 3339 text),
            content_digest (bytes or base64), and `losses`: a list of
            {"step": 1, "loss": 0.5, …}, which becomes the figure
            "training:losses" ("training:gradient_norm" where it is in them).
            Empty and None values are the same as absent ones.

    Raises:
        ValueError: `about` holds something else.
    """
    if strange := set(about) - {*_ABOUT, "create_time", "content_digest", "losses"}:
        raise ValueError(f"a report says nothing about {', '.join(sorted(strange))}")
    figures = [*_training(about.get("losses") or ()), *evaluation.figures]
    report = {
        "format": FORMAT,
        **{key: about.get(key) for key in _ABOUT},
        "create_time": _time(about.get("create_time")),
        "options": _options(evaluation),
        "counts": dict(evaluation.counts),
        "summary": list(sentences(evaluation)),
        "verdict": verdict_json(evaluation.verdict),
        "limits": list(limits(evaluation)),
        "definitions": [info.to_json() for info in evaluation.definitions.values()],
        "metrics": [metric.to_json() for metric in evaluation.metrics],
        "figures": [figure.to_json() for figure in figures],
        "left_out": [one.to_json() for one in evaluation.left_out],
        "duration": f"{evaluation.seconds:.3f}s",
        "content_digest": _base64(about.get("content_digest")),
        "versions": versions(),
    }
    return {key: value for key, value in report.items() if value not in (None, "", [], {})}


def overview(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report without definitions, metrics and figures: what lists of reports show."""
    return {key: value for key, value in report.items() if key not in _LONG}


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The message `Verdict`."""
    return {
        "state": f"RELEASE_STATE_{verdict.state.name}",
        "privacy": [_broken(one) for one in verdict.privacy],
        "quality": [_broken(one) for one in verdict.quality],
        "inconclusive": verdict.inconclusive,
    }


def _broken(broken: Broken) -> dict[str, Any]:
    rule = broken.rule
    return {
        "rule": {
            "metric": rule.metric,
            "kind": f"RULE_KIND_{rule.kind.name}",
            "statistic": f"RULE_STATISTIC_{rule.statistic.name}",
            "reference": f"RULE_REFERENCE_{rule.reference.name}",
            "threshold": rule.threshold,
            "below": rule.below,
            "effect": f"RULE_EFFECT_{rule.effect.name}",
        },
        "where": broken.where,
        "message": broken.message,
    }


def _options(evaluation: Evaluation) -> dict[str, Any]:
    roles, options = evaluation.roles, evaluation.options
    return {
        "profile": f"EVALUATION_PROFILE_{options.profile.name}",
        "targets": list(roles.targets),
        "quasi_identifiers": list(roles.quasi_identifiers),
        "sensitive": list(roles.sensitive),
        "protected": list(roles.protected),
        "seed": str(options.seed),  # as text: an int64 may be beyond what a double holds
        "time_budget": f"{options.budget:.3f}s",
    }


def _training(losses: Sequence[Mapping[str, float]]) -> list[Figure]:
    """Curves of what training said; the gradient's norm has a scale of its own."""
    every = max(1, math.ceil(len(losses) / _MOST_POINTS))
    kept = [one for at, one in enumerate(losses) if at % every == 0 or at == len(losses) - 1]
    names = [name for name in dict.fromkeys(key for one in kept for key in one) if name != "step"]
    parts = {
        "losses": ("Losses while training", [name for name in names if name != "gradient_norm"]),
        "gradient_norm": ("Norm of the gradient while training", [n for n in names if n == "gradient_norm"]),
    }
    return [
        Figure(
            name=f"training:{part}",
            family=Family.FIDELITY,
            title=title,
            kind=FigureKind.LINES,
            series=tuple(_curve(name, kept) for name in chosen),
            x_label="Epoch",
            y_label="",
        )
        for part, (title, chosen) in parts.items()
        if chosen
    ]


def _curve(name: str, losses: Sequence[Mapping[str, float]]) -> Series:
    points = [(float(one["step"]), float(one[name])) for one in losses if name in one]
    return Series(name, y=[y for _, y in points], x=[x for x, _ in points])


def _time(value: datetime | str | None) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def _base64(value: bytes | str | None) -> str | None:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
