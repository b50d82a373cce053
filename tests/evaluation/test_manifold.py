"""Precision, recall and their kin against the package that defined them, closed forms, copies and noise."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from prdc import compute_prdc

from evaluators.case import Case
from evaluators.fidelity import manifold
from evaluators.results import LeftOut, Metric
from tables.tableset import Table
from tests.evaluation.cases import case, rows_of, split, table_of, tables
from trainers.base import Floats


def points(rows: int, rng: np.random.Generator, dimensions: int = 3, scale: float = 1.0) -> Floats:
    return (scale * rng.normal(0, 1, (rows, dimensions))).astype(np.float32)


def scores(given: Case) -> dict[str, Metric]:
    return {m.name: m for m in manifold.EVALUATORS[0].run(given) if isinstance(m, Metric)}


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_precision_recall_density_and_coverage_are_those_of_the_reference_package(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifold, "_CHUNK", 7000)
    rng = np.random.default_rng(1)
    real, fake = points(300, rng), points(250, rng, scale=scale)
    with redirect_stdout(StringIO()):
        theirs = compute_prdc(real.astype(np.float64), fake.astype(np.float64), 5)
    assert manifold.prdc(real, fake, manifold.radii(real)) == pytest.approx(theirs, abs=1e-12)


def test_coverage_of_equal_distributions_is_the_share_that_naeem_derive() -> None:
    rng = np.random.default_rng(2)
    pairs = [(points(400, rng), points(400, rng)) for _ in range(5)]
    found = [manifold.prdc(real, fake, manifold.radii(real))["coverage"] for real, fake in pairs]
    # 1 - (n - 1) ... (n - k) / ((2n - 1) ... (2n - k)): no synthetic row among the nearest of both sets.
    expected = 1 - float(np.prod([(400 - i) / (800 - i) for i in range(1, 6)]))
    assert abs(np.mean(found) - expected) < 0.012


def test_rows_that_repeat_lie_in_balls_of_radius_zero() -> None:
    corners = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    found = manifold.prdc(corners, corners, manifold.radii(corners))
    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)


def test_alpha_precision_and_beta_recall_fall_to_the_side_that_is_at_fault() -> None:
    rng = np.random.default_rng(3)
    real = points(800, rng, 2)
    widths = manifold.radii(real)
    alike, narrow, wide = (points(800, rng, 2, scale) for scale in (1.0, 0.3, 3.0))
    assert manifold.alpha_precision(real, alike) > 0.93
    assert manifold.beta_recall(real, alike, widths) > 0.85
    assert manifold.alpha_precision(real, narrow) < 0.4
    assert manifold.alpha_precision(real, wide) < 0.4
    assert manifold.beta_recall(real, narrow, widths) < 0.5
    # A point mass at the mean: every alpha above 0 holds all of it.
    mass = np.tile(real.mean(axis=0), (800, 1))
    assert manifold.alpha_precision(real, mass) == pytest.approx(0.0, abs=0.03)


def test_alpha_precision_of_a_normal_of_another_width_is_its_closed_form() -> None:
    rng = np.random.default_rng(4)
    found = manifold.alpha_precision(points(40_000, rng, 2), points(40_000, rng, 2, 2.0))
    # Squared distances are exponential: the share is 1 - (1 - alpha)^(1/4), its mean 1/5 against 1/2.
    assert found == pytest.approx(1 - 2 * (1 / 2 - 1 / 5), abs=0.02)


def test_copies_are_not_authentic_and_held_out_rows_are_as_often_as_each_other() -> None:
    rng = np.random.default_rng(5)
    train, other = points(1500, rng), points(1500, rng)
    assert manifold.authenticity(train, train[:500]) == 0.0
    assert manifold.authenticity(train, train[:500] + np.float32(1e-4)) < 0.05
    assert manifold.authenticity(train, points(500, rng, scale=30.0)) > 0.9
    # Of one column: the nearest training row's own nearest is nearer with the chance of a half.
    line = manifold.authenticity(points(4000, rng, 1), points(4000, rng, 1))
    assert abs(line - manifold.authenticity(other[:, :1], train[:, :1])) < 0.05


def test_a_real_half_is_near_its_baseline_noise_is_far_and_copies_are_seen(cdc: Table) -> None:
    rng = np.random.default_rng(6)
    parts = [rows_of(tables(cdc), part) for part in rng.permutation(cdc.num_rows)[:3600].reshape(3, -1)]
    honest = scores(case(parts[0], parts[1], parts[2]))
    assert set(honest) == {info.name for info in manifold.EVALUATORS[0].metrics}
    for metric in honest.values():
        assert metric.baseline is not None
        assert abs(metric.value - metric.baseline) < 0.06, metric.name
    alone = parts[1].single()
    constant = tables(alone.take(np.zeros(1200, np.int64)))
    stuck = scores(case(parts[0], constant, parts[2]))
    assert stuck["recall"].value < 0.1
    assert stuck["coverage"].value < 0.1
    assert stuck["beta_recall"].value < 0.1
    copies = scores(case(parts[0], parts[0], parts[2]))
    assert copies["authenticity"].value == 0.0
    assert copies["authenticity"].baseline == honest["authenticity"].baseline
    assert copies["precision"].value > 0.9


def test_few_rows_and_rows_all_alike_do_not_raise(heart: Table) -> None:
    few = rows_of(split(heart).train, np.arange(5))
    assert [type(r) for r in manifold.EVALUATORS[0].run(case(few, few, few))] == [LeftOut]
    same = tables(table_of(pd.DataFrame({"a": [1.0] * 30, "b": ["x"] * 30})))
    found = scores(case(same, same, same))
    assert found["coverage"].value == 1.0
    assert found["authenticity"].value == 0.0
    alone = scores(case(split(heart).train, split(heart).train))
    assert alone["coverage"].baseline is None
