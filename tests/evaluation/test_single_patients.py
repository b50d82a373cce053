"""What one patient alone has is nowhere in a report, nor can it be computed from one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.fairness.groups import EVALUATORS as GROUPS
from evaluators.fidelity.marginals import EVALUATORS as MARGINALS
from evaluators.gate import Policy
from evaluators.report.page import render
from evaluators.reporting import report_json
from evaluators.run import Subject, evaluate
from kohort.schema import Kind
from tables.tableset import TableSet
from tests.evaluation.cases import CDC, rows_of, table_of, tables

PATIENTS, HELD = 600, 200
SECRET = "Zzunique"
EXTREME = 9_876_543.21


def patients() -> pd.DataFrame:
    """A survey with columns of every kind; the first person alone has `SECRET` and extremes."""
    rng = np.random.default_rng(5)
    frame = pd.read_parquet(CDC).sample(PATIENTS, random_state=1).reset_index(drop=True)
    frame = frame[["BMI", "GenHlth", "Sex", "Age"]]
    frame["ward"] = rng.choice(["a", "b", "c"], PATIENTS)
    frame["outcome"] = rng.choice(["alive", "dead"], PATIENTS, p=[0.7, 0.3])
    frame["score"] = np.round(rng.normal(50, 10, PATIENTS), 3)
    frame["few"] = rng.integers(0, 4, PATIENTS)
    frame["born"] = pd.Timestamp("1960-01-01") + pd.to_timedelta(rng.integers(0, 9000, PATIENTS), unit="D")
    for column, value in (
        ("ward", f"{SECRET}Ward"),
        ("outcome", f"{SECRET}Outcome"),
        ("score", EXTREME),
        ("few", 777_777),
        ("born", pd.Timestamp("1811-02-03")),
    ):
        frame.loc[0, column] = value
    return frame


@cache
def reported(first_held_out: bool, copied: bool) -> tuple[dict[str, Any], str]:
    """The report and its page of copies, or of others; the first person was held out, or not."""
    table = table_of(patients(), born=Kind.DATE)
    held = np.arange(PATIENTS) % 3 == (0 if first_held_out else 1)
    train, holdout = (tables(table.take(np.flatnonzero(part))) for part in (~held, held))
    synthetic: TableSet = train if copied else rows_of(holdout, np.arange(1, 400) % HELD)
    roles = {"targets": ("outcome", "score"), "protected": ("ward", "few")}
    options = Options(quasi_identifiers=("ward", "born"), **roles)  # type: ignore[arg-type]
    found = report_json(evaluate(Subject(train, synthetic, holdout), options, Policy()), {})
    return found, render(found)


def numbers(value: Any) -> Iterator[float]:
    """Every number of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield float(value)


WAYS = pytest.mark.parametrize(
    ("first_held_out", "copied"),
    [(False, True), (False, False), (True, True)],
    ids=["copied", "train", "held"],
)


@pytest.mark.slow
@WAYS
def test_what_one_patient_has_is_named_nowhere(first_held_out: bool, copied: bool) -> None:
    report, page = reported(first_held_out, copied)
    assert not [one for one in report["left_out"] if "defect" in one["reason"]]
    for text in (json.dumps(report), page):
        for secret in (SECRET, "1811", "777777", "777,777", "9876543", "9,876,543"):
            digits = secret.replace(",", "").isdigit()
            # Digits by chance stand behind a point.
            found = [at for at in _places(text, secret) if not digits or not _behind_point(text, at)]
            assert not found, text[max(0, found[0] - 80) : found[0] + 40]


@pytest.mark.slow
@WAYS
def test_no_number_tells_how_far_one_patient_is_from_all_others(first_held_out: bool, copied: bool) -> None:
    report, _ = reported(first_held_out, copied)
    rows = {report["counts"]["training_rows"], report["counts"]["holdout_rows"]}
    for metric in report["metrics"]:
        if not {"score", "few"} & {*metric.get("columns", ()), *metric.get("detail", {}).values()}:
            continue
        for value in numbers({k: v for k, v in metric.items() if k != "size"}):
            for n in rows:
                # A mean, a spread, a sum of squares: what one value far from all others makes of each.
                for made in (value, value * n, math.sqrt(abs(value) * n), abs(value) * math.sqrt(n)):
                    assert not EXTREME * 0.5 < made < EXTREME * 2, (metric, value)
    for figure in report["figures"]:
        assert max(map(abs, numbers(figure)), default=0) < 1e4 or figure["name"] == "tstr", figure["name"]


def test_fewer_than_k_held_out_patients_are_not_compared_with() -> None:
    table = table_of(patients(), born=Kind.DATE)
    parts = [tables(table.take(np.arange(*ends))) for ends in ((0, 300), (300, 600), (596, 600))]
    train, synthetic, few = parts
    found = evaluate(Subject(train, synthetic, few), Options(), Policy(), parts=MARGINALS)
    alone = evaluate(Subject(train, synthetic), Options(), Policy(), parts=MARGINALS)
    assert (found.metrics, found.counts) == (alone.metrics, alone.counts)
    assert [one.part for one in found.left_out] == ["held-out patients"]
    enough = tables(table.take(np.arange(595, 600)))
    kept = evaluate(Subject(train, synthetic, enough), Options(), Policy(), parts=MARGINALS)
    assert kept.counts["holdout_patients"] == 5
    assert "held-out patients" not in {one.part for one in kept.left_out}


def test_a_rate_of_a_single_patient_is_not_told() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"ward": ["a", "b"] * 300, "died": rng.choice(["no", "yes"], 600)})
    frame.loc[(frame["ward"] == "a") & (frame.index > 0), "died"] = "no"
    frame.loc[0, "died"] = "yes"
    parts = [rows_of(tables(table_of(frame)), np.arange(i, 600, 3)) for i in range(3)]
    options = Options(targets=("died",), protected=("ward",))
    found = evaluate(Subject(*parts[:2], parts[2]), options, Policy(), parts=GROUPS)
    rates = {m.detail.get("group") for m in found.metrics if "outcome_rate" in m.name}
    assert rates == {None, "b"}
    shares = {m.detail.get("group") for m in found.metrics if m.name == "group_share"}
    assert shares == {"a", "b"}


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _behind_point(text: str, at: int) -> bool:
    while at > 0 and text[at - 1].isdigit():
        at -= 1
    return (at > 0 and text[at - 1] in ".−-") or (at > 1 and text[at - 1] == "e")
