"""Commands about models and bundles."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from kohort.cli.arguments import Labels, Name, labels
from kohort.cli.files import check_suffix, write_sample
from kohort.cli.limits import (
    MAX_ATTEMPTS,
    Attempts,
    Augment,
    NotNull,
    Null,
    Rebalance,
    Temperature,
    TopP,
    Where,
    how_many,
    limits,
)
from kohort.cli.show import err, out, show_findings, show_table, write_json
from kohort.cli.state import STATE
from kohort.release import ReleaseWarning

ModelName = Annotated[str, typer.Argument(help="models/...")]
OptionalUnits = Annotated[
    int | None, typer.Argument(help="How many patients or rows; 1000 unless --augment says it.", min=1)
]
Seed = Annotated[int | None, typer.Option(help="Makes the sample repeatable.")]
Start = Annotated[int, typer.Option(help="The first unit, to go on where another sample ended.", min=0)]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A .csv, .parquet or .arrow file; else CSV to stdout.")
]


def models() -> None:
    """List the models, newest first."""
    with STATE.connect() as client:
        found = [m.info for m in client.models()]
    if STATE.json:
        write_json(found)
        return
    show_table(
        ("model", "name", "trainer", "size", "private", "trusted", "release", "created"),
        (
            (
                m.name,
                m.display_name,
                m.trainer,
                f"{m.size_bytes / 1024:,.0f} KiB",
                "yes" if m.privacy.differentially_private else "no",
                "yes" if m.verified else "no",
                "" if m.release is None else m.release.state.upper(),
                m.create_time,
            )
            for m in found
        ),
    )


Replica = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<host:port>", help="A further server with the same model, to draw parts; may be repeated."
    ),
]


def sample(
    model: ModelName,
    n: OptionalUnits = None,
    seed: Seed = None,
    start: Start = 0,
    output: Output = None,
    where: Where = None,
    null: Null = None,
    not_null: NotNull = None,
    rebalance: Rebalance = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    max_attempts: Attempts = MAX_ATTEMPTS,
    augment: Augment = None,
    replica: Replica = None,
) -> None:
    """Stream synthetic patients to a file or to stdout, with a note of where they come from."""
    check_suffix(output)
    asked = limits(where, null, not_null, rebalance, temperature, top_p, max_attempts)
    units = how_many(n, augment)
    if replica:
        if units is None:
            raise typer.BadParameter("with --replica say how many by a number")
        from kohort.replicas import Replicas

        with ExitStack() as opened:
            clients = [opened.enter_context(STATE.connect(server)) for server in ("", *replica)]
            replicas = opened.enter_context(Replicas(clients))
            _write(replicas.sample_batches(model, units, seed=seed, start=start, **asked), units, output)
        return
    with STATE.connect() as client:
        batches = client.sample_batches(
            model, units, seed=seed, start=start, augmentation_factor=augment, **asked
        )
        _write(batches, units, output)


def complete(
    model: ModelName,
    rows: Annotated[
        Path, typer.Argument(help="A CSV file; empty cells are open.", exists=True, dir_okay=False)
    ],
    seed: Seed = None,
    start: Start = 0,
    output: Output = None,
    where: Where = None,
    null: Null = None,
    not_null: NotNull = None,
    rebalance: Rebalance = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    max_attempts: Attempts = MAX_ATTEMPTS,
) -> None:
    """Fill the open cells of a table, and the columns that it lacks, by what a model learned."""
    check_suffix(output)
    asked = limits(where, null, not_null, rebalance, temperature, top_p, max_attempts)
    with STATE.connect() as client:
        _write(client.complete_batches(model, rows, seed=seed, start=start, **asked), None, output)


def _write(batches: Iterator[Any], n: int | None, output: Path | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ReleaseWarning)
        written = write_sample(batches, n, output)
    for warning in caught:
        err.print(f"! {warning.message}", markup=False, highlight=False)
    if output is None:
        return
    if STATE.json:
        write_json(written)
        return
    for file in written["files"]:
        err.print(f"wrote {file}", markup=False, highlight=False)
    err.print(f"synthetic; model {written['model']}, seed {written['seed']}", markup=False, highlight=False)
    if written["acceptance_rate"] < 1:
        err.print(f"{written['acceptance_rate']:.1%} of what was drawn met the conditions", highlight=False)


def download(
    model: ModelName,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; else {id}.kohort.")] = None,
) -> None:
    """Store a model's bundle as a file, to sample from it without a server."""
    target = output or Path(f"{model.rpartition('/')[2]}.kohort")
    with STATE.connect() as client, err.status(f"downloading {model}"):
        client.download(model, target)
    if STATE.json:
        write_json({"model": model, "file": str(target), "size_bytes": target.stat().st_size})
    else:
        out.print(str(target), markup=False, highlight=False)


def import_bundle(
    file: Annotated[Path, typer.Argument(help="A .kohort file.", exists=True, dir_okay=False)],
    name: Name = "",
    label: Labels = None,
) -> None:
    """Publish a bundle file on the server."""
    with STATE.connect() as client, err.status(f"importing {file.name}"):
        model = client.import_model(file, display_name=name, labels=labels(label))
    if STATE.json:
        write_json(model.info)
        return
    out.print(model.name, highlight=False)
    show_findings(model.info.findings)


def load(
    file: Annotated[Path, typer.Argument(help="A .kohort file.", exists=True, dir_okay=False)],
    n: OptionalUnits = None,
    seed: Seed = None,
    start: Start = 0,
    output: Output = None,
    trusted_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<base64>",
            help="A server's signing key, as its `capabilities` show it; may be repeated.",
        ),
    ] = None,
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="Refuse what no trusted key signed.")
    ] = False,
    rows: Annotated[
        Path | None,
        typer.Option("--complete", help="A CSV file to complete; empty cells are open.", exists=True),
    ] = None,
    where: Where = None,
    null: Null = None,
    not_null: NotNull = None,
    rebalance: Rebalance = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    max_attempts: Attempts = MAX_ATTEMPTS,
    augment: Augment = None,
) -> None:
    """Sample from a bundle file on this machine, without a server, or complete rows."""
    check_suffix(output)
    if rows is not None and (n is not None or augment is not None):
        raise typer.BadParameter("how many rows there are is the file's to say")
    asked_for = how_many(n, augment)
    from kohort.bundle import load as load_bundle
    from kohort.cli.offline import sample_bundle
    from kohort.wishes import spec_of

    asked = limits(where, null, not_null, rebalance, temperature, top_p, max_attempts)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bundle = load_bundle(file, trusted_keys=trusted_key or (), require_signature=require_signature)
    for warning in caught:
        err.print(f"! {warning.message}", markup=False, highlight=False)
    partial = None if rows is None else bundle.partial(rows, start)
    if partial is not None:
        units = partial.row_count
    else:
        units = bundle.augmented(augment or 0.0) if asked_for is None else asked_for
    spec = spec_of(secrets.randbits(63) if seed is None else seed, **asked, partial=partial)
    _write(sample_bundle(bundle, file.name, units, spec, start), units, output)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "models": models,
    "sample": sample,
    "complete": complete,
    "download": download,
    "import": import_bundle,
    "load": load,
}
