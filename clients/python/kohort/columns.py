"""Columns in memory, and the same columns as bytes of the contract.

An `Array` holds the cells of one column, a `Batch` some rows of one table.
`encode_record_batch` writes a `kohort.v1.RecordBatch` without protobuf: packed
fixed-width fields are copied as they lie in memory. Reading the contract's
messages back is the work of `kohort.wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.digests import ContentDigest, batch_digest
from kohort.protobytes import encode_dictionary_chunks, encode_field, encode_record_batch
from kohort.schema import Storage

__all__ = [
    "Array",
    "Batch",
    "ContentDigest",
    "batch_digest",
    "encode_dictionary_chunks",
    "encode_field",
    "encode_record_batch",
]

Cells = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Array:
    """The cells of one column.

    Build arrays of unknown origin with `make`, which checks and normalises;
    the constructor trusts its caller.
    """

    storage: Storage
    values: Cells
    """`storage.dtype` [n]. STRING: indices into `dictionary`, or without one an
    object array of str. STRING_LIST: the indices of all lists, one after another."""
    valid: Mask | None = None
    """Per cell whether it is not null; None when none is. Null cells hold 0, "" or an empty list."""
    dictionary: tuple[str, ...] | None = None
    """STRING and STRING_LIST: the distinct strings."""
    offsets: npt.NDArray[np.uint32] | None = None
    """STRING_LIST: [n + 1], cell i is values[offsets[i]:offsets[i + 1]]."""

    @classmethod
    def make(
        cls,
        storage: Storage,
        values: npt.ArrayLike,
        valid: npt.ArrayLike | None = None,
        dictionary: Iterable[str] | None = None,
        offsets: npt.ArrayLike | None = None,
    ) -> Array:
        """An array with the storage's own dtype, canonical nulls and checked shapes.

        Raises:
            ValueError: when the parts do not fit each other; the text holds no cell.
        """
        strings = None if dictionary is None else tuple(dictionary)
        if strings is not None and len(set(strings)) != len(strings):
            raise ValueError("the dictionary holds a string twice")
        plain = storage is Storage.STRING and strings is None
        cells = np.array(values, dtype=object) if plain else _cast(values, storage.dtype)
        if cells.ndim != 1:
            raise ValueError("values are not one-dimensional")
        if storage is Storage.DOUBLE and np.isnan(cells).any():
            cells = np.where(np.isnan(cells), np.nan, cells)  # one NaN of many: digests compare bits
        edges = None
        if storage is Storage.STRING_LIST:
            if offsets is None or strings is None:
                raise ValueError("lists need offsets and a dictionary")
            edges = _cast(offsets, np.dtype("<u4"))
            signed = edges.astype(np.int64)
            if edges.size < 1 or signed[0] != 0 or signed[-1] != cells.size or (np.diff(signed) < 0).any():
                raise ValueError("offsets do not cut the values")
        length = cells.size if edges is None else edges.size - 1
        mask = None if valid is None else np.array(valid, dtype=np.bool_)
        if mask is not None and mask.shape != (length,):
            raise ValueError("validity and values differ in length")
        if mask is not None and mask.all():
            mask = None
        if mask is not None and edges is None:
            cells[~mask] = "" if plain else 0
        elif mask is not None and edges is not None:
            lengths = _diff(edges)
            cells = cells[np.repeat(mask, lengths)]
            edges = _offsets(np.where(mask, lengths, 0))
        _check_unicode(cells if plain else strings or ())
        if strings is not None and cells.size:
            used = cells if mask is None or edges is not None else cells[mask]
            if used.size and int(used.max()) >= len(strings):
                raise ValueError("an index lies outside the dictionary")
        return cls(storage, cells, mask, strings, edges)

    @classmethod
    def empty(cls, storage: Storage) -> Array:
        """No cells."""
        if storage is Storage.STRING_LIST:
            return cls(storage, np.empty(0, "<u4"), None, (), np.zeros(1, "<u4"))
        return cls(storage, np.empty(0, object if storage is Storage.STRING else storage.dtype))

    def __len__(self) -> int:
        return self.values.size if self.offsets is None else self.offsets.size - 1

    @property
    def nbytes(self) -> int:
        """Bytes that the cells take on the wire, nearly; without the dictionary."""
        size = 0 if self.valid is None else (self.valid.size + 7) // 8
        if self.values.dtype == object:
            return size + sum(map(len, self.values)) + 3 * self.values.size
        return size + self.values.nbytes + (0 if self.offsets is None else self.offsets.nbytes)

    def is_valid(self) -> Mask:
        """Per cell whether it is not null, [n]."""
        return np.ones(len(self), dtype=np.bool_) if self.valid is None else self.valid

    def lengths(self) -> npt.NDArray[np.int64]:
        """STRING_LIST: strings per cell, [n]."""
        assert self.offsets is not None
        return _diff(self.offsets)

    def take(self, rows: npt.NDArray[Any]) -> Array:
        """The cells at those positions (or where a mask is true), in that order."""
        if self.offsets is not None:
            if rows.dtype == np.bool_:
                rows = np.flatnonzero(rows)
            starts = self.offsets[:-1].astype(np.int64)[rows]
            edges = _offsets(self.lengths()[rows])
            shift = np.repeat(starts - edges[:-1].astype(np.int64), _diff(edges))
            cells = self.values[shift + np.arange(shift.size)]
            return Array(self.storage, cells, _mask(self.valid, rows), self.dictionary, edges)
        return Array(self.storage, self.values[rows], _mask(self.valid, rows), self.dictionary)

    def slice(self, start: int, stop: int) -> Array:
        """Cells [start, stop), without copying values."""
        if start == 0 and stop == len(self):
            return self
        part = slice(start, stop)
        if self.offsets is not None:
            edges = self.offsets[start : stop + 1]
            cells = self.values[edges[0] : edges[-1]]
            return Array(self.storage, cells, _mask(self.valid, part), self.dictionary, edges - edges[0])
        return Array(self.storage, self.values[part], _mask(self.valid, part), self.dictionary)

    def strings(self) -> npt.NDArray[np.object_]:
        """STRING: every cell as str, null as None, [n]."""
        if self.dictionary is None:
            cells = self.values.astype(object)
        else:
            # One more entry keeps an empty dictionary (all cells null) valid.
            lookup = np.array([*self.dictionary, None], dtype=object)
            cells = lookup[self.values if self.valid is None else np.where(self.valid, self.values, 0)]
        if self.valid is not None:
            cells[~self.valid] = None
        return cells

    def to_python(self) -> list[Any]:
        """Every cell as a Python value, null as None.

        Decimals stay unscaled integers, dates days and times microseconds.
        """
        if self.storage is Storage.STRING:
            return list(self.strings())
        if self.offsets is not None:
            lookup = np.array(self.dictionary, dtype=object)
            edges = self.offsets.tolist()
            cells: list[Any] = [[lookup[i] for i in self.values[a:b]] for a, b in pairwise(edges)]
        else:
            cells = self.values.tolist()
        if self.valid is None:
            return cells
        return [cell if ok else None for cell, ok in zip(cells, self.valid.tolist(), strict=True)]

    def factorize(self, nulls_distinct: bool = False) -> npt.NDArray[np.int64]:
        """Numbers 0..k-1, equal where cells are equal, [n].

        Nulls count as one value of their own, or each as another one.
        """
        if self.offsets is not None or self.values.dtype == object:
            seen: dict[Any, int] = {}
            keys = self.to_python() if self.offsets is None else map(_hashable, self.to_python())
            codes = np.fromiter((seen.setdefault(k, len(seen)) for k in keys), np.int64, len(self))
        else:
            codes = np.unique(self.values, return_inverse=True)[1].astype(np.int64)
        if self.valid is None:
            return codes
        top = int(codes.max(initial=-1)) + 1
        nulls = ~self.valid
        codes = codes.copy()
        codes[nulls] = top + (np.arange(int(nulls.sum())) if nulls_distinct else 0)
        return np.unique(codes, return_inverse=True)[1].astype(np.int64)

    @classmethod
    def concat(cls, arrays: Sequence[Array]) -> Array:
        """All cells in order; dictionaries are united where they differ."""
        first = arrays[0]
        if len(arrays) == 1:
            return first
        dictionary = first.dictionary
        values = [a.values for a in arrays]
        if any(a.dictionary is not dictionary and a.dictionary != dictionary for a in arrays):
            if any(a.dictionary is None for a in arrays):
                dictionary = None
                values = [np.where(a.is_valid(), a.strings(), "").astype(object) for a in arrays]
            else:
                dictionary, values = _unite(arrays)
        valid = None
        if any(a.valid is not None for a in arrays):
            valid = np.concatenate([a.is_valid() for a in arrays])
        offsets = None
        if first.offsets is not None:
            offsets = _offsets(np.concatenate([a.lengths() for a in arrays]))
        return cls(first.storage, np.concatenate(values), valid, dictionary, offsets)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of one table: an `Array` of equal length per column, in schema order.

    `first_unit`, `first_row_in_unit` and `next_unit` are those of the contract's
    RecordBatch. Where a unit has other than one row, `units` gives the unit of
    every row, [row_count]; None means that row i is unit `first_unit` + i.
    """

    table: str
    arrays: Mapping[str, Array]
    first_unit: int = 0
    first_row_in_unit: int = 0
    next_unit: int = 0
    units: npt.NDArray[np.int64] | None = None

    @property
    def row_count(self) -> int:
        """Rows."""
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    @property
    def nbytes(self) -> int:
        """Bytes that the cells take on the wire, nearly."""
        return sum(array.nbytes for array in self.arrays.values())


def _check_unicode(strings: Iterable[Any]) -> None:
    try:
        "".join(strings).encode()
    except TypeError:
        raise ValueError("a cell is not a string") from None
    except UnicodeEncodeError:  # its own text quotes the string
        raise ValueError("a string is not valid Unicode") from None


def _cast(values: npt.ArrayLike, dtype: np.dtype[Any]) -> Cells:
    # A copy always: null cells are overwritten, and the caller's array is not ours.
    source = np.asarray(values)
    if source.dtype == dtype or not source.size:
        return np.array(source, dtype=dtype)
    if source.dtype.kind not in {"b": "b", "f": "fiu"}.get(dtype.kind, "iu"):
        raise ValueError("values are not of the storage's type")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(source.min()) < limits.min or int(source.max()) > limits.max:
            raise ValueError("a value does not fit the storage")
    return np.array(source, dtype=dtype)


def _mask(valid: Mask | None, rows: Any) -> Mask | None:
    if valid is None:
        return None
    part = valid[rows]
    return None if part.all() else part


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype("<u4")


def _diff(offsets: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    edges = offsets.astype(np.int64)
    return edges[1:] - edges[:-1]


def _hashable(cell: list[str] | None) -> tuple[str, ...] | None:
    return None if cell is None else tuple(cell)


def _unite(arrays: Sequence[Array]) -> tuple[tuple[str, ...], list[Cells]]:
    positions: dict[str, int] = {}
    values = []
    for array in arrays:
        strings = array.dictionary or ()
        codes = [positions.setdefault(s, len(positions)) for s in strings]
        cells = np.array([*codes, 0], dtype="<u4")[array.values]
        if array.valid is not None and array.offsets is None:
            cells[~array.valid] = 0
        values.append(cells)
    return tuple(positions), values
