"""The parts of an evaluation, in the order in which they are computed: what decides a release comes first."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module

from evaluators.case import Evaluator
from evaluators.results import MetricInfo

_MODULES = (
    "privacy.neighbours",
    "privacy.membership",
    "privacy.attributes",
    "privacy.disclosure",
    "fidelity.marginals",
    "fidelity.pairs",
    "fidelity.detection",
    "utility.transfer",
    "fidelity.statistics",
    "fidelity.plausibility",
    "fidelity.manifold",
    "fidelity.kernel",
    "fairness.groups",
    "utility.importance",
    "privacy.anonymity",
    "privacy.reidentification",
    "privacy.cehr",
    "utility.augmentation",
    "privacy.shadow",
)
"""Each has `EVALUATORS`, a tuple of `Evaluator`."""


@cache
def evaluators() -> tuple[Evaluator, ...]:
    """Every part."""
    return tuple(part for name in _MODULES for part in import_module(f"evaluators.{name}").EVALUATORS)


def definitions(parts: Iterable[Evaluator] | None = None) -> dict[str, MetricInfo]:
    """What metrics mean, by name.

    Raises:
        ValueError: two parts define one name differently.
    """
    found: dict[str, MetricInfo] = {}
    for part in evaluators() if parts is None else parts:
        for info in part.metrics:
            if found.setdefault(info.name, info) != info:
                raise ValueError(f"{info.name} is defined twice")
    return found
