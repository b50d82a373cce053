"""Constraints from a declaration to every row that leaves, and what is said of rows that break them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kohort
from tests.e2e.harness import Server

ROWS = 1_500
RULES = (
    kohort.Order("birth", "admission"),
    kohort.Order("admission", "discharge"),
    kohort.Order("low", "limit"),
    kohort.Order("other", "limit"),  # a second lower column: met by rejection
    kohort.Range("low", "0", "300"),
    kohort.Combination(("ward", "site")),
    kohort.OneHot(("mild", "grave")),
    kohort.Allowed("dose", ("5", "10", "20")),
)


def stays() -> pd.DataFrame:
    """Hospital stays; 30 rows break an order, 20 a dose, one combination is of one row."""
    rng = np.random.default_rng(1)
    admission = np.datetime64("2020-01-01") + rng.integers(0, 900, ROWS).astype("m8[D]")
    ward = rng.choice(["a", "b", "c", "d"], ROWS)
    low, other = rng.integers(50, 200, ROWS), rng.integers(20, 250, ROWS)
    grave = rng.random(ROWS) < 0.3
    table = pd.DataFrame(
        {
            "birth": admission
            - (365 * rng.integers(0, 90, ROWS) + rng.integers(0, 365, ROWS)).astype("m8[D]"),
            "admission": admission,
            "discharge": admission + rng.geometric(0.2, ROWS).astype("m8[D]") - np.timedelta64(1, "D"),
            "low": low,
            "other": other,
            "limit": np.maximum(low, other) + rng.integers(0, 60, ROWS),
            "ward": ward,
            "site": np.where(ward < "c", "north", "south"),
            "mild": ~grave,
            "grave": grave,
            "dose": rng.choice([5, 10, 20], ROWS),
        }
    )
    table.loc[:29, "discharge"] = table.loc[:29, "admission"] - pd.Timedelta(days=3)
    table.loc[30:49, "dose"] = 7
    table.loc[50, "site"] = "north" if table.loc[50, "ward"] > "b" else "south"
    for name in ("birth", "admission", "discharge"):
        table[name] = table[name].dt.date
    return table


@pytest.fixture(scope="module")
def model(shared: Server) -> kohort.Model:
    overrides = kohort.SchemaOverrides(tables=(kohort.TableOverride(constraints=RULES),))
    with shared.client() as client:
        job = client.train(stays(), "copula", seed=1, overrides=overrides, holdout=0, validation=0)
        return job.result()


def check(frame: pd.DataFrame) -> None:
    assert (frame["birth"] <= frame["admission"]).all()
    assert (frame["admission"] <= frame["discharge"]).all()
    assert (frame[["low", "other"]].max(axis=1) <= frame["limit"]).all()
    assert frame["low"].between(0, 300).all()
    assert set(zip(frame["ward"], frame["site"], strict=True)) == {
        ("a", "north"), ("b", "north"), ("c", "south"), ("d", "south"),
    }  # fmt: skip
    assert (frame["mild"] != frame["grave"]).all()
    assert set(frame["dose"]) == {5, 10, 20}


def test_every_row_that_leaves_keeps_them(shared: Server, model: kohort.Model) -> None:
    with shared.client() as client:
        frame = client.sample(model, 3_000, seed=2)
    assert len(frame) == 3_000
    check(frame)


def test_offline_too(shared: Server, model: kohort.Model, tmp_path: Path) -> None:
    with shared.client() as client:
        path = client.model(model.name).download(tmp_path / "m.kohort")
    check(kohort.load(path).sample(2_000, seed=2))


def test_what_breaks_them_is_not_learned_and_said(model: kohort.Model) -> None:
    said = {f.column: f.message for f in model.info.findings if f.reason == "CONSTRAINT_VIOLATED"}
    assert set(said) == {"admission", "dose"}
    assert "left out" in said["dose"]
    rare = [
        f.message for f in model.info.findings if f.reason == "RARE_VALUES_PROTECTED" and f.column == "ward"
    ]
    assert len(rare) == 1


def test_the_model_carries_them(model: kohort.Model) -> None:
    assert set(model.info.schema.tables[0].constraints) == set(RULES)


def test_a_rule_about_no_column_is_refused_at_once(shared: Server) -> None:
    overrides = kohort.SchemaOverrides(
        tables=(kohort.TableOverride(constraints=(kohort.Order("low", "absent"),)),)
    )
    with shared.client() as client, pytest.raises(kohort.InvalidRequest) as refused:
        client.train(stays(), "copula", overrides=overrides)
    assert refused.value.reason == "INVALID_SCHEMA"
    assert "table.absent" in str(refused.value) + str(refused.value.violations)
