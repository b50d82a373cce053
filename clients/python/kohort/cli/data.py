"""Commands about datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from kohort.cli.arguments import Labels, Name, labels
from kohort.cli.overrides import Acknowledge, Constraints, Drop, Fakes, Kinds, overrides
from kohort.cli.show import err, out, show_findings, show_schema, show_table, write_json
from kohort.cli.state import STATE

Table = Annotated[str, typer.Option(help="The table's name.")]
SubjectKey = Annotated[str, typer.Option(help="The column that identifies the patient.")]


def upload(
    file: Annotated[
        Path, typer.Argument(help="A .csv, .parquet or .xlsx file.", exists=True, dir_okay=False)
    ],
    table: Table = "table",
    subject_key: SubjectKey = "",
    name: Name = "",
    label: Labels = None,
    expires_days: Annotated[float | None, typer.Option(help="Delete the rows after so many days.")] = None,
    delete_after_training: Annotated[
        bool, typer.Option("--delete-after-training", help="Delete the rows once a model is trained.")
    ] = False,
) -> None:
    """Hand a table in, and see what the server makes of its columns."""
    with STATE.connect() as client, err.status(f"uploading {file.name}"):
        dataset = client.upload(
            file,
            table=table,
            subject_key=subject_key,
            display_name=name,
            labels=labels(label),
            expires_in=None if expires_days is None else timedelta(days=expires_days),
            delete_after_training=delete_after_training,
        )
    if STATE.json:
        write_json(dataset.info)
        return
    out.print(dataset.name, highlight=False)
    show_schema(dataset.schema)
    show_findings(dataset.findings)


def infer(
    dataset: Annotated[str, typer.Argument(help="datasets/...")],
    drop: Drop = None,
    acknowledge: Acknowledge = None,
    kind: Kinds = None,
    fake: Fakes = None,
    constraint: Constraints = None,
    table: Table = "",
) -> None:
    """Show the schema that training would use, with these changes."""
    with STATE.connect() as client:
        found = client.infer_schema(dataset, overrides(table, drop, acknowledge, kind, fake, constraint))
    if STATE.json:
        write_json(found)
        return
    show_schema(found.schema)
    show_findings(found.findings)


def datasets() -> None:
    """List the datasets, newest first."""
    with STATE.connect() as client:
        found = [d.info for d in client.datasets()]
    if STATE.json:
        write_json(found)
        return
    show_table(
        ("dataset", "name", "rows", "created", "expires", "deleted"),
        (
            (
                d.name,
                d.display_name,
                sum(d.row_counts.values()),
                d.create_time,
                d.expire_time,
                d.delete_time,
            )
            for d in found
        ),
    )


def delete(
    name: Annotated[str, typer.Argument(help="datasets/..., models/... or reports/...")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a dataset's rows, a model or a report, for good."""
    if not name.startswith(("datasets/", "models/", "reports/")):
        raise typer.BadParameter("the name begins with datasets/, models/ or reports/")
    if not yes and not STATE.json:
        typer.confirm(f"Delete {name} for good?", abort=True, err=True)
    models: tuple[str, ...] = ()
    with STATE.connect() as client:
        if name.startswith("datasets/"):
            models = client.delete_dataset(name)
        elif name.startswith("reports/"):
            client.delete_report(name)
        else:
            client.delete_model(name)
    if STATE.json:
        write_json({"deleted": name, "models": models})
        return
    out.print(f"deleted {name}", highlight=False)
    if models:
        out.print("These models were made from it and count as personal data too:", highlight=False)
        for model in models:
            out.print(f"  {model}", highlight=False)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "upload": upload,
    "infer": infer,
    "datasets": datasets,
    "delete": delete,
}
