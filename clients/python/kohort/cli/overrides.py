"""Changes to a schema, as options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from kohort.cli.arguments import labels
from kohort.fakes import FAKES
from kohort.rules import RULES, Constraint, constraint_from_json
from kohort.schema import ColumnOverride, Handling, Kind, SchemaOverrides, TableOverride

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

Constraints = Annotated[
    list[str] | None,
    typer.Option(
        "--constraint",
        metavar="<json>",
        help='A rule that every row keeps, such as \'{"order": {"low": "start", "high": "end"}}\', '
        "or @file with a list of them; may be repeated.",
    ),
]


def overrides(
    table: str,
    drop: Iterable[str] | None,
    acknowledge: Iterable[str] | None,
    kinds: Iterable[str] | None,
    fakes: Iterable[str] | None = None,
    rules: Iterable[str] | None = None,
) -> SchemaOverrides | None:
    """The changes, None when there are none. Raises BadParameter for an unknown kind or rule."""
    dropped, acknowledged, chosen = set(drop or ()), set(acknowledge or ()), labels(kinds)
    faked = labels(fakes)
    for fake in faked.values():
        if fake not in FAKES:
            raise typer.BadParameter(f"{fake!r} is no kind of fakes; kinds are {', '.join(FAKES)}")
    for kind in chosen.values():
        if kind not in set(Kind):
            raise typer.BadParameter(f"{kind!r} is no kind; kinds are {', '.join(list(Kind)[1:])}")
    columns = [*dict.fromkeys([*(drop or ()), *(acknowledge or ()), *chosen, *faked])]
    constraints = tuple(rule for text in rules or () for rule in _constraints(text))
    if not columns and not constraints:
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
        ),
        (TableOverride(table, constraints=constraints),) if constraints else (),
    )


def _constraints(text: str) -> Iterator[Constraint]:
    try:
        value = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
        yield from map(constraint_from_json, value if isinstance(value, list) else [value])
    except OSError:
        raise typer.BadParameter(f"{text[1:]} cannot be read") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise typer.BadParameter(
            f'not a constraint; such as {{"range": {{"column": "age", "maximum": "120"}}}}, '
            f"with one of {', '.join(RULES)}"
        ) from None
