"""Samples into files: batch by batch, complete or not at all, each saying where it comes from."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from kohort.csvio import csv_header, csv_rows
from kohort.sampling import SampleBatch, Tally, about, metadata
from kohort.schema import TableSchema

SUFFIXES = (".csv", ".parquet", ".arrow")


def check_suffix(output: Path | None) -> None:
    """Raises BadParameter for a file that cannot be written; before any work is done."""
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"the output must end in {', '.join(SUFFIXES)}")
    if output is not None and not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {output.parent}")


def write_sample(batches: Iterable[SampleBatch], units: int | None, output: Path | None) -> dict[str, Any]:
    """Writes all batches; a sample of several tables into one file per table, `rows.{table}.csv`.

    `units` is how many are to come, where that is known.
    Returns what was written: files, rows by table, the provenance and the acceptance rate.
    """
    said: dict[str, Any] = {}
    tally = Tally()
    rows: dict[str, int] = {}
    writers: dict[str, _Writer] = {}
    with ExitStack() as stack, _bar(units, shown=output is not None) as advance:
        for batch in batches:
            if not said:
                said, tally = about(batch.provenance), batch.tally
                for table in batch.tables:
                    path = _path(output, table, several=len(batch.tables.tables) > 1)
                    writers[table.name] = stack.enter_context(_open(path, table, batch))
                    rows[table.name] = 0
            writers[batch.table].write(batch)
            rows[batch.table] += len(batch)
            advance(batch.batch.next_unit - batch.provenance.start_unit)
    files = [str(w.path) for w in writers.values() if w.path is not None]
    return {"files": files, "row_counts": rows, **said, "acceptance_rate": tally.acceptance_rate}


def _path(output: Path | None, table: TableSchema, *, several: bool) -> Path | None:
    return output.with_suffix(f".{table.name}{output.suffix}") if output is not None and several else output


@contextmanager
def _bar(units: int | None, *, shown: bool) -> Iterator[Any]:
    from kohort.cli.show import err

    if not shown or not err.is_terminal:
        yield lambda done: None
        return
    from rich.progress import Progress

    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("sampling", total=units)
        yield lambda done: bar.update(task, completed=done)


class _Writer(ABC):
    """Writes the batches of one table into a file that appears when it is whole."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.part = None if path is None else path.with_name(f"{path.name}.part")

    @abstractmethod
    def write(self, batch: SampleBatch) -> None:
        """Appends a batch."""

    @abstractmethod
    def close(self) -> None:
        """Ends the file."""


@contextmanager
def _open(path: Path | None, table: TableSchema, first: SampleBatch) -> Iterator[_Writer]:
    kind = _Csv if path is None or path.suffix.lower() == ".csv" else _Arrow
    writer = kind(path, table, first)
    try:
        yield writer
    except BaseException:
        writer.close()
        if writer.part is not None:
            writer.part.unlink(missing_ok=True)
        raise
    writer.close()
    if writer.part is not None and path is not None:
        writer.part.replace(path)
        if kind is _Csv:
            # CSV has no place for it inside.
            note = json.dumps(about(first.provenance), indent=2) + "\n"
            path.with_name(f"{path.name}.provenance.json").write_text(note)


class _Csv(_Writer):
    def __init__(self, path: Path | None, table: TableSchema, first: SampleBatch) -> None:
        super().__init__(path)
        self._file = sys.stdout.buffer if self.part is None else self.part.open("wb")
        self._file.write(csv_header(table))

    def write(self, batch: SampleBatch) -> None:
        self._file.write(csv_rows(batch.schema, batch.batch))

    def close(self) -> None:
        if self.part is None:
            self._file.flush()
        else:
            self._file.close()


class _Arrow(_Writer):
    """Parquet, or an Arrow IPC file."""

    def __init__(self, path: Path | None, table: TableSchema, first: SampleBatch) -> None:
        super().__init__(path)
        assert self.part is not None
        assert path is not None
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise ImportError(
                "Parquet and Arrow need one more package: pip install 'kohort[arrow]'"
            ) from None
        from kohort.arrow import arrow_schema

        self._schema = arrow_schema(table, metadata(first.provenance))
        self._parquet = path.suffix.lower() == ".parquet"
        make: Any = pq.ParquetWriter if self._parquet else pa.ipc.new_file
        self._writer = make(str(self.part), self._schema)

    def write(self, batch: SampleBatch) -> None:
        from kohort.arrow import to_arrow

        self._writer.write_batch(to_arrow(batch.schema, batch.batch, self._schema))

    def close(self) -> None:
        self._writer.close()
