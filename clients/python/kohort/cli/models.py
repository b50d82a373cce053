"""Commands about models and bundles."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kohort.cli.arguments import Labels, Name, labels
from kohort.cli.files import check_suffix, write_sample
from kohort.cli.show import err, out, show_findings, show_table, write_json
from kohort.cli.state import STATE

ModelName = Annotated[str, typer.Argument(help="models/...")]
Units = Annotated[int, typer.Argument(help="How many patients or rows.", min=1)]
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
        ("model", "name", "trainer", "size", "private", "trusted", "created"),
        (
            (
                m.name,
                m.display_name,
                m.trainer,
                f"{m.size_bytes / 1024:,.0f} KiB",
                "yes" if m.privacy.differentially_private else "no",
                "yes" if m.verified else "no",
                m.create_time,
            )
            for m in found
        ),
    )


def sample(
    model: ModelName, n: Units = 1000, seed: Seed = None, start: Start = 0, output: Output = None
) -> None:
    """Stream synthetic patients to a file or to stdout, with a note of where they come from."""
    check_suffix(output)
    with STATE.connect() as client:
        _write(client.sample_batches(model, n, seed=seed, start=start), n, output)


def _write(batches: Iterator[Any], n: int, output: Path | None) -> None:
    written = write_sample(batches, n, output)
    if output is None:
        return
    if STATE.json:
        write_json(written)
        return
    for file in written["files"]:
        err.print(f"wrote {file}", markup=False, highlight=False)
    err.print(f"synthetic; model {written['model']}, seed {written['seed']}", markup=False, highlight=False)


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
    n: Units = 1000,
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
) -> None:
    """Sample from a bundle file on this machine, without a server."""
    check_suffix(output)
    from kohort.bundle import load as load_bundle
    from kohort.cli.offline import sample_bundle

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bundle = load_bundle(file, trusted_keys=trusted_key or (), require_signature=require_signature)
    for warning in caught:
        err.print(f"! {warning.message}", markup=False, highlight=False)
    chosen = secrets.randbits(63) if seed is None else seed
    _write(sample_bundle(bundle, file.name, n, chosen, start), n, output)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "models": models,
    "sample": sample,
    "download": download,
    "import": import_bundle,
    "load": load,
}
