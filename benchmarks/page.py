"""RESULTS.md from what was measured: the design's whole table first, then what is behind it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import quality_rows
from benchmarks.measure import Row, reached

Results = Mapping[str, Any]

RATES = ("what", "rows per CPU second", "rows per second")
TITLES = ("what", "per CPU second", "wall", "floor", "aim", "reached")


def page(results: Results) -> str:
    """The whole page."""
    sampling = results.get("sampling", {})
    lines = [
        "# Results",
        "",
        f"Written by `make bench` on {results['date']}; do not edit. The numbers are in `results.json`.",
        f"Machine: {results['machine']}. The run took {results['minutes']:.0f} minutes.",
    ]
    if "rivals" in sampling:
        lines += [
            f"Medians (range) of {sampling['repeats']} interleaved repeats of {sampling['rows']:,} rows on one thread; a ratio is of medians,",
            f"its range that of the ratios within a repeat. encounters_20k.parquet: {sampling['columns']} columns,",
            f"{sampling['discrete']} discrete. CPU seconds are those of all processes of a side together.",
        ]
    if results.get("quick"):
        lines += ["", "**Quick mode: these figures mean nothing.**"]
    lines += ["", "## The design's table", "", *table(TITLES, design(results)), "", *_kept(), ""]
    for part in (_rivals, _graph, _stages, _formats, _shapes, _concurrency, _training):
        lines += part(results)
    lines += _left_out(results)
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a markdown table."""
    return [
        "| " + " | ".join(titles) + " |",
        "|" + "---|" * len(titles),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def said(figure: Mapping[str, float], digits: int = 2) -> str:
    """A median and its range."""
    median, low, high = (f"{figure[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return median if low == high else f"{median} ({low}–{high})"


def ratio_row(what: str, found: Mapping[str, Any] | None, floor: float, aim: float, why: str = "") -> Row:
    """A row of a ratio that is to be large; without figures it says why."""
    limits = (f"{floor:g}", f"{aim:g}")
    if not found:
        return (what, "", "", *limits, why or "not measured in this run")
    return (
        what,
        said(found["cpu"]),
        said(found["wall"]),
        *limits,
        reached(found["cpu"]["median"], floor, aim),
    )


def design(results: Results) -> list[Row]:
    """Every row of the design's table."""
    sampling = results.get("sampling", {})
    missing = sampling.get("missing", {})
    one = sampling.get("rivals", {}).get("1", {}).get("ratios", {})
    graph = sampling.get("graph", {}).get("1", {}).get("ratios", {})
    name = "Sample over gRPC ÷ `ctgan.CTGAN.sample`"
    int8 = one.get("Kohort ctgan int8 ÷ ctgan.CTGAN")
    rows = [
        ratio_row(
            f"{name}, fp32", one.get("Kohort ctgan ÷ ctgan.CTGAN"), 3, 5, missing.get("ctgan.CTGAN", "")
        ),
        ratio_row(f"{name}, int8 graph", int8, 3, 8, missing.get("ctgan int8", "")),
        ratio_row("Sample over gRPC ÷ ONNX graph alone", graph.get("gRPC ÷ graph, ctgan"), 0.85, 0.92),
        ratio_row("graph ÷ GEMM limit at minimum FLOPs", graph.get("graph ÷ GEMM limit, ctgan"), 0.5, 0.7),
    ]
    rows += [row for row in training_rows() if "mostlyai" not in row[0]]
    rows += [*quality_rows.rows(), quality_rows.training_time()]
    peer = next((ratio for key, ratio in one.items() if _frameless(key, "mostlyai-engine")), None)
    rows.append(
        ratio_row("its sampling ÷ mostlyai-engine's", peer, 5, 20, missing.get("mostlyai-engine", ""))
    )
    return rows + concurrency_rows(results)[0]


def training_rows() -> list[Row]:
    """What `make bench-train` has stored; a row that says how to get it where that is nothing."""
    try:
        module = importlib.import_module("benchmarks.training")
        found = module.summary()
    except (ImportError, FileNotFoundError):
        found = []
    rows: list[Row] = []
    for r in found:
        below = "BELOW FLOOR" if r.floor else "below the aim"
        state = below if r.reached == "below" else r.reached
        rows.append((r.what, f"{r.cpu:.2f}", f"{r.wall:.2f}", r.floor, r.aim, state))
    if any("steps/s" in row[0] for row in rows):
        return rows
    return [("CTGAN training steps/s ÷ `ctgan`'s", "", "", "2", "3", "not measured: make bench-train"), *rows]


def _kept() -> list[str]:
    """What of the design's table this run has not measured but read, and of which state that is."""
    try:
        trained = importlib.import_module("benchmarks.training").provenance()
    except ImportError:
        trained = "none of training"
    return [
        "Rows of training and of quality are not of this run: they were kept by `make bench-train`",
        f"({trained}) and by `make bench-quality` ({quality_rows.provenance()}).",
    ]


def concurrency_rows(results: Results) -> tuple[list[Row], list[Row]]:
    """The rows of the design's table (first batch, memory), and the others."""
    found = results.get("concurrency", {})
    if found and "failed" not in found:
        rows: list[Row] = importlib.import_module("benchmarks.concurrency").rows(found)
        return [row for row in rows if row[3]], [row for row in rows if not row[3]]
    why = f"not measured: {found.get('failed', 'not in this run')}"
    return [
        ("first batch, model cached (ms)", "", "", "50", "10", why),
        ("first batch, model cold (ms)", "", "", "500", "200", why),
        ("memory growth over a 10-million-row stream (MiB)", "", "", "64", "1", why),
    ], []


def _frameless(key: str, rival: str) -> bool:
    return key.endswith(f"÷ {rival}") and "DataFrame" not in key and "int8" not in key


def _rates(rates: Mapping[str, Any]) -> list[str]:
    return _figures(rates, ("rows_per_cpu_second", "rows_per_second"), RATES, 0)


def _ratios(ratios: Mapping[str, Any]) -> list[str]:
    return _figures(ratios, ("cpu", "wall"), ("ratio", "per CPU second", "wall"), 2)


def _figures(found: Mapping[str, Any], keys: Sequence[str], titles: Sequence[str], digits: int) -> list[str]:
    rows = [(name, *(said(figures[key], digits) for key in keys)) for name, figures in found.items()]
    return [*table(titles, rows), ""]


def _by_threads(found: Mapping[str, Any], title: str) -> list[str]:
    lines = []
    for threads, part in found.items():
        name = "one thread" if threads == "1" else f"{threads} threads"
        lines += [f"### {title}, {name}", "", *_ratios(part["ratios"]), *_rates(part["rates"])]
    return lines


def _rivals(results: Results) -> list[str]:
    found = results.get("sampling", {}).get("rivals")
    if not found:
        return []
    text = "With two threads a rival may use two inside an operator, and Kohort streams two halves of the units at once. A rival gives a DataFrame; Kohort's rows are typed columns in the client, digests checked, where it does not say DataFrame."
    return ["## Beside what users would pick instead", "", text, "", *_by_threads(found, "Sample over gRPC")]


def _graph(results: Results) -> list[str]:
    found = results.get("sampling", {}).get("graph")
    if not found:
        return []
    macs = ", ".join(f"{name} {count / 1e3:.0f}k" for name, count in found["1"].get("macs", {}).items())
    text = f"Multiply-adds per row, at least: {macs}. The limit is the faster kernel on a 512 × 512 layer, rows of a block at once, in float32."
    return ["## Beside the graph and the machine", "", text, "", *_by_threads(found, "The graph")]


def _stages(results: Results) -> list[str]:
    found = {k: v for k, v in results.get("stages", {}).items() if "stages" in v}
    if not found:
        return []
    names = list(next(iter(found.values()))["stages"])
    rows = [[name, *(said(part["stages"][name]) for part in found.values())] for name in names[:-1]]
    for title, key in (("**sum**", "sum"), ("**Sample over gRPC**", "whole"), ("unexplained rest", "rest")):
        cells = [part[key] for part in found.values()]
        rows.append([title, *(said(c) if isinstance(c, Mapping) else f"{c:.2f}" for c in cells)])
    rows.append(["to a DataFrame, on top", *(said(part["stages"]["DataFrame"]) for part in found.values())])
    text = "Microseconds of CPU per row, one thread, each stage by itself; *columns* is what the program takes beyond noise and graph."
    return ["## Where the time goes", "", text, "", *table(["stage", *found], rows), ""]


def _formats(results: Results) -> list[str]:
    sampling, lines = results.get("sampling", {}), []
    for key, title in (("formats", "Formats"), ("batches", "Rows per batch (`max_batch_rows`)")):
        if key in sampling:
            lines += [f"## {title}", "", *_rates(sampling[key]["rates"]), *_ratios(sampling[key]["ratios"])]
    return lines


SHAPES = {
    "table_rows": ("rows", 0),
    "table_columns": ("columns", 0),
    "upload_s": ("upload, CPU s", 2),
    "encode_s": ("encode, CPU s", 2),
    "fit_s": ("fit, CPU s", 1),
    "step_ms": ("step, CPU ms", 1),
    "export_s": ("export, CPU s", 2),
    "cold_ms": ("first batch cold, ms", 0),
    "cached_ms": ("cached, ms", 0),
    "sample_us": ("sample, CPU µs/row", 2),
    "graph_us": ("graph alone", 2),
    "over_graph": ("gRPC ÷ graph", 2),
}


def _shapes(results: Results) -> list[str]:
    found = results.get("shapes", {})
    if "entries" not in found:
        return []
    rows = []
    for e in found["entries"]:
        cells = [f"{e[key]:,.{digits}f}" if key in e else "" for key, (_, digits) in SHAPES.items()]
        rows.append([f"{e['size']:,} {e['what']}", e["trainer"], *cells, e.get("failed", "")])
    lines = [
        "## How costs grow",
        "",
        "Tables as `benchmarks/shapes.py` makes them; a sample comes over gRPC.",
        "",
    ]
    lines += table(("table", "trainer", *(title for title, _ in SHAPES.values()), "left out"), rows)
    figures = [key for key in SHAPES if any(key in s for s in found["slopes"])]
    slopes = [
        [s["what"], s["trainer"], *(f"{s[key]:.2f}" if key in s else "" for key in figures)]
        for s in found["slopes"]
    ]
    text = "Exponents: the slope of each figure's logarithm over that of the size (0: does not grow, 1: in proportion)."
    heads = ("with", "trainer", *(SHAPES[key][0] for key in figures))
    return [*lines, "", text, "", *table(heads, slopes), ""]


def _concurrency(results: Results) -> list[str]:
    others = concurrency_rows(results)[1]
    rows = [row[:3] for row in others]
    return ["## Many callers at once", "", *table(TITLES[:3], rows), ""] if rows else []


def _training(results: Results) -> list[str]:
    text = "Kept by `make bench-train`, each cell with its machine and commit, and by `make bench-quality`."
    return ["## Training", "", text, "", *table(TITLES, training_rows()), ""]


def _left_out(results: Results) -> list[str]:
    missing = dict(results.get("sampling", {}).get("missing", {}))
    for part in ("sampling", "stages", "shapes", "concurrency"):
        if part in results and "failed" in results[part]:
            missing[part] = f"failed: {results[part]['failed']}"
    lines = [f"- {name}: {why}" for name, why in missing.items()]
    return ["## Left out", "", *lines] if lines else []
