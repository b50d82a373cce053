"""Parquet files."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kohort.problem import Problem
from kohort.schema import TableSchema
from tables.arrow import from_arrow
from tables.headers import Limits, check_names, declared_columns, stored, table_schema
from tables.tableset import Table

_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(path: Path, table: str, declared: TableSchema | None, limits: Limits) -> Table:
    """The table in a Parquet file. Index columns that pandas added are left out.

    Raises:
        Problem: FILE_MALFORMED, EMPTY_TABLE, LIMIT_EXCEEDED, those of
            `tables.headers` for the names and of `tables.arrow` for the cells.
    """
    malformed = Problem.at("FILE_MALFORMED", table, "the file cannot be read as Parquet")
    try:
        file = pq.ParquetFile(path, memory_map=True)
        schema, metadata = file.schema_arrow, file.metadata
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise malformed from None
    with file:
        limits.check_rows(table, metadata.num_rows)
        limits.check_bytes(
            table, sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        )
        kept = [i for i, name in enumerate(schema.names) if not _INDEX.fullmatch(name)]
        names = [schema.names[i] for i in kept]
        check_names(table, names, limits)
        if metadata.num_rows == 0:
            raise Problem.at("EMPTY_TABLE", table, "the file holds no row")
        columns = declared_columns(table, names, declared)
        try:
            data = file.read(use_threads=False)
            data.validate(full=True)
        except pa.ArrowNotImplementedError:
            raise Problem.at(
                "FORMAT_UNSUPPORTED", table, "the file uses a Parquet feature that is not read"
            ) from None
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise malformed from None
    if data.num_rows != metadata.num_rows or data.num_columns != len(schema.names):
        raise malformed
    arrays = {}
    read = []
    for position, column in zip(kept, columns, strict=True):
        array, typed = from_arrow(f"{table}.{column.name}", column, data.column(position))
        arrays[column.name] = array
        read.append(stored(typed, array.storage))
    return Table(table_schema(table, read, declared), arrays)
