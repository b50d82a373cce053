"""The benchmark of scale: what it computes by itself, and a small run of every part."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale, scale_queue, scale_store, scale_watch, sizing
from benchmarks.measure import replaced, rounded
from benchmarks.scale_stand import QUICK, Base, bases, slope
from server.records import JobRecord, JobSpec, JobState
from server.store import Store
from tests.core.support import SCHEMA, unavailable

SAMPLING = {"stages": {"ctgan": {"whole": {"median": 8.0}}}}


def test_slopes_are_exponents() -> None:
    assert slope({1: 9.0, 10: 1.0, 100: 10.0, 1000: 100.0}) == pytest.approx(1.0)
    assert slope({0: 3.0, 100: 2.0, 10_000: 2.0}) == pytest.approx(0.0)
    assert slope({10: 1.0, 100: 100.0}) == pytest.approx(2.0)
    assert slope({1: 1.0, 100: 2.0}) is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 12, 24])
def test_device_times_have_the_mean_that_is_asked_for(count: int) -> None:
    made = scale_queue.durations(count, 5.0)
    assert len(set(made)) == count
    assert sum(made) / count == pytest.approx(5.0)
    assert min(made) >= 2.5
    assert max(made) <= 7.5
    assert count < 6 or made != sorted(made)


def test_the_ideal_serves_first_come_first() -> None:
    assert scale_queue.ideal([3.0, 1.0, 1.0, 4.0], 1) == (9.0, [0.0, 3.0, 4.0, 5.0])
    assert scale_queue.ideal([3.0, 1.0, 1.0, 4.0], 2) == (6.0, [0.0, 0.0, 1.0, 2.0])


def job(slot: str, created: float, start: float, end: float) -> JobRecord:
    spec = JobSpec(dataset="d", trainer="t", parameters={}, schema=SCHEMA, seed=1, max_runtime_s=1.0)
    given: dict[str, Any] = {"device": slot, "create_time": created, "start_time": start, "end_time": end}
    names = JobRecord.__dataclass_fields__
    blank = dict.fromkeys(names) | {"spec": spec, "state": JobState.SUCCEEDED}
    return JobRecord(**(blank | given))


def test_what_a_run_tells() -> None:
    jobs = [job("cpu:0", 0.0, 1.0, 4.0), job("cpu:1", 0.0, 1.5, 3.5), job("cpu:0", 0.5, 4.25, 9.0)]
    assert scale_queue.gaps(jobs) == [0.25]
    told = scale_queue.told(jobs, [(0.5, 0.25)] * 3, [2.0, 1.0, 4.0], 2)
    assert told["jobs_per_hour"] == pytest.approx(3 * 3600 / 9)
    assert told["of_ideal"] == pytest.approx(5 / 9)
    assert told["wait"] == [1.0, 1.5, 3.75]
    assert told["ideal_wait"] == [0.0, 0.0, 1.0]
    told |= {"cpu_per_job": {"child": 1.0}, "memory_mib": {"child": 100.0}}
    other = told | {"jobs_per_hour": 1000.0, "memory_mib": {"child": 300.0}}
    made = scale_queue.summary([told, other])
    assert made["jobs_per_hour"] == pytest.approx(1100)
    assert made["wait"] == {"p50": 1.5, "p99": 3.75}
    assert made["memory_mib"] == {"child": 300.0}
    assert made["jobs"] == 6


def test_a_watcher_costs_what_none_would_not() -> None:
    runs = {
        0: {"idle": 0.01, "busy": 0.03, "delivered": 0.0, "delay": 0.0},
        50: {"idle": 0.02, "busy": 0.09, "delivered": 100.0, "delay": 40.0},
    }
    made = scale_watch.costs(runs)["watchers"]["50"]
    assert made["idle_us_per_watcher_second"] == pytest.approx(200)
    assert made["us_per_event_delivered"] == pytest.approx(500)


def test_waits_are_erlangs() -> None:
    # One worker: M/M/1, P(W > t) = ρ·exp(-(μ-λ)t).
    assert sizing.waits(1, 2.0, 0.25, 0.0) == pytest.approx(0.5)
    assert sizing.waits(1, 2.0, 0.25, 1.0) == pytest.approx(0.5 * 2.718281828**-2)
    # Tabulated: 5 servers under 4 erlangs, C = 0.5541.
    assert sizing.waits(5, 4.0, 1.0, 0.0) == pytest.approx(0.5541, abs=1e-4)
    assert sizing.waits(4, 4.0, 1.0, 0.0) == 1.0, "it never ends"


def test_more_work_needs_more() -> None:
    needed = [sizing.workers_for(load, 2.0) for load in sizing.LOADS]
    assert needed == sorted(set(needed))
    smaller = replace(sizing.LOADS[1], minutes=5)
    assert sizing.workers_for(smaller, 2.0) < needed[1]
    assert sizing.machines(8, 4).startswith("one machine")
    assert sizing.machines(9, 4).startswith("2 worker machines, 2 servers, PostgreSQL")


def test_a_claim_is_timed_on_a_queue_that_stays_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    scale_store.fill(url, 100)
    figures = scale_store._visit(url, 100, lambda: 0.0, QUICK)
    assert set(figures) == {"claim", "event", "heartbeat", "blocked"}
    store = Store(url)
    assert store.jobs.counts()[JobState.QUEUED] == 101
    store.close()


def test_the_page_has_room_and_figures() -> None:
    page = scale.PAGE.read_text()
    assert replaced(page, scale.MARK, "") != page
    results = json.loads(scale.RESULTS.read_text())
    # What stands in the page is what the stored figures say.
    assert scale.block(results, json.loads(scale.SAMPLING.read_text())) in page


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_a_small_run_of_everything(tmp_path: Path) -> None:
    with bases() as both:
        if "PostgreSQL" not in both:
            unavailable("needs PostgreSQL's initdb and pg_ctl")
        assert all(isinstance(base, Base) for base in both.values())
        results: dict[str, Any] = {"machine": "m", "date": "d", "load_before": 0.0}
        results["device_seconds"] = QUICK.device_seconds
        small = replace(QUICK, workers=(2,), device_seconds=0.2)
        for part, measure in scale.PARTS.items():
            results[part] = measure(both, small)
    # The page is made of one worker's figures, too.
    for by_workers in results["queue"].values():
        by_workers["1"] = by_workers["2"]
    text = scale.block(rounded(json.loads(json.dumps(results))), SAMPLING)
    assert re.search(r"\| PostgreSQL \| 2 \| [\d,]+ \| \d+ % \|", text)
    for kind in both:
        run = results["queue"][kind]["2"]
        assert 0 < run["of_ideal"] <= 1
        assert run["cpu_per_job"]["child"] > 0.1
        assert set(results["store"][kind]) == {"claim", "crowd", "event", "heartbeat"}
        assert results["watch"][kind]["watchers"]["2"]["us_per_event_delivered"] is not None
    page = tmp_path / "page.md"
    page.write_text("<!-- scale -->\n<!-- /scale -->")
    page.write_text(replaced(page.read_text(), scale.MARK, text + "\n"))
    assert text in page.read_text()
