"""docs/performance.md: the picture and the figures to size by, of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import performance
from benchmarks.stages import STAGES


def results() -> dict[str, Any]:
    stages = {name: {"median": 0.5, "low": 0.4, "high": 0.6} for name in (*STAGES, "DataFrame")}
    stages["graph"]["median"] = 3.0
    measured = {"stages": stages, "whole": {"median": 8.0}}
    times = {"p50": 4.25, "p99": 31.6, "n": 9}
    run = {
        "rows_per_second": 2e5,
        "rows_per_cpu_second": 1.5e5,
        "slowest_by_fastest": 1.0,
        "first_batch": times,
    }
    return {
        "date": "2026-01-01",
        "machine": "a machine",
        "stages": {"ctgan": measured},
        "concurrency": {
            "first_batch": dict.fromkeys(("cached", "cached, 8 streams", "cold"), times),
            "calls": {"alone": {"all": times}, "2 trainings": {"all": times}},
            "streams": {"8": run},
        },
    }


def test_the_parts_make_the_whole() -> None:
    parts = performance.bars(results())["ctgan"]
    assert parts["ONNX graph"] == 3.0
    assert parts[performance.REST] == pytest.approx(8.0 - (len(STAGES) - 1) * 0.5 - 3.0)
    assert sum(parts.values()) == pytest.approx(8.0)
    drawn = [stage for stages in performance.PARTS.values() for stage in stages]
    assert sorted(drawn) == sorted(STAGES)


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pictures = []
    for name in ("a.svg", "b.svg"):
        performance.draw(results(), tmp_path / name)
        pictures.append((tmp_path / name).read_text())
    assert pictures[0] == pictures[1]
    assert "125k rows a CPU second" in pictures[0]


def test_the_figures_to_size_by() -> None:
    said = performance.block(results())
    assert "| ctgan | 8.0 | 125,000 | 5.5 | 2.5 |" in said
    assert "| 8 | 200,000 | 150,000 | 32 ms |" in said
    assert "| first batch, model cached | 4.2 ms | 32 ms |" in said
    assert "beside 2 trainings | 4.2 ms" in said


def test_the_page_has_room_for_them() -> None:
    page = performance.PAGE.read_text()
    assert performance.replaced(page, performance.MARK, "") != ""
    assert performance.PICTURE.name in page
