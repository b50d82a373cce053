"""Rows per second in each language, over one real server (`make bench-clients`); writes docs/clients.md.

Every client is the driver of tests/interop on its language's library, a process
of its own for each run. Next to them stands a client that receives the same
messages and decodes none: what the wire and the server allow. All take turns, so
that a slow minute hits all of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import psutil

from benchmarks.measure import ROOT, machine, replaced, spread
from benchmarks.serving import BenchServer
from kohort.v1 import sampling_pb2

PAGE = ROOT / "docs" / "clients.md"
MARK = "bench-clients"
TABLE = ROOT / "tests" / "data" / "heart.csv"
LANGUAGES = {"python": "Python", "go": "Go", "java": "Java", "node": "Node"}
FORMS = {"batches": "columns", "rows": "rows", "csv": "CSV text"}
TINY = 100  # rows of the run that shows what starting costs
BARE = ("no client", "bytes")


@dataclass(frozen=True)
class Run:
    """One reading of a whole sample."""

    rows: int
    seconds: float
    """Of the reading alone."""
    cpu: float
    """Seconds of the client's process, its start included."""
    memory: int
    """Its largest resident size, in bytes."""


def parse(text: str) -> tuple[int, float]:
    """(rows, seconds) of what a driver printed. Raises ValueError where its stream broke on the way."""
    told = json.loads(text)
    if told["streams"] != 1:
        raise ValueError(f"the sample took {told['streams']} streams")
    return sum(map(int, told["rows"].values())), float(told["seconds"])


def drivers() -> dict[str, list[str]]:
    """The command of each language's driver, built."""
    # The tests stop Java's compilers early, since their runs are short.
    return {
        name: [word for word in tested().driver(name).words if not word.startswith("-XX:")]
        for name in LANGUAGES
    }


@cache
def tested() -> Any:
    """The module of the tests that builds and runs drivers."""
    sys.path.insert(0, str(ROOT / "tests" / "interop"))
    return importlib.import_module("drivers")


def read(words: Sequence[str], address: str, model: str, rows: int, form: str) -> Run:
    """Runs a driver."""
    environment = {**os.environ, "KOHORT_TIMEOUT": "600", "PYTHONPATH": str(ROOT / "clients" / "python")}
    with tempfile.NamedTemporaryFile("r") as peak, tempfile.TemporaryFile("w+") as out:
        command = [
            *tested().noting_peak(peak.name),
            *words,
            "read",
            address,
            model,
            "0",
            str(rows),
            "1",
            form,
        ]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if process.returncode:
            raise RuntimeError(f"{words[0]} ended with {process.returncode}: {out.read()}")
        count, seconds = parse(out.read())
        memory = int(peak.read())
    if count != rows:
        raise RuntimeError(f"{words[0]} read {count} rows of {rows}")
    return Run(count, seconds, used.ru_utime + used.ru_stime, memory)


def receive(address: str, model: str, rows: int) -> Run:
    """Receives every message of the sample and looks into none."""
    own = psutil.Process()
    request = sampling_pb2.SampleRequest(model=model, unit_count=rows, seed=1).SerializeToString()
    before = own.cpu_times()
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_stream("/kohort.v1.SamplingService/Sample")
        start = time.perf_counter()
        for _ in call(request, timeout=600):
            pass
        seconds = time.perf_counter() - start
    after = own.cpu_times()
    return Run(rows, seconds, after.user + after.system - before.user - before.system, 0)


def versions() -> str:
    """Languages and their gRPC."""

    def said(pattern: str, *words: str | Path) -> str:
        run = subprocess.run(words, capture_output=True, text=True, check=True)
        return _found(pattern, run.stdout + run.stderr)

    clients = ROOT / "clients"
    python = sys.version.split()[0]
    go, java = said(r"go(\d\S+)", "go", "version"), said('version "(.+?)"', "java", "-version")
    node = said(r"v(\S+)", "node", "--version")
    of_go = _found(r"google\.golang\.org/grpc v(\S+)", (clients / "go" / "go.mod").read_text())
    of_java = _found(r"<grpc\.version>(.+?)<", (clients / "java" / "pom.xml").read_text())
    of_node = _found(r'"@grpc/grpc-js": "(.+?)"', (clients / "node" / "package.json").read_text())
    return (
        f"Python {python} with grpcio {grpc.__version__}, Go {go} with grpc-go {of_go}, "
        f"Java {java} with grpc-java {of_java}, Node {node} with grpc-js {of_node}"
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"found no {pattern}")
    return match[1]


def table(runs: dict[tuple[str, str], list[Run]], tiny: dict[tuple[str, str], Run]) -> list[str]:
    """The lines of a markdown table, a row for each client and form."""

    def rate(which: tuple[str, str]) -> float:
        return statistics.median(run.rows / run.seconds for run in runs[which])

    lines = [
        "| client | reads | rows/s | ÷ bytes alone | client's CPU s | peak MiB |",
        "|---|---|---|---|---|---|",
    ]
    for (name, form), found in runs.items():
        rates = spread([run.rows / run.seconds for run in found])
        start = tiny[name, form].cpu if (name, form) in tiny else 0
        cpu = spread([max(run.cpu - start, 0) for run in found], 1)
        memory = max(run.memory for run in found)
        ratio = f"{rate((name, form)) / rate(BARE):.2f}"
        peak = f"{memory / 2**20:.0f}" if memory else ""
        lines.append(
            f"| {LANGUAGES.get(name, name)} | {FORMS.get(form, form)} | {rates} | {ratio} | {cpu} | {peak} |"
        )
    return lines


def main() -> None:
    """Measures, prints and writes."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000, help="rows of each run")
    options.add_argument("--repeats", type=int, default=5, help="at most so many turns")
    options.add_argument("--minutes", type=float, default=9, help="no turn begins that would end later")
    options.add_argument("--print-only", action="store_true", help="leave docs/clients.md as it is")
    chosen = options.parse_args()
    if not chosen.print_only:
        replaced(PAGE.read_text(), MARK, "")
    words = drivers()
    end = time.monotonic() + chosen.minutes * 60
    runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    served: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="kohort-bench-") as directory,
        BenchServer(Path(directory), "--evaluation-profile", "none") as server,
    ):
        with server.client() as client:
            job = client.train(TABLE, trainer="copula", seed=1)
            model = job.result()
            columns = sum(len(stored.columns) for stored in model.info.schema)
        address, name = server.address, model.name
        tiny = {
            (language, form): read(words[language], address, name, TINY, form)
            for form in FORMS
            for language in words
        }
        receive(address, name, chosen.rows)  # Warm: the server's first long stream is slower than its others.
        took = 0.0
        for turn in range(chosen.repeats):
            begun = time.monotonic()
            if turn and begun + took > end:
                break
            before = server.process.cpu_times()
            runs[BARE].append(receive(address, name, chosen.rows))
            after = server.process.cpu_times()
            served.append(after.user + after.system - before.user - before.system)
            for form in FORMS:
                for language in LANGUAGES:
                    run = read(words[language], address, name, chosen.rows, form)
                    runs[language, form].append(run)
                    print(
                        f"{turn + 1} {language} {form}: {run.rows / run.seconds:,.0f} rows/s",
                        file=sys.stderr,
                        flush=True,
                    )
            took = time.monotonic() - begun
    text = "\n".join(
        [
            f"Written by `make bench-clients` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {versions()}.",
            f"{chosen.rows:,} rows of {columns} columns (copula on `{TABLE.relative_to(ROOT)}`) from one server on loopback, which",
            f"shares the cores; {len(served)} interleaved turns, medians (range). *No client* receives the same messages and decodes none.",
            f"The server spends {spread(served, 1)} CPU seconds. A client's CPU seconds are less those of a run of {TINY} rows.",
            "",
            *table(dict(runs), tiny),
            "",
        ]
    )
    print(text)
    if not chosen.print_only:
        PAGE.write_text(replaced(PAGE.read_text(), MARK, text))


if __name__ == "__main__":
    main()
