"""Rules are right, tested, told apart by severity, and each alert has its page; what they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.core.support import unavailable
from tests.operate import promql, registry
from tests.operate.rules import FILES, FOLDER, RUNBOOKS, TESTS, Rule, alerts, configuration, records, rules

MAY_BE_TOLD = {
    *("job", "instance", "service", "class", "kind", "slot", "gpu", "state", "reason", "profile", "model"),
    *("part", "grpc_service", "grpc_method", "grpc_code"),
}
"""Labels whose values are known beforehand, or name a machine: none says a thing of a patient or a job."""

PROMETHEUS = {
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "prometheus_notifications_alertmanagers_discovered": set[str](),
    "prometheus_notifications_dropped_total": set[str](),
}
"""What rules read of Prometheus itself; tests/operate/test_stack.py sees them in a real one."""


def check(*command: str | Path) -> None:
    """Runs promtool or amtool."""
    if shutil.which(str(command[0])) is None:
        unavailable(f"{command[0]} is not installed")
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_well_formed() -> None:
    check("promtool", "check", "rules", *FILES)


def test_prometheus_takes_its_configuration() -> None:
    check("promtool", "check", "config", FOLDER / "prometheus.yml")


def test_alertmanager_takes_its_configuration() -> None:
    check("amtool", "check-config", FOLDER / "alertmanager.yml")


@pytest.mark.slow
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    check("promtool", "test", "rules", file)


def test_every_alert_is_tested_both_ways() -> None:
    fires: set[str] = set()
    quiet: set[str] = set()
    for file in TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for one in case["alert_rule_test"]:
                (fires if one["exp_alerts"] else quiet).add(one["alertname"])
                for told in one["exp_alerts"]:
                    assert set(told["exp_annotations"]) == {"summary", "description", "runbook_url"}
    names = {alert.name for alert in alerts()}
    assert fires == names
    assert quiet == names


def test_names_are_unique() -> None:
    names = [rule.name for rule in rules()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_says_what_to_do(alert: Rule) -> None:
    assert alert.labels.keys() == {"severity"}
    assert alert.labels["severity"] in {"page", "ticket"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"docs/runbooks/{alert.name}.md"
    told = set(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())))
    assert told <= MAY_BE_TOLD
    page = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert page.startswith(f"# {alert.name}\n"), page[:80]
    for part in ("## What users notice", "## First look", "## Causes, and what to do", "## Escalate"):
        assert f"\n{part}\n" in page, f"{alert.name}.md lacks '{part}'"


def test_runbooks_and_their_table_are_of_these_alerts() -> None:
    names = {alert.name: alert.labels["severity"] for alert in alerts()}
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(names)
    table = dict(
        re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    )
    assert table == names


def test_inhibitions_and_routes_name_what_there_is() -> None:
    alertmanager = configuration("alertmanager.yml")
    names = [alert.name for alert in alerts()]
    for rule in alertmanager["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, pattern = re.fullmatch(r'(\w+)=~?"(.+)"', matcher).groups()  # type: ignore[union-attr]
            assert label == "alertname"
            assert any(re.fullmatch(pattern, name) for name in names), matcher
            alternatives = re.search(r"\((.+)\)", pattern)
            for one in alternatives[1].split("|") if alternatives else ():
                assert pattern.replace(f"({alternatives[1]})", one) in names, one  # type: ignore[index]
    asked = {matcher for route in alertmanager["route"]["routes"] for matcher in route["matchers"]}
    assert asked == {'severity="page"'}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_rules_name_metrics_and_labels_that_there_are(rule: Rule) -> None:
    known = registry.known() | {name: registry.TARGET | labels for name, labels in PROMETHEUS.items()}
    known |= {record.name: _labels_of(record) for record in records()}
    read = promql.metrics(rule.expression)
    assert read
    assert read <= set(known), f"no such metric: {read - set(known)}"
    for selector in promql.selectors(rule.expression):
        assert selector.labels <= known[selector.metric], f"{selector.text}: no such label"
    together = set().union(*(known[metric] for metric in read))
    assert promql.grouping(rule.expression) <= together


@pytest.mark.parametrize(
    "rule", [r for r in rules() if 'job="prometheus"' not in r.expression], ids=lambda r: r.name
)
def test_rules_add_up_what_one_installation_counts(rule: Rule) -> None:
    """One Prometheus may watch several; `namespace` tells them apart."""
    for grouping in re.findall(r"\b(?:sum|max|min|count|avg)\b(?: by \(([^)]*)\))? *\(", rule.expression):
        assert "namespace" in grouping.split(", "), rule.expression


def _labels_of(record: Rule) -> frozenset[str]:
    """What a recording rule leaves: what it groups by, or all where it does not."""
    by = promql.grouping(record.expression) - {"le"}
    kept = registry.TARGET if "by (" not in record.expression else frozenset()
    return frozenset(by) | kept
