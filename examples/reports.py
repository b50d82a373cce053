"""Reports on three real tables: trains, evaluates, prints what decides, writes the pages.

    python -m examples.reports [--trainer argn] [--tables heart,diabetes130,cdc] [--profile standard]

`make reports` runs this. The tables come with the repository; the server starts
on a free port with its data in a temporary directory and stops at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kohort
from examples.local_server import ROOT, LocalServer

SEED = 2026
console = Console(width=120)


@dataclass(frozen=True)
class Subject:
    """A table, and what is looked at in it."""

    path: Path
    subject_key: str
    options: kohort.EvaluationOptions


DATA = ROOT / "benchmarks" / "data"
TABLES = {
    "heart": Subject(
        ROOT / "tests" / "data" / "heart.csv",
        "",
        kohort.EvaluationOptions(targets=("num",), quasi_identifiers=("age", "sex"), protected=("sex",)),
    ),
    "diabetes130": Subject(
        DATA / "diabetes_130us_20k.parquet",
        "patient",
        kohort.EvaluationOptions(
            targets=("readmitted",),
            quasi_identifiers=("age", "gender", "race"),
            protected=("gender", "race"),
        ),
    ),
    "cdc": Subject(
        DATA / "cdc_diabetes_62k.parquet",
        "",
        kohort.EvaluationOptions(
            targets=("Diabetes_binary",),
            quasi_identifiers=("Age", "Sex", "Education", "Income"),
            protected=("Sex",),
        ),
    ),
}


def main() -> None:
    """Runs the journeys and writes out/reports/."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--trainer", default="argn")
    options.add_argument("--tables", default=",".join(TABLES))
    options.add_argument("--profile", default="standard", choices=["standard", "full"])
    options.add_argument("--out", type=Path, default=ROOT / "out" / "reports")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="kohort-reports-") as data,
        LocalServer(Path(data)) as server,
        kohort.Client(server.address) as client,
    ):
        for name in chosen.tables.split(","):
            one(client, name, TABLES[name], chosen.trainer, chosen.profile, chosen.out)


def one(client: kohort.Client, name: str, subject: Subject, trainer: str, profile: str, out: Path) -> None:
    """One table, from upload to page."""
    console.rule(f"{name}, {trainer}")
    dataset = client.upload(subject.path, table=name, subject_key=subject.subject_key)
    job = client.train(
        dataset, trainer=trainer, seed=SEED, display_name=f"{name}, {trainer}", evaluation="none"
    )
    model = job.result(progress=True)
    began = time.perf_counter()
    report = client.evaluate(
        model,
        profile=profile,
        targets=subject.options.targets,
        quasi_identifiers=subject.options.quasi_identifiers,
        protected=subject.options.protected,
        seed=SEED,
    )
    seconds = time.perf_counter() - began
    info = report.info
    counts = info.counts
    console.print(
        f"[bold]{info.verdict.state}[/], {seconds:.0f} s; rows learned from {counts.training_rows:,}, "
        f"held out {counts.holdout_rows:,} of {counts.holdout_patients:,} patients, "
        f"synthetic {counts.synthetic_rows:,}; {len(info.metrics)} values, {len(info.figures)} figures"
    )
    for sentence in info.summary:
        console.print(f"• {sentence}")
    for broken in (*info.verdict.privacy, *info.verdict.quality):
        console.print(f"[yellow]broken[/] {broken.message}")
    table = Table("headline", "of", "value", "interval", "real rows")
    for metric in info.metrics:
        if metric.headline:
            ends = metric.interval
            table.add_row(
                metric.name,
                ", ".join(f"{k} {v}" for k, v in sorted(metric.detail.items())),
                "" if metric.value is None else f"{metric.value:.3f}",
                "" if ends is None else f"{ends.low:.3f} to {ends.high:.3f}",
                "" if metric.baseline is None else f"{metric.baseline:.3f}",
            )
    console.print(table)
    for out_part in info.left_out:
        console.print(f"left out: {out_part.part}: {out_part.reason}")
    for suffix in ("html", "json"):
        console.print(f"  {report.download(out / f'{name}.{suffix}')}")


if __name__ == "__main__":
    main()
