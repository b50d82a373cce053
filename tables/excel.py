"""Excel workbooks (.xlsx): the first sheet, its first row the header."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import python_calamine

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Storage, TableSchema
from tables.headers import Limits, check_names, declared_columns, stored, table_schema
from tables.tableset import Table
from tables.text import Texts, parse

_EPOCH = dt.datetime(1970, 1, 1)
_DAY_ZERO = dt.date(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)
_MAX_CELLS = 50_000_000
_REFERENCE = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_STRETCH = 4 << 20


def read_excel(path: Path, table: str, declared: TableSchema | None, limits: Limits) -> Table:
    """The table on the first sheet of a workbook; wholly empty rows and trailing columns are left out.

    Raises:
        Problem: FILE_MALFORMED, EMPTY_TABLE, LIMIT_EXCEEDED, those of
            `tables.headers` for the names and of `tables.text` for the cells.
    """
    _check_container(path, table, limits)
    rows = _rows(path, table)
    numbered = [(i, row) for i, row in enumerate(rows, 1) if any(cell != "" for cell in row)]
    if not numbered:
        raise Problem.at("EMPTY_TABLE", table, "the first sheet is empty")
    _, header = numbered.pop(0)
    width = max(j + 1 for _, row in [(0, header), *numbered] for j, cell in enumerate(row) if cell != "")
    names = [_text(cell) for cell in header[:width]]
    check_names(table, names, limits)
    if declared is None and not any(isinstance(cell, str) for cell in header[:width]):
        raise Problem.at("FILE_MALFORMED", table, "row 1 holds values where column names are expected")
    if not numbered:
        raise Problem.at("EMPTY_TABLE", table, "the sheet holds no row after the header")
    limits.check_rows(table, len(numbered))
    places = [i for i, _ in numbered]
    arrays = {}
    read = []
    for j, column in enumerate(declared_columns(table, names, declared)):
        array, typed = _column(table, [row[j] for _, row in numbered], column, places)
        arrays[column.name] = array
        read.append(stored(typed, array.storage))
    return Table(table_schema(table, read, declared), arrays)


def _rows(path: Path, table: str) -> list[list[Any]]:
    malformed = Problem.at("FILE_MALFORMED", table, "the file cannot be read as an Excel workbook")
    try:
        with python_calamine.CalamineWorkbook.from_path(path) as workbook:
            rows: list[list[Any]] = workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
            return rows
    except python_calamine.PasswordError:
        raise Problem.at("FILE_MALFORMED", table, "the workbook is protected by a password") from None
    except (python_calamine.CalamineError, OSError, ValueError, IndexError):
        raise malformed from None
    except BaseException as error:
        # A panic of the Rust reader is no Exception, but says no more than a malformed file.
        if type(error).__name__ == "PanicException":
            raise malformed from None
        raise


def _check_container(path: Path, table: str, limits: Limits) -> None:
    """Refuses what would not fit memory before it is unpacked: zip bombs and cells far out on the sheet."""
    limits.check_bytes(table, path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            limits.check_bytes(table, sum(entry.file_size for entry in entries))
            sheets = [
                e for e in entries if e.filename.startswith("xl/worksheets/") and e.filename.endswith(".xml")
            ]
            if not sheets:
                raise Problem.at("FILE_MALFORMED", table, "the file is an archive, but no Excel workbook")
            for sheet in sheets:
                _check_extent(archive, sheet, table, limits)
    except (zipfile.error, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError):
        raise Problem.at("FILE_MALFORMED", table, "the file is no .xlsx workbook") from None


def _check_extent(archive: zipfile.ZipFile, sheet: zipfile.ZipInfo, table: str, limits: Limits) -> None:
    height, columns, held, unpacked = 0, {b"A"}, b"", 0
    with archive.open(sheet) as xml:
        while part := xml.read(_STRETCH):
            unpacked += len(part)
            limits.check_bytes(table, unpacked)
            text = held + part
            found = _REFERENCE.findall(text)
            columns.update(letters for letters, _ in found)
            height = max(height, max((int(number) for _, number in found), default=0))
            held = text[-32:]
    width = max(_column_number(letters) for letters in columns)
    limits.check_rows(table, height - 1)
    if height * width > _MAX_CELLS:
        raise Problem.at("LIMIT_EXCEEDED", table, f"the sheet spans more than {_MAX_CELLS} cells")


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _column(table: str, cells: list[Any], column: Column, places: list[int]) -> tuple[Array, Column]:
    valid = np.array([cell != "" for cell in cells], dtype=np.bool_)
    types = {type(cell) for cell in cells if cell != ""}
    if types and types <= {float, int}:
        numbers = np.array(
            [cell if ok else 0 for cell, ok in zip(cells, valid, strict=True)], dtype=np.float64
        )
        if (numbers == np.trunc(numbers)).all() and np.abs(numbers).max() < 2.0**53:
            return Array.make(Storage.INT64, numbers.astype(np.int64), valid), column
        return Array.make(Storage.DOUBLE, numbers, valid), column
    if types == {bool}:
        return Array.make(Storage.BOOL, [cell is True for cell in cells], valid), column
    if types == {dt.date}:
        days = [(cell - _DAY_ZERO).days if ok else 0 for cell, ok in zip(cells, valid, strict=True)]
        return Array.make(Storage.DATE, days, valid), column
    # The reader hands out midnights as dates.
    if types and types <= {dt.date, dt.datetime}:
        micros = [
            (_instant(cell) - _EPOCH) // _MICROSECOND if ok else 0
            for cell, ok in zip(cells, valid, strict=True)
        ]
        return Array.make(Storage.DATETIME, micros, valid), column
    if types and types <= {dt.timedelta, dt.time}:
        spans = [_span(cell) // _MICROSECOND if ok else 0 for cell, ok in zip(cells, valid, strict=True)]
        return Array.make(Storage.DURATION, spans, valid), column
    coded = pa.array(
        [_text(cell) if ok else None for cell, ok in zip(cells, valid, strict=True)], pa.string()
    )
    coded = coded.dictionary_encode()
    indices = coded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return parse(Texts(table, coded.dictionary, indices, valid, lambda row: f"row {places[row]}"), column)


def _instant(cell: dt.date) -> dt.datetime:
    return cell if isinstance(cell, dt.datetime) else dt.datetime(cell.year, cell.month, cell.day)


def _span(cell: dt.timedelta | dt.time) -> dt.timedelta:
    if isinstance(cell, dt.timedelta):
        return cell
    return dt.timedelta(
        hours=cell.hour, minutes=cell.minute, seconds=cell.second, microseconds=cell.microsecond
    )


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2.0**53:
        return str(int(cell))
    if isinstance(cell, (dt.datetime, dt.date, dt.time)):
        return cell.isoformat()
    return str(cell)
