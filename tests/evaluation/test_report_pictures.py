"""Pictures of a report: what is drawn where, and that names of any length have room."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from evaluators.report.charts import draw
from evaluators.report.svg import clean, cut, number, ticks, width
from evaluators.results import Family, Figure, FigureKind, Series


def figure(
    kind: FigureKind, series: list[Series], categories: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    return Figure("f", Family.FIDELITY, "f", kind, tuple(series), categories, **more).to_json()


def test_a_gap_parts_a_line() -> None:
    nan = float("nan")
    drawn = draw(figure(FigureKind.LINES, [Series("a", [1, 2, nan, 3, 4], range(5))]), "f")
    assert drawn.count("<polyline") == 2
    assert "nan" not in drawn


def test_a_bar_without_a_value_is_lacking() -> None:
    drawn = draw(figure(FigureKind.BARS, [Series("a", [1.0, float("nan"), 2.0])], ("u", "v", "w")), "f")
    assert drawn.count("<rect") == 2 + 1  # and the mark of the legend


def test_cells_without_a_value_are_told_apart() -> None:
    rows = [Series("u", [1.0, float("nan")]), Series("v", [float("nan"), -1.0])]
    drawn = draw(figure(FigureKind.HEATMAP, rows, ("u", "v"), y_min=-1, y_max=1), "f")
    assert "no value" in drawn
    assert 'class="cell less"' in drawn
    assert 'class="cell more"' in drawn


@pytest.mark.parametrize("kind", FigureKind)
def test_nothing_to_draw_draws_nothing(kind: FigureKind) -> None:
    assert draw(figure(kind, [Series("a", [float("nan")], [0.0])], ("u",)), "f") == ""
    assert draw(figure(kind, []), "f") == ""


def test_chance_is_bent_on_a_logarithmic_axis() -> None:
    drawn = draw(figure(FigureKind.LINES, [Series("guessing", [0, 1], [0, 1])]), "f", log_x=True)
    points = re.search(r'points="([^"]+)"', drawn)
    assert points
    xs, ys = zip(*(map(float, point.split(",")) for point in points.group(1).split()), strict=True)
    middle = min(range(len(xs)), key=lambda at: abs(xs[at] - (xs[0] + xs[-1]) / 2))
    share = (ys[0] - ys[middle]) / (ys[0] - ys[-1])
    assert share == pytest.approx(10**-1.5, abs=0.01)  # half-way from 0.001 to 1


def test_bars_with_long_names_lie() -> None:
    names = tuple(f"A diagnosis with a long name, {letter}" for letter in "abcdef")
    drawn = draw(figure(FigureKind.BARS, [Series("a", [1, 2, 3, 4, 5, 6])], names), "f", 330)
    labels = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*><title>', drawn)]
    assert len(labels) == 6
    assert min(b - a for a, b in pairwise(labels)) >= 11


def test_labels_below_bars_do_not_overlap() -> None:
    names = tuple(f"{low} – {low + 10}" for low in range(0, 400, 10))
    drawn = draw(figure(FigureKind.BARS, [Series("a", [1.0] * 40)], names), "f", 330)
    shown = [(float(x), name) for x, name in re.findall(r'<text x="([\d.]+)"[^>]*>(\d+ – \d+)</text>', drawn)]
    assert len(shown) > 3
    for (a, left), (b, right) in pairwise(shown):
        assert b - a >= (width(left) + width(right)) / 2


def test_every_code_is_named_though_codes_rise() -> None:
    codes = (
        "250",
        "250.01",
        "272",
        "276",
        "401",
        "414",
        "427",
        "428",
        "486",
        "518",
        "682",
        "715",
        "780",
        "other",
    )
    drawn = draw(figure(FigureKind.BARS, [Series("a", [1.0] * len(codes))], codes), "f", 330)
    assert all(f">{code}</text>" in drawn for code in codes)


def test_ticks_are_round_and_within() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-3, 7, 6) == [-2, 0, 2, 4, 6]
    assert all(120 <= tick <= 203 for tick in ticks(120, 203))
    assert ticks(5, 5) == [5]


def test_numbers_have_about_three_digits() -> None:
    assert [number(v) for v in (0, 0.12345, -1.5, 1234567.0, 0.00001, float("nan"), 12345)] == [
        "0", "0.123", "−1.5", "1.2e6", "1.0e−5", "–", "12 345",
    ]  # fmt: skip


def test_text_is_cut_to_its_room() -> None:
    assert cut("short", 100) == "short"
    assert cut("x" * 200, 50).endswith("…")
    assert width(cut("血" * 200, 50)) <= 50
    assert clean("a\u202eb\ud800\n c") == "a\ufffdb\ufffd c"
