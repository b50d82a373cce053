"""How many patients there are, and how many share a value."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]

_TABLE = 16
"""Cells of a table of codes by patients for each row at most; beyond, sorting takes less memory and time."""


def patient_count(subjects: Integers) -> int:
    """How many distinct numbers there are among subjects [n], numbered from 0 as `Table.subjects` does."""
    return int(np.count_nonzero(np.bincount(subjects)))


def patients_per_code(codes: Integers, subjects: Integers, size: int) -> Integers:
    """Distinct subjects [n] per code [n] in 0..size-1, [size]."""
    if 0 < size * above(subjects) <= _TABLE * codes.size:
        met = np.zeros(size * above(subjects), dtype=np.bool_)
        met[paired(codes, subjects)] = True
        patients: Integers = met.reshape(size, -1).sum(axis=1, dtype=np.int64)
        return patients
    if patient_count(subjects) < codes.size:
        # Sorting one number is several times faster than np.lexsort of two.
        pairs = np.sort(paired(codes, subjects))
        codes = pairs[firsts(pairs)] // above(subjects)
    return np.bincount(codes, minlength=size).astype(np.int64)


def above(subjects: Integers) -> int:
    """A number above those of all subjects [n]."""
    return int(subjects.max(initial=-1)) + 1


def paired(codes: Integers, subjects: Integers) -> Integers:
    """One number per code and subject [n], in the order of codes and then of subjects."""
    return codes * above(subjects) + subjects


def firsts(ordered: Integers) -> npt.NDArray[np.bool_]:
    """Which of numbers in order [n] differ from the one before, [n]."""
    fresh = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return fresh
