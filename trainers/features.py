"""What an encoded column consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
