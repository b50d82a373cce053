"""Real tables."""

from __future__ import annotations

import pandas as pd
import pytest

from tables.tableset import Table
from tests.evaluation.cases import CDC, ROOT, table_of


@pytest.fixture(scope="session")
def cdc() -> Table:
    """CDC diabetes indicators: 62,000 rows of 22 columns of a survey, one row a person."""
    return table_of(pd.read_parquet(CDC), "cdc")


@pytest.fixture(scope="session")
def heart() -> Table:
    """303 patients with and without heart disease."""
    return table_of(pd.read_csv(ROOT / "tests" / "data" / "heart.csv"), "heart")


@pytest.fixture(scope="session")
def diabetes() -> Table:
    """Hospital stays of diabetics, several per patient; codes, nulls."""
    frame = pd.read_csv(
        ROOT / "tests" / "data" / "diabetes_130us_excerpt.csv", na_values=["?"], low_memory=False
    )
    return table_of(frame.drop(columns=["encounter_id"]), "stays", subject_key="patient_nbr")
