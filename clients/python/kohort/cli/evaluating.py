"""Options that say how to evaluate and what to watch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import typer

from kohort.release import Alert, EvaluationOptions, EvaluationProfile

Alerts = Annotated[
    list[str] | None,
    typer.Option(
        "--alert",
        metavar="<alert>",
        help="What to watch while fitting, such as membership_inference_attack_success>0.6:stop_training "
        "or loss<0.01:notify; may be repeated.",
    ),
]
PROFILES = ", ".join(list(EvaluationProfile)[1:])
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="<column>", help="What predictions are made of; may be repeated."),
]
Quasi = Annotated[
    list[str] | None,
    typer.Option("--quasi", metavar="<column>", help="What an attacker knows of a patient; may be repeated."),
]
Sensitive = Annotated[
    list[str] | None,
    typer.Option("--sensitive", metavar="<column>", help="What an attacker wants to know; may be repeated."),
]
Protected = Annotated[
    list[str] | None,
    typer.Option(
        "--protected",
        metavar="<column>",
        help="Makes the groups whose fairness is looked at, such as sex; may be repeated.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option("--time-budget", metavar="<time>", help="How long it may take: 90s, 10m, 1h; or seconds."),
]
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def evaluation_options(
    profile: str | None,
    targets: Iterable[str] | None = None,
    quasi: Iterable[str] | None = None,
    sensitive: Iterable[str] | None = None,
    protected: Iterable[str] | None = None,
    seed: int | None = None,
    budget: str | None = None,
) -> EvaluationOptions:
    """Options of an evaluation. Raises BadParameter for an unknown profile or length of time."""
    if profile is not None and profile not in list(EvaluationProfile)[1:]:
        raise typer.BadParameter(f"{profile!r} is no profile; profiles are {PROFILES}")
    return EvaluationOptions(
        profile or "unspecified",
        tuple(targets or ()),
        tuple(quasi or ()),
        tuple(sensitive or ()),
        tuple(protected or ()),
        seed,
        None if budget is None else _span(budget),
    )


def _span(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smh]?)", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no length of time, such as 90s, 10m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def alerts(given: Iterable[str] | None) -> list[Alert]:
    """Alerts by their texts. Raises BadParameter for one that is none."""
    try:
        return [Alert.parse(text) for text in given or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
