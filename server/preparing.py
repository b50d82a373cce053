"""What a job learns from: patients split, constraints kept, rows capped.

One place for it, because the minimum-cohort rule must find the same rows again.
"""

from __future__ import annotations

from dataclasses import dataclass

from kohort.schema import Finding
from server.records import JobOptions
from tables.constraints import kept
from tables.split import SplitRule, cap_rows_per_patient, split_by_patient
from tables.tableset import TableSet


@dataclass(frozen=True)
class Prepared:
    """The parts of a dataset that training sees."""

    train: TableSet
    """The rows that are learned from."""
    validation: TableSet
    """For early stopping and calibration."""
    rule: SplitRule
    """What kept the hold-out away."""
    findings: tuple[Finding, ...]
    """What was left out."""


def prepare(tables: TableSet, salt: bytes, options: JobOptions, seed: int) -> Prepared:
    """Splits and trims tables in the storage of their schema; blind to columns that no rule speaks of.

    Raises:
        Problem: TOO_FEW_PATIENTS.
    """
    split = split_by_patient(tables, salt, options.holdout, options.validation, options.min_patients)
    # What breaks a rule is not learned; the hold-out keeps it, since real patients do.
    train, broken = kept(split.train, options.min_patients)
    validation, _ = kept(split.validation)
    cap = options.max_rows_per_patient
    capped = TableSet({t.schema.name: cap_rows_per_patient(t, cap, seed) for t in train})
    return Prepared(capped, validation, split.rule, broken)
