"""Every benchmark of one run, as ratios (`make bench`); writes RESULTS.md, results.json and docs/performance.md's figures.

    python -m benchmarks.run [--quick] [--repeats 7] [--parts sampling stages shapes concurrency]

Long comparisons have commands of their own (`make bench-train`, `make
bench-quality`); the page takes their rows from what they have stored.
"""

from __future__ import annotations

import argparse
import os

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_pool] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import importlib
import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, machine, rounded
from benchmarks.page import page
from benchmarks.stand import DEFAULT, QUICK, Options

PARTS = ("sampling", "stages", "shapes", "concurrency")
HERE = ROOT / "benchmarks" / "RESULTS.md"
STAGED = ("ctgan", "ctgan int8", DEFAULT, "copula")


def sampling_and_stages(options: Options, parts: list[str], results: dict[str, Any]) -> dict[str, Any]:
    """What is measured on one server with its rivals; the first of the two parts, the other into `results`."""
    from benchmarks import sampling, stages
    from benchmarks.stand import stand

    with stand(options) as ready:
        say("models trained, rivals fitted")
        if "stages" in parts:
            names = [name for name in STAGED if name in ready.bundles]
            attempt(results, "stages", lambda: {name: stages.measure(ready, options, name) for name in names})
        return sampling.measure(ready, options) if "sampling" in parts else results["stages"]


def shapes(options: Options) -> dict[str, Any]:
    """How costs grow."""
    from benchmarks.shapes import measure

    return measure(options)


def concurrency(options: Options) -> dict[str, Any]:
    """Many callers at once."""
    module = importlib.import_module("benchmarks.concurrency")
    found: dict[str, Any] = module.measure(module.QUICK if options.quick else module.Options())
    return found


def attempt(results: dict[str, Any], part: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measures a part; one that fails is told in its place, and the others go on."""
    began = time.monotonic()
    try:
        results[part] = measure()
    except Exception as error:
        traceback.print_exc()
        results[part] = {"failed": type(error).__name__}
    say(f"{part}: {(time.monotonic() - began) / 60:.1f} minutes")


def say(line: str) -> None:
    """How far the run is."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Measures, prints and writes; 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it runs")
    parser.add_argument("--repeats", type=int, help="interleaved repeats")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--out", type=Path, help="the page; results.json goes beside it")
    chosen = parser.parse_args()
    options = QUICK if chosen.quick else Options()
    if chosen.repeats:
        options = replace(options, repeats=chosen.repeats)
    # A partial or quick run must not take the place of a whole one.
    whole = not chosen.quick and set(chosen.parts) == set(PARTS)
    out = chosen.out or (HERE if whole else ROOT / "out" / "bench" / "RESULTS.md")
    warnings.simplefilter("ignore")
    began = time.monotonic()
    results: dict[str, Any] = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    results["quick"] = options.quick
    if {"sampling", "stages"} & set(chosen.parts):
        # What fails before anything is measured is told as the part that was to come first.
        first = next(part for part in PARTS if part in chosen.parts)
        attempt(results, first, lambda: sampling_and_stages(options, chosen.parts, results))
    for part, measure in (("shapes", shapes), ("concurrency", concurrency)):
        if part in chosen.parts:
            attempt(results, part, lambda measure=measure: measure(options))
    results["minutes"] = (time.monotonic() - began) / 60
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_name("results.json").write_text(
        json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n"
    )
    text = page(results)
    out.write_text(text)
    if out == HERE and not any("failed" in results[part] for part in PARTS):
        from benchmarks import performance

        performance.write(results)
    print(text)
    return int(any("failed" in results.get(part, {}) for part in PARTS))


if __name__ == "__main__":
    sys.exit(main())
