"""How the service grows: 1 to 8 workers, watchers, events, claims, on SQLite and PostgreSQL (`make bench-scale`).

    python -m benchmarks.scale [--quick] [--parts queue watch store] [--out FILE]

Device time is simulated (jobs sleep); server, databases, stores, workers,
claims and children are real. Some nine minutes on two cores that nobody else
uses. A whole run writes benchmarks/scale_results.json and the figures of
docs/operations.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_pool] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

from benchmarks import scale_queue, scale_store, scale_watch, sizing
from benchmarks.measure import ROOT, machine, replaced, rounded
from benchmarks.page import table
from benchmarks.scale_stand import QUICK, Options, bases

RESULTS = ROOT / "benchmarks" / "scale_results.json"
SAMPLING = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "operations.md"
MARK = "scale"
PARTS = {"queue": scale_queue.measure, "watch": scale_watch.measure, "store": scale_store.measure}


def measure(options: Options, parts: tuple[str, ...] = tuple(PARTS)) -> dict[str, Any]:
    """Everything that is asked for, as plain numbers."""
    began = time.monotonic()
    results: dict[str, Any] = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    results["load_before"] = os.getloadavg()[1]
    with bases() as both:
        if len(both) < 2:
            print("without PostgreSQL: it is not installed here", file=sys.stderr)
        for part in parts:
            results[part] = PARTS[part](both, options)
            print(f"{part}: {(time.monotonic() - began) / 60:.1f} minutes so far", file=sys.stderr)
    results["device_seconds"] = options.device_seconds
    return results


def block(results: Mapping[str, Any], sampling: Mapping[str, Any]) -> str:
    """The figures that an installation is sized by, as markdown."""
    lines = [
        f"Written by `make bench-scale` on {results['date']}: {results['machine']}; load before it {results['load_before']:.1f}.",
        "",
    ]
    share, patience = round(100 * sizing.PATIENT_SHARE), sizing.PATIENCE_MINUTES
    lines += [
        f"Workers: with arrivals at random, and a fifth of the day's work in its busiest hour, {share} % of the jobs "
        f"wait less than {patience:g} minutes then (Erlang C). Cores: sampling from ctgan, the clients' share "
        "included, fills half of them in that hour. Memory: server, workers and children with a small table; add what your tables take.",
        "",
        *table(sizing.HEADS, sizing.rows(results, sampling)),
        "",
        *_queue(results),
        *_store(results),
        *_watch(results),
    ]
    return "\n".join(lines)


def _queue(results: Mapping[str, Any]) -> list[str]:
    made = []
    for kind, by_workers in results["queue"].items():
        for count, run in by_workers.items():
            cpu = run["cpu_per_job"]
            made.append(
                (
                    kind,
                    count,
                    f"{run['jobs_per_hour']:,.0f}",
                    f"{100 * run['of_ideal']:.0f} %",
                    f"{_pair(run['wait'])} ({_pair(run['ideal_wait'])})",
                    _pair(run["start"], 2),
                    _pair(run["publish"], 2),
                    _pair(run["gap"], 3) if run["gap"] else "",
                    " + ".join(f"{cpu[part]:.2f}" for part in ("server", "worker", "child", "database")),
                )
            )
    heads = (
        "database",
        "workers",
        "jobs an hour",
        "of the ideal",
        "wait p50, p99 (ideal), s",
        "claim to training, s",
        "training to publication, s",
        "slot free between jobs, s",
        "CPU s a job: server + worker + child + database",
    )
    text = (
        f"Jobs of {results['device_seconds']:g} s of simulated device time on average, all queued at once. The ideal "
        "is what as many devices would do at no cost; with real trainings, which take minutes, what is lost is smaller "
        "by as much. Where many children begin at once they share the machine's cores."
    )
    return [text, "", *table(heads, made), ""]


def _store(results: Mapping[str, Any]) -> list[str]:
    found, made = results["store"], []
    sizes = sorted({int(n) for kind in scale_kinds(found) for n in found[kind]["claim"]["sizes"]})
    for kind in scale_kinds(found):
        for name, title in scale_store.OPERATIONS.items():
            if name not in found[kind]:
                continue
            run = found[kind][name]
            cells = [_cost(run["sizes"].get(str(n))) for n in sizes]
            grows = "" if run["slope"] is None else f"{run['slope']:.2f}"
            made.append((kind, title.format(claimers=found["claimers"]), *cells, grows))
    text = (
        "Milliseconds of a call, p50 / p99, and µs of CPU of caller and database together, by the number of jobs that "
        "wait (and of events in the table). *grows*: the slope of log time over log size from 100 on; 0 does not grow, "
        "1 is in proportion."
    )
    return [text, "", *table(("database", "call", *(f"{n:,}" for n in sizes), "grows"), made), ""]


def scale_kinds(found: Mapping[str, Any]) -> list[str]:
    """The databases among the keys of a part."""
    return [kind for kind in found if kind != "claimers"]


def _watch(results: Mapping[str, Any]) -> list[str]:
    made = [
        (
            kind,
            count,
            f"{run['idle_us_per_watcher_second']:,.0f}",
            "" if run["us_per_event_delivered"] is None else f"{run['us_per_event_delivered']:,.0f}",
            f"{run['delay_p50_ms']:.0f} ms",
        )
        for kind, found in results["watch"].items()
        for count, run in found["watchers"].items()
    ]
    heads = (
        "database",
        "watchers",
        "idle: µs of CPU per watcher-second",
        "per event delivered, µs",
        "delay p50",
    )
    text = "What watchers cost server and database, beyond what both take without any; 20 events a second of 10 jobs."
    return [text, "", *table(heads, made)]


def _pair(found: Mapping[str, float], digits: int = 1) -> str:
    return f"{found['p50']:.{digits}f}, {found['p99']:.{digits}f}"


def _cost(run: Mapping[str, float] | None) -> str:
    if run is None:
        return ""
    wall = f"{run['p50_ms']:.1f} / {run['p99_ms']:.1f}"
    return f"{wall}, {run['cpu_us']:,.0f} µs" if "cpu_us" in run else f"{wall}, {run['per_second']:,.0f}/s"


def write(results: Mapping[str, Any], page: Path = PAGE) -> None:
    """Puts the figures into the page."""
    sampling = json.loads(SAMPLING.read_text())
    page.write_text(replaced(page.read_text(), MARK, block(results, sampling) + "\n"))


def main() -> int:
    """Measures, prints and, of a whole run, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it runs")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="only these")
    parser.add_argument("--out", type=Path, help="where the figures go instead, as JSON")
    parser.add_argument("--page", action="store_true", help="only write the page from the stored figures")
    chosen = parser.parse_args()
    if chosen.page:
        write(json.loads(RESULTS.read_text()))
        return 0
    parts = tuple(part for part in PARTS if part in chosen.parts)
    results = rounded(measure(QUICK if chosen.quick else Options(), parts))
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    whole = not chosen.quick and len(parts) == len(PARTS)
    out = chosen.out or (RESULTS if whole else ROOT / "out" / "bench" / "scale.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    if out == RESULTS:
        write(results)
    print(block(results, json.loads(SAMPLING.read_text())) if len(parts) == len(PARTS) else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
