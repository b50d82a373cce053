"""Rows made elsewhere, read as those that they are compared with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from evaluators.frame import frames
from kohort.problem import Problem
from kohort.schema import Schema
from server.comparing import like
from tables.store import write_tableset
from tables.tableset import Table
from tests.evaluation.cases import table_of, tables

REAL = table_of(pd.DataFrame({"age": [63, 67, 41], "ward": ["a", "b", "a"]}))


def read(folder: Path, **columns: list[object]) -> Table:
    write_tableset(folder, tables(table_of(pd.DataFrame(columns))))
    return like(str(folder), Schema((REAL.schema,))).single()


def test_fractions_where_real_numbers_are_whole_are_compared_as_they_are(tmp_path: Path) -> None:
    real, made = frames([REAL, read(tmp_path, age=[63.37, 40.5, None], ward=["a", "b", "c"])])
    assert real["age"].tolist() == [63, 67, 41]
    assert made["age"].tolist()[:2] == pytest.approx([63.37, 40.5])
    assert made.null("age").tolist() == [False, False, True]


def test_words_where_real_cells_are_numbers_are_refused_by_the_name_of_the_column(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="age") as refused:
        read(tmp_path, age=["young", "old", "old"], ward=["a", "b", "c"])
    assert refused.value.reason == "SCHEMAS_DIFFER"
    assert "young" not in str(refused.value)
