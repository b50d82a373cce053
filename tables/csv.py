"""CSV files: RFC 4180, UTF-8, one header line; empty cells are null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from kohort.problem import Problem
from kohort.schema import TableSchema
from tables.headers import Limits, check_names, declared_columns, stored, table_schema
from tables.rfc4180 import Layout, scan
from tables.tableset import Table
from tables.text import Texts, parse


def read_csv(path: Path, table: str, declared: TableSchema | None, limits: Limits) -> Table:
    """The table in a CSV file, its cells typed by what was declared or else by what they are.

    Raises:
        Problem: every reason of `tables.rfc4180.scan`, `tables.headers` and
            `tables.text.parse`, naming line and column and never a cell.
    """
    size = path.stat().st_size
    limits.check_bytes(table, size)
    if size == 0:
        raise Problem.at("EMPTY_TABLE", table, "the file is empty")
    # Arrow keeps the map alive for as long as anything points into it.
    with pa.memory_map(str(path)) as file:
        data = file.read_buffer(size)
    layout = scan(table, memoryview(data), limits)
    check_names(table, layout.header, limits)
    _check_headed(table, layout.header, declared)
    columns = declared_columns(table, layout.header, declared)
    cells = _cells(data.slice(layout.body, min(layout.stop + 1, size) - layout.body), layout, table)

    def locate(row: int) -> str:
        return f"line {layout.line(memoryview(data), row)}"

    arrays = {}
    read = []
    for i, column in enumerate(columns):
        coded = cells.column(i).unify_dictionaries().combine_chunks()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.chunk(0)
        valid = np.asarray(coded.indices.is_valid())
        indices = coded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        array, typed = parse(Texts(table, coded.dictionary, indices, valid, locate), column)
        arrays[column.name] = array
        read.append(stored(typed, array.storage))
    return Table(table_schema(table, read, declared), arrays)


def _cells(body: pa.Buffer, layout: Layout, table: str) -> pa.Table:
    """Every column as dictionary-coded text: types are then decided on distinct texts alone."""
    names = [str(i) for i in range(len(layout.header))]
    coded = pa.dictionary(pa.int32(), pa.string())
    try:
        return pa.csv.read_csv(
            pa.BufferReader(body),
            read_options=pa.csv.ReadOptions(
                use_threads=False, block_size=max(16 << 20, layout.longest), column_names=names
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=layout.quoted, ignore_empty_lines=False),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, coded),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        raise Problem.at("FILE_MALFORMED", table, "the file cannot be read as CSV") from None


def _check_headed(table: str, header: tuple[str, ...], declared: TableSchema | None) -> None:
    """Refuses a first line of numbers: cells would be taken for names, and names are shown."""
    if declared is not None and declared.columns:
        return
    numbered = [str(i) for i in range(len(header))]
    if list(header) != numbered and all(_is_number(name) for name in header):
        raise Problem.at("FILE_MALFORMED", table, "line 1 holds numbers where column names are expected")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
