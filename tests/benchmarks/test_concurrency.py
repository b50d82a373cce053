"""The callers of the concurrency benchmark against a real server, and what is made of their figures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.callers import ENDLESS, Caller
from benchmarks.concurrency import percentile, rows, summary
from benchmarks.serving import BenchServer
from tests.runtime.parts import bundle_bytes


def test_percentiles_are_by_nearest_rank() -> None:
    assert [percentile([4.0, 1.0, 3.0, 2.0], q) for q in (25, 50, 51, 99, 100)] == [1, 2, 3, 4, 4]
    assert summary([0.001 * n for n in range(1, 201)]) == {"p50": 100.0, "p99": 198.0, "n": 200}


def test_rows_judge_what_has_a_floor() -> None:
    times = {"p50": 40.0, "p99": 90.0, "n": 100.0}
    run = {
        "rows_per_second": 1e5,
        "rows_per_cpu_second": 9e4,
        "slowest_by_fastest": 1.5,
        "first_batch": times,
    }
    watched = {**times, "server_cpu_percent": 3.0, "events_per_second": 400.0, "kib_per_watcher": 80.0}
    made = rows(
        {
            "first_batch": {"cold": {**times, "p50": 600.0}, "cached": times, "cached, 8 streams": times},
            "streams": {"1": {**run, "first_batch": times}},
            "calls": {"alone": {"all": times}, "2 trainings": {"all": times}},
            "watchers": {"20": watched},
            "long_stream": {
                "server": 0.5,
                "client": 3.0,
                "rows": 10_000_000,
                "rows_per_second": 1e5,
                "cpu": 20.0,
            },
        }
    )
    reached = {row[0]: row[-1] for row in made}
    assert [value for value in reached.values() if value] == ["BELOW FLOOR", "floor", "aim"]
    assert len(made) == 9


def test_callers_of_a_server(tmp_path: Path) -> None:
    flags = ("--evaluation-profile", "none", "--devices", "", "--import-unverified")
    file = tmp_path / "model.kohort"
    file.write_bytes(bundle_bytes())
    with BenchServer(tmp_path, *flags) as server:
        with server.client() as client:
            model = client.import_model(file).name
        about = {"address": server.address, "model": model}
        with Caller("streams", **about, count=2, units=ENDLESS) as load:
            load.go()
            with Caller("streams", **about, count=3, units=2048) as caller:
                found = caller.go().result()
            assert len(found["first"]) == 3
            assert all(
                0 < first <= total for first, total in zip(found["first"], found["total"], strict=True)
            )
            assert len(load.result()["total"]) == 2
        with Caller("first_batches", address=server.address, models=[model], rows=5, each=4) as caller:
            assert len(caller.go().result()) == 4
        with Caller("long_stream", **about, rows=5000, server=server.process.pid) as caller:
            assert caller.go().result()["rows_per_second"] > 0
