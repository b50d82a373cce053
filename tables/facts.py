"""What inference needs to know of one column, each fact read when asked for."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kohort.columns import Array
from kohort.schema import Storage
from tables.patterns import Patterns
from tables.statistics import distinct_cells, patient_count, patients_per_code

Integers: TypeAlias = npt.NDArray[np.int64]

MAX_SCALE = 9
_EXACT = 2.0**53
_SOME = 0.1
_HEAD = 64
_LOCAL_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?!\d)")


class Facts:
    """Facts of a column of `rows` cells whose rows belong to `subjects` [rows]."""

    def __init__(self, array: Array, subjects: Integers, min_patients: int) -> None:
        self.array = array
        self.rows = len(array)
        self._subjects = subjects
        self._min_patients = min_patients

    @cached_property
    def present(self) -> int:
        """Cells that are not null."""
        return self.rows if self.array.valid is None else int(self.array.valid.sum())

    @cached_property
    def _distinct(self) -> tuple[npt.NDArray[Any], Integers]:
        """The distinct cells of numbers, null ones as 0, in order; and per row the position of its own."""
        values, codes = np.unique(self.array.values, return_inverse=True)
        return values, codes

    @cached_property
    def _coded(self) -> tuple[int, Integers, Integers]:
        """How many distinct cells there may be; per cell that is not null its position and its subject."""
        if self.array.storage is Storage.STRING_LIST:
            codes = self.array.factorize()
            size = int(codes.max(initial=-1)) + 1
        elif self.array.storage is Storage.STRING:
            values, codes = distinct_cells(self.array)
            size = len(values)
        else:
            numbers, codes = self._distinct
            size = numbers.size
        if self.array.valid is None:
            return size, codes, self._subjects
        return size, codes[self.array.valid], self._subjects[self.array.valid]

    @cached_property
    def counts(self) -> Integers:
        """Cells per distinct value, [d]; for strings in the order of the dictionary."""
        size, codes, _ = self._coded
        return np.bincount(codes, minlength=size).astype(np.int64)

    @cached_property
    def distinct(self) -> int:
        """Distinct values among the cells that are not null."""
        return int((self.counts > 0).sum())

    @property
    def unique(self) -> bool:
        """Whether no value occurs twice and none is null."""
        return self.rows > 0 and self.present == self.rows == self.distinct

    @cached_property
    def _patients(self) -> Integers:
        size, codes, subjects = self._coded
        return patients_per_code(codes, subjects, size)

    @cached_property
    def shared(self) -> float:
        """Share of cells whose value is held by at least `min_patients` patients."""
        return float(self.counts[self._patients >= self._min_patients].sum() / max(1, self.present))

    def many_above(self, limit: float) -> bool:
        """Numbers: whether at least `min_patients` patients have one above `limit`."""
        above = self.array.is_valid() & (self.array.values > limit)
        return patient_count(self._subjects[above]) >= self._min_patients

    @cached_property
    def mixed(self) -> bool:
        """STRING: whether a good part of the cells are numbers, and a good part are not."""
        patterns = self._patterns
        share = float(self.counts[patterns.number].sum() / max(1, self.counts[~patterns.missing].sum()))
        return _SOME <= share <= 1 - _SOME

    @cached_property
    def sparse(self) -> bool:
        """Whether so few patients have a value that hardly `min_patients` would be left to train on."""
        few = 2 * self._min_patients
        if self.present == self.rows:
            return False
        patients = patient_count(self._coded[2])
        return patients < few and patients < patient_count(self._subjects)

    @cached_property
    def cells(self) -> npt.NDArray[Any]:
        """The distinct numbers, in order."""
        return self._distinct[0][self.counts > 0]

    @cached_property
    def whole(self) -> bool:
        """Whether the cells are numbers without a fraction that int64 holds exactly."""
        if self.array.storage is Storage.INT64:
            return True
        if self.array.storage is not Storage.DOUBLE:
            return False
        return bool((self.cells == np.trunc(self.cells)).all() and (np.abs(self.cells) < _EXACT).all())

    @cached_property
    def scale(self) -> int | None:
        """The fewest digits after the point that write every double exactly, up to `MAX_SCALE`."""
        return smallest_scale(self.cells.astype(np.float64))

    @cached_property
    def consecutive(self) -> bool:
        """Whether the numbers count the rows."""
        if not (self.unique and self.whole and self.rows >= 20):
            return False
        return int(self.cells[-1]) - int(self.cells[0]) == self.rows - 1

    @cached_property
    def long(self) -> bool:
        """Whether every number has six digits or more, as codes of terminologies have."""
        return self.present > 0 and bool(self.cells[0] >= 100_000)

    @property
    def local_dates(self) -> bool:
        """Whether every text begins with a day as people write it, such as 31/12/2020 or 1.2.99."""
        return bool(self.texts) and all(_LOCAL_DATE.match(text) for text in self.texts)

    @cached_property
    def temporal(self) -> Storage | None:
        """DATE or DATETIME where every text is an ISO 8601 day or local time."""
        # Nearly always the first texts tell.
        return _times(Patterns(pa.array(self.texts[:_HEAD], pa.string()))) and _times(self._patterns)

    @cached_property
    def zoned(self) -> bool:
        """Whether the cells are texts of times with an offset from UTC."""
        if self.array.storage is not Storage.STRING or not self.present:
            return False
        return bool(self._patterns.zoned.all())

    @cached_property
    def _patterns(self) -> Patterns:
        return Patterns(pa.array(self.texts, pa.string()))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """STRING: the dictionary."""
        assert self.array.dictionary is not None
        return self.array.dictionary

    @cached_property
    def words_per_cell(self) -> float:
        """STRING: the mean count of words."""
        words = np.fromiter((len(text.split()) for text in self.texts), np.float64, len(self.texts))
        return float(words @ self.counts / max(1, self.present))

    @cached_property
    def keyed(self) -> bool:
        """STRING: whether nearly all texts have the shape of a UUID or a long hexadecimal key."""
        shape = self._patterns.match(
            r"^(?i)([0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$"
        )
        return bool(self.counts[shape].sum() >= 0.95 * max(1, self.present))


def _times(patterns: Patterns) -> Storage | None:
    if not len(patterns):
        return None
    if patterns.date.all():
        return Storage.DATE
    return Storage.DATETIME if (patterns.date | patterns.local).all() or patterns.zoned.all() else None


def smallest_scale(numbers: npt.NDArray[np.float64]) -> int | None:
    """The fewest decimal digits (0 to `MAX_SCALE`) that write all numbers [n] exactly, or None.

    Numbers that came from binary32 need only be exact in binary32: 0.1 there is
    not 0.1 in binary64, but 0.1 is what was meant.
    """
    for scale in range(MAX_SCALE + 1):
        if numbers.size and np.abs(numbers).max() * 10.0**scale >= _EXACT:
            return None
        # Nearly always the first numbers tell that there are more digits.
        if on_grid(numbers[:_HEAD], scale).all() and on_grid(numbers, scale).all():
            return scale
    return None


def on_grid(numbers: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.bool_]:
    """Which numbers [n] have no more than `scale` decimal digits."""
    rounded = np.rint(numbers * 10.0**scale) / 10.0**scale
    with np.errstate(over="ignore"):
        single, short = numbers.astype(np.float32), rounded.astype(np.float32)
    from_single: npt.NDArray[np.bool_] = (single.astype(np.float64) == numbers) & (short == single)
    # All or none: a double that happens to fit binary32 proves nothing.
    exact: npt.NDArray[np.bool_] = from_single if from_single.all() else rounded == numbers
    return exact
