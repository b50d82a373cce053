"""Rejection: units of a block that failed are drawn again, many attempts at a time.

What one run of the graph holds is a function of the block alone, never of the
range asked for: units fail and are drawn in the same company whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kohort.columns import Array, Mask

Cells = Mapping[str, Array]
Places = npt.NDArray[np.int64]
Draw = Callable[[Places, Places], tuple[Cells, Mask]]
"""Given places in the block and attempts, [m] each with m at most the block: cells, and which rows pass."""


class Stopped(Exception):
    """Raised by a `Draw` when nobody waits for the rest; `settle` lets it through."""


_LEAST = 16
"""Units at least that are drawn together."""
_AHEAD = 4.0
"""Attempts made at once, in terms of those that a unit takes on average."""


@dataclass(frozen=True)
class Settled:
    """A block as far as it was asked for."""

    cells: Cells
    """Of the whole block; right where asked for and below `reached`."""
    attempts: Places
    """How often each unit was drawn, [block]."""
    reached: int
    """The first place asked for that could not be met; the end of what was asked for where all could."""


def settle(first: Cells, passed: Mask, wanted: Mask, low: int, high: int, limit: int, draw: Draw) -> Settled:
    """Draws units again until they pass.

    Args:
        first: attempt 0 of the whole block.
        passed: which units it leaves as they are, [block].
        wanted: which units have to pass at all, [block].
        low: the first place asked for.
        high: the place after the last.
        limit: attempts at most, the first one included.
        draw: makes further attempts.
    """
    size = passed.size
    # As seen on the whole block, never nought.
    share = (int((passed & wanted).sum()) + 1) / (int(wanted.sum()) + 2)
    together = int(min(max(2 * _AHEAD * size * share, _LEAST), size))
    attempts = np.ones(size, dtype=np.int64)
    pools, source, total = [first], np.arange(size), size
    pending = np.flatnonzero(wanted & ~passed)
    reached = high
    for begin in range(0, pending.size, together):
        left, attempt = pending[begin : begin + together], 1
        while left.size and left[0] < high and left[-1] >= low and reached == high:
            asked = left[(left >= low) & (left < high)]
            if not asked.size:
                break
            if attempt >= limit:
                reached = int(asked[0])
                break
            each = max(1, min(size // left.size, limit - attempt, math.ceil(_AHEAD / share)))
            cells, fine = draw(np.tile(left, each), attempt + np.repeat(np.arange(each), left.size))
            tries = fine.reshape(each, left.size)
            hit, when = tries.any(axis=0), tries.argmax(axis=0)
            attempt += each
            if hit.any():
                rows = (when * left.size + np.arange(left.size))[hit]
                pools.append({name: array.take(rows) for name, array in cells.items()})
                source[left[hit]] = total + np.arange(rows.size)
                total += rows.size
                attempts[left[hit]] = attempt - each + when[hit] + 1
                left = left[~hit]
        if reached < high:
            break
    if len(pools) == 1:
        return Settled(first, attempts, reached)
    joined = {name: Array.concat([pool[name] for pool in pools]).take(source) for name in first}
    return Settled(joined, attempts, reached)
