"""Cuts and joins what a program emits into batches of the size that a message wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from kohort.columns import Array, Batch
from kohort.problem import Problem

TARGET_BYTES = 768 * 1024
"""About what a batch should take: the contract asks for 0.5 to 1 MiB."""
_WIDE_BYTES = 2 << 20
_WIDE_ROWS = 1024
"""A batch costs by the column, too: of hundreds it takes up to so many bytes to hold so many rows."""
_MOST_BYTES = 3 << 20
"""Cells of a batch: with all that stands around them they stay within the 3.5 MiB of the contract."""
_FIRST_BYTES = 64 * 1024


def rebatch(batches: Iterable[Batch], max_rows: int = 0, target_bytes: int = TARGET_BYTES) -> Iterator[Batch]:
    """The same rows and units in batches of about `target_bytes`.

    Batches arrive in groups of whole units as `Program.units` documents. Groups
    may be joined; the first leaves as soon as it is there, later ones wait until
    there is enough. A batch in which `next_unit` grows holds no row of that unit
    or a later one, so a reader that resumes there forgets the batches after it.

    Args:
        batches: what a program emits.
        max_rows: at most so many rows per batch; 0 means no limit.
        target_bytes: of the cells, nearly; no batch has more than twice as much, nor
            more than 3 MiB, unless one row has. As it is by default, batches of
            rows wider than 768 bytes have more, up to 2 MiB.

    Raises:
        Problem: that of `batches`, after all that came before it.
    """
    done: list[Batch] = []  # whole groups that wait
    group: list[Batch] = []  # the group that is still coming
    rows = done_bytes = group_bytes = goal = 0
    position = -1  # units below are in `done` or sent
    unfinished: Problem | None = None
    for batch in _until_problem(batches):
        if isinstance(batch, Problem):
            # The units that were completed before it still leave.
            unfinished, group = batch, []
            break
        if position < 0:
            position = sent = min(batch.first_unit, batch.next_unit)
        group.append(batch)
        group_bytes += batch.nbytes
        if batch.next_unit > position:
            position = batch.next_unit
            rows += sum(b.row_count for b in group)
            done_bytes += group_bytes
            done += group
            group, group_bytes = [], 0
            if done_bytes < goal and not (max_rows and rows >= max_rows):
                continue
            goal = min(target_bytes, max(_FIRST_BYTES, 2 * goal))
        elif group_bytes < target_bytes:
            continue
        if done:
            yield from _flush(done, sent, position, max_rows, target_bytes)
            done, rows, done_bytes, sent = [], 0, 0, position
        if group:
            yield from _flush(group, sent, position, max_rows, target_bytes)
            group, group_bytes = [], 0
    if done or group:
        yield from _flush([*done, *group], sent, position, max_rows, target_bytes)
    if unfinished is not None:
        raise unfinished


def _until_problem(batches: Iterable[Batch]) -> Iterator[Batch | Problem]:
    try:
        yield from batches
    except Problem as problem:
        yield problem


def slice_batch(batch: Batch, start: int, stop: int) -> Batch:
    """Rows [start, stop), 0 <= start < stop, with their own first unit and row; `next_unit` stays."""
    arrays: Mapping[str, Array] = {n: a.slice(start, stop) for n, a in batch.arrays.items()}
    if batch.units is None:
        unit, row, units = batch.first_unit + start, 0 if start else batch.first_row_in_unit, None
    else:
        unit = int(batch.units[start])
        row = start - int(np.searchsorted(batch.units, unit))
        if unit == batch.first_unit:
            row += batch.first_row_in_unit
        units = batch.units[start:stop]
    return replace(batch, arrays=arrays, first_unit=unit, first_row_in_unit=row, units=units)


def _flush(batches: list[Batch], before: int, after: int, max_rows: int, target: int) -> Iterator[Batch]:
    """All rows table by table; the last piece says that units below `after` are complete."""
    tables: dict[str, list[Batch]] = {}
    for batch in batches:
        tables.setdefault(batch.table, []).append(batch)
    joined = [_join(parts) for parts in tables.values()]
    joined = [batch for batch in joined if batch.row_count] or joined[:1]
    if target == TARGET_BYTES:
        widest = max(batch.nbytes // max(1, batch.row_count) for batch in joined)
        target = max(target, min(_WIDE_BYTES, _WIDE_ROWS * widest))
    pieces = [piece for batch in joined for piece in _cut(batch, max_rows, target)]
    # Where every row is a unit of its own, each piece completes its units.
    whole = joined[0]
    exact = len(tables) == 1 and whole.units is None and whole.row_count == after - whole.first_unit
    for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
        if following is None:
            yield replace(piece, next_unit=after)
        else:
            yield replace(piece, next_unit=following.first_unit if exact else before)


def _join(batches: list[Batch]) -> Batch:
    batches = [b for b in batches if b.row_count] or batches[:1]
    first = batches[0]
    if len(batches) == 1:
        return first
    arrays = {name: Array.concat([b.arrays[name] for b in batches]) for name in first.arrays}
    units = None
    if any(b.units is not None for b in batches):
        units = np.concatenate([_units(b) for b in batches])
    return replace(first, arrays=arrays, units=units)


def _units(batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if batch.units is not None:
        return batch.units
    return batch.first_unit + np.arange(batch.row_count, dtype=np.int64)


def _cut(batch: Batch, max_rows: int, target: int) -> Iterator[Batch]:
    rows = batch.row_count
    pieces = max(1, round(batch.nbytes / target))
    step = max(1, -(-rows // pieces))
    if max_rows:
        step = min(step, max_rows)
    if rows <= step:
        yield batch
        return
    for start in range(0, rows, step):
        piece = slice_batch(batch, start, min(start + step, rows))
        # Lists and strings may crowd into a few rows.
        if piece.nbytes > min(2 * target, _MOST_BYTES) and piece.row_count > 1:
            yield from _cut(piece, piece.row_count // 2, target)
        else:
            yield piece
