"""Commands about what may leave: the policy, and the release of one model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from kohort.cli.show import write_json
from kohort.cli.showreport import show_policy, show_release
from kohort.cli.state import STATE
from kohort.release import ReleasePolicy

_STATES = {"open": "open", "warn": "open_with_warning", "lock": "locked", "none": None}

policy = typer.Typer(
    help="What is asked of models before their rows may leave. Changes need the role custodian.",
    no_args_is_help=True,
)


@policy.command()
def show() -> None:
    """Show the policy; with --json as a file that `policy set` takes."""
    with STATE.connect() as client:
        _answer(client.release_policy())


@policy.command("set")
def set_policy(
    file: Annotated[
        Path, typer.Argument(help="A .json or .yaml file, as `policy show --json` writes it.", dir_okay=False)
    ],
) -> None:
    """Replace the policy. It applies to every model at once, by the reports that there are.

    Where the file has an etag, only if nobody changed the policy since it was read.
    """
    try:
        read = ReleasePolicy.from_json(_read(file))
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    with STATE.connect() as client:
        _answer(client.update_release_policy(read))


@policy.command()
def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Take the server's defaults."""
    if not yes and not STATE.json:
        typer.confirm("Give the policy up for the server's defaults?", abort=True, err=True)
    with STATE.connect() as client:
        _answer(client.update_release_policy(None))


def _answer(found: ReleasePolicy) -> None:
    if STATE.json:
        write_json(found)
    else:
        show_policy(found)


def _read(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.suffix.lower() not in (".yaml", ".yml"):
        return json.loads(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def release(
    model: Annotated[str, typer.Argument(help="models/...")],
    override: Annotated[
        str | None,
        typer.Option(
            metavar="<state>", help="Decide otherwise: open, warn or lock; none takes a decision back."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with your name and the time.")] = "",
) -> None:
    """Show whether what a model makes may leave, and why; or decide otherwise, as a custodian."""
    if override is not None and override not in _STATES:
        raise typer.BadParameter(f"{override!r} is none of {', '.join(_STATES)}")
    if override is not None and not reason.strip():
        raise typer.BadParameter("--override needs a --reason")
    if override is None and reason:
        raise typer.BadParameter("--reason goes with --override")
    with STATE.connect() as client:
        if override is not None:
            found = client.override_release(model, _STATES[override], reason)
        else:
            told = client.model(model).info.release
            if told is None:
                raise typer.BadParameter("the server does not say: it is older than this command")
            found = told
    if STATE.json:
        write_json(found)
    else:
        show_release(model, found)


COMMANDS: Mapping[str, Callable[..., None]] = {"release": release}
