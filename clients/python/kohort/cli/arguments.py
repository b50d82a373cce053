"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

Name = Annotated[str, typer.Option("--name", help="A name for people.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="<key=value>", help="For programs; may be repeated.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="<name=value>",
        help="A parameter of the trainer, such as epochs=50; may be repeated.",
    ),
]


def labels(given: Iterable[str] | None) -> dict[str, str]:
    """key=value pairs."""
    return dict(_pair(text) for text in given or ())


def parameters(given: Iterable[str] | None) -> dict[str, Any]:
    """name=value pairs; values are JSON where they are, else text: 50, 0.5, true, [256,256], adam."""
    return {name: _value(text) for name, text in map(_pair, given or ())}


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise typer.BadParameter(f"{text!r} is not of the form name=value")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
