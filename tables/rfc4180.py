"""The structure of a CSV file, checked exactly by RFC 4180 before anything is parsed.

Cells are separated by commas, records by line feeds with or without a carriage
return. A cell that holds a comma, quote or line break stands in quotes, inside
which a quote is doubled. Every record has as many cells as the header.

The whole file is scanned in stretches of a few MiB with numpy; a position is
inside quotes where the count of quotes before it is odd.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kohort.problem import Problem
from tables.headers import MAX_NAME, Limits

Bytes: TypeAlias = npt.NDArray[np.uint8]
Integers: TypeAlias = npt.NDArray[np.int64]

_COMMA, _QUOTE, _LF, _CR = 44, 34, 10, 13
_STRETCH = 8 << 20
_MAX_HEADER = 1 << 20
_BLANK_END = 10_000
"""So many blank lines at the end of a file are overlooked."""
_BOMS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where things are in a file that keeps to RFC 4180."""

    header: tuple[str, ...]
    body: int
    """Where the first record after the header begins."""
    ends: Integers
    """Where each record after the header ends, without its line break's last byte, [n]."""
    quoted: bool
    """Whether any cell stands in quotes."""

    @property
    def stop(self) -> int:
        """The end of the last record."""
        return int(self.ends[-1]) if self.ends.size else self.body

    @property
    def longest(self) -> int:
        """Bytes of the longest record."""
        return int(np.diff(self.ends, prepend=self.body).max(initial=0)) + 2

    def line(self, data: memoryview, row: int) -> int:
        """The line of the file on which row `row` begins, counted from 1."""
        start = self.body if row == 0 else int(self.ends[row - 1]) + 1
        return line_of(data, start)


def line_of(data: memoryview, position: int) -> int:
    """The line that holds a byte, counted from 1."""
    return 1 + sum(
        int((np.frombuffer(data[at : min(at + _STRETCH, position)], np.uint8) == _LF).sum())
        for at in range(0, position, _STRETCH)
    )


def scan(table: str, data: memoryview, limits: Limits) -> Layout:
    """Checks a file's bytes and finds its records.

    Raises:
        Problem: EMPTY_TABLE, BAD_ENCODING, FILE_MALFORMED, RAGGED_ROW or
            LIMIT_EXCEEDED, naming the line and never a cell.
    """
    start = _check_bytes(table, data)
    buffer = np.frombuffer(data, np.uint8)
    ends, counts, quoted = _records(table, data, buffer, start, limits)
    if counts.size == 0:
        raise Problem.at("EMPTY_TABLE", table, "the file is empty")
    if counts.max() == 1 and _without_blank_end(buffer, np.append(start, ends[:-1] + 1), ends) == 0:
        raise Problem.at("EMPTY_TABLE", table, "the file holds nothing but blank lines")
    width = int(counts[0])
    header = _header(table, bytes(data[start : int(ends[0])]), width)
    begins = np.concatenate([[start], ends[:-1] + 1])
    if width > 1:
        keep = _without_blank_end(buffer, begins, ends)
        begins, ends, counts = begins[:keep], ends[:keep], counts[:keep]
    odd = np.flatnonzero(counts != width)
    if odd.size:
        first = int(odd[0])
        line = line_of(data, int(begins[first]))
        if _without_blank_end(buffer, begins[first : first + 1], ends[first : first + 1]) == 0:
            raise Problem.at("RAGGED_ROW", table, f"line {line} is blank; the header has {width} columns")
        cells = "1 cell" if counts[first] == 1 else f"{counts[first]} cells"
        raise Problem.at("RAGGED_ROW", table, f"line {line}: {cells} where the header has {width} columns")
    limits.check_rows(table, int(ends.size) - 1)
    if ends.size == 1:
        raise Problem.at("EMPTY_TABLE", table, "the file holds no row after the header")
    return Layout(header, int(begins[1]), ends[1:], quoted)


def _check_bytes(table: str, data: memoryview) -> int:
    """Encoding and NUL bytes; returns where the text begins."""
    head = bytes(data[:8])
    if head.startswith(codecs.BOM_UTF8):
        start = 3
    elif head.startswith(_BOMS):
        raise Problem.at("BAD_ENCODING", table, "the file is UTF-16 or UTF-32; it must be UTF-8")
    else:
        start = 0
    if head.startswith((b"PK\x03\x04", b"PAR1")):
        raise Problem.at("FILE_MALFORMED", table, "the file is a workbook, archive or Parquet, not CSV")
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(start, len(data), _STRETCH):
        part = data[at : at + _STRETCH]
        zeros = np.flatnonzero(np.frombuffer(part, np.uint8) == 0)
        if zeros.size:
            line = line_of(data, at + int(zeros[0]))
            raise Problem.at(
                "FILE_MALFORMED", table, f"line {line}: a NUL byte; the file is binary or UTF-16"
            )
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(part, final=at + _STRETCH >= len(data))
        except UnicodeDecodeError as error:
            line = line_of(data, max(start, at - held + error.start))
            raise Problem.at("BAD_ENCODING", table, f"line {line}: bytes that are not UTF-8") from None
    return start


def _stretches(buffer: Bytes, start: int) -> Iterator[tuple[int, Bytes]]:
    for at in range(start, buffer.size, _STRETCH):
        yield at, buffer[at : at + _STRETCH]


def _records(
    table: str, data: memoryview, buffer: Bytes, start: int, limits: Limits
) -> tuple[Integers, Integers, bool]:
    """Where records end and how many cells each has; the last may lack its line break."""
    ends: list[Integers] = []
    commas: list[Integers] = []
    quotes, cells, rows, last_quote = 0, 0, 0, 0
    for at, part in _stretches(buffer, start):
        is_quote = part == _QUOTE
        found = np.flatnonzero(is_quote)
        if found.size:
            _check_quotes(table, data, buffer, start, found + at, quotes % 2)
            last_quote = at + int(found[-1])
        free = ((np.cumsum(is_quote) + quotes) % 2 == 0) if found.size or quotes % 2 else None
        quotes += found.size
        breaks, separators, returns = (
            np.flatnonzero(mask if free is None else mask & free)
            for mask in (part == _LF, part == _COMMA, part == _CR)
        )
        if returns.size:
            _check_returns(table, data, buffer, returns + at)
        before = np.searchsorted(separators, breaks)
        ends.append(breaks + at)
        commas.append(before + cells)
        cells += separators.size
        rows += breaks.size
        # Early, so that an endless file costs no more; the blank end does not count.
        if rows > limits.max_rows + 1 + _BLANK_END:
            limits.check_rows(table, rows)
    if quotes % 2:
        line = line_of(data, last_quote)
        raise Problem.at("FILE_MALFORMED", table, f"line {line}: a quote that is never closed")
    if buffer.size > start and buffer[-1] != _LF:
        ends.append(np.array([buffer.size]))
        commas.append(np.array([cells]))
    all_ends = np.concatenate(ends) if ends else np.zeros(0, np.int64)
    totals = np.concatenate(commas) if commas else np.zeros(0, np.int64)
    return all_ends.astype(np.int64), np.diff(totals, prepend=0) + 1, quotes > 0


def _check_quotes(
    table: str, data: memoryview, buffer: Bytes, start: int, found: Integers, open_: int
) -> None:
    """A quote opens a cell at its beginning and closes it at its end; anything else is malformed."""
    opening, closing = found[open_::2], found[1 - open_ :: 2]
    before = buffer[np.maximum(opening - 1, 0)]
    bad = opening[(opening > start) & ~np.isin(before, (_COMMA, _LF, _QUOTE))]
    if not bad.size:
        after = buffer[np.minimum(closing + 1, buffer.size - 1)]
        bad = closing[(closing + 1 < buffer.size) & ~np.isin(after, (_COMMA, _LF, _CR, _QUOTE))]
    if bad.size:
        line = line_of(data, int(bad[0]))
        raise Problem.at("FILE_MALFORMED", table, f"line {line}: a quote inside a cell that is not doubled")


def _check_returns(table: str, data: memoryview, buffer: Bytes, found: Integers) -> None:
    last = found + 1 >= buffer.size
    alone = found[last | (buffer[np.minimum(found + 1, buffer.size - 1)] != _LF)]
    if alone.size:
        line = line_of(data, int(alone[0]))
        raise Problem.at("FILE_MALFORMED", table, f"line {line}: a carriage return without a line feed")


def _header(table: str, text: bytes, width: int) -> tuple[str, ...]:
    if len(text) > _MAX_HEADER:
        raise Problem.at("LIMIT_EXCEEDED", table, "the first line is longer than 1 MiB")
    try:
        # The standard library reads a blank line as a record without cells.
        names = next(csv.reader(io.StringIO(text.decode("utf-8"), newline="")), []) or [""]
    except csv.Error:  # it takes cells of 128 KiB at most
        raise Problem.at(
            "INVALID_SCHEMA", table, f"a column's name is longer than {MAX_NAME} characters"
        ) from None
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if width == 1 and separator in names[0]:
            raise Problem.at("FILE_MALFORMED", table, f"cells seem to be separated by {word}; use commas")
    return tuple(names)


def _without_blank_end(buffer: Bytes, begins: Integers, ends: Integers) -> int:
    """Records without the blank lines at the end of the file."""
    keep = int(ends.size)
    while keep > 0 and bytes(buffer[begins[keep - 1] : ends[keep - 1]]).strip(b"\r") == b"":
        keep -= 1
    return keep
