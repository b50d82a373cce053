"""The minimum-cohort rule, counted on real tables: exactly the patients that a job learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kohort.conditions import Condition
from kohort.rules import Range
from server.counting import Cohort, count_patients, learned_rows
from server.preparing import prepare
from server.records import JobOptions, JobSpec
from tables.infer import infer, physicalise_all
from tables.readers import Limits, read_file
from tables.statistics import patient_count
from tables.store import read_columns, read_tableset, write_tableset
from tables.tableset import Table, TableSet

DATA = Path(__file__).resolve().parents[1] / "data"
SALT = b"salt of a test"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobSpec]:
    """Encounters of 340 patients as an upload stores them, and a job on them."""
    table = read_file(DATA / "diabetes_130us_excerpt.csv", "csv", "encounters", None, Limits())
    tables = TableSet({"encounters": table})
    folder = tmp_path_factory.mktemp("stored") / "dataset"
    write_tableset(folder, tables)
    schema = infer(tables).schema
    assert schema.tables[0].subject_key == "patient_nbr"
    return folder, JobSpec("d", "copula", {}, schema, seed=3, max_runtime_s=60.0)


def learned(folder: Path, job: JobSpec) -> Table:
    """The rows that the training child hands to a trainer."""
    tables = physicalise_all(read_tableset(folder), job.schema)
    return prepare(tables, SALT, job.options, job.seed).train.single()


def counted(folder: Path, job: JobSpec, cohorts: list[Cohort]) -> tuple[list[int], int]:
    rows = learned_rows(folder, job, SALT, "encounters")
    assert np.all(np.diff(rows.positions) > 0)
    found = learned(folder, job)
    assert rows.size == (found.num_rows, patient_count(found.subjects()))
    return count_patients(folder, job, rows, cohorts), rows.positions.size


def rows_of(table: Table) -> list[Mapping[str, Any]]:
    cells = {name: array.to_python() for name, array in table.arrays.items()}
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


@pytest.mark.parametrize("cap", [16, 1])
def test_patients_are_counted_and_not_their_rows(stored: tuple[Path, JobSpec], cap: int) -> None:
    folder, job = stored
    job = replace(job, options=JobOptions(max_rows_per_patient=cap))
    rows = rows_of(learned(folder, job))
    female = (Condition("gender", one_of=("Female",)),)
    long_female = (*female, Condition("time_in_hospital", minimum="7"))
    unweighed = (Condition("weight", is_null=True), Condition("insulin", one_of=("Up", "Down")))
    nobody = (Condition("age", one_of=("[300-310)",)),)
    counts, learned_rows = counted(folder, job, [female, long_female, unweighed, nobody])
    wanted = [
        {r["patient_nbr"] for r in rows if r["gender"] == "Female"},
        {r["patient_nbr"] for r in rows if r["gender"] == "Female" and r["time_in_hospital"] >= 7},
        {r["patient_nbr"] for r in rows if r["weight"] is None and r["insulin"] in ("Up", "Down")},
        set(),
    ]
    assert counts == [len(patients) for patients in wanted]
    assert learned_rows == len(rows)
    assert 0 < counts[1] < counts[0] < learned_rows


def test_held_out_patients_do_not_count(stored: tuple[Path, JobSpec]) -> None:
    folder, job = stored
    everybody = [(Condition("gender", is_null=False),)]
    kept = replace(job, options=JobOptions(holdout=0.0, validation=0.0))
    assert counted(folder, kept, everybody)[0] == [340]
    split = counted(folder, job, everybody)[0][0]
    assert split == len({row["patient_nbr"] for row in rows_of(learned(folder, job))})
    assert split < 300


def test_without_a_patient_key_every_row_counts(stored: tuple[Path, JobSpec]) -> None:
    folder, job = stored
    table = replace(job.schema.tables[0], subject_key="")
    job = replace(job, schema=replace(job.schema, tables=(table,)))
    male = [(Condition("gender", one_of=("Male",)),)]
    counts, rows = counted(folder, job, male)
    found = rows_of(learned(folder, job))
    assert (counts, rows) == ([sum(row["gender"] == "Male" for row in found)], len(found))


def test_only_the_columns_asked_for_are_read(stored: tuple[Path, JobSpec]) -> None:
    folder, _ = stored
    part = read_columns(folder, "encounters", {"gender", "patient_nbr"})
    whole = read_tableset(folder).tables["encounters"]
    assert [column.name for column in part.schema.columns] == ["patient_nbr", "gender"]
    for name, array in part.arrays.items():
        assert array.to_python() == whole.arrays[name].to_python()


def test_rows_that_break_a_rule_make_no_cohort(stored: tuple[Path, JobSpec]) -> None:
    folder, job = stored
    long = [(Condition("time_in_hospital", minimum="8"),)]
    assert counted(folder, job, long)[0][0] > 20
    table = replace(job.schema.tables[0], constraints=(Range("time_in_hospital", maximum="9"),))
    job = replace(job, schema=replace(job.schema, tables=(table,)))
    counts, rows = counted(folder, job, long)
    found = rows_of(learned(folder, job))
    assert counts == [len({r["patient_nbr"] for r in found if r["time_in_hospital"] >= 8})]
    assert rows == len(found)
    sexes = [(Condition("gender", one_of=("Male", "Female")),)]
    assert counted(folder, job, sexes) == ([len({r["patient_nbr"] for r in found})], rows)
