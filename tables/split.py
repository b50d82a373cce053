"""Patients are split by a salted hash of their key: the same patient lands on the same side always.

The rule is stored with a model; with it and the key anybody who may see the
data can tell later on which side a patient was, and nobody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Storage
from tables.statistics import distinct_cells, patient_count
from tables.tableset import Table, TableSet

_SCHEME = "blake2b-64/1"


class Side(IntEnum):
    """Where a patient's rows go."""

    TRAIN = 0
    VALIDATION = 1
    HOLDOUT = 2


@dataclass(frozen=True)
class SplitRule:
    """Patient p is held out where h(p) < `holdout`, and validates where h(p) < `holdout` + `validation`.

    h is the first 8 bytes of BLAKE2b keyed with `salt`, as a fraction of 2^64,
    over the patient's key as text (integers in decimal). Where a table has no
    subject key, or a row's key is null, the patient is the row and its key the
    row's position.
    """

    salt: bytes
    """1 to 64 bytes."""
    holdout: float
    validation: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.salt) <= 64 or not 0 <= self.holdout <= self.holdout + self.validation < 1:
            raise Problem(
                "INVALID_REQUEST", "holdout and validation are shares that leave something to train on"
            )

    def sides(self, table: Table) -> npt.NDArray[np.int8]:
        """The `Side` of every row, [num_rows]."""
        fractions = _hashes(table, self.salt).astype(np.float64) / 2.0**64
        sides = np.full(table.num_rows, Side.TRAIN, dtype=np.int8)
        sides[fractions < self.holdout + self.validation] = Side.VALIDATION
        sides[fractions < self.holdout] = Side.HOLDOUT
        return sides

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "scheme": _SCHEME,
            "salt": self.salt.hex(),
            "holdout": self.holdout,
            "validation": self.validation,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SplitRule:
        """The inverse of `to_json`. Raises Problem INVALID_REQUEST on another scheme."""
        if value.get("scheme") != _SCHEME:
            raise Problem("INVALID_REQUEST", "an unknown rule for splitting patients")
        return cls(bytes.fromhex(value["salt"]), value["holdout"], value["validation"])


@dataclass(frozen=True)
class Split:
    """Disjoint patients under one rule; rows keep their order."""

    train: TableSet
    validation: TableSet
    holdout: TableSet
    rule: SplitRule


def split_by_patient(
    tableset: TableSet, salt: bytes | str, holdout: float, validation: float, min_patients: int = 1
) -> Split:
    """The three sides of a table set under `SplitRule(salt, holdout, validation)`; a text salt is hashed.

    A table without a subject key, beside others that have one, describes no
    patient and goes to every side whole.

    Raises:
        Problem: TOO_FEW_PATIENTS when fewer than `min_patients` are left to train on.
    """
    rule = SplitRule(
        salt if isinstance(salt, bytes) else hashlib.sha256(salt.encode()).digest(), holdout, validation
    )
    keyed = [bool(table.schema.subject_key) for table in tableset]
    sides: dict[Side, dict[str, Table]] = {side: {} for side in Side}
    for table, has_key in zip(tableset, keyed, strict=True):
        name = table.schema.name
        if any(keyed) and not has_key:
            for tables in sides.values():
                tables[name] = table
            continue
        assigned = rule.sides(table)
        for side, tables in sides.items():
            tables[name] = table.take(np.flatnonzero(assigned == side))
    train = TableSet(sides[Side.TRAIN])
    patients = max(
        (patient_count(t.subjects()) for t, k in zip(train, keyed, strict=True) if k or not any(keyed)),
        default=0,
    )
    if patients < max(1, min_patients):
        raise Problem(
            "TOO_FEW_PATIENTS",
            f"fewer than {max(1, min_patients)} patients are left to train on",
            metadata={"min_patients": str(min_patients)},
        )
    return Split(train, TableSet(sides[Side.VALIDATION]), TableSet(sides[Side.HOLDOUT]), rule)


def cap_rows_per_patient(table: Table, cap: int, seed: int) -> Table:
    """At most `cap` rows of each patient, chosen at random, in their order; 0 means all."""
    if cap <= 0 or not table.schema.subject_key:
        return table
    subjects = table.subjects()
    draw = np.random.Generator(np.random.Philox(seed)).random(subjects.size)
    order = np.lexsort((draw, subjects))
    ordered = subjects[order]
    first = np.searchsorted(ordered, ordered)
    kept = order[np.arange(order.size) - first < cap]
    return table if kept.size == table.num_rows else table.take(np.sort(kept))


def _hashes(table: Table, salt: bytes) -> npt.NDArray[np.uint64]:
    rows = np.arange(table.num_rows, dtype=np.int64)
    key = table.schema.subject_key
    if not key:
        return _hash_all([f"row:{row}" for row in rows], salt)
    array = table.arrays[key]
    values, codes = distinct_cells(_comparable(array))
    lookup = _hash_all([f"key:{value}" for value in values] + ["none"], salt)
    valid = array.is_valid()
    hashes = lookup[np.where(valid, codes, len(values))]
    nulls = np.flatnonzero(~valid)
    hashes[nulls] = _hash_all([f"row:{row}" for row in nulls], salt)
    return hashes


def _comparable(array: Array) -> Array:
    """Whole doubles as integers, so that a key hashes the same in whichever type a table holds it."""
    whole = array.storage is Storage.DOUBLE and bool((array.values == np.trunc(array.values)).all())
    return Array(Storage.INT64, array.values.astype(np.int64), array.valid) if whole else array


def _hash_all(texts: list[str], salt: bytes) -> npt.NDArray[np.uint64]:
    keyed, digests = hashlib.blake2b(digest_size=8, key=salt), []
    for text in texts:
        # A copy of what has taken the key in is nearly twice as fast as a fresh one.
        own = keyed.copy()
        own.update(text.encode())
        digests.append(own.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
