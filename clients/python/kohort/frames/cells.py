"""What reading any pandas column needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Storage

Cells = npt.NDArray[Any]


@dataclass(frozen=True)
class Read:
    """A column read: its cells, its pandas type in words, and what follows for its schema."""

    array: Array
    source: str
    column: Mapping[str, Any] = field(default_factory=dict)


def not_sent(where: str, what: str) -> Problem:
    """The refusal of a type."""
    return Problem.at("VALUE_NOT_OF_KIND", where, f"cells of type {what} cannot be sent; convert the column")


def validity(series: pd.Series[Any]) -> npt.NDArray[np.bool_] | None:
    """The validity of the cells, None when none is null."""
    null = series.isna().to_numpy(dtype=np.bool_)
    return ~null if null.any() else None


def filled(series: pd.Series[Any], fill: Any, dtype: Any) -> Cells:
    """The cells with `fill` for null."""
    return series.fillna(fill).to_numpy(dtype=dtype)


def floats(series: pd.Series[Any]) -> Array:
    """Any numbers → DOUBLE; NaN is null."""
    values = series.to_numpy(dtype=np.float64, na_value=np.nan).astype("<f8")
    null = np.isnan(values)
    return Array.make(Storage.DOUBLE, values, ~null if null.any() else None)


def texts(series: pd.Series[Any], where: str) -> Array:
    """Any texts → STRING, dictionary-coded in order of appearance."""
    codes, uniques = pd.factorize(series)
    return coded(codes, [str(u) for u in uniques], where)


def coded(codes: Cells, strings: list[str], where: str) -> Array:
    """Codes (-1 is null) into distinct strings → STRING. Raises Problem BAD_ENCODING."""
    try:
        "".join(strings).encode()
    except UnicodeEncodeError:
        raise Problem.at("BAD_ENCODING", where, "the text holds what UTF-8 cannot express") from None
    valid = codes >= 0
    indices = np.where(valid, codes, 0).astype("<u4")
    return Array(Storage.STRING, indices, None if valid.all() else valid, tuple(strings))
