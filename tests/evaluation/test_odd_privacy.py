"""Tables that nobody asks for: every part of privacy says something or why it does not."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.case import Evaluator, Options
from evaluators.privacy import anonymity, attributes, cehr, disclosure, neighbours, reidentification
from evaluators.results import Figure, LeftOut, Metric
from tests.evaluation.cases import case
from tests.evaluation.test_odd_tables import ODD

PARTS = tuple(
    part
    for module in (neighbours, attributes, disclosure, anonymity, reidentification, cehr)
    for part in module.EVALUATORS
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("error")
def test_odd_tables_are_evaluated(part: Evaluator, kind: str) -> None:
    table = ODD[kind]
    known = {info.name for info in part.metrics}
    name = next(n for n in table(4).single().arrays if n != "p")
    for parts in ((table(30), table(30), table(10)), (table(2000), table(2000)), (table(4), table(2))):
        for options in (Options(), Options(quasi_identifiers=(name,))):
            one = case(*parts, options=options)
            if not part.needs <= one.needs:
                continue
            for result in part.run(one):
                if isinstance(result, Metric):
                    assert result.name in known, result
                    assert np.isfinite(result.value), result
                    assert result.interval is None or not result.interval.low > result.interval.high, result
                elif isinstance(result, Figure):
                    assert all(len(series.x) == len(series.y) for series in result.series)
                else:
                    assert isinstance(result, LeftOut)
                    assert result.reason


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_what_there_is_no_time_for_is_left_out(part: Evaluator) -> None:
    table = ODD["plain"]
    late = case(table(60), table(60), table(40), Options(quasi_identifiers=("c",)), deadline=0.0)
    assert list(part.run(late))
