"""Counting the patients behind a set of conditions, in the tables that a job learned from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.conditions import Condition, bind, met
from kohort.rules import columns_of
from kohort.schema import Column, Schema, Storage, TableSchema
from server.preparing import prepare
from server.records import JobSpec
from tables.infer import physicalise
from tables.statistics import patient_count
from tables.store import read_columns
from tables.tableset import Table, TableSet

Cohort = tuple[Condition, ...]
"""What the same row must meet, all of it."""

# No column of a table is called so: names are printable.
_POSITION = "\n"


@dataclass(frozen=True, eq=False)
class LearnedRows:
    """Which rows of a stored table a job learned from. It holds no cell."""

    positions: npt.NDArray[np.int32]
    """Of the rows in the table, [n], growing."""
    subjects: npt.NDArray[np.int32]
    """Per row the number of its patient, from 0 without gaps, [n]."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and patients."""
        return self.positions.size, int(self.subjects.max(initial=-1)) + 1

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.positions.nbytes + self.subjects.nbytes


def table_of(cohorts: Iterable[Cohort], schema: Schema) -> str:
    """The table that all of it is about; a generator emits one."""
    named = (condition.table for cohort in cohorts for condition in cohort if condition.table)
    return next(named, schema.tables[0].name)


def learned_rows(folder: Path, job: JobSpec, salt: bytes, table: str) -> LearnedRows:
    """Finds the rows again that a job learned from, by the rules of `server.preparing`.

    Args:
        folder: the canonical tables.
        job: what trained.
        salt: of the split.
        table: which one.

    Raises:
        Problem: FILE_MALFORMED when the tables are not there any more.
    """
    schema = job.schema.table(table)
    # Without a patient's key any column tells how many rows there are.
    key = schema.subject_key or schema.columns[0].name
    cells = _columns(folder, schema, {key, *(c for rule in schema.constraints for c in columns_of(rule))})
    place = Column(_POSITION, storage=Storage.INT64)
    positions = Array(Storage.INT64, np.arange(cells.num_rows, dtype=np.int64))
    numbered = Table(
        cells.schema.with_columns((*cells.schema.columns, place)), {**cells.arrays, _POSITION: positions}
    )
    learned = prepare(TableSet({table: numbered}), salt, job.options, job.seed).train.single()
    return LearnedRows(learned.arrays[_POSITION].values.astype(np.int32), learned.subjects().astype(np.int32))


def count_patients(folder: Path, job: JobSpec, learned: LearnedRows, cohorts: Sequence[Cohort]) -> list[int]:
    """Per cohort the distinct patients with a learned row that met it; reads the columns in question alone.

    Raises:
        Problem: FILE_MALFORMED when the tables are not there any more.
    """
    schema = job.schema
    bound = [bind(cohort, schema) for cohort in cohorts]
    columns = {condition.column for cohort in cohorts for condition in cohort}
    cells = _columns(folder, schema.table(table_of(cohorts, schema)), columns).take(
        learned.positions.astype(np.intp)
    )
    subjects = learned.subjects.astype(np.int64)
    return [patient_count(subjects[met(tests, cells.arrays)]) for tests in bound]


def _columns(folder: Path, table: TableSchema, wanted: set[str]) -> Table:
    """Some columns in the storage of the job's schema, with the rules that are about them alone."""
    slim = TableSchema(
        table.name,
        tuple(column for column in table.columns if column.name in wanted),
        subject_key=table.subject_key if table.subject_key in wanted else "",
        role=table.role,
        constraints=tuple(rule for rule in table.constraints if wanted.issuperset(columns_of(rule))),
    )
    return physicalise(read_columns(folder, table.name, wanted), slim)
