"""RESULTS.md: the design's whole table whatever was measured, and what is missing by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import quality, quality_rows
from benchmarks.measure import Told, rounded
from benchmarks.page import design, page, ratio_row, said, table
from benchmarks.peers import NO_ENVIRONMENT, Peers
from benchmarks.quality_report import METRICS
from benchmarks.run import attempt


def ratio(value: float) -> dict[str, Any]:
    return {side: {"median": value, "low": value - 0.1, "high": value + 0.1} for side in ("cpu", "wall")}


def results(**more: Any) -> dict[str, Any]:
    return {"machine": "a machine", "date": "2026-01-01", "minutes": 12.0, **more}


def sampling(ratios: dict[str, Any], graph: dict[str, Any], missing: dict[str, str]) -> dict[str, Any]:
    rates: dict[str, Any] = {}
    return {
        "repeats": 3,
        "rows": 1_000,
        "columns": 20,
        "discrete": 12,
        "rivals": {"1": {"ratios": ratios, "rates": rates}},
        "graph": {"1": {"ratios": graph, "rates": rates, "macs": {"ctgan": 302_000}}},
        "missing": missing,
    }


@pytest.fixture(autouse=True)
def nothing_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quality_rows, "rows", lambda: quality_rows_of(tmp_path / "none"))
    monkeypatch.setattr(quality_rows, "training_time", lambda: time_of(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "benchmarks.training", None)


quality_rows_of, time_of = quality_rows.rows, quality_rows.training_time


def test_a_ratio_below_its_floor_says_so() -> None:
    row = ratio_row("x", ratio(2.0), 3, 5)
    assert row == ("x", "2.00 (1.90–2.10)", "2.00 (1.90–2.10)", "3", "5", "BELOW FLOOR")


def test_a_row_without_figures_says_why() -> None:
    assert ratio_row("x", None, 3, 5, NO_ENVIRONMENT)[-1] == NO_ENVIRONMENT
    assert ratio_row("x", None, 3, 5)[-1] == "not measured in this run"


def test_figures_of_one_repeat_have_no_range() -> None:
    assert said({"median": 1234.5, "low": 1234.5, "high": 1234.5}, 0) == "1,234"


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(("a", "b"), [("1", "2")]) == ["| a | b |", "|---|---|", "| 1 | 2 |"]


def test_every_row_of_the_design_is_there_where_nothing_was_measured() -> None:
    rows = design(results())
    whole = "\n".join(row[0] for row in rows)
    for words in (
        "CTGAN.sample",
        "graph alone",
        "GEMM limit",
        "training steps",
        "quality",
        "training time",
        "its sampling",
        "cached",
        "cold",
        "memory",
    ):
        assert words in whole
    assert all(row[-1].startswith("not measured") for row in rows)
    assert {row[-1] for row in rows} >= {"not measured: make bench-train", "not measured: make bench-quality"}


def test_measured_rows_meet_floors_and_aims() -> None:
    found = sampling(
        {
            "Kohort ctgan ÷ ctgan.CTGAN": ratio(5.5),
            "Kohort ctgan int8 ÷ ctgan.CTGAN": ratio(7.0),
            "Kohort argn, DataFrame ÷ mostlyai-engine": ratio(99.0),
            "Kohort argn ÷ mostlyai-engine": ratio(4.0),
        },
        {"gRPC ÷ graph, ctgan": ratio(0.9)},
        {},
    )
    reached = {row[0]: row[-1] for row in design(results(sampling=found))}
    assert reached["Sample over gRPC ÷ `ctgan.CTGAN.sample`, fp32"] == "aim"
    assert reached["Sample over gRPC ÷ `ctgan.CTGAN.sample`, int8 graph"] == "floor"
    assert reached["Sample over gRPC ÷ ONNX graph alone"] == "floor"
    assert reached["graph ÷ GEMM limit at minimum FLOPs"] == "not measured in this run"
    assert reached["its sampling ÷ mostlyai-engine's"] == "BELOW FLOOR"


def test_rows_of_other_benchmarks_take_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = ("first batch, model cached (ms)", "", "9", "50", "10", "aim")
    other = ("64 streams", "1", "2", "", "", "")
    asked: list[Any] = []

    def rows(found: Any) -> list[tuple[str, ...]]:
        asked.append(found)
        return [judged, other]

    monkeypatch.setitem(sys.modules, "benchmarks.concurrency", SimpleNamespace(rows=rows))
    found = results(concurrency={"figures": 1})
    assert judged in design(found)
    assert other not in design(found)
    assert "| 64 streams | 1 | 2 |" in page(found)
    assert asked[0] == {"figures": 1}


def test_training_rows_come_from_what_was_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = SimpleNamespace(
        what="CTGAN training steps/s", cpu=1.5, wall=2.5, floor="2", aim="3", reached="below"
    )
    fits = SimpleNamespace(
        what="time ÷ mostlyai-engine's, heart", cpu=0.4, wall=0.4, floor="", aim="", reached=""
    )
    monkeypatch.setitem(
        sys.modules, "benchmarks.training", SimpleNamespace(summary=lambda: [steps, fits], provenance=str)
    )
    rows = design(results())
    assert ("CTGAN training steps/s", "1.50", "2.50", "2", "3", "BELOW FLOOR") in rows
    assert not any("heart" in row[0] for row in rows)
    assert "heart" in page(results())


def test_rows_that_were_kept_tell_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    training = SimpleNamespace(summary=list, provenance=lambda: "9 cells of abc")
    monkeypatch.setitem(sys.modules, "benchmarks.training", training)
    assert "kept by `make bench-train`\n(9 cells of abc)" in page(results())


def test_pairs_of_another_state_of_the_source_are_counted(tmp_path: Path) -> None:
    now = quality.code_of("argn")
    versions = {1: now, 2: "older", 3: "older"}
    cells = [
        {**cell(model, "a", seed, 0.5, 0.1, 1.0), "version": version}
        for seed, version in versions.items()
        for model in ("argn", "mostlyai-engine")
    ]
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    assert "3 pairs of cells, 2 of them" in quality_rows.provenance(tmp_path / "cells.json")
    assert "0 pairs" in quality_rows.provenance(tmp_path / "none.json")


def test_a_part_that_failed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(results(sampling={"failed": "RuntimeError"}, concurrency={"failed": "OSError"}))
    assert "- sampling: failed: RuntimeError" in text
    assert "not measured: OSError" in text


def test_the_page_names_peers_that_are_not_there() -> None:
    text = page(results(sampling=sampling({}, {}, {"mostlyai-engine": NO_ENVIRONMENT})))
    assert f"- mostlyai-engine: {NO_ENVIRONMENT}" in text
    assert text.startswith("# Results\n")


def cell(model: str, table: str, seed: int, c2st: float, pairwise: float, cpu: float) -> dict[str, Any]:
    scores = dict.fromkeys(METRICS, 0.5) | {"c2st": c2st, "pairwise": pairwise, "tstr": c2st}
    real = dict.fromkeys(METRICS, 0.1)
    return {
        "table": table,
        "model": model,
        "seed": seed,
        "status": "ok",
        "scores": scores,
        "real": real,
        "fit_cpu": cpu,
    }


def test_quality_is_compared_by_paired_medians(tmp_path: Path) -> None:
    cells = []
    for seed in range(3):
        cells += [
            cell("argn", "a", seed, 0.54, 0.105, 3.0),
            cell("mostlyai-engine", "a", seed, 0.60, 0.2, 10.0),
        ]
        cells += [
            cell("argn", "b", seed, 0.54, 0.105, 4.0),
            cell("mostlyai-engine", "b", seed, 0.53, 0.2, 10.0),
        ]
    cells += [
        cell("argn", "a", 7, 0.0, 0.0, 1.0),
        {**cell("mostlyai-engine", "a", 7, 0, 0, 1), "status": "failed"},
    ]
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(cells))
    c2st, pairwise, tstr = quality_rows_of(path)
    assert "better on 1, worse on 1" in c2st[1]
    assert c2st[-1] == "aim (worse on b)"
    assert pairwise[-1] == "aim"
    assert "1.05 × real rows" in pairwise[1]
    assert tstr[-1] == "BELOW FLOOR"
    assert time_of(path)[1].startswith("0.35 (0.30–0.40")
    assert time_of(path)[-1] == "floor"


def test_without_an_environment_there_are_no_peers(tmp_path: Path) -> None:
    with Peers(tmp_path / "none", tmp_path / "t.parquet", 10, ["a"], tmp_path) as peers:
        peers.wait()
        assert peers.models == []
        assert peers.why("mostlyai-engine") == NO_ENVIRONMENT


WORKER = """
import json, sys
print(json.dumps({"model": "one", "seconds": 1}))
print(json.dumps({"model": "two", "failed": "ValueError"}))
print(json.dumps({"ready": True}), flush=True)
asked = json.loads(sys.stdin.readline())
print(json.dumps({"rows": asked["rows"], "cpu": 1.0, "wall": 2.0}), flush=True)
"""


def test_peers_answer_over_a_pipe_and_one_that_ended_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER]
    with Peers(tmp_path, tmp_path / "t.parquet", 10, ["a"], tmp_path, command) as peers:
        peers.wait()
        assert peers.models == ["one"]
        assert peers.why("two") == "not measured: fitting failed (ValueError)"
        run = peers.candidate("one", 50, 2)
        assert run() == Told(50, 1.0, 2.0)
        with pytest.raises(RuntimeError, match="the peers' process ended with"):
            run()


def test_a_worker_that_dies_leaves_its_peers_unmeasured(tmp_path: Path) -> None:
    with Peers(
        tmp_path, tmp_path / "t.parquet", 10, ["a"], tmp_path, [sys.executable, "-c", "exit(3)"]
    ) as peers:
        peers.wait()
        assert peers.why("any") == "not measured: the peers' process ended with 3"


def test_a_part_that_fails_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {"other": 1}
    attempt(found, "part", lambda: {"never": 1 / 0})
    assert found == {"other": 1, "part": {"failed": "ZeroDivisionError"}}


def test_numbers_are_kept_to_five_digits() -> None:
    assert rounded({1: [1.23456789, 7, "x"]}) == {"1": [1.2346, 7, "x"]}
