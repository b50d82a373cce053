"""The page of the quality benchmark: paired differences, ties, and what it says is missing."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.quality_report import METRICS, interval, page, verdict


def cell(model: str, seed: int, error: float, **others: Any) -> dict[str, Any]:
    return {
        "table": "heart",
        "model": model,
        "seed": seed,
        "version": "1",
        "status": "ok",
        "fit_cpu": 10.0,
        "sample_cpu": 0.1,
        "train_rows": 242,
        "scores": dict.fromkeys(METRICS, error),
        "real": dict.fromkeys(METRICS, 0.125),
        **others,
    }


def test_the_interval_holds_the_median_and_stays_within_the_values() -> None:
    low, high = interval([-3.0, -2.0, -1.0, 0.5, 1.0])
    assert -3.0 <= low <= -1.0 <= high <= 1.0
    assert interval([2.0] * 5) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("gaps", "direction", "word"),
    [
        ([-0.1, -0.2, -0.3], -1, "better"),
        ([-0.1, -0.2, -0.3], 1, "worse"),
        ([-0.1, 0.2, -0.3, 0.1, 0.0], -1, "tie"),
        ([-0.1], -1, "better?"),
    ],
)
def test_a_verdict_says_what_the_interval_says(gaps: list[float], direction: int, word: str) -> None:
    assert verdict(gaps, direction) == word


def test_the_page_pairs_seeds_and_names_what_is_missing() -> None:
    cells = [cell("argn", seed, 0.1 + seed / 100) for seed in range(4)]
    cells += [cell("mostlyai-engine", seed, 0.3 + seed / 100, fit_cpu=40.0) for seed in range(3)]
    cells += [{**cell("ctgan.CTGAN", 0, 0.0), "status": "timed out", "cpu_limit": 600}]
    text = page(cells, ["argn", "arf"], ["ctgan.CTGAN", "mostlyai-engine"])
    beside = next(line for line in text.splitlines() if line.startswith("| heart | 3 |"))
    assert "-0.2000 [-0.2000, -0.2000] better" in beside
    assert beside.endswith("| 0.25 |")
    assert "| `argn` | 4 | 10.0 | 2,420 | 0.1150 |" in text
    assert "| *real rows* | 4 | | | 0.1250 |" in text
    assert "| `ctgan.CTGAN` | 0 | timed out at 600 s |" in text
    assert "| `arf` | 0 | missing |" in text
    missing = text[text.index("## What is missing") :]
    assert "| `argn` | 4 | missing |" in missing
    assert "| `ctgan.CTGAN` | missing; seed 0 timed out at 600 s |" in missing
