"""Augmentation: what synthetic rows add to real training rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluators.case import Options
from evaluators.results import Figure, LeftOut, Metric, Result
from evaluators.utility import augmentation
from kohort.columns import Array
from tables.tableset import Table, TableSet
from tests.evaluation.cases import case, joined, rows_of, split, tables

TARGET = "Diabetes_binary"
OPTIONS = Options(targets=(TARGET,))


def gains(found: list[Result]) -> dict[str, Metric]:
    """By rate."""
    return {r.detail["rate"]: r for r in found if isinstance(r, Metric)}


@pytest.fixture(scope="module")
def parts(cdc: Table) -> dict[str, TableSet]:
    """A few training rows, many other rows of the same survey, and a hold-out."""
    made = split(cdc, 0.2)
    assert made.holdout is not None
    return {
        "few": rows_of(made.train, np.arange(300)),
        "more": rows_of(made.train, np.arange(300, 600)),
        "many": rows_of(made.train, np.arange(800, 4800)),
        "holdout": rows_of(made.holdout, np.arange(10_000)),
    }


def test_more_real_rows_of_other_patients_are_a_gain_that_grows(parts: dict[str, TableSet]) -> None:
    found = list(augmentation.run(case(parts["few"], parts["more"], parts["holdout"], OPTIONS)))
    by_rate = gains(found)
    assert list(by_rate) == ["0.1", "0.25", "0.5", "1"]
    one = by_rate["1"]
    assert one.interval is not None
    assert one.interval.low > 0
    assert one.value > by_rate["0.1"].value
    (figure,) = [r for r in found if isinstance(r, Figure)]
    (line,) = figure.series
    assert list(line.x) == [0, 0.1, 0.25, 0.5, 1]
    assert list(line.y) == [0.0, *(m.value for m in by_rate.values())]
    assert all(a <= b <= c for a, b, c in zip(line.low, line.y, line.high, strict=True))


def test_rows_with_turned_outcomes_are_a_loss(parts: dict[str, TableSet]) -> None:
    table = parts["many"].single()
    old = table.arrays[TARGET]
    turned = tables(replace(table, arrays={**table.arrays, TARGET: Array.make(old.storage, 1 - old.values)}))
    found = gains(list(augmentation.run(case(parts["many"], turned, parts["holdout"], OPTIONS))))
    assert found["1"].value < -0.1
    assert found["1"].interval is not None
    assert found["1"].interval.high < 0
    assert found["1"].value < found["0.25"].value


def test_rates_beyond_the_synthetic_rows_are_left_out(parts: dict[str, TableSet]) -> None:
    some = rows_of(parts["more"], np.arange(90))
    found = list(augmentation.run(case(parts["few"], some, parts["holdout"], OPTIONS)))
    assert list(gains(found)) == ["0.1", "0.25"]
    assert [r.part for r in found if isinstance(r, LeftOut)] == [
        f"augmentation of {TARGET} at the rate {rate}" for rate in ("0.5", "1")
    ]


def test_numbers_gain_in_the_share_that_is_explained(parts: dict[str, TableSet]) -> None:
    both = joined(parts["few"], parts["more"])
    of = case(both, parts["many"], parts["holdout"], Options(targets=("BMI",)))
    found = gains(list(augmentation.run(of)))
    assert found["1"].value > found["0.1"].value
    assert found["1"].value > 0.01
