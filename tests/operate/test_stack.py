"""Every panel and every rule has data from a real server; an alert comes all the way.

`-s` shows what each panel says; so does `python -m tests.operate.show`.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Iterator

import pytest

from tests.core.support import unavailable, until
from tests.operate import load, promql
from tests.operate.dashboards import Panel, Target, panels
from tests.operate.rules import alerts, records
from tests.operate.stack import Stack
from tests.operate.test_runbooks import PAGES, queries
from tests.operate.values import reading

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WINDOW = "5m"
"""Longer than the load: what happened once in it shows in every rate."""
PATIENCE_SECONDS = 20.0
NEEDS_A_GPU = ("kohort_device_", "kohort:gpus:")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """After one round of load. The last test stops its server."""
    for program in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            unavailable(f"{program} is not installed")
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        load.drive(stack)
        until(lambda: counted(stack), "the server to have counted everything", say=stack.logs)
        yield stack


def counted(stack: Stack) -> bool:
    """Whether Prometheus has scraped what follows from the load with some delay."""
    done = all(
        stack.value(f'sum(kohort_jobs_ended_total{{outcome="{outcome}"}})') == count
        for outcome, count in load.JOBS.items()
    )
    return (
        done
        and stack.value("sum(kohort_evaluations_total)") == 1
        and stack.value("sum(kohort_release_state)") == load.MODELS
        and stack.value("count(kohort_evaluation_headline == kohort_evaluation_headline)") > 0
    )


def good(stack: Stack, target: Target) -> bool:
    """Whether it gives a finite value, at least one of one series."""
    values = [value for series in stack.answer(target) for value in series.get("values") or [series["value"]]]
    return any(math.isfinite(float(value)) for _, value in values)


def missing(stack: Stack, targets: Iterable[Target]) -> list[str]:
    """Those that give no data, though they were given time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        targets = [target for target in targets if not good(stack, target)]
        if not targets or time.monotonic() > end:
            return [f"{target.legend}: {target.expression}" for target in targets]
        time.sleep(1)


def test_what_is_recorded_has_data(stack: Stack) -> None:
    wanted = [Target(r.name, r.name, True) for r in records() if not r.name.startswith(NEEDS_A_GPU)]
    assert len(wanted) > 10
    assert not missing(stack, wanted)


def test_what_alerts_look_at_has_data(stack: Stack) -> None:
    wanted, on_gpus = [], set()
    for alert in alerts():
        stack.query(alert.expression)  # raises where Prometheus cannot evaluate it
        for selector in promql.selectors(alert.expression):
            if selector.metric.startswith(NEEDS_A_GPU):
                on_gpus.add(alert.name)
            else:
                wanted.append(Target(selector.text, alert.name, True))
    assert on_gpus == {"KohortGpuMemoryNearlyFull", "KohortGpuMissing"}
    assert not missing(stack, wanted)


def test_what_runbooks_ask_can_be_answered(stack: Stack) -> None:
    asked = [query for page in PAGES for query in queries(page)]
    assert len(asked) > 60
    for query in asked:
        stack.query(query)  # raises where Prometheus cannot evaluate it


@pytest.mark.parametrize("panel", panels(WINDOW), ids=lambda panel: f"{panel.dashboard}-{panel.title}")
def test_every_panel_has_data(stack: Stack, panel: Panel) -> None:
    assert panel.targets
    if panel.needs_gpu and not stack.query("kohort_device_memory_size_bytes"):
        for target in panel.targets:
            stack.query(target.expression)  # raises where Prometheus cannot evaluate it
        pytest.skip("needs a GPU")
    assert not missing(stack, panel.targets)
    print(f"\n{panel.dashboard} · {panel.title} · {reading(panel, stack.answer)}", end="")


# The last one: it stops the server.
def test_an_alert_comes_all_the_way_to_the_receiver(stack: Stack) -> None:
    # Where a scrape was late under load it may have fired before.
    quiet = 'absent(ALERTS{alertname="KohortDown"})'
    until(lambda: stack.query(quiet), "no such alert to be active", say=stack.logs)
    before = len(stack.received.messages)
    stack.server.stop()

    def told() -> list[dict[str, dict[str, str]]]:
        return [
            alert
            for path, message in stack.received.messages[before:]
            for alert in message["alerts"]
            if (path, alert["labels"]["alertname"], alert["status"]) == ("/page", "KohortDown", "firing")
        ]

    # Two rounds of the group's interval.
    alert = until(told, "Alertmanager to tell that the server is down", 250, stack.logs)[0]
    assert alert["labels"]["severity"] == "page"
    assert alert["labels"]["job"] == "kohort"
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/KohortDown.md"
    assert (
        alert["annotations"]["summary"]
        == f"Kohort on {alert['labels']['instance']} does not answer Prometheus"
    )
