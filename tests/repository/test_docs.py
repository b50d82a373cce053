"""The generated pages are fresh, and links between pages lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/runbooks/*.md"),
    *ROOT.glob("clients/*/README.md"),
    ROOT / "clients" / "java" / "example" / "README.md",
    *ROOT.glob("tests/data/*.md"),
]


def test_generated_pages_are_fresh(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "tools/reference.py", str(tmp_path)], cwd=ROOT, check=True)
    written = sorted(tmp_path.iterdir())
    assert [p.name for p in written] == ["api.md", "evaluation-metrics.md", "settings.md", "trainers.md"]
    for page in written:
        assert page.read_text() == (ROOT / "docs" / page.name).read_text(), (
            f"docs/{page.name} is stale: run 'make docs'"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", prose(page)):
        if "://" in target:
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in headings(there), f"{page.name} links to {target}#{anchor}"


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """What a link can name in a page: each heading as the renderers write it."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_api_page_tells_every_rpc() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    for proto in (ROOT / "protos" / "kohort").rglob("*.proto"):
        for rpc in re.findall(r"rpc (\w+)\(", proto.read_text()):
            assert f".{rpc}\n" in text


def test_names_of_other_systems_lead_to_metrics_that_there_are() -> None:
    from evaluators.registry import definitions

    text = (ROOT / "docs" / "evaluation.md").read_text()
    table = text.partition("## Names in other systems")[2].partition("\n## ")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.rpartition(" | ")[2])}
    assert len(named) > 30
    assert named <= set(definitions()), named - set(definitions())


def test_the_handbook_says_when_to_change_every_setting() -> None:
    from server.settings import Settings

    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("## Settings")[2].partition("\n## ")[0]
    # Where everything is, is said at the start and seldom changed.
    assert {name for name in Settings.model_fields if f"`{name}`" not in table} == {"data_dir"}
