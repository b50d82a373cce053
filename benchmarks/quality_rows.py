"""The default generator beside mostlyai-engine as rows of the design's table, from the stored cells of `make bench-quality`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, Row, reached
from benchmarks.quality_report import BEST, METRICS, verdict

KEPT = ROOT / "benchmarks" / "quality_results.json"
PEER = "mostlyai-engine"
AIMS = {"c2st": "C2ST ≤ 0.55", "pairwise": "within 10 % of real rows", "tstr": "–"}


def rows(path: Path = KEPT) -> list[Row]:
    """A row for each metric; a single one that says so where there are no cells of both."""
    pairs = paired(json.loads(path.read_text())) if path.exists() else []
    if not pairs:
        why = "not measured: make bench-quality"
        return [("default generator ÷ mostlyai-engine, quality", "", "", "better", "", why)]
    return [_row(metric, pairs) for metric in AIMS]


def training_time(path: Path = KEPT) -> Row:
    """Its training time ÷ mostlyai-engine's by the same cells: median over tables of the medians over seeds."""
    pairs = paired(json.loads(path.read_text())) if path.exists() else []
    what = f"its training time ÷ {PEER}'s (from quality_results.json)"
    if not pairs:
        return (what, "", "", "≤ 0.5", "≤ 0.33", "not measured: make bench-quality")
    by_table = [
        float(np.median([ours["fit_cpu"] / theirs["fit_cpu"] for ours, theirs in some]))
        for some in _by_table(pairs).values()
    ]
    value = float(np.median(by_table))
    text = f"{value:.2f} ({min(by_table):.2f}–{max(by_table):.2f} over tables)"
    return (what, text, "", "≤ 0.5", "≤ 0.33", reached(value, 0.5, 0.33, lower=True))


def provenance(path: Path = KEPT) -> str:
    """How many pairs of cells there are, and of how many our trainer's source has changed since."""
    from benchmarks.quality import code_of

    pairs = paired(json.loads(path.read_text())) if path.exists() else []
    other = sum(ours["version"] != code_of(BEST) for ours, _ in pairs)
    return f"{path.name}: {len(pairs)} pairs of cells, {other} of them of another state of `{BEST}`'s source"


Cell = dict[str, Any]
Pairs = Sequence[tuple[Cell, Cell]]


def paired(cells: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """(ours, theirs) of every table and seed that has both."""
    good = {(c["table"], c["model"], c["seed"]): c for c in cells if c["status"] == "ok"}
    return [
        (cell, good[table, PEER, seed])
        for (table, model, seed), cell in good.items()
        if model == BEST and (table, PEER, seed) in good
    ]


def _by_table(pairs: Pairs) -> dict[str, list[tuple[Cell, Cell]]]:
    return {
        table: [pair for pair in pairs if pair[0]["table"] == table]
        for table in dict.fromkeys(ours["table"] for ours, _ in pairs)
    }


def _row(metric: str, pairs: Pairs) -> Row:
    title, digits, direction = METRICS[metric]
    gaps = _gaps(metric, pairs)
    words = {table: verdict(_gaps(metric, some), direction) for table, some in _by_table(pairs).items()}
    worse = [table for table, word in words.items() if word.startswith("worse")]
    counts = ", ".join(
        f"{word} on {n}"
        for word in ("better", "tie", "worse")
        if (n := sum(w.startswith(word) for w in words.values()))
    )
    floor = float(np.median(gaps)) * direction > 0
    values = [ours["scores"][metric] for ours, _ in pairs if not math.isnan(ours["scores"][metric])]
    aim = metric == "c2st" and float(np.median(values)) <= 0.55
    said = f"median of {len(gaps)} pairs {np.median(gaps):+.{digits}f}; tables: {counts}"
    if metric == "pairwise":
        beside = float(np.median([o["scores"][metric] / o["real"][metric] for o, _ in pairs]))
        aim, said = beside <= 1.1, f"{said}; {beside:.2f} × real rows"
    elif metric == "c2st":
        said = f"{said}; median {np.median(values):.3f}"
    state = ("aim" if aim else "floor") if floor else "BELOW FLOOR"
    if floor and worse:
        state += f" (worse on {', '.join(worse)})"
    return (f"default generator (`{BEST}`) − {PEER}: {title}", said, "", "better", AIMS[metric], state)


def _gaps(metric: str, pairs: Pairs) -> list[float]:
    found = [ours["scores"][metric] - theirs["scores"][metric] for ours, theirs in pairs]
    return [gap for gap in found if not math.isnan(gap)]
