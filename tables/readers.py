"""Files become tables."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from kohort.problem import Problem
from kohort.schema import TableSchema
from tables.headers import Limits
from tables.tableset import Table

__all__ = ["FileFormat", "Limits", "read_file"]

_Reader = Callable[[Path, str, TableSchema | None, Limits], Table]


class FileFormat(StrEnum):
    """What a file is."""

    CSV = "csv"
    PARQUET = "parquet"
    EXCEL = "excel"


def read_file(
    path: Path,
    format: FileFormat | str,
    table_name: str,
    declared: TableSchema | None = None,
    limits: Limits | None = None,
) -> Table:
    """The table in a file, its columns in the file's order.

    Cells are typed as declared or else as they are; `tables.infer` then says
    what they mean. `declared` may name any of the columns.

    Raises:
        Problem: FILE_MALFORMED, RAGGED_ROW, BAD_ENCODING, DUPLICATE_COLUMN,
            EMPTY_COLUMN_NAME, EMPTY_TABLE, MIXED_TYPES, VALUE_NOT_OF_KIND,
            VALUE_OUT_OF_BOUNDS, UNKNOWN_COLUMN, MISSING_COLUMN,
            LIMIT_EXCEEDED, INVALID_SCHEMA or FORMAT_UNSUPPORTED. Fields are
            ``table`` or ``table.column``; no message holds a cell.
    """
    return _reader(table_name, format)(Path(path), table_name, declared, limits or Limits())


def _reader(table: str, format: str) -> _Reader:
    # Readers load when first used: each brings a library of its own.
    match format:
        case FileFormat.CSV:
            from tables.csv import read_csv

            return read_csv
        case FileFormat.PARQUET:
            from tables.parquet import read_parquet

            return read_parquet
        case FileFormat.EXCEL:
            from tables.excel import read_excel

            return read_excel
        case _:
            raise Problem.at("FORMAT_UNSUPPORTED", table, "files are read as csv, parquet or excel")
