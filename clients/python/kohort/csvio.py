"""Rows as CSV: RFC 4180, UTF-8, CRLF, equal rows as equal bytes on every machine.

Null is an empty cell and an empty string is `""`. Booleans are true and false,
doubles the shortest text that reads back exactly, decimals all digits of their
scale, dates and datetimes ISO 8601 (with Z where the column has a time zone),
durations ISO 8601 seconds (PT1.5S), lists JSON arrays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from kohort.columns import Array, Batch
from kohort.schema import Column, Storage, TableSchema

_SPECIAL = re.compile(r'[",\r\n]')


def csv_header(table: TableSchema) -> bytes:
    """The header line of a table."""
    return (",".join(_quote(column.name) for column in table.columns) + "\r\n").encode()


def csv_rows(table: TableSchema, batch: Batch) -> bytes:
    """The rows of a batch, one line each; empty for no rows."""
    if not batch.row_count:
        return b""
    columns = [_texts(column, batch.arrays[column.name]) for column in table.columns]
    return ("\r\n".join(map(",".join, zip(*columns, strict=True))) + "\r\n").encode()


def cell_texts(column: Column, array: Array) -> list[str]:
    """Every cell as text, not quoted; null is empty. Not for lists."""
    if column.storage is Storage.STRING:
        return ["" if text is None else text for text in array.strings()]
    return list(_texts(column, array))


def _texts(column: Column, array: Array) -> Sequence[str]:
    """Every cell as text, quoted where it must be."""
    match column.storage:
        case Storage.STRING:
            texts = _strings(array)
        case Storage.STRING_LIST:
            return [
                "" if cell is None else _quote(json.dumps(cell, ensure_ascii=False))
                for cell in array.to_python()
            ]
        case Storage.BOOL:
            texts = np.array(["false", "true"], dtype=object)[array.values.astype(np.intp)]
        case Storage.INT64:
            texts = _distinct(array.values, lambda found: map(str, found.tolist()))
        case Storage.DOUBLE:
            texts = np.array(list(map(repr, array.values.tolist())), dtype=object)
        case Storage.DECIMAL:
            texts = _distinct(array.values, lambda found: (_decimal(v, column.scale) for v in found.tolist()))
        case Storage.DATE:
            texts = _distinct(
                array.values, lambda found: np.datetime_as_string(found.astype("<M8[D]")).tolist()
            )
        case Storage.DATETIME:
            zone = "Z" if column.time_zone else ""
            texts = _distinct(array.values, lambda found: _datetimes(found, zone))
        case _:
            texts = _distinct(
                array.values, lambda found: (f"PT{_decimal(v, 6, trim=True)}S" for v in found.tolist())
            )
    if array.valid is not None:
        texts = np.where(array.valid, texts, "")
    return texts.tolist()  # type: ignore[no-any-return]


def _strings(array: Array) -> np.ndarray[Any, np.dtype[np.object_]]:
    if array.dictionary is None:
        return np.array(list(map(_quote, array.values)), dtype=object)
    dictionary = array.dictionary or ("",)
    return _distinct(array.values, lambda found: (_quote(dictionary[index]) for index in found.tolist()))


def _distinct(values: Any, texts: Callable[[Any], Iterable[str]]) -> np.ndarray[Any, np.dtype[np.object_]]:
    """The text of each value, worked out once per distinct one."""
    found, places = np.unique(values, return_inverse=True)
    return np.array(list(texts(found)), dtype=object)[places]


def _quote(text: str) -> str:
    if not text or _SPECIAL.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _decimal(value: int, scale: int, *, trim: bool = False) -> str:
    digits = str(abs(value)).rjust(scale + 1, "0")
    whole, part = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    part = part.rstrip("0") if trim else part
    return f"{'-' if value < 0 else ''}{whole}{'.' if part else ''}{part}"


def _datetimes(micros: Any, zone: str) -> list[str]:
    """ISO 8601 at any year; whole seconds leave the fraction out."""
    texts = np.datetime_as_string(micros.astype("<M8[us]"), unit="us").tolist()
    return [text.removesuffix(".000000") + zone for text in texts]
