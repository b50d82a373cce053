"""Quality of Kohort's generators beside their peers, on real tables (`make bench-quality`).

    python -m benchmarks.quality run [--models …] [--tables …] [--seeds 5] [--cpu-limit 900]
    python -m benchmarks.quality score --table heart --seed 0 --synthetic x.parquet
    python -m benchmarks.quality report

A cell is a table, a model, a seed and versions. `run` fills those that are
missing, the first seed of everything first, each in a process of its own with
one thread; stopped at any time, it goes on with what is left. Peers run in an
environment of their own: `.venv-peers`, or the one that PEERS names. `report`
writes docs/benchmarks.md from what there is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.quality_cell import PEERS
from benchmarks.quality_score import Judge, beside
from benchmarks.quality_tables import ROOT, SPECS, prepared

OUT = ROOT / "out" / "quality"
DATA = OUT / "data"
CELLS = OUT / "cells"
KEPT = ROOT / "benchmarks" / "quality_results.json"
"""The results that come with the repository, for a page without a day's computing."""

PAGE = ROOT / "docs" / "benchmarks.md"
PEER_PYTHON = Path(os.environ.get("PEERS", ROOT / ".venv-peers")) / "bin" / "python"


def our_models() -> list[str]:
    """Every installed trainer; `auto` is one of the others."""
    from trainers.registry import trainers

    return [name for name in trainers() if name != "auto"]


@cache
def code_of(model: str) -> str:
    """A digest of the source a trainer is made of: cells of other code are other cells."""
    from trainers.registry import trainers

    seen: set[str] = set()
    ahead = [trainers()[model].__module__.removeprefix("trainers.")]
    while ahead:
        name = ahead.pop()
        path = ROOT / "trainers" / f"{name}.py"
        if name in seen or not path.exists():
            continue
        seen.add(name)
        ahead += re.findall(r"from trainers\.(\w+) import", path.read_text())
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update((ROOT / "trainers" / f"{name}.py").read_bytes())
    return digest.hexdigest()[:8]


@cache
def version_of(model: str) -> str:
    """What tells one state of a model from another."""
    if model not in PEERS:
        return code_of(model)
    ask = f"from importlib.metadata import version; print(version({PEERS[model][0]!r}))"
    asked = subprocess.run([PEER_PYTHON, "-c", ask], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def cell_path(table: str, model: str, seed: int) -> Path:
    """Where the result of a cell is, or will be."""
    return CELLS / f"{table}.{seed}.{model}.{version_of(model)}.json"


def run_cell(table: str, model: str, seed: int, cpu_limit: int) -> dict[str, Any]:
    """Computes one cell and stores it."""
    train, _ = prepared(table, seed, DATA)
    path = cell_path(table, model, seed)
    raw = path.with_suffix(".fit.json")
    python = PEER_PYTHON if model in PEERS else sys.executable
    command = [python, "-W", "ignore", "-m", "benchmarks.quality_cell", model, str(seed), train, raw]
    cell: dict[str, Any] = {"table": table, "model": model, "seed": seed, "version": version_of(model)}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit, cpu_limit + 5)),
    )
    if ended.returncode < 0:
        cell |= {"status": "timed out" if -ended.returncode in (24, 9) else "killed", "cpu_limit": cpu_limit}
    elif ended.returncode:
        (OUT / "log").mkdir(exist_ok=True)
        (OUT / "log" / f"{path.stem}.txt").write_text(ended.stderr)
        last = ended.stderr.strip().splitlines()[-1:] or ["?"]
        cell |= {"status": "failed", "error": last[0].split(":")[0]}
    else:
        cell |= {"status": "ok", **json.loads(raw.read_text())}
        synthetic = pd.read_parquet(raw.with_suffix(".parquet"))
        cell["scores"] = judge(table, seed).score(synthetic)
        cell["real"] = judge(table, seed).real()
        raw.with_suffix(".parquet").replace(path.with_suffix(".parquet"))
    raw.unlink(missing_ok=True)
    if cell["status"] != "killed":
        path.write_text(json.dumps(cell))
    return cell


@cache
def judge(table: str, seed: int) -> Judge:
    """The real side of a cell; a few are kept."""
    return Judge(table, seed, DATA)


def wanted(tables: list[str], models: list[str], seeds: range) -> Iterator[tuple[str, str, int]]:
    """Every cell, the first seed of all before the second of any."""
    for seed in seeds:
        for table in tables:
            for model in models:
                yield table, model, seed


def stored() -> list[dict[str, Any]]:
    """One cell per table, model and seed: the newest here, else the one that came with the repository."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    if KEPT.exists():
        for cell in json.loads(KEPT.read_text()):
            found[cell["table"], cell["model"], cell["seed"]] = cell
    paths = [path for path in CELLS.glob("*.json") if not path.name.endswith(".fit.json")]
    for path in sorted(paths, key=lambda p: p.stat().st_mtime):
        cell = json.loads(path.read_text())
        found[cell["table"], cell["model"], cell["seed"]] = cell
    return list(found.values())


def done(table: str, model: str, seed: int, *, any_version: bool, retry: bool) -> bool:
    """Whether a cell needs no computing."""
    paths = [cell_path(table, model, seed)]
    if any_version:
        # One model's name may begin another's.
        paths = [p for p in CELLS.glob(f"{table}.{seed}.*.json") if not p.name.endswith(".fit.json")]
        paths = [p for p in paths if json.loads(p.read_text())["model"] == model]
    return any(p.exists() and not (retry and json.loads(p.read_text())["status"] != "ok") for p in paths)


def run(
    tables: list[str],
    models: list[str],
    seeds: range,
    cpu_limit: int,
    *,
    retry: bool = False,
    any_version: bool = False,
    most: int | None = None,
) -> None:
    """Fills the missing cells, at most so many."""
    CELLS.mkdir(parents=True, exist_ok=True)
    computed = 0
    for table, model, seed in wanted(tables, models, seeds):
        if computed == most:
            return
        path = cell_path(table, model, seed)
        if done(table, model, seed, any_version=any_version, retry=retry):
            continue
        lock = path.with_suffix(".lock")
        if lock.exists() and Path(f"/proc/{lock.read_text() or 0}").exists():
            continue  # Another process is at it.
        lock.write_text(str(os.getpid()))
        try:
            cell = run_cell(table, model, seed, cpu_limit)
        finally:
            lock.unlink(missing_ok=True)
        computed += 1
        scores = " ".join(f"{k} {v:.4f}" for k, v in cell.get("scores", {}).items())
        print(
            f"{table} {model} {seed}: {cell['status']} {cell.get('fit_cpu', 0):.1f} cpu-s {scores}",
            flush=True,
        )


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = options.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="fill the missing cells, then write the page")
    runs.add_argument("--models", help="comma-separated; all where left out")
    runs.add_argument("--tables", help="comma-separated; all where left out")
    runs.add_argument("--seeds", default="5", help="how many, or FROM:TO")
    runs.add_argument("--cpu-limit", type=int, default=900, help="CPU seconds a cell may take")
    runs.add_argument("--retry", action="store_true", help="also what failed or timed out before")
    runs.add_argument("--any-version", action="store_true", help="a cell of older code counts, too")
    runs.add_argument("--most", type=int, help="stop after so many cells")
    runs.add_argument("--no-report", action="store_true", help="compute only")
    scores = commands.add_parser("score", help="the metrics of a synthetic table")
    scores.add_argument("--table", required=True, choices=list(SPECS))
    scores.add_argument("--seed", type=int, default=0)
    scores.add_argument("--synthetic", type=Path, required=True)
    commands.add_parser("report", help="write the page and the kept results from what there is")
    chosen = options.parse_args()
    if chosen.command == "score":
        seen = judge(chosen.table, chosen.seed)
        print(beside(seen.score(pd.read_parquet(chosen.synthetic)), seen.real()))
        return
    if chosen.command == "run":
        low, _, high = chosen.seeds.rpartition(":")
        known = [*our_models(), *PEERS]
        models = chosen.models.split(",") if chosen.models else known
        tables = chosen.tables.split(",") if chosen.tables else list(SPECS)
        if unknown := {*models, *tables} - {*known, *SPECS}:
            options.error(f"there is no {', '.join(sorted(unknown))}")
        run(
            tables,
            models,
            range(int(low or 0), int(high)),
            chosen.cpu_limit,
            retry=chosen.retry,
            any_version=chosen.any_version,
            most=chosen.most,
        )
        if chosen.no_report:
            return
    from benchmarks.quality_report import page

    cells = stored()
    KEPT.write_text("[\n" + ",\n".join(json.dumps(compact(cell)) for cell in cells) + "\n]\n")
    PAGE.write_text(page(cells, our_models(), list(PEERS)))


def compact(value: Any) -> Any:
    """The same with five significant digits."""
    if isinstance(value, dict):
        return {key: compact(item) for key, item in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
