"""What the runbooks tell people to type exists: metrics, lines of the log, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from kohort.cli.app import app
from server.errors import JOB_REASONS, REASONS
from server.rpcmetrics import SPELLING
from tests.operate import promql, registry
from tests.operate.rules import ROOT, RUNBOOKS, records

PAGES = sorted(RUNBOOKS.glob("Kohort*.md"))
SOURCES = "\n".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
OURS = re.compile(r"kohort_|kohort:|grpc_server_")


def commands(page: Path) -> list[str]:
    """The lines that a page shows to be typed."""
    return [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


def queries(page: Path) -> list[str]:
    """What a page asks Prometheus."""
    return [found[1] for line in commands(page) if (found := re.fullmatch(r"prom '(.+)'", line))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_queries_name_what_there_is(page: Path) -> None:
    known = registry.known() | {
        record.name: frozenset(promql.grouping(record.expression)) for record in records()
    }
    assert queries(page)
    for query in queries(page):
        for selector in promql.selectors(query):
            if OURS.match(selector.metric):
                assert selector.metric in known, query
                assert selector.labels <= known[selector.metric], query


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lines_of_the_log_are_written_somewhere(page: Path) -> None:
    reasons = {*JOB_REASONS, *REASONS, *SPELLING.values()}
    for line in commands(page):
        if not line.startswith("logs "):
            continue
        for pattern in re.findall(r"grep (?:-E )?'([^']+)'", line):
            for one in alternatives(pattern):
                known = one in reasons or (one[0] == '"' == one[-1] and one in SOURCES)
                assert known, f"{page.name}: nothing logs {one}"
        for word in re.findall(r"grep ([A-Z_]+)\b", line):
            assert word in reasons, f"{page.name}: no reason {word}"


@pytest.mark.parametrize("page", [*PAGES, RUNBOOKS / "README.md"], ids=lambda page: page.stem)
def test_commands_exist(page: Path) -> None:
    group = typer.main.get_command(app)
    for name, options in re.findall(r"\bkohort ([a-z]+)((?: --?[a-z]+)*)", "\n".join(typed(page))):
        command = group.commands.get(name)  # type: ignore[attr-defined]
        assert command is not None, f"{page.name}: kohort {name}"
        offered = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(options.split()) <= offered, f"{page.name}: kohort {name}{options}"
    for name in re.findall(r"python -m server ([a-z]+)", page.read_text()):
        assert f'case "{name}":' in SOURCES, f"{page.name}: python -m server {name}"


def typed(page: Path) -> list[str]:
    """Commands of a page, those within its sentences too."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [*commands(page), *re.findall(r"`([^`]+)`", text)]


def alternatives(pattern: str) -> list[str]:
    """The texts that a pattern such as `"a (b|c)"` or `x|y` stands for."""
    inner = re.search(r"\(([^()]*)\)", pattern)
    if inner is None:
        return pattern.split("|")
    return [one for part in inner[1].split("|") for one in alternatives(pattern.replace(inner[0], part, 1))]
