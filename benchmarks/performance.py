"""docs/performance.md from results.json: the picture of where time goes, and the figures to size by.

python -m benchmarks.performance
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.measure import ROOT, replaced
from benchmarks.page import table

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"
MARK = "bench"

PARTS: Mapping[str, tuple[str, ...]] = {
    "noise": ("noise",),
    "ONNX graph": ("graph",),
    "columns, batches": ("columns", "rebatch"),
    "encoding, digests": ("encode", "server digests"),
    "transport": ("transport",),
    "client: parse, decode, digests": ("parse", "decode", "client digests"),
}
"""What the picture shows as one, of the stages of `benchmarks.stages`."""

REST = "server and client around them"
_COLOURS = ("#7f9fc5", "#1f4e8c", "#5d9c8f", "#d9a441", "#b5b5b5", "#c46a4a", "#e3e3e3")
_DARK = "#1f4e8c"


def bars(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Per model the µs of CPU per row of each part; what the whole takes beyond the stages is the rest."""
    found = {}
    for model, measured in results["stages"].items():
        parts = {
            name: max(0.0, sum(measured["stages"][stage]["median"] for stage in stages))
            for name, stages in PARTS.items()
        }
        parts[REST] = max(0.0, measured["whole"]["median"] - sum(parts.values()))
        found[model] = parts
    return found


def draw(results: Mapping[str, Any], path: Path = PICTURE) -> None:
    """Writes the picture; the same results give the same bytes."""
    found = bars(results)
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kohort", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(9, 0.6 * len(found) + 1.4), layout="constrained")
        left = dict.fromkeys(found, 0.0)
        for name, colour in zip((*PARTS, REST), _COLOURS, strict=True):
            widths = [parts[name] for parts in found.values()]
            drawn = axes.barh(
                list(found), widths, left=list(left.values()), color=colour, label=name, height=0.6
            )
            words = [f"{width:.1f}" if width >= 0.25 else "" for width in widths]
            ink = "white" if colour == _DARK else "black"
            axes.bar_label(drawn, words, label_type="center", color=ink, fontsize=8)
            for model, width in zip(found, widths, strict=True):
                left[model] += width
        for place, whole in enumerate(left.values()):
            said = f"  {1000 / whole:,.0f}k rows a CPU second"
            axes.text(whole, place, said, va="center", fontsize=8)
        axes.set_xlim(0, 1.25 * max(left.values()))
        axes.invert_yaxis()
        axes.set_xlabel("µs of CPU for a row, server and client together")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def block(results: Mapping[str, Any]) -> str:
    """The figures that a deployment is sized by, as markdown."""
    stages, many = results["stages"], results["concurrency"]
    rows = []
    for model, measured in stages.items():
        whole, server = measured["whole"]["median"], _server(measured)
        million = f"{server:.1f}", f"{whole - server:.1f}"
        rows.append((model, f"{whole:.1f}", f"{1e6 / whole:,.0f}", *million))
    first, calls = many["first_batch"], many["calls"]
    times = [
        ("first batch, model cached", first["cached"]),
        ("first batch, model cached, 8 streams beside it", first["cached, 8 streams"]),
        ("first batch, server just started", first["cold"]),
        *(
            (
                f"GetModel, GetJob, ListModels{'' if beside == 'alone' else f' beside {beside}'}",
                found["all"],
            )
            for beside, found in calls.items()
        ),
    ]
    streams = [
        (
            count,
            f"{run['rows_per_second']:,.0f}",
            f"{run['rows_per_cpu_second']:,.0f}",
            _ms(run["first_batch"]["p99"]),
        )
        for count, run in many["streams"].items()
    ]
    return "\n".join(
        [
            f"Written by `make bench` on {results['date']}: {results['machine']}.",
            "",
            *table(
                (
                    "model (20 columns)",
                    "µs of CPU a row",
                    "rows a CPU second",
                    "server, CPU s per million",
                    "client, CPU s per million",
                ),
                rows,
            ),
            "",
            *table(
                ("ctgan streams at once", "rows/s together", "rows a CPU second", "first batch p99"), streams
            ),
            "",
            *table(("what", "p50", "p99"), [(what, _ms(t["p50"]), _ms(t["p99"])) for what, t in times]),
        ]
    )


def _server(measured: Mapping[str, Any]) -> float:
    """µs of CPU per row before the wire; what is transport or unexplained counts for the client."""
    names = ("noise", "graph", "columns", "rebatch", "encode", "server digests")
    return float(sum(measured["stages"][name]["median"] for name in names))


def _ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def write(results: Mapping[str, Any]) -> None:
    """Draws the picture and puts the figures into the page."""
    draw(results)
    PAGE.write_text(replaced(PAGE.read_text(), MARK, block(results) + "\n"))


def main() -> None:
    """Both from what `make bench` measured last."""
    write(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
