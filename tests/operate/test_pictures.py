"""The pictures of docs/dashboards.md are of panels that there are, small, and drawn without accidents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.operate import pictures
from tests.operate.dashboards import Target, panels
from tests.operate.rules import ROOT

PAGE = ROOT / "docs" / "dashboards.md"


def test_every_dashboard_is_drawn_from_panels_that_there_are() -> None:
    titles = {(panel.dashboard, panel.title) for panel in panels("5m")}
    assert set(pictures.SHOWN) == {dashboard for dashboard, _ in titles}
    for dashboard, shown in pictures.SHOWN.items():
        for title in shown:
            assert (dashboard, title) in titles


def test_the_page_shows_every_picture_and_none_is_large() -> None:
    text = PAGE.read_text()
    for uid in pictures.SHOWN:
        name = f"dashboards-{uid.removeprefix('kohort-')}.svg"
        assert f"]({name})" in text
        assert f"| `{uid}` |" in text
        assert (PAGE.parent / name).stat().st_size < 150_000
    assert len(re.findall(r"\]\(dashboards-\w+\.svg\)", text)) == len(pictures.SHOWN)


@pytest.mark.slow
def test_pictures_are_drawn_of_any_answer(tmp_path: Path) -> None:
    """Courses with holes, with a single point, of buckets, and none at all."""
    answers = iter(range(10**6))

    def ask(target: Target) -> list[Any]:
        bounds = [{"le": bound} for bound in ("0.5", "1.0", "+Inf")]
        whole = [[at, "1"] for at in range(30)]
        if "_bucket" in target.expression and " by (le) " in target.expression:
            return [{"metric": bound, "values": whole} for bound in bounds]
        some: list[list[Any]] = [
            whole,
            [[5, "2"]],
            [[0, "1"], [1, "NaN"], [2, "3"], [20, "4"], [21, "5"]],
            [],
        ]
        values = some[next(answers) % 4]
        return [{"metric": {"x": "y"}, "values": values}] if values else []

    pictures.draw(panels("5m"), ask, tmp_path)
    assert {picture.name for picture in tmp_path.iterdir()} == {
        f"dashboards-{uid.removeprefix('kohort-')}.svg" for uid in pictures.SHOWN
    }
