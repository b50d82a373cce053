"""Commands about reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kohort.cli.show import err, out, show_table, write_json
from kohort.cli.showreport import show_report
from kohort.cli.state import STATE

if TYPE_CHECKING:
    from kohort.report import Report

SUFFIXES = (".html", ".json")
ReportName = Annotated[str, typer.Argument(help="reports/...")]
Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "--out", "-o", help="Store the report as a .html or .json file; may be repeated."
    ),
]

app = typer.Typer(help="Look at evaluations. Needs the role custodian.", no_args_is_help=True)


def check_outputs(outputs: list[Path] | None) -> None:
    """Raises BadParameter for a file that cannot be written; before any work is done."""
    for path in outputs or ():
        if path.suffix.lower() not in SUFFIXES:
            raise typer.BadParameter(f"a report's file must end in {' or '.join(SUFFIXES)}")
        if not path.absolute().parent.is_dir():
            raise typer.BadParameter(f"there is no directory {path.parent}")


def store(report: Report, path: Path) -> None:
    """Stores a report as a file, in the format that its name means."""
    with err.status(f"downloading {report.name}"):
        report.download(path)


@app.command("list")
def list_reports(
    model: Annotated[str | None, typer.Option(help="Only those of this model.")] = None,
) -> None:
    """List the reports, newest first."""
    with STATE.connect() as client:
        found = [report.info for report in client.reports(model=model)]
    if STATE.json:
        write_json(found)
        return
    show_table(
        ("report", "name", "of", "profile", "verdict", "created"),
        (
            (
                r.name,
                r.display_name,
                r.model or r.synthetic_dataset,
                r.options.profile,
                r.verdict.state.upper(),
                r.create_time,
            )
            for r in found
        ),
    )


@app.command()
def show(
    name: ReportName,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Every metric, and what was not tested.")
    ] = False,
) -> None:
    """Show the summary, the verdict and the headline metrics of a report."""
    with STATE.connect() as client:
        found = client.report(name).info
    if STATE.json:
        write_json(found)
    else:
        show_report(found, everything=everything)


@app.command()
def download(
    name: ReportName,
    output: Outputs = None,
) -> None:
    """Store a report as a file: one page of HTML that needs nothing else, or JSON."""
    check_outputs(output)
    files = output or [Path(f"{name.rpartition('/')[2]}.html")]
    with STATE.connect() as client, err.status(f"downloading {name}"):
        for path in files:
            client.download_report(name, path)
    if STATE.json:
        write_json({"report": name, "files": [str(path) for path in files]})
        return
    for path in files:
        out.print(str(path), markup=False, highlight=False)


@app.command()
def delete(
    name: ReportName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a report; what it said of its model no longer counts."""
    if not yes and not STATE.json:
        typer.confirm(f"Delete {name} for good?", abort=True, err=True)
    with STATE.connect() as client:
        client.delete_report(name)
    if STATE.json:
        write_json({"deleted": name})
    else:
        out.print(f"deleted {name}", highlight=False)
