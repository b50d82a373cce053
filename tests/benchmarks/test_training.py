"""The training benchmark: which cells it measures, how it keeps them, and what it makes of them."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training

OPTIONS = {"seeds": 2, "only": None, "again": False}


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells are not measured but answered; whose names they were."""
    asked: list[str] = []

    def answered(command: list[str], **_: Any) -> Any:
        cell = json.loads(command[-1])
        asked.append(f"{cell['what']} {cell['table']} {cell['seed']} {cell['threads']}")
        found = json.dumps({"cpu": 2.5, "wall": 2.25, "ratios_cpu": [2.4, 2.6]})
        return subprocess.CompletedProcess(command, 0, stdout=f"said before\n{found}\n")

    monkeypatch.setattr(training.subprocess, "run", answered)
    monkeypatch.setattr(training, "machine", lambda: "a machine")
    monkeypatch.setattr(training, "version", lambda: "v1")
    monkeypatch.setattr(training, "KEPT", tmp_path / "results.json")
    return asked


def run(**changes: Any) -> None:
    training.run(argparse.Namespace(**{**OPTIONS, **changes}))


def test_only_what_is_missing_is_measured(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run(only="steps")
    assert measured == ["steps encounters 0 1", "steps encounters 0 2"]
    run()
    assert len(measured) == len([*training.wanted(2)]) == len(training.stored())
    run()
    assert len(measured) == len(training.stored())
    run(only="encoding", again=True)
    assert measured[-1] == "encoding encounters 0 1"
    monkeypatch.setattr(training, "version", lambda: "v2")
    before = len(training.stored())
    run(only="encoding")
    assert len(training.stored()) == before
    assert {cell["version"] for cell in training.stored() if cell["what"] == "encoding"} == {"v2"}


def test_rows_say_what_was_reached(measured: list[str]) -> None:
    run(only="steps")
    row = training.summary()[0]
    assert (row.cpu, row.wall, row.reached, row.source) == (2.5, 2.25, "floor", "a machine")


def test_cells_tell_their_commits_and_whether_the_source_changed(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "machine", lambda: "CPU, 2 cores, commit abc1234")
    run(only="steps")
    assert "2 cells of abc1234, 0 of them" in training.provenance()
    monkeypatch.setattr(training, "version", lambda: "v2")
    assert "2 cells of abc1234, 2 of them" in training.provenance()


def test_quality_is_worse_where_one_measure_is(measured: list[str]) -> None:
    good = {"similarity": 0.9, "correlation_error": 0.1, "marginal_error": 0.1, "pairwise_error": 0.2}
    cells = [
        {
            "what": "quality",
            "table": "heart",
            "seed": seed,
            "threads": 1,
            "machine": "m",
            "ctgan": {**good, "similarity": 0.8},
            "kohort": good,
            "ctgan_fit": [6.0, 9.0],
            "kohort_fit": [2.0, 3.0],
        }
        for seed in range(5)
    ]
    training.keep(cells)
    row = training.summary()[0]
    assert (row.cpu, row.wall, row.reached) == (3.0, 3.0, "quality no worse")
    assert "similarity better on 5 by +0.100" in row.what
    for cell in cells:
        cell["kohort"] = {**good, "pairwise_error": 0.3}
    training.keep(cells)
    assert training.summary()[0].reached == "worse"
    training.keep(cells[:3])
    assert "of 3 seeds" in training.summary()[0].what
