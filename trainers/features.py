"""What an encoded column consists of, and what encodings are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from kohort.schema import Finding

if TYPE_CHECKING:
    from tables.statistics import StatisticsSource
    from tables.tableset import Table

Role = Literal["value", "present"]


@dataclass(frozen=True)
class Feature:
    """One encoded number per row.

    `size` is the number of classes of a discrete feature (int64 indices below
    it) and None for a continuous one (float64 in the column's coordinate). A
    "present" feature is 1 where the cell holds a value and 0 where it is null.
    """

    column: str
    role: Role
    size: int | None


@dataclass(frozen=True, eq=False)
class Evidence:
    """The rows that encodings are fitted on, and how facts are read from them."""

    table: Table
    subjects: npt.NDArray[np.int64]
    """Per row the number of its patient, [n]."""
    statistics: StatisticsSource
    """The only reader of facts about cells."""
    min_patients: int
    """k; what fewer patients support is left out."""
    weights: npt.NDArray[np.float64] | None = None
    """What each row counts, [n]; None: 1."""

    def weights_of(self, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64] | None:
        """Those of the rows where a mask [n] is true."""
        return None if self.weights is None else self.weights[rows]

    def protected(self, what: list[str], column: str = "") -> Finding | None:
        """A finding of what was changed to protect rare values; None for nothing."""
        if not what:
            return None
        return Finding("RARE_VALUES_PROTECTED", "; ".join(what), self.table.schema.name, column)
