"""CSV files: RFC 4180, UTF-8, one header line; empty cells are null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kohort.problem import Problem
from kohort.schema import TableSchema
from tables.headers import Limits, check_names, declared_columns, stored, table_schema
from tables.rfc4180 import Layout, scan
from tables.tableset import Table
from tables.text import Texts, parse

_CODED, _PLAIN = pa.dictionary(pa.int32(), pa.string()), pa.large_string()
_HEAD = 1_000
"""Records from which the reader guesses how varied a column is."""
_STRIDE, _VARIED = 8, 0.9


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
        array, typed = parse(Texts(table, *_coded(cells.column(i)), locate), column)
        arrays[column.name] = array
        read.append(stored(typed, array.storage))
    return Table(table_schema(table, read, declared), arrays)


def _cells(body: pa.Buffer, layout: Layout, table: str) -> pa.Table:
    """Every column as text, dictionary-coded unless nearly every cell differs from the others.

    Types are then decided on distinct texts alone. Where nearly all are distinct,
    a dictionary costs more than it saves.
    """
    names = [str(i) for i in range(len(layout.header))]
    types = dict.fromkeys(names, _CODED)
    if layout.ends.size > _HEAD:
        head = body.slice(0, min(int(layout.ends[_HEAD - 1]) + 1 - layout.body, body.size))
        first = _read(head, layout, table, types)
        types |= {n: _PLAIN for n in names if 2 * len(_united(first.column(n)).dictionary) > _HEAD}
    return _read(body, layout, table, types)


def _read(body: pa.Buffer, layout: Layout, table: str, types: dict[str, pa.DataType]) -> pa.Table:
    try:
        return pa.csv.read_csv(
            pa.BufferReader(body),
            read_options=pa.csv.ReadOptions(
                use_threads=False, block_size=max(16 << 20, layout.longest), column_names=list(types)
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=layout.quoted, ignore_empty_lines=False),
            convert_options=pa.csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        raise Problem.at("FILE_MALFORMED", table, "the file cannot be read as CSV") from None


def _coded(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Texts [d], nearly distinct; per row the position of its own; and whether it is not null."""
    if column.type == _PLAIN:
        some = column.take(pa.array(np.arange(0, len(column), _STRIDE)))
        if pc.count_distinct(some).as_py() >= _VARIED * len(some):
            valid = column.is_valid().to_numpy().astype(np.bool_)
            return pa.concat_arrays(column.fill_null("").chunks), np.arange(len(column)), valid
        column = column.dictionary_encode()
    coded = _united(column)
    valid = np.asarray(coded.indices.is_valid())
    return coded.dictionary, coded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64), valid


def _united(column: pa.ChunkedArray) -> pa.DictionaryArray:
    united = column.unify_dictionaries().combine_chunks()
    return united.chunk(0) if isinstance(united, pa.ChunkedArray) else united


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
