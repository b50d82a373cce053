"""Options that say what the rows of a sample are to be like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kohort.conditions import Condition
    from kohort.wishes import Limits

MAX_ATTEMPTS = 1000
DEFAULT_UNITS = 1000
"""That of `kohort.spec`, said again so that `--help` need not import numpy; a test compares them."""

Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<column=...>",
        help="What every row satisfies: sex=F, smoker=yes,former, age=60..80, age=60.. or a JSON list "
        'of values, smoker=["yes, daily"]; may be repeated.',
    ),
]
Null = Annotated[
    list[str] | None, typer.Option("--null", metavar="<column>", help="The column is null; may be repeated.")
]
NotNull = Annotated[
    list[str] | None,
    typer.Option("--not-null", metavar="<column>", help="The column is not null; may be repeated."),
]
Rebalance = Annotated[
    str | None,
    typer.Option(
        metavar="<column=value:share,...>", help="Shares of one column's values, such as outcome=1:0.5,0:0.5."
    ),
]
Temperature = Annotated[
    float, typer.Option(help="Above 1 flattens what is drawn from, below 1 sharpens it.", min=0.1, max=5)
]
TopP = Annotated[
    float, typer.Option("--top-p", help="Draw from the fewest values with this probability.", max=1)
]
Attempts = Annotated[
    int, typer.Option(help="How often a row is drawn at most.", min=1, max=100_000, show_default=True)
]
Augment = Annotated[float | None, typer.Option(help="So many rows per training row, instead of a number.")]


def how_many(n: int | None, augment: float | None) -> int | None:
    """How many units n or --augment ask for; None: the latter says it. Raises BadParameter."""
    if augment is None:
        return n or DEFAULT_UNITS
    if n is not None:
        raise typer.BadParameter("say how many either by n or by --augment")
    return None


def limits(
    where: Iterable[str] | None,
    null: Iterable[str] | None,
    not_null: Iterable[str] | None,
    rebalance: str | None,
    temperature: float,
    top_p: float,
    max_attempts: int,
) -> Limits:
    """The options as the clients take them. Raises BadParameter."""
    from kohort.conditions import Condition

    conditions = [_condition(text) for text in where or ()]
    conditions += [Condition(column, is_null=True) for column in null or ()]
    conditions += [Condition(column, is_null=False) for column in not_null or ()]
    return {
        "conditions": conditions,
        "rebalance": _shares(rebalance) if rebalance else None,
        "temperature": temperature,
        "top_p": top_p,
        "max_attempts": max_attempts,
    }


def _condition(text: str) -> Condition:
    from kohort.conditions import Condition

    column, found, wanted = text.partition("=")
    if not found or not column:
        raise typer.BadParameter(f"{text!r} is not of the form column=value")
    # Classes such as [70-80) begin with a bracket as well; only what also ends with one is a list.
    if wanted.startswith("[") and wanted.endswith("]"):
        try:
            values = json.loads(wanted)
        except json.JSONDecodeError:
            values = None
        if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
            return Condition(column, one_of=tuple(values))
        hint = """write one that stands in brackets, or has a comma, as column=["[a]", "b, c"]"""
        raise typer.BadParameter(f"{column}: {wanted!r} is no JSON list of texts; {hint}")
    between = re.fullmatch(r"(.*?)\.\.(.*)", wanted)
    if between:
        low, high = between.groups()
        if not low and not high:
            raise typer.BadParameter(f"{column}: a range needs a bound")
        return Condition(column, minimum=low or None, maximum=high or None)
    return Condition(column, one_of=tuple(wanted.split(",")))


def _shares(text: str) -> dict[str | tuple[str, str], dict[str, float]]:
    column, found, parts = text.partition("=")
    shares: dict[str, float] = {}
    for part in parts.split(","):
        value, colon, share = part.rpartition(":")
        try:
            shares[value] = float(share)
        except ValueError:
            colon = ""
        if not found or not column or not colon:
            raise typer.BadParameter(f"{text!r} is not of the form column=value:share,value:share")
    return {column: shares}
