from __future__ import annotations

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.statistics import StatisticsSource
from tables.tableset import Table
from trainers.encoding import Encoding

KINDS = {
    Storage.BOOL: Kind.BOOLEAN,
    Storage.INT64: Kind.INTEGER,
    Storage.DOUBLE: Kind.DECIMAL,
    Storage.DECIMAL: Kind.DECIMAL,
    Storage.STRING: Kind.CATEGORY,
    Storage.DATE: Kind.DATE,
    Storage.DATETIME: Kind.DATETIME,
    Storage.DURATION: Kind.DURATION,
}


@pytest.fixture
def one_column():
    """A table with the one modelled column "x", and "patient" when patients are given."""

    def build(storage, values, valid=None, kind=None, dictionary=None, patients=None, **extras):
        column = Column("x", kind or KINDS[storage], storage, Handling.MODEL, **extras)
        arrays = {"x": Array.make(storage, values, valid, dictionary)}
        if patients is None:
            return Table(TableSchema("t", (column,)), arrays)
        key = Column("patient", Kind.ID, Storage.INT64, Handling.REGENERATE)
        arrays["patient"] = Array.make(Storage.INT64, patients)
        return Table(TableSchema("t", (column, key), subject_key="patient"), arrays)

    return build


@pytest.fixture
def fit():
    """The encoding of a table, with k patients (5 unless told)."""
    return lambda table, k=5: Encoding.fit(table, StatisticsSource(), k)


@pytest.fixture
def rng():
    return np.random.default_rng(20)
