"""The page: what a parser finds in it, and what a browser does with it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evaluators.report.page import render
from evaluators.results import Family, Figure, FigureKind, Series
from tests.evaluation.report_example import report

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "x" * 200,
    "</style></svg>",
    "סוכרת سكري",
    "血圧\u202e\ud800\x00",
    "{{ 7777 * 7777 }}",
    "&amp;",
]
_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a page holds: elements, attributes, ids, and whether tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def text() -> str:
    return render(report())


def hostile() -> dict[str, Any]:
    """The example with those names wherever a name can stand."""
    series = tuple(Series(name, [0.5] * len(HOSTILE), range(len(HOSTILE))) for name in HOSTILE)
    pictures = [
        Figure(f"{name}:x", Family.FIDELITY, name, kind, series, tuple(HOSTILE), name, name)
        for name in HOSTILE
        for kind in FigureKind
    ]
    value = report(pictures=pictures)
    for at, metric in enumerate(value["metrics"]):
        metric["columns"] = [HOSTILE[at % len(HOSTILE)]]
        metric["detail"] = {HOSTILE[0]: HOSTILE[at % len(HOSTILE)]}
    value["definitions"] = [d | {"title": HOSTILE[0], "reference": HOSTILE[1]} for d in value["definitions"]]
    value["labels"] = {HOSTILE[0]: HOSTILE[1]}
    value["left_out"] = [{"part": HOSTILE[0], "reason": HOSTILE[5]}]
    return value | {"display_name": HOSTILE[0], "summary": HOSTILE[:3], "limits": HOSTILE, "job": HOSTILE[1]}


def test_a_page_needs_nothing_else(text: str) -> None:
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "img"} & set(page.tags)
    assert not page.all("src")
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert not page.all("style")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert all(link.startswith("#") for link in page.all("href"))


def test_the_policy_allows_its_own_style_only(text: str) -> None:
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policy = next(
        value for _, key, value in Page(text).attributes if key == "content" and "default-src" in value
    )
    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_links_lead_somewhere_and_ids_are_unique(text: str) -> None:
    page = Page(text)
    ids = Counter(page.all("id"))
    assert max(ids.values()) == 1
    assert {link[1:] for link in page.all("href")} <= set(ids)
    assert {ident for value in page.all("aria-labelledby") for ident in value.split()} <= set(ids)


def test_a_page_can_be_read_without_sight(text: str) -> None:
    page = Page(text)
    assert ("html", "lang", "en") in page.attributes
    assert page.tags["h1"] == page.tags["main"] == page.tags["nav"] == 1
    assert page.tags["svg"] == page.tags["desc"] > 15
    assert page.tags["figure"] == page.tags["figcaption"] <= page.tags["details"]
    assert page.attributes.count(("svg", "role", "img")) == page.tags["svg"]


def test_the_first_screen_says_verdict_sentences_and_limits(text: str) -> None:
    first = text[: text.index('id="counts"')]
    for words in ("Inconclusive", "Privacy", "Quality", "3 rules are broken", "What this does not show"):
        assert words in first
    page = Page(text)
    for sentence in report()["summary"]:
        assert sentence in page.text


def test_what_is_worse_is_said_in_words(text: str) -> None:
    page = Page(text)
    assert "▼ worse than real rows" in page.text
    assert "✓ within chance" in page.text
    assert "Not measured:" in page.text


def test_an_attack_is_drawn_with_a_logarithmic_axis_too(text: str) -> None:
    assert "(logarithmic)" in text


def test_attacks_on_membership_stand_side_by_side() -> None:
    def metric(name: str, value: float, low: float, null: float, **detail: str) -> dict[str, Any]:
        interval = {"low": low, "high": 1.0, "level": 0.99}
        return {
            "name": f"membership_inference_{name}",
            "value": value,
            "interval": interval,
            "detail": detail,
            "null_value": null,
            "size": 500,
            "headline": True,
        }

    found = [
        metric("auc", 0.61, 0.58, 0.5, attack="distance"),
        metric("tpr", 0.0321, 0.02, 0.01, attack="distance", fpr="0.01"),
        metric("tpr_excess", 0.0221, -0.001, 0.0, attack="distance", fpr="0.01"),
    ]
    definitions = [{"name": one["name"], "family": "METRIC_FAMILY_PRIVACY"} for one in found]
    said = Page(render({"metrics": found, "definitions": definitions})).text
    # The rate's own interval is above chance; with the correction for the number of attacks it is not.
    assert "TPR at 1 % FPR" in said
    assert (
        "distance 500 0.610 0.580 – 1.000 at 99 % ▲ above chance 0.032 0.020 – 1.000 at 99 % ✓ within" in said
    )


def test_hostile_names_are_text() -> None:
    page = Page(render(hostile()))
    assert not {"script", "img"} & set(page.tags)
    assert page.tags["style"] == 1
    assert HOSTILE[0] in page.text
    assert str(7777 * 7777) not in page.text
    assert "\u202e" not in page.text
    render(hostile()).encode("utf-8")


@pytest.mark.parametrize(
    "value", [{}, report(values=[], pictures=[], holdout=0), {"metrics": [{"name": "column_similarity"}]}]
)
def test_a_report_of_nothing_is_a_page(value: dict[str, Any]) -> None:
    page = Page(render(value))
    assert "Not measured" in page.text
    assert "nan" not in page.text


def test_a_page_is_the_same_for_a_report_that_went_through_text() -> None:
    assert render(json.loads(json.dumps(report()))) == render(report())


def test_long_integers_as_text_are_read() -> None:
    value = report()
    value["counts"] = {key: str(count) for key, count in value["counts"].items()}
    assert render(value) == render(report())


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def browser() -> str:
    if CHROMIUM is None and os.environ.get("KOHORT_CI"):
        pytest.fail("there is no chromium")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    return CHROMIUM


def browse(browser: str, page: Path, *options: str) -> str:
    """Opens the page with the network off; what the browser had to say."""
    run = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return "\n".join(line for line in run.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["example", "hostile"])
def test_a_browser_shows_the_page_without_complaint(name: str, browser: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(report() if name == "example" else hostile()), encoding="utf-8")
    looks = {
        "desktop": ("--window-size=1400,1000",),
        "phone": ("--window-size=390,844",),
        "dark": ("--window-size=1400,1000", "--blink-settings=preferredColorScheme=0"),
    }
    for look, options in looks.items():
        picture = tmp_path / f"{look}.png"
        assert browse(browser, page, *options, f"--screenshot={picture}") == ""
        assert picture.stat().st_size > 20_000
    paper = tmp_path / "report.pdf"
    assert browse(browser, page, "--no-pdf-header-footer", f"--print-to-pdf={paper}") == ""
    assert paper.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_a_browser_refuses_what_the_policy_forbids(browser: str, tmp_path: Path) -> None:
    """What the test above listens for is said, when there is reason to."""
    page = tmp_path / "report.html"
    page.write_text(render(report()).replace("<main>", '<main><p style="color: red">x</p>'), encoding="utf-8")
    said = browse(browser, page, f"--screenshot={tmp_path / 'x.png'}")
    assert "Content Security Policy" in said
