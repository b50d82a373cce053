"""The form in which every language prints what it read, so that readings can be compared.

A sample is one JSON object; 64-bit numbers are strings of digits:

    model, seed, runtime_fingerprint: as in the header      synthetic: true
    units: of the trailer      next_unit: of the last batch      digest: of the trailer, in hex
    tables: {table: {column: [cell, ...]}}, a null cell is null, any other the string below,
            a list of such strings where the column holds lists

An upload is {dataset, rows, digest, columns: [name, ...]}, a failed call
{error: {code, reason, domain, fields: [...], retry_ms where told}} with exit status 3.
"""

import struct
from datetime import date, datetime, timedelta
from typing import Any

from kohort.schema import Column, Storage

FAILED_CALL = 3


def cell_text(column: Column, cell: Any) -> str | list[str]:
    """A cell that is not null, given as `Array.to_python` gives it."""
    match column.storage:
        case Storage.BOOL:
            return "true" if cell else "false"
        case Storage.INT64:
            return str(cell)
        case Storage.DOUBLE:  # its 64 bits: no two languages write floats alike
            return struct.pack(">d", cell).hex()
        case Storage.DECIMAL:
            return decimal_text(cell, column.scale)
        case Storage.DATE:
            return (date(1970, 1, 1) + timedelta(days=cell)).isoformat()
        case Storage.DATETIME:
            moment = datetime(1970, 1, 1) + timedelta(microseconds=cell)
            return moment.isoformat(timespec="microseconds") + ("Z" if column.time_zone else "")
        case Storage.DURATION:
            return decimal_text(cell, 6) + "s"
        case _:
            return cell


def decimal_text(value: int, scale: int) -> str:
    """value / 10^scale with exactly `scale` digits after the point."""
    digits = str(abs(value)).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def column_texts(column: Column, cells: list[Any]) -> list[Any]:
    """Every cell of a column; null as None."""
    return [None if cell is None else cell_text(column, cell) for cell in cells]
