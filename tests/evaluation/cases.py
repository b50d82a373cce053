"""Cases for evaluators, made of DataFrames and parts of tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluators.case import Case, Options
from evaluators.frame import frames
from evaluators.roles import roles
from kohort.columns import Array
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.split import Split, split_by_patient
from tables.tableset import Table, TableSet

ROOT = Path(__file__).resolve().parents[2]
CDC = ROOT / "benchmarks" / "data" / "cdc_diabetes_62k.parquet"


def table_of(frame: pd.DataFrame, name: str = "table", subject_key: str = "", **kinds: Kind) -> Table:
    """A table of a DataFrame: numbers, booleans, else categories; `kinds` decides otherwise."""
    columns, arrays = [], {}
    for label in frame:
        values = frame[label]
        column, array = _column(str(label), values, kinds.get(str(label)), str(label) == subject_key)
        columns.append(column)
        arrays[column.name] = array
    return Table(TableSchema(name, tuple(columns), subject_key=subject_key), arrays)


def _column(name: str, values: pd.Series[Any], kind: Kind | None, key: bool) -> tuple[Column, Array]:
    valid = values.notna().to_numpy()
    cells: Any
    if kind is Kind.DATE:
        days = pd.to_datetime(values).to_numpy().astype("datetime64[D]").astype(np.int64)
        found, storage, cells = kind, Storage.DATE, np.where(valid, days, 0)
    elif pd.api.types.is_bool_dtype(values.dtype):
        found, storage, cells = Kind.BOOLEAN, Storage.BOOL, values.to_numpy()
    elif pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.fillna(0).to_numpy()
        whole = bool(np.all(numbers == np.round(numbers)))
        found, storage = (Kind.INTEGER, Storage.INT64) if whole else (Kind.DECIMAL, Storage.DOUBLE)
        cells = numbers.astype(np.int64) if whole else numbers
    else:
        texts = values.astype(object).where(values.notna(), "").astype(str)
        found, storage, cells = Kind.CATEGORY, Storage.STRING, texts.to_numpy(object)
    handling = Handling.DROP if key else Handling.MODEL
    return Column(name, kind or found, storage, handling), Array.make(storage, cells, valid)


def tables(table: Table) -> TableSet:
    """It alone."""
    return TableSet({table.schema.name: table})


def split(table: Table, holdout: float = 0.3, salt: str = "evaluation") -> Split:
    """Training part and hold-out, by patient."""
    return split_by_patient(tables(table), salt, holdout, 0.0)


def case(
    train: TableSet,
    synthetic: TableSet,
    holdout: TableSet | None = None,
    options: Options | None = None,
    **more: Any,
) -> Case:
    """A case as `evaluators.run` makes it."""
    single = [t.single() if t is not None else None for t in (train, synthetic, holdout)]
    found = frames(single)
    assert found[0] is not None
    assert found[1] is not None
    chosen = roles(options or Options(), found[0])
    parts = {"train": train, "synthetic": synthetic} | ({"holdout": holdout} if holdout is not None else {})
    return Case(
        schema=train.single().schema,
        train=found[0],
        synthetic=found[1],
        holdout=found[2],
        options=options or Options(),
        targets=chosen.targets,
        quasi_identifiers=chosen.quasi_identifiers,
        sensitive=chosen.sensitive,
        protected=chosen.protected,
        tables=parts,
        **more,
    )


def rows_of(tableset: TableSet, rows: Any) -> TableSet:
    """Those rows, by position or mask."""
    table = tableset.single()
    at = np.flatnonzero(rows) if np.asarray(rows).dtype == np.bool_ else np.asarray(rows)
    return tables(table.take(at))


def joined(*parts: TableSet) -> TableSet:
    """The rows of all."""
    single = [part.single() for part in parts]
    arrays = {name: Array.concat([table.arrays[name] for table in single]) for name in single[0].arrays}
    return tables(replace(single[0], arrays=arrays))
