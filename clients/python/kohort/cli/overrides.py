"""Changes to a schema, as options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from kohort.cli.arguments import labels
from kohort.fakes import FAKES
from kohort.schema import ColumnOverride, Handling, Kind, SchemaOverrides

Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="<column>", help="Leave this column out; may be repeated."),
]
Acknowledge = Annotated[
    list[str] | None,
    typer.Option(
        "--acknowledge",
        metavar="<column>",
        help="State that this column identifies nobody, though it looks like it; may be repeated.",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", metavar="<column=kind>", help="What a column is, such as ward=category; may be repeated."
    ),
]
Fakes = Annotated[
    list[str] | None,
    typer.Option(
        "--fake",
        metavar="<column=kind>",
        help="Do not learn this column, emit fresh fakes, such as contact=email; may be repeated.",
    ),
]


def overrides(
    table: str,
    drop: Iterable[str] | None,
    acknowledge: Iterable[str] | None,
    kinds: Iterable[str] | None,
    fakes: Iterable[str] | None = None,
) -> SchemaOverrides | None:
    """The changes, None when there are none. Raises BadParameter for an unknown kind."""
    dropped, acknowledged, chosen = set(drop or ()), set(acknowledge or ()), labels(kinds)
    faked = labels(fakes)
    for fake in faked.values():
        if fake not in FAKES:
            raise typer.BadParameter(f"{fake!r} is no kind of fakes; kinds are {', '.join(FAKES)}")
    for kind in chosen.values():
        if kind not in set(Kind):
            raise typer.BadParameter(f"{kind!r} is no kind; kinds are {', '.join(list(Kind)[1:])}")
    columns = [*dict.fromkeys([*(drop or ()), *(acknowledge or ()), *chosen, *faked])]
    if not columns:
        return None
    return SchemaOverrides(
        tuple(
            ColumnOverride(
                column=column,
                table=table,
                kind=Kind(chosen.get(column, "unspecified")),
                handling=Handling.DROP if column in dropped else Handling.UNSPECIFIED,
                acknowledge_identifier=column in acknowledged,
                fake=faked.get(column, ""),
            )
            for column in columns
        )
    )
