"""The command that evaluates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kohort.cli.arguments import Labels, Name, labels
from kohort.cli.evaluating import Budget, Protected, Quasi, Sensitive, Targets, evaluation_options
from kohort.cli.failures import REFUSED
from kohort.cli.jobs import check_ended, follow
from kohort.cli.reports import Outputs, check_outputs, store
from kohort.cli.show import err, show_job, write_json
from kohort.cli.showreport import show_report
from kohort.cli.state import STATE
from kohort.release import ReleaseState
from kohort.resources import JobState

if TYPE_CHECKING:
    from kohort.client import Client

Rows = Annotated[str | None, typer.Option(metavar="<rows>", help="datasets/..., or a file to upload first.")]


def evaluate(
    model: Annotated[str | None, typer.Argument(help="models/...; or give --synthetic and --real.")] = None,
    synthetic: Rows = None,
    real: Rows = None,
    holdout: Rows = None,
    profile: Annotated[
        str | None, typer.Option(metavar="<profile>", help="How much: standard or full; else the default.")
    ] = None,
    target: Targets = None,
    quasi: Quasi = None,
    sensitive: Sensitive = None,
    protected: Protected = None,
    seed: Annotated[int | None, typer.Option(help="Fixes every draw.")] = None,
    time_budget: Budget = None,
    table: Annotated[str, typer.Option(help="The name of tables to upload.")] = "table",
    subject_key: Annotated[
        str, typer.Option(help="The column that identifies the patient, of real rows to upload.")
    ] = "",
    name: Name = "",
    label: Labels = None,
    output: Outputs = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for the report.")] = False,
    fail_if_locked: Annotated[
        bool, typer.Option("--fail-if-locked", help="Exit with 3 when the verdict is LOCKED.")
    ] = False,
) -> None:
    """Measure a model, or rows made elsewhere, against real patients and those held out.

    --synthetic are rows made elsewhere, --real what they were made from, --holdout patients whom
    their generator never saw. A model that was trained on the server needs none of these.
    """
    if (model is None) == (synthetic is None):
        raise typer.BadParameter("name a model, or give --synthetic and --real")
    if synthetic is not None and real is None:
        raise typer.BadParameter("--synthetic is compared with --real")
    for text in (synthetic, real, holdout):
        _check_rows(text)
    check_outputs(output)
    options = evaluation_options(profile, target, quasi, sensitive, protected, seed, time_budget)
    with STATE.connect() as client:
        with err.status("starting the evaluation"):
            job = client.start_evaluation(
                model,
                synthetic=synthetic,
                dataset=real,
                holdout=holdout,
                options=options,
                table=table,
                subject_key=subject_key,
                display_name=name,
                labels=labels(label),
            )
        if detach:
            write_json(job.info) if STATE.json else show_job(job.info)
            return
        follow(job)
        if STATE.json and job.state is not JobState.SUCCEEDED:
            write_json(job.info)
        check_ended(job)
        _tell(client, job.info.report, output, fail_if_locked=fail_if_locked)


def _tell(client: Client, name: str, output: list[Path] | None, *, fail_if_locked: bool) -> None:
    report = client.report(name)
    if STATE.json:
        write_json(report.info)
    else:
        show_report(report.info)
    for path in output or ():
        store(report, path)
        if not STATE.json:
            err.print(f"wrote {path}", markup=False, highlight=False)
    if fail_if_locked and report.verdict.state is ReleaseState.LOCKED:
        raise typer.Exit(REFUSED)


def _check_rows(text: str | None) -> None:
    if text is not None and not text.startswith("datasets/") and not Path(text).is_file():
        raise typer.BadParameter(f"{text} is neither a file nor of the form datasets/...")


COMMANDS: Mapping[str, Callable[..., None]] = {"evaluate": evaluate}
