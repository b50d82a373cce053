"""Rows with cells left open, as their owner has them → `PartialRows` in the model's own columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.conditions import PartialRows
from kohort.csvio import cell_texts
from kohort.problem import Problem
from kohort.schema import Column, Schema, Storage, TableSchema
from kohort.values import read_value

Rows: TypeAlias = Any
"""A DataFrame, an Arrow table, a mapping of `Array` by column, or the path of a CSV file."""

MAX_MESSAGE = 2_900_000
"""Bytes of one request's rows: the contract allows 3 MiB."""

_DAY = 86_400_000_000


def read_partial(rows: Rows, schema: Schema, first_unit: int = 0) -> PartialRows:
    """The rows in the storage of the model's columns; columns that are not there are free.

    Empty cells of a CSV file are open.

    Raises:
        Problem: UNKNOWN_COLUMN; INVALID_REQUEST naming the column, never a value; as
            `kohort.frames.from_frame` for a DataFrame.
        ValueError: the model has several tables.
        TypeError: something else than a table.
    """
    if len(schema.tables) != 1:
        raise ValueError("a model of several tables cannot complete rows")
    table = schema.tables[0]
    if isinstance(rows, str | Path):
        arrays = _from_csv(Path(rows), table)
    elif isinstance(rows, Mapping):
        arrays = {name: _checked(array, table.column(name), table) for name, array in rows.items()}
    else:
        arrays = _from_frame(rows, table)
    partial = PartialRows(arrays, first_unit, table.name)
    if not arrays or not partial.row_count:
        raise Problem.at("INVALID_REQUEST", "rows", "need at least one row and one column")
    return partial


def pieces(partial: PartialRows, size: Callable[[PartialRows], int]) -> Iterator[PartialRows]:
    """The rows in parts of at most `MAX_MESSAGE` bytes, as `size` says, each with its first unit."""
    start, rows = 0, partial.row_count
    step = rows
    while start < rows:
        piece = cut(partial, start, min(start + step, rows))
        if size(piece) > MAX_MESSAGE and piece.row_count > 1:
            step = max(1, min(step, piece.row_count) // 2)
            continue
        yield piece
        start += piece.row_count


def cut(partial: PartialRows, start: int, stop: int) -> PartialRows:
    """Rows [start, stop), their dictionaries without strings that they do not use."""
    arrays = {name: _compact(array.slice(start, stop)) for name, array in partial.arrays.items()}
    return replace(partial, arrays=arrays, first_unit=partial.first_unit + start)


def _compact(array: Array) -> Array:
    if array.dictionary is None:
        return array
    used, codes = np.unique(array.values[array.is_valid()], return_inverse=True)
    values = np.zeros(len(array), "<u4")
    values[array.is_valid()] = codes
    return Array(array.storage, values, array.valid, tuple(array.dictionary[i] for i in used))


def _from_frame(rows: Rows, table: TableSchema) -> dict[str, Array]:
    if type(rows).__module__.startswith("pyarrow"):
        from kohort.arrow import from_arrow

        found, arrays = from_arrow(rows, table.name)
    else:
        import pandas as pd

        from kohort.frames import from_frame

        if not isinstance(rows, pd.DataFrame):
            raise TypeError(
                f"rows are a DataFrame, an Arrow table or the path of a CSV file, not {type(rows).__name__}"
            )
        found, arrays = from_frame(rows, table.name)
    return {
        column.name: _converted(arrays[column.name], column, table.column(column.name), table)
        for column in found.columns
    }


def _checked(array: Array, column: Column, table: TableSchema) -> Array:
    if array.storage is not column.storage:
        raise Problem.at("INVALID_REQUEST", f"{table.name}.{column.name}", "is of another storage")
    return array


def _converted(array: Array, source: Column, column: Column, table: TableSchema) -> Array:
    have, want = array.storage, column.storage
    if have is Storage.DOUBLE:
        array = Array.make(have, array.values, array.is_valid() & ~np.isnan(array.values))
    if have is want and source.scale == column.scale:
        return array
    if (have, want) == (Storage.DATE, Storage.DATETIME):
        return Array.make(want, array.values.astype(np.int64) * _DAY, array.valid)
    if (have, want) == (Storage.DATETIME, Storage.DATE) and not (array.values % _DAY).any():
        return Array.make(want, array.values // _DAY, array.valid)
    if have is Storage.DOUBLE and _whole(array.values):
        # Whole numbers beside nulls are floats in pandas; as text they are whole again.
        array = Array(Storage.INT64, array.values.astype(np.int64), array.valid)
    if array.storage is Storage.INT64 and want is Storage.BOOL and np.isin(array.values, (0, 1)).all():
        return Array.make(want, array.values == 1, array.valid)
    if array.storage is want is Storage.INT64:
        return array
    texts = cell_texts(replace(source, storage=array.storage), array)
    return _from_texts(texts, array.is_valid().tolist(), column, table)


def _whole(numbers: npt.NDArray[Any]) -> bool:
    return bool(((numbers == np.rint(numbers)) & (np.abs(numbers) < 2.0**53)).all())


def _from_csv(path: Path, table: TableSchema) -> dict[str, Array]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            lines = [line for line in reader if line]
        except (csv.Error, UnicodeDecodeError):
            raise Problem.at("INVALID_REQUEST", "rows", "are no CSV file of UTF-8 text") from None
    columns = [table.column(name) for name in header]
    if not columns or len(set(header)) != len(header):
        raise Problem.at("INVALID_REQUEST", "rows", "need a header that names each column once")
    if any(len(line) != len(header) for line in lines):
        raise Problem.at("INVALID_REQUEST", "rows", "have lines of another length than the header")
    return {
        column.name: _from_texts(list(texts), [text != "" for text in texts], column, table)
        for column, texts in zip(
            columns, zip(*lines, strict=True) if lines else [()] * len(columns), strict=True
        )
    }


def _from_texts(texts: list[str], valid: list[bool], column: Column, table: TableSchema) -> Array:
    """Cells of their texts, each distinct one read once."""
    where = f"{table.name}.{column.name}"
    distinct = sorted({text for text, ok in zip(texts, valid, strict=True) if ok})
    if column.storage is Storage.STRING:
        place = {text: i for i, text in enumerate(distinct)}
        codes = [place[text] if ok else 0 for text, ok in zip(texts, valid, strict=True)]
        return Array.make(column.storage, codes, valid, distinct)
    read = {text: read_value(text, column, where) for text in distinct}
    cells = [read[text] if ok else 0 for text, ok in zip(texts, valid, strict=True)]
    return Array.make(column.storage, np.array(cells, dtype=column.storage.dtype), valid)
