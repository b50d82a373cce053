"""The maximum mean discrepancy against its closed form, its interval against repetition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators.fidelity import kernel
from evaluators.results import LeftOut, Metric
from tables.tableset import Table
from tests.evaluation.cases import case, rows_of, split, table_of, tables
from trainers.base import Floats


def points(rows: int, rng: np.random.Generator, shift: float = 0.0) -> Floats:
    return rng.normal(shift, 1, (rows, 2)).astype(np.float32)


def between_normals(shift: float, bandwidth: float, dimensions: int = 2) -> float:
    """The squared discrepancy of standard normals `shift` apart in every coordinate."""
    scale = (bandwidth**2 / (bandwidth**2 + 2)) ** (dimensions / 2)
    return 2 * scale * (1 - float(np.exp(-dimensions * shift**2 / (2 * (bandwidth**2 + 2)))))


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_discrepancy_of_normals_is_its_closed_form_and_intervals_hold_it(shift: float) -> None:
    rng = np.random.default_rng(int(10 * shift))
    truth, held, values = between_normals(shift, 1.5), 0, []
    for _ in range(60):
        value, interval = kernel.mmd2(points(150, rng, shift), points(200, rng), 1.5)
        held += interval.low <= truth <= interval.high
        values.append(value)
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / np.sqrt(60)
    assert held >= 52


def test_chunks_do_not_change_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    a, b = points(101, rng), points(77, rng)
    whole = kernel.mmd2(a, b, 1.0)
    monkeypatch.setattr(kernel, "_CHUNK", 1000)
    assert kernel.mmd2(a, b, 1.0)[0] == pytest.approx(whole[0], abs=1e-7)
    k = [[float(np.exp(-np.square(x - y).sum() / 2)) for y in b] for x in a]
    across = float(np.mean(k))
    inner = [
        (np.exp(-np.square(p[:, None] - p[None]).sum(axis=2) / 2).sum() - len(p)) / (len(p) * (len(p) - 1))
        for p in (a, b)
    ]
    assert whole[0] == pytest.approx(sum(inner) - 2 * across, abs=1e-6)


def test_rows_of_one_patient_do_not_count_as_alike() -> None:
    rng = np.random.default_rng(2)
    values, held = [], 0
    for _ in range(40):
        patients = points(40, rng)
        visits = np.repeat(patients, 4, axis=0)  # each patient comes four times, the same
        value, interval = kernel.mmd2(visits, points(160, rng), 1.5, np.repeat(np.arange(40), 4))
        values.append(value)
        held += interval.low <= 0 <= interval.high
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(40)
    assert held >= 34


def test_a_real_half_is_near_its_baseline_and_noise_is_far(cdc: Table) -> None:
    rng = np.random.default_rng(3)
    parts = [rows_of(tables(cdc), part) for part in rng.permutation(cdc.num_rows)[:3000].reshape(3, -1)]
    found = kernel.EVALUATORS[0].run(case(parts[0], parts[1], parts[2]))
    (honest,) = (m for m in found if isinstance(m, Metric))
    assert honest.interval is not None
    assert honest.interval.low < 0.001
    assert honest.baseline is not None
    assert abs(honest.baseline) < 0.002
    sick = parts[1].single().arrays["Diabetes_binary"].values == 1
    one_sided = kernel.EVALUATORS[0].run(case(parts[0], rows_of(parts[1], sick), parts[2]))
    (far,) = (m for m in one_sided if isinstance(m, Metric))
    assert far.interval is not None
    assert far.interval.low > honest.interval.high


def test_few_rows_and_rows_all_alike_do_not_raise(heart: Table) -> None:
    parts = split(heart)
    few = rows_of(parts.train, np.arange(3))
    assert [type(r) for r in kernel.EVALUATORS[0].run(case(few, few, few))] == [LeftOut]
    same = tables(table_of(pd.DataFrame({"a": [1.0] * 30, "b": ["x"] * 30})))
    (metric,) = (m for m in kernel.EVALUATORS[0].run(case(same, same, same)) if isinstance(m, Metric))
    assert metric.value == pytest.approx(0.0, abs=1e-6)
    (alone,) = (m for m in kernel.EVALUATORS[0].run(case(parts.train, parts.train)))
    assert isinstance(alone, Metric)
    assert alone.baseline is None
