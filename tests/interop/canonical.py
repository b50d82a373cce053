"""The form in which every language prints what it saw, so that readings can be compared.

A driver is called DRIVER VERB ADDRESS ARGUMENT… and prints one JSON object. Where to connect how is in the
environment: KOHORT_CA, KOHORT_CERT, KOHORT_KEY (PEM files; any of them: TLS), KOHORT_TOKEN, KOHORT_TIMEOUT
(seconds for the call). Exit status 0; 3 where the call failed; 1 where the stream was incomplete or altered
or the driver wrongly used, with the reason on stderr. 64-bit numbers are strings of digits.

sample MODEL START COUNT SEED [COLUMN VALUE COLUMN LOW HIGH]
    model, seed, runtime_fingerprint: as in the header      synthetic: true
    units: how many      next_unit: of the last batch      digest: of the last trailer, in hex
    streams: how many Sample calls it took
    tables: {table: {column: [cell, …]}}, a null cell is null, any other the string below,
            a list of such strings where the column holds lists
read MODEL START COUNT SEED batches|rows|csv
    rows: {table: "n"}      streams      seconds: of the iteration      bytes: of the CSV text
first MODEL COUNT SEED: leaves after the first batch, then asks for the model on the same connection
    rows: "n"      model
upload FILE TABLE
    dataset      rows      digest      columns: [name, …]
train DATASET TRAINER SEED [NAME NUMBER]… and follow JOB AFTER
    job      state: SUCCEEDED, …      model      events: n      sequences: [first, last]
    phases: [name, …]      error: null or {reason, column}
cancel JOB: state      model MODEL: model, trainer, unit      idle MODEL SECONDS: model
a failed call
    error: {code, reason, fields: [path, …], retry_ms where told, request_id, hint: for people, or ""}
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
