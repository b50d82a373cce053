"""The tables that an evaluation compares, in the child: real ones in parts, synthetic ones drawn or read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from kohort.bundle import Bundle, collect
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from server.records import JobOptions
from tables.physical import physicalise
from tables.split import cap_rows_per_patient, split_by_patient
from tables.store import read_tableset
from tables.tableset import Table, TableSet

MOST_ROWS = 200_000
"""Training rows that are compared, at most, chosen by patient; of the hold-out half as many."""

_STREAM = 0x6576616C
"""Mixed into the seed: the rows of an evaluation are nobody's sample."""


def real_parts(
    tables: TableSet, salt: bytes, options: JobOptions, seed: int
) -> tuple[TableSet, TableSet | None]:
    """Training rows and hold-out of real tables, trimmed as for training; None where nothing was held out.

    Rows that break a constraint stay on both sides: they are real.
    """
    split = split_by_patient(tables, salt, options.holdout, options.validation, options.min_patients)
    held = whole(split.holdout, options, seed, MOST_ROWS // 2)
    return whole(split.train, options, seed), held if any(t.num_rows for t in held) else None


def whole(tables: TableSet, options: JobOptions, seed: int, most: int = MOST_ROWS) -> TableSet:
    """All of one part, such as a hold-out or rows made elsewhere: its patients and rows within the bounds."""
    cap = options.max_rows_per_patient
    return TableSet({t.schema.name: _at_most(cap_rows_per_patient(t, cap, seed), most, seed) for t in tables})


def drawn(bundle: Bundle, rows: int, seed: int) -> TableSet:
    """So many synthetic units, other ones than anybody's who samples with that seed."""
    program = bundle.program()
    tables = collect(program, SampleSpec(seed ^ _STREAM), 0, rows)
    return TableSet({schema.name: Table(schema, tables[schema.name]) for schema in program.schema})


def like(folder: str, schema: Schema) -> TableSet:
    """Tables that came apart from those they are compared with, read as those are.

    Raises:
        Problem: SCHEMAS_DIFFER naming a column that lacks, or whose cells are of another kind.
    """
    found = read_tableset(Path(folder))
    # Cells beyond the declared bounds and levels are what an evaluation is to find.
    if len(found.tables) != 1 or len(schema.tables) != 1:
        raise Problem("MULTI_TABLE_UNSUPPORTED", "this server compares one table at a time")
    table, wanted = found.single(), schema.tables[0]
    present = {column.name for column in table.schema.columns}
    columns = tuple(_free(c, table.schema.column(c.name)) for c in wanted.columns if c.name in present)
    missing = [c.name for c in wanted.emitted if c.name not in present and c.handling is Handling.MODEL]
    if missing:
        where = f"{wanted.name}.{missing[0]}"
        raise Problem.at("SCHEMAS_DIFFER", where, "the table to compare has no such column")
    keyed = wanted.subject_key if wanted.subject_key in present else ""
    apart = TableSchema(wanted.name, columns, subject_key=keyed, role=wanted.role)
    own = Table(table.schema, {c.name: table.arrays[c.name] for c in columns})
    try:
        return TableSet({wanted.name: physicalise(own, apart)})
    except Problem as problem:
        if problem.reason not in ("VALUE_NOT_OF_KIND", "MIXED_TYPES", "VALUE_OUT_OF_BOUNDS"):
            raise
        where = problem.violations[0].field if problem.violations else wanted.name
        raise Problem.at("SCHEMAS_DIFFER", where, "its cells are not of the kind of the real ones") from None


def _free(column: Column, found: Column) -> Column:
    """Without bounds, levels and the whole numbers that the other table does not keep to."""
    kind = Kind.CATEGORY if column.kind is Kind.ORDINAL else column.kind
    free = replace(column, kind=kind, levels=(), minimum=None, maximum=None)
    fractions = found.storage in (Storage.DOUBLE, Storage.DECIMAL)
    if fractions and kind in (Kind.INTEGER, Kind.DECIMAL) and column.storage is not Storage.STRING:
        return replace(free, kind=Kind.DECIMAL, storage=found.storage, scale=found.scale)
    return free


def _at_most(table: Table, rows: int, seed: int) -> Table:
    """At most so many rows, of random patients (of the last of them perhaps not all), in their order."""
    if table.num_rows <= rows:
        return table
    subjects = table.subjects()
    draw = np.random.Generator(np.random.Philox(seed)).random(int(subjects.max()) + 1)
    order = np.argsort(draw[subjects], kind="stable")
    return table.take(np.sort(order[:rows]))
