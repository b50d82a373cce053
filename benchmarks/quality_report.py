"""docs/benchmarks.md from stored cells: medians over seeds, paired differences, what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.measure import machine
from benchmarks.quality_tables import SPECS

Cell = dict[str, Any]

BEST = "argn"
"""The model that is set beside every peer."""

METRICS: dict[str, tuple[str, int, int]] = {
    "marginal": ("marginal error", 4, -1),
    "pairwise": ("pairwise error", 4, -1),
    "c2st": ("C2ST AUC", 3, -1),
    "tstr": ("TSTR AUC", 3, 1),
    "missing": ("missingness error", 4, -1),
    "rare_recall": ("rare-class recall", 2, 1),
    "identical": ("identical rows", 4, 0),
    "dcr_share": ("DCR share", 3, 0),
}
"""Title, decimals, and whether more is better (1), worse (-1) or neither."""

SUMMARY = ("pairwise", "c2st", "tstr", "marginal")

HEAD = """# Quality of the generators, beside their peers

Written by `make bench-quality` (`benchmarks/quality.py`); do not edit. Every figure comes from
`benchmarks/quality_results.json`, which the same command writes.

- **Machine**: {machine}; page of {date}.
  Each cell (table, model, seed) is a process of its own with one thread. The machine was shared, so **CPU seconds**,
  children included, are the measure of time; wall time is in the results file.
- **Versions**: {versions}.
  A cell belongs to a version: for Kohort's models a digest of the trainer's source.
- **Tables** are split 80/20 by patient, anew for every seed. Every model gets the training part at its defaults and
  gives as many rows back. Kohort's models split their validation rows off that part, and count k = 5 patients; their
  sample comes from the exported bundle. `mostlyai-engine` gets dates as datetimes and decides on the rest by itself.
  `ctgan.CTGAN` and `ctgan.TVAE` run their default 300 epochs on at most 5,000 training rows, integers of at most 20
  values as discrete columns, dates as whole days, null numbers as the mean beside a discrete column that says so.
- A cell that took more CPU seconds than its limit says so in place of its values.

| metric | what | best |
|---|---|---|
| marginal, pairwise error | total variation of one-way and of all two-way tables against the hold-out, samples of its size, on average; numbers in 20 and 10 quantile bins of the training rows, null a bin of its own | that of real rows |
| C2ST AUC | boosted trees, 5-fold by patient, tell the sample from the hold-out | 0.5 |
| TSTR AUC | boosted trees fitted on the sample predict the hold-out's target | TRTR, the row of real rows |
| missingness error | mean difference of null shares, of columns with nulls | that of real rows |
| rare-class recall | share of categories below 1 % of rows, held by at least 5 patients, that the sample has | 1 |
| identical rows | share of rows that equal a training row; for real rows, of hold-out rows | that of real rows |
| DCR share | share of rows nearer to the training rows than to as many held out; **no measure of privacy** (a model can leak and pass) | 0.5 |

The row "real rows" puts training rows in the sample's place: what a generator that copies nothing can reach. On tables
of a few hundred rows its errors are large, since two samples of real patients differ by as much.
"""


def page(cells: Sequence[Cell], ours: list[str], peers: list[str]) -> str:
    """The whole page."""
    kept = {(c["table"], c["model"], c["seed"]): c for c in cells}
    good = {key: c for key, c in kept.items() if c["status"] == "ok"}
    lines = [
        HEAD.format(
            machine=machine().rsplit(", commit", 1)[0],
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            versions=_versions(good.values()),
        ),
        "",
    ]
    for peer in reversed(peers):
        lines += _beside(good, peer)
    for table in SPECS:
        lines += _table(table, kept, [*ours, *peers])
    lines += _missing(kept, [*ours, *peers])
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _versions(cells: Any) -> str:
    found = {(name, version) for c in cells for name, version in c.get("versions", {}).items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found)) or "none yet"


def _values(cells: Sequence[Cell], metric: str) -> list[float]:
    found = [c["scores"][metric] for c in cells]
    return [v for v in found if not math.isnan(v)]


def interval(differences: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median, by percentiles."""
    rng = np.random.default_rng(seed)
    drawn = np.median(rng.choice(np.asarray(differences), (draws, len(differences))), axis=1)
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def verdict(differences: Sequence[float], direction: int) -> str:
    """ "better", "worse" or "tie"; a question mark where fewer than three seeds speak."""
    low, high = interval(differences)
    if low <= 0 <= high:
        return "tie"
    word = "better" if np.median(differences) * direction > 0 else "worse"
    return word if len(differences) >= 3 else word + "?"


def _beside(good: dict[Any, Cell], peer: str) -> list[str]:
    lines = [
        f"## `{BEST}` − `{peer}`",
        "",
        "Median of the paired differences over seeds; with three seeds or more its 95 % bootstrap interval and what that",
        'says ("tie": it holds 0), with fewer a word with a question mark. Training time is a ratio of CPU seconds.',
        "",
        "| table | seeds | " + " | ".join(METRICS[m][0] for m in SUMMARY) + " | training time |",
        "|" + "---|" * (len(SUMMARY) + 3),
    ]
    for table in SPECS:
        seeds = sorted(s for t, m, s in good if t == table and m == BEST and (table, peer, s) in good)
        if not seeds:
            lines.append(f"| {table} | 0 | " + "missing | " * (len(SUMMARY) + 1))
            continue
        pairs = [(good[table, BEST, s], good[table, peer, s]) for s in seeds]
        row = [table, str(len(seeds))]
        for metric in SUMMARY:
            _, digits, direction = METRICS[metric]
            gaps = [a["scores"][metric] - b["scores"][metric] for a, b in pairs]
            text = f"{np.median(gaps):+.{digits}f}"
            if len(gaps) >= 3:
                low, high = interval(gaps)
                text += f" [{low:+.{digits}f}, {high:+.{digits}f}]"
            row.append(f"{text} {verdict(gaps, direction)}")
        row.append(f"{np.median([a['fit_cpu'] / b['fit_cpu'] for a, b in pairs]):.2f}")
        lines.append("| " + " | ".join(row) + " |")
    return [*lines, ""]


def _median(cells: Sequence[Cell], value: Callable[[Cell], float | None], form: str) -> str:
    found = [v for c in cells if (v := value(c)) is not None and not math.isnan(v)]
    return format(float(np.median(found)), form) if found else "–"


def _table(table: str, kept: dict[Any, Cell], models: list[str]) -> list[str]:
    spec = SPECS[table]
    some = [c for (t, _, _), c in kept.items() if t == table and c["status"] == "ok"]
    rows = f"{some[0]['train_rows']:,} training rows, " if some else ""
    used = [m for m in METRICS if not some or _values(some, m)]
    lines = [
        f"## {table}: {spec.title}",
        "",
        f"{rows}target: {spec.target}. Medians over seeds.",
        "",
        "| model | seeds | training, CPU s | sampling, rows per CPU s | "
        + " | ".join(METRICS[m][0] for m in used)
        + " |",
        "|" + "---|" * (len(used) + 4),
    ]
    if some:
        by_seed = {c["seed"]: c["real"] for c in some}
        values = [
            _median([{"v": r[m]} for r in by_seed.values()], lambda c: c["v"], f".{METRICS[m][1]}f")
            for m in used
        ]
        lines.append(f"| *real rows* | {len(by_seed)} | | | " + " | ".join(values) + " |")
    for model in models:
        own = [c for (t, m, _), c in kept.items() if (t, m) == (table, model)]
        good = [c for c in own if c["status"] == "ok"]
        if not good:
            why = sorted({_why(c) for c in own}) or ["missing"]
            lines.append(f"| `{model}` | 0 | {', '.join(why)} | " + "| " * (len(used) + 1))
            continue
        values = [_median(good, lambda c, m=m: c["scores"][m], f".{METRICS[m][1]}f") for m in used]
        fit = _median(good, lambda c: c["fit_cpu"], ".1f")
        rate = _median(good, lambda c: c["train_rows"] / max(c["sample_cpu"], 1e-3), ",.0f")
        lines.append(f"| `{model}` | {len(good)} | {fit} | {rate} | " + " | ".join(values) + " |")
    return [*lines, ""]


def _why(cell: Cell) -> str:
    return f"timed out at {cell['cpu_limit']} s" if cell["status"] == "timed out" else str(cell["status"])


def _missing(kept: dict[Any, Cell], models: list[str], seeds: int = 5) -> list[str]:
    lines = [
        "## What is missing",
        "",
        f"Seeds with a result, of {seeds}; the page is written from what there is.",
        "",
        "| model | " + " | ".join(SPECS) + " | states of its source |",
        "|" + "---|" * (len(SPECS) + 2),
    ]
    for model in models:
        row = [f"`{model}`"]
        for table in SPECS:
            own = [c for (t, m, _), c in kept.items() if (t, m) == (table, model)]
            good = sum(c["status"] == "ok" for c in own)
            bad = [f"seed {c['seed']} {_why(c)}" for c in own if c["status"] != "ok"]
            row.append("; ".join([str(good) if good else "missing", *bad]))
        versions = {c["version"] for (_, m, _), c in kept.items() if m == model}
        lines.append("| " + " | ".join([*row, str(len(versions))]) + " |")
    return lines
