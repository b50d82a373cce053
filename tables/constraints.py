"""Rows that keep the constraints of their schema: the only ones that are learned from."""

from __future__ import annotations

import numpy as np

from kohort.constraints import holds
from kohort.problem import Problem
from kohort.rules import columns_of, rule_name
from kohort.schema import Finding
from tables.statistics import patient_count
from tables.tableset import Table, TableSet


def kept(tableset: TableSet, min_patients: int = 0) -> tuple[TableSet, tuple[Finding, ...]]:
    """The tables without rows that break a constraint, and per constraint what a person should know.

    Rows keep their order; a table that breaks nothing comes back as it is.

    Raises:
        Problem: TOO_FEW_PATIENTS when fewer than `min_patients` are left in a table that lost rows.
    """
    tables: dict[str, Table] = {}
    findings: list[Finding] = []
    for table in tableset:
        schema, subjects = table.schema, table.subjects()
        good = np.ones(table.num_rows, dtype=np.bool_)
        for rule in schema.constraints:
            mask = holds([rule], schema, table.arrays)
            lost = patient_count(subjects[~mask])
            good &= mask
            if lost:
                # A count below k is itself what k protects.
                count = str(lost) if lost >= min_patients else f"fewer than {min_patients}"
                first, *more = columns_of(rule)
                also = f" with {', '.join(more)}" if more else ""
                message = f"rows of {count} patients break its constraint ({rule_name(rule)}){also}: left out"
                findings.append(Finding("CONSTRAINT_VIOLATED", message, schema.name, first))
        if not good.all():
            if patient_count(subjects[good]) < min_patients:
                raise Problem.at(
                    "TOO_FEW_PATIENTS",
                    schema.name,
                    f"fewer than {min_patients} patients have rows that keep the constraints",
                )
            table = table.take(np.flatnonzero(good))
        tables[schema.name] = table
    return TableSet(tables), tuple(findings)
