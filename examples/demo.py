"""The whole journey on real data: serve, upload, train, evaluate, sample, ask for some, sample offline.

`make demo` runs this. It needs no other set-up: the server starts on a free
port with its data in a temporary directory and stops at the end.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

import kohort
from examples.comparison import compare, picture
from examples.local_server import ROOT, LocalServer

HEART = ROOT / "tests" / "data" / "heart.csv"
SEED = 2026
TRAINERS = ("argn", "arf", "copula")
"""The default first; then seconds on any processor, and the floor that others must beat."""
LOOK = kohort.EvaluationOptions(targets=("num",), quasi_identifiers=("age", "sex"), protected=("sex",))
"""What is predicted, what an attacker may know, and whose fairness is looked at."""

console = Console()


def train(client: kohort.Client, dataset: kohort.Dataset, trainer: str) -> kohort.Model:
    """One generator, with a live bar."""
    console.rule(f"train {trainer}")
    job = client.train(dataset, trainer=trainer, seed=SEED, display_name=f"heart, {trainer}", evaluation=LOOK)
    model = job.result(progress=True)
    console.print(
        f"[bold]{model.name}[/], program {model.info.program}, {model.info.size_bytes / 1024:.0f} KiB"
    )
    return model


def main() -> None:
    """Runs the journey and writes out/."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1000, help="synthetic patients")
    options.add_argument("--out", type=Path, default=ROOT / "out", help="where results go")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    real = pd.read_csv(HEART)

    with tempfile.TemporaryDirectory(prefix="kohort-demo-") as data, LocalServer(Path(data)) as server:
        console.print(f"server on [bold]{server.address}[/]")
        with kohort.Client(server.address) as client:
            server_can = client.capabilities()
            dataset = client.upload(HEART, display_name="UCI Heart Disease, Cleveland")
            show_schema(dataset)
            main_trainer = server_can.default_trainer
            models = {name: train(client, dataset, name) for name in TRAINERS}
            console.rule("evaluate")
            report = verdicts(client, models, main_trainer).download(chosen.out / "report.html")
            console.rule("sample")
            samples = {name: client.sample(model, chosen.rows, seed=SEED) for name, model in models.items()}
            synthetic = chosen.out / "synthetic_heart.csv"
            samples[main_trainer].to_csv(synthetic, index=False)
            console.rule("ask")
            ask(client, models[main_trainer], real)
            bundle = models[main_trainer].download(chosen.out / "heart.kohort")

    console.rule("compare")
    show(compare(real, samples))
    picture(real, samples, chosen.out / "real_vs_synthetic.png")

    offline = kohort.load(bundle, trusted_keys=[server_can.signing_key]).sample(chosen.rows, seed=SEED)
    pd.testing.assert_frame_equal(offline, samples[main_trainer])
    console.rule("done")
    console.print("server stopped; its bundle, checked against its key, gave the same rows without it")
    for path in (synthetic, bundle, report, chosen.out / "real_vs_synthetic.png"):
        console.print(f"  {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def ask(client: kohort.Client, model: kohort.Model, real: pd.DataFrame) -> None:
    """Patients of a kind, classes in other shares, and rows completed: by the model, exactly as asked."""
    women = client.sample(model, 500, seed=SEED, conditions={"sex": 0, "age": (60, 80)})
    balanced = client.sample(model, 500, seed=SEED, rebalance={"sex": {"0": 0.5, "1": 0.5}})
    begun = real[["age", "sex", "chol"]].head(5)
    completed = model.complete(begun, seed=SEED)
    table = Table("asked for", "given")
    table.add_row("women of 60 to 80", f"{len(women)} rows, ages {women.age.min()} to {women.age.max()}")
    shares = f"{(real.sex == 0).mean():.0%} women before, {(balanced.sex == 0).mean():.0%} now"
    table.add_row("as many women as men", shares)
    filled = int(completed.drop(columns=begun.columns).notna().sum().sum())
    table.add_row("five rows of three cells completed", f"{filled} cells filled, the given ones kept")
    console.print(table)


def verdicts(client: kohort.Client, models: dict[str, kohort.Model], main: str) -> kohort.Report:
    """What the release policy says of each model, and the report on the main one."""
    table = Table("model", "release", "why")
    for name, model in models.items():
        release = model.info.release
        assert release is not None
        told = [one.message for one in (*release.verdict.privacy, *release.verdict.quality)]
        table.add_row(name, release.state, "; ".join([release.verdict.inconclusive, *told]).strip("; "))
        if release.state is kohort.ReleaseState.LOCKED:
            # What a custodian may decide, and here can: the patients of this table are published.
            client.override_release(model, kohort.ReleaseState.OPEN_WITH_WARNING, "a demo on published data")
    console.print(table)
    release = models[main].info.release
    assert release is not None
    report = client.report(release.report)
    for sentence in report.info.summary:
        console.print(f"• {sentence}")
    return report


def show_schema(dataset: kohort.Dataset) -> None:
    """What the server inferred, and what it wants a person to know."""
    table = Table("column", "kind", "storage", "handling")
    for column in dataset.info.schema.tables[0].columns:
        table.add_row(column.name, column.kind, column.storage, column.handling)
    console.print(table)
    for finding in dataset.info.findings:
        console.print(f"[yellow]{finding.reason}[/] {finding.message}")


def show(comparison: pd.DataFrame) -> None:
    """The comparison as a table: 1 is equal, but for the correlations, where 0 is."""
    table = Table("column", *comparison.columns)
    for name, row in comparison.iterrows():
        table.add_row(str(name), *(f"{value:.3f}" for value in row))
    console.print(table)


if __name__ == "__main__":
    main()
