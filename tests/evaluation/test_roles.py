"""Which columns are predicted, known and protected where nobody said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evaluators.case import Options
from evaluators.frame import Frame, frames
from evaluators.roles import Target, predictable, roles
from kohort.problem import Problem
from kohort.schema import Finding
from tables.tableset import Table
from tests.evaluation.cases import table_of


def frames_of(*data: pd.DataFrame) -> list[Frame]:
    """Frames of one layout."""
    found = frames([table_of(part) for part in data])
    return [part for part in found if part is not None]


def test_the_default_target_is_named_as_an_outcome_or_stands_last(
    cdc: Table, heart: Table, diabetes: Table
) -> None:
    for table, target in ((cdc, "Diabetes_binary"), (diabetes, "readmitted")):
        train = frames([table])[0]
        assert train is not None
        assert roles(Options(), train).targets == (target,)
    train = frames([heart])[0]
    assert train is not None
    assert roles(Options(), train).targets[0] == train.layout.views[-1].name


def test_numbers_are_predicted_where_there_are_no_classes_and_nothing_where_nothing_varies() -> None:
    numbers = frames_of(pd.DataFrame({"a": np.arange(30) / 7, "b": np.ones(30)}))[0]
    assert roles(Options(), numbers).targets == ("a",)
    nothing = frames_of(pd.DataFrame({"b": np.ones(30), "c": [f"x{i}" for i in range(30)]}))[0]
    assert roles(Options(), nothing).targets == ()


def test_what_options_name_is_taken_and_checked() -> None:
    train = frames_of(pd.DataFrame({c: [0, 1] * 9 for c in "abcdefg"} | {"same": 1}))[0]
    said = Options(targets=("a",), quasi_identifiers=("b",), sensitive=("c",), protected=("d",))
    found = roles(said, train)
    assert (found.targets, found.quasi_identifiers) == (("a",), ("b",))
    assert (found.sensitive, found.protected) == (("c",), ("d",))
    for options, code in (
        (Options(targets=("nowhere",)), "UNKNOWN_COLUMN"),
        (Options(protected=("nowhere",)), "UNKNOWN_COLUMN"),
        (Options(targets=tuple("abcdef")), "INVALID_REQUEST"),
        (Options(targets=("same",)), "INVALID_REQUEST"),
    ):
        with pytest.raises(Problem) as caught:
            roles(options, train)
        assert caught.value.reason == code


def test_findings_name_the_quasi_identifiers_and_the_rest_is_sensitive() -> None:
    train = frames_of(pd.DataFrame({"age": [30, 40], "sex": ["f", "m"], "ill": [0, 1]}))[0]
    findings = [Finding("QUASI_IDENTIFIER", "", "table", name) for name in ("age", "sex", "gone")]
    found = roles(Options(), train, findings)
    assert found.quasi_identifiers == ("age", "sex")
    assert found.sensitive == ("ill",)


def test_classes_of_a_target_are_those_of_the_training_rows() -> None:
    train, other = frames_of(
        pd.DataFrame({"y": ["b", "d", "b", None], "n": [3, 7, 3, 7], "d": [0.5, 1.5, 0.5, 2.5]}),
        pd.DataFrame({"y": ["a", "b", "c", "d"], "n": [7, 5, 3, 9], "d": [1.0, 2.0, 3.0, 4.0]}),
    )
    y = Target.of(train.layout["y"], train)
    assert y.classes == 2
    assert [y.name_of(i) for i in range(2)] == ["b", "d"]
    rows, outcome = y.outcome(train)
    assert (rows.tolist(), outcome.tolist()) == ([0, 1, 2], [0, 1, 0])
    rows, outcome = y.outcome(other)
    assert (rows.tolist(), outcome.tolist()) == ([1, 3], [0, 1])
    n = Target.of(train.layout["n"], train)
    assert [n.name_of(i) for i in range(n.classes)] == ["3", "7"]
    assert [part.tolist() for part in n.outcome(other)] == [[0, 2], [1, 0]]
    d = Target.of(train.layout["d"], train)
    assert d.classes == 0
    assert d.outcome(other)[1].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_levels_that_only_synthetic_rows_have_do_not_make_a_target_unpredictable() -> None:
    train, _ = frames_of(
        pd.DataFrame({"y": ["a", "b"] * 20}), pd.DataFrame({"y": [f"new{i}" for i in range(40)]})
    )
    assert predictable(train.layout["y"], train)
    assert roles(Options(), train).targets == ("y",)
