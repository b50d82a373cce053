"""The dashboards are fresh, have Grafana's shape, and ask only for what the server tells.

That every expression gives data is for test_stack.py, which asks a real Prometheus.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.core.support import unavailable
from tests.operate.promql import grouping, metrics, selectors
from tests.operate.registry import known
from tools import dashboards
from tools.dashboards.grafana import Dashboard, Panel, Query, Row
from tools.dashboards.looks import Lines
from tools.dashboards.series import WHOLE_DATABASE, declared, each, once

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in dashboards.files().items()}
EACH = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
GRAFANAS_OWN = {"__rate_interval", "__range", "__interval", "__url_time_range"}
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Without the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where it stands, and the expression: of panels, marks and variables."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for mark in board["annotations"]["list"]:
        if "expr" in mark and "ALERTS" not in mark["expr"]:
            yield mark["name"], mark["expr"]


def test_the_files_are_what_the_code_makes() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in dashboards.FOLDER.iterdir()}
    assert found == dashboards.files(), "stale: run `make dashboards`"
    assert dashboards.files() == dashboards.files()
    assert {f"{board['uid']}.json" for board in BOARDS.values()} == set(BOARDS)


@EACH
def test_what_is_asked_for_exists_with_the_labels_it_is_asked_by(board: dict[str, Any]) -> None:
    for title, expr in expressions(board):
        asked = selectors(expr)
        assert asked, title
        for selector in asked:
            assert selector.metric in known(), f"{title}: there is no {selector.metric}"
            assert selector.labels <= known()[selector.metric], f"{title}: {selector.text}"
            assert {"job", "instance"} <= selector.labels, f"{title}: {selector.text} asks every job"
        carried = frozenset().union(*(known()[selector.metric] for selector in asked))
        assert grouping(expr) <= carried, title


@EACH
def test_legends_and_tables_name_labels_that_the_answer_has(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert named <= grouping(target["expr"]), panel["title"]
            if not named and target["format"] == "time_series":
                assert not re.match(r"(sum|max|min) by", target["expr"]), f"{panel['title']}: no names"


@EACH
def test_what_every_server_counts_for_the_whole_database_is_never_added_up(board: dict[str, Any]) -> None:
    for title, expr in expressions(board):
        for selector in selectors(expr):
            name = selector.metric if selector.metric in WHOLE_DATABASE else SUFFIX.sub("", selector.metric)
            if name not in WHOLE_DATABASE:
                continue
            before = expr[: expr.index(selector.text)]
            assert re.search(r"max( by \([\w, ]+\) )?\((rate\(|increase\()?$", before), f"{title}: {expr}"


def test_whole_and_own_metrics_are_told_apart() -> None:
    assert set(declared()) >= WHOLE_DATABASE
    with pytest.raises(ValueError, match="use once"):
        each("kohort_jobs")
    with pytest.raises(ValueError, match="use each"):
        once("kohort_streams")
    with pytest.raises(ValueError, match="no metric"):
        each("kohort_nothing")
    with pytest.raises(ValueError, match="no label"):
        once("kohort_jobs", 'trainer="ctgan"')
    with pytest.raises(ValueError, match="no label"):
        once("kohort_jobs").by("instance")
    here = '{job="kohort", instance=~"$instance"}'
    ended = f"increase(kohort_jobs_ended_total{here}[1h])"
    assert once("kohort_jobs_ended_total").by("outcome").increase("1h") == (
        f"sum by (outcome) (max by (trainer, outcome) ({ended}))"
    )
    assert each("kohort_streams").by("class").now() == f"sum by (class) (kohort_streams{here})"
    buckets = f"rate(kohort_job_queue_seconds_bucket{here}[$__rate_interval])"
    assert (
        once("kohort_job_queue_seconds").quantile(0.5) == f"histogram_quantile(0.5, max by (le) ({buckets}))"
    )


def test_two_servers_on_one_database_show_what_one_would(tmp_path: Path) -> None:
    promtool = shutil.which("promtool") or unavailable("promtool is not installed")
    told = {"a": "0+6x10", "b": "_x4 0+6x6"}  # b was started later, and has counted less
    series = [
        {"series": f'{name}{{job="kohort", instance="{server}"{labels}}}', "values": values}
        for server, counts in told.items()
        for name, labels, values in (
            ("kohort_jobs", ', state="QUEUED"', "3x10"),
            ("kohort_jobs_ended_total", ', trainer="ctgan", outcome="FAILED"', counts),
            ("kohort_jobs_ended_total", ', trainer="tvae", outcome="FAILED"', counts),
            ("kohort_streams", ', class="sample"', "3x10"),
        )
    ]
    wanted = {
        once("kohort_jobs", 'state="QUEUED"').now(): 3,
        once("kohort_jobs_ended_total").by("outcome").increase("5m"): 2 * 30,
        each("kohort_streams").by("class").now(): 2 * 3,
    }
    expected = [
        {
            "expr": expr.replace("$instance", ".*"),
            "eval_time": "10m",
            "exp_samples": [{"labels": labels, "value": value}],
        }
        for (expr, value), labels in zip(
            wanted.items(), ("{}", '{outcome="FAILED"}', '{class="sample"}'), strict=True
        )
    ]
    cases = [{"interval": "1m", "input_series": series, "promql_expr_test": expected}]
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": [], "tests": cases}), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "test.yml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {
        name
        for board in BOARDS.values()
        for _, expr in expressions(board)
        for metric in metrics(expr)
        for name in (metric, SUFFIX.sub("", metric))
    }
    told = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert told
    assert not told - shown


@EACH
def test_panels_lie_beside_and_below_one_another(board: dict[str, Any]) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
    assert set(taken.values()) == {1}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


@EACH
def test_lines_of_panels_fill_the_page(board: dict[str, Any]) -> None:
    lines: dict[int, list[dict[str, Any]]] = {}
    for panel in board["panels"]:
        lines.setdefault(panel["gridPos"]["y"], []).append(panel)
    for line in lines.values():
        assert sum(panel["gridPos"]["w"] for panel in line) == 24, [panel["title"] for panel in line]
        assert len({panel["gridPos"]["h"] for panel in line}) == 1, [panel["title"] for panel in line]


@EACH
def test_every_panel_says_what_it_shows_and_what_to_do(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["title"][:1].isupper(), panel["title"]
        assert len(panel["description"]) > 70, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["range"] is not target["instant"]
        gpu = any("kohort_device" in target["expr"] for target in panel["targets"])
        assert gpu == panel["description"].startswith("Needs a GPU: "), panel["title"]


@EACH
def test_runbooks_are_of_alerts_that_exist(board: dict[str, Any]) -> None:
    folder = ROOT / "deploy" / "prometheus" / "rules"
    rules = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))]
    alerts = {
        rule["alert"]
        for file in rules
        for group in file["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    for panel in panels(board):
        named = set(re.findall(r"docs/runbooks/(\w+)\.md", panel["description"]))
        assert named <= alerts, panel["title"]


@EACH
def test_variables_that_are_used_are_defined_and_those_defined_are_used(board: dict[str, Any]) -> None:
    defined = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps([board["panels"], board["annotations"]])
    used = {a or b for a, b in re.findall(r"\$(?:(\w+)|\{(\w+)[^}]*\})", text)}
    assert used - GRAFANAS_OWN == defined
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(
                r'label_values\((\w+)\{job="kohort"\}, (\w+)\)', variable["query"]["query"]
            ).groups()  # type: ignore[union-attr]
            assert label == variable["name"]
            assert label in known()[metric]


@EACH
def test_the_shape_is_grafanas(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] >= 39
    assert "id" not in board, "Grafana numbers dashboards itself"
    assert board["tags"] == ["kohort"]
    assert [link["tags"] for link in board["links"]] == [["kohort"]], "every dashboard leads to the others"
    marks = {mark["name"] for mark in board["annotations"]["list"]}
    assert marks == {"Annotations & Alerts", "Starts", "Alerts"}
    kinds = {"timeseries", "stat", "gauge", "bargauge", "heatmap", "table", "state-timeline"}
    for panel in panels(board):
        assert panel["type"] in kinds
        assert panel["options"]
        steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert steps[0] is None
        assert steps[1:] == sorted(steps[1:]), panel["title"]
        assert (panel["type"] == "heatmap") == (panel["targets"][0]["format"] == "heatmap"), panel["title"]
        for link in panel.get("links", []):
            assert re.match(r"/d/([\w-]+)\?", link["url"])[1] + ".json" in BOARDS  # type: ignore[index]


def test_a_panel_keeps_its_id_where_others_come_before_it() -> None:
    one, two = (Panel(t, "…", [Query("up")], "s", Lines()) for t in ("One", "Two"))

    def ids(*made: Panel) -> dict[str, int]:
        board = Dashboard("a", "A", "", [Row("R", made)]).to_json()
        return {panel["title"]: panel["id"] for panel in board["panels"]}

    assert ids(one).items() <= ids(two, one).items()
    with pytest.raises(ValueError, match="rename"):
        ids(one, one)


def test_what_is_provisioned_is_what_the_dashboards_ask() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))
    (one,) = source["datasources"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert one["type"] == "prometheus"
    assert one["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "kohort.yaml").read_text(encoding="utf-8"))
    (folder,) = provider["providers"]
    assert folder["type"] == "file"
    assert folder["options"]["path"].startswith("/")
    assert folder["allowUiUpdates"] is False, "what is changed by hand is lost"
