"""Commands about jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kohort.cli.arguments import Labels, Name, Parameters, labels, parameters
from kohort.cli.data import SubjectKey, Table
from kohort.cli.evaluating import (
    Alerts,
    Budget,
    Protected,
    Quasi,
    Sensitive,
    Targets,
    alerts,
    evaluation_options,
)
from kohort.cli.overrides import Acknowledge, Constraints, Drop, Fakes, Kinds, overrides
from kohort.cli.show import err, out, show_findings, show_job, show_table, write_json
from kohort.cli.showreport import show_verdict
from kohort.cli.state import STATE
from kohort.errors import JobCancelled, JobFailed
from kohort.progress import headline, rich_view, steps
from kohort.release import EvaluationOptions
from kohort.resources import JobInfo, JobState
from kohort.schema import Finding

if TYPE_CHECKING:
    from kohort.client import Client
    from kohort.job import Job

_STATES = ", ".join(list(JobState)[1:])
JobName = Annotated[str, typer.Argument(help="jobs/...")]


def train(
    data: Annotated[str, typer.Argument(help="datasets/..., or a file to upload first.")],
    trainer: Annotated[
        str | None, typer.Option("--trainer", "-t", help="A trainer of `capabilities`; else the default.")
    ] = None,
    param: Parameters = None,
    seed: Annotated[int | None, typer.Option(help="Makes training repeatable on one machine.")] = None,
    table: Table = "table",
    subject_key: SubjectKey = "",
    drop: Drop = None,
    acknowledge: Acknowledge = None,
    kind: Kinds = None,
    fake: Fakes = None,
    constraint: Constraints = None,
    min_patients: Annotated[
        int | None, typer.Option(help="Values that fewer patients share are never learned as such.")
    ] = None,
    weight_patients_equally: Annotated[
        bool,
        typer.Option(
            "--weight-patients-equally", help="Let every patient count the same, whatever their rows."
        ),
    ] = False,
    holdout: Annotated[float | None, typer.Option(help="The share of patients kept for evaluation.")] = None,
    device: Annotated[str, typer.Option(help="A device kind or slot, such as cuda or cpu:1.")] = "",
    max_runtime: Annotated[float | None, typer.Option(help="Seconds that the job may run.")] = None,
    evaluation: Annotated[
        str | None,
        typer.Option(metavar="<profile>", help="How the model is evaluated: none, standard or full."),
    ] = None,
    target: Targets = None,
    quasi: Quasi = None,
    sensitive: Sensitive = None,
    protected: Protected = None,
    time_budget: Budget = None,
    alert: Alerts = None,
    name: Name = "",
    label: Labels = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for the job.")] = False,
) -> None:
    """Train a generator, with a live bar."""
    said = evaluation_options(evaluation, target, quasi, sensitive, protected, budget=time_budget)
    watched = alerts(alert)
    with STATE.connect() as client:
        dataset = data
        if not data.startswith("datasets/"):
            path = Path(data)
            if not path.exists():
                raise typer.BadParameter(f"{data} is neither a file nor of the form datasets/...")
            with err.status(f"uploading {path.name}"):
                uploaded = client.upload(path, table=table, subject_key=subject_key, display_name=name)
            show_findings(() if STATE.json else uploaded.findings)
            dataset = uploaded.name
        job = client.train(
            dataset,
            trainer,
            parameters=parameters(param),
            seed=seed,
            overrides=overrides("", drop, acknowledge, kind, fake, constraint),
            min_patients=min_patients,
            weight_patients_equally=weight_patients_equally,
            holdout=holdout,
            device=device,
            max_runtime=max_runtime,
            evaluation=None if said == EvaluationOptions() else said,
            alerts=watched,
            display_name=name,
            labels=labels(label),
        )
        if detach:
            _answer(job.info)
        else:
            _tell(job)
            _release(client, job.info)


def watch(
    job: JobName,
    after: Annotated[int, typer.Option(help="With --json: events after this sequence.")] = 0,
) -> None:
    """Follow a job until it is over; with --json, one event on each line, then the job."""
    with STATE.connect() as client:
        _tell(client.job(job), after)


def _tell(job: Job, after: int = 0) -> None:
    """Shows a job until it is over, and how it ended. Raises JobFailed, JobCancelled."""
    follow(job, after)
    if STATE.json or job.state is JobState.SUCCEEDED:
        _answer(job.info)
    check_ended(job)


def follow(job: Job, after: int = 0) -> None:
    """Shows a job until it is over: live, or with --json one event on each line."""
    if STATE.json:
        for event in job.events(after_sequence=after):
            write_json(event)
        job.refresh()
    else:
        with _view(job) as show:
            findings = _events(job, show)
        show_findings(findings)


def check_ended(job: Job) -> None:
    """Raises JobFailed, JobCancelled for a job that ended so."""
    if job.state is JobState.FAILED:
        raise JobFailed(job.info)
    if job.state is JobState.CANCELLED:
        raise JobCancelled(job.info)


def _events(job: Job, show: Callable[[JobInfo], None]) -> list[Finding]:
    """Shows the job at each event until it is over. Returns what a person should look at."""
    findings: dict[Finding, None] = {}  # a second attempt finds the same again
    for event in job.events():
        if isinstance(event.detail, Finding):
            findings[event.detail] = None
        show(job.info)
    show(job.refresh())
    return list(findings)


@contextmanager
def _view(job: Job) -> Iterator[Callable[[JobInfo], None]]:
    """A live bar on a terminal; for a log each phase once."""
    if err.is_terminal:
        out.print(job.name, highlight=False)
        with rich_view(err) as view:
            yield view
        return
    last = ""

    def tell(info: JobInfo) -> None:
        nonlocal last
        line = f"{info.name}: {headline(info)}"
        if line != last:
            last = line
            err.print(line, markup=False, highlight=False)

    yield tell


def _release(client: Client, job: JobInfo) -> None:
    """Says whether the rows of a model that was trained and evaluated may leave."""
    if job.report and not STATE.json:
        release = client.model(job.model).info.release
        if release is not None:
            show_verdict(release.verdict, release.state)


def _answer(job: JobInfo) -> None:
    if STATE.json:
        write_json(job)
    else:
        show_job(job)


def jobs(
    state: Annotated[
        list[JobState] | None,
        typer.Option(
            "--state", metavar="<state>", help=f"Only jobs in this state: {_STATES}; may be repeated."
        ),
    ] = None,
) -> None:
    """List the jobs, newest first."""
    with STATE.connect() as client:
        found = [j.info for j in client.jobs(state or ())]
    if STATE.json:
        write_json(found)
        return
    show_table(
        ("job", "name", "kind", "trainer", "state", "steps", "created", "model", "report"),
        (
            (
                j.name,
                j.display_name,
                j.kind,
                j.trainer,
                headline(j),
                steps(j),
                j.create_time,
                j.model,
                j.report,
            )
            for j in found
        ),
    )


def cancel(
    job: JobName,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is over.")] = False,
) -> None:
    """Stop a job; safe to repeat."""
    with STATE.connect() as client:
        handle = client.job(job)
        handle.cancel()
        if wait:
            handle.wait()
        _answer(handle.info)


COMMANDS: Mapping[str, Callable[..., None]] = {"train": train, "watch": watch, "jobs": jobs, "cancel": cancel}
