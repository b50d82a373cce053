"""Tables that nobody asks for: every part of fidelity by columns says something or why it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Evaluator, Options
from evaluators.fidelity import marginals, pairs, plausibility, statistics
from evaluators.gate import Policy
from evaluators.results import Figure, LeftOut, Metric
from evaluators.run import Subject, evaluate
from tables.tableset import TableSet
from tests.evaluation.cases import case, table_of, tables

PARTS = (*marginals.EVALUATORS, *statistics.EVALUATORS, *pairs.EVALUATORS, *plausibility.EVALUATORS)
_RNG = np.random.default_rng(0)


def _set(subject_key: str = "", **columns: Any) -> TableSet:
    return tables(table_of(pd.DataFrame(columns), subject_key=subject_key))


def _many(rows: int) -> TableSet:
    return _set(c=_RNG.integers(0, 10_000, rows).astype(str), d=_RNG.integers(0, 10_000, rows).astype(str))


def _nulls(rows: int) -> TableSet:
    return _set(x=np.full(rows, np.nan), c=pd.Series([None] * rows, dtype=object), y=np.arange(rows))


def _plain(rows: int) -> TableSet:
    return _set(x=_RNG.normal(size=rows), c=_RNG.choice(["a", "b"], rows))


def _constant(rows: int) -> TableSet:
    return _set(x=np.full(rows, 1.5), n=np.full(rows, 3), c=["a"] * rows)


def _one_patient(rows: int) -> TableSet:
    return _set("p", p=[7] * rows, x=np.arange(rows), c=["a", "b"] * (rows // 2))


def _one_column(rows: int) -> TableSet:
    return _set(c=["a", "b"] * (rows // 2))


def _huge(rows: int) -> TableSet:
    x = np.where(np.arange(rows) % 3 == 0, 1e308, -1e308)
    x[0] = 0.5
    return _set(x=x, y=np.arange(rows) * 1e-310 + 0.1, i=np.arange(rows) * 2**40)


ODD = {f.__name__[1:]: f for f in (_plain, _many, _nulls, _constant, _one_patient, _one_column, _huge)}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("error")
def test_odd_tables_are_evaluated(part: Evaluator, kind: str) -> None:
    table = ODD[kind]
    known = {info.name for info in part.metrics}
    for parts in ((table(30), table(30), table(10)), (table(2000), table(2000)), (table(4), table(2))):
        results = list(part.run(case(*parts)))
        assert results
        for result in results:
            if isinstance(result, Metric):
                assert result.name in known and np.isfinite(result.value), result
            elif isinstance(result, Figure):
                assert {len(s.y) for s in result.series} == {len(result.categories)} or not result.categories
            else:
                assert isinstance(result, LeftOut) and result.reason


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # models compute with numbers near the greatest double
def test_no_part_raises_and_every_value_is_a_number(kind: str) -> None:
    train, synthetic, holdout = (ODD[kind](rows) for rows in (60, 60, 40))
    names = [name for name in train.single().arrays if name != "p"]
    options = Options(quasi_identifiers=(names[0],), protected=(names[-1],))
    found = evaluate(Subject(train, synthetic, holdout), options, Policy())
    assert found.metrics
    assert not [out for out in found.left_out if "defect" in out.reason]
    assert not [metric for metric in found.metrics if not np.isfinite(metric.value)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
@pytest.mark.filterwarnings("error")
def test_samples_of_nulls_of_full_columns_and_the_other_way_round_are_evaluated(part: Evaluator) -> None:
    def full(rows: int) -> TableSet:
        return _set(x=_RNG.normal(size=rows), c=["a", "b"] * (rows // 2), y=np.arange(rows))

    for parts in (
        (full(40), _nulls(40), full(20)),
        (_nulls(40), full(40), _nulls(20)),
        (full(40), _nulls(40)),
    ):
        for result in part.run(case(*parts)):
            assert not isinstance(result, Metric) or np.isfinite(result.value), result


def test_a_sample_of_nulls_is_nothing_like_full_columns() -> None:
    full = _set(x=_RNG.normal(size=40))
    values = {
        r.name: r.value for r in marginals.EVALUATORS[0].run(case(full, _set(x=np.full(40, np.nan))))
        if isinstance(r, Metric)
    }  # fmt: skip
    assert values["ks_complement"] == values["column_similarity"] == values["missingness_similarity"] == 0
