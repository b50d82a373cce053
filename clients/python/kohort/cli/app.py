"""The commands put together, and the options that all of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kohort.cli import data, evaluations, jobs, models, releases, reports
from kohort.cli.show import show_capabilities, write_json
from kohort.cli.state import STATE
from kohort.version import __version__

app = typer.Typer(
    name="kohort",
    help="Train generators of synthetic patients on a Kohort server, and sample from them.",
    epilog="Exit codes: 0 done, 1 defect or file, 2 usage, 3 refused, 4 not found, 5 not allowed, "
    "6 unreachable or busy, 7 job failed, 8 job cancelled, 9 altered or incomplete.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kohort {__version__}")
        raise typer.Exit


@app.callback()
def options(
    server: Annotated[
        str, typer.Option("--server", "-s", envvar="KOHORT_SERVER", help="host:port.")
    ] = "localhost:50051",
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the bearer token; KOHORT_TOKEN holds it as well.")
    ] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="By default TLS, except to this machine.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the authority that signed the server's.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM of this client's certificate (mTLS).")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM of its private key.")] = None,
    server_name: Annotated[str | None, typer.Option(help="The name in the server's certificate.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for each call, all tries together.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON, errors included.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of all commands."""
    STATE.server, STATE.token_file, STATE.tls, STATE.ca = server, token_file, tls, ca
    STATE.cert, STATE.key, STATE.server_name, STATE.timeout, STATE.json = (
        cert,
        key,
        server_name,
        timeout,
        json,
    )


@app.command()
def capabilities() -> None:
    """Show what the server can do: trainers, parameters, limits, devices, your roles."""
    with STATE.connect() as client:
        found = client.capabilities()
    if STATE.json:
        write_json(found)
    else:
        show_capabilities(found)


app.add_typer(reports.app, name="report")
app.add_typer(releases.policy, name="policy")
for commands in (
    data.COMMANDS,
    jobs.COMMANDS,
    models.COMMANDS,
    evaluations.COMMANDS,
    releases.COMMANDS,
):
    for name, command in commands.items():
        app.command(name)(command)
