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
    attempts = np.ones(size, dtype=np.int64)  # made so far
    pools, source, total = [first], np.arange(size), size
    pending = np.flatnonzero(wanted & ~passed)
    reached = high
    for begin in range(0, pending.size, together):
        left = pending[begin : begin + together]
        while (asked := left[(left >= low) & (left < high)]).size:
            if attempts[asked[0]] >= limit:
                reached = int(asked[0])
                break
            # Every unit once, then every unit again, as far as the block goes.
            rows = np.arange(min(size, left.size * math.ceil(_AHEAD / share)))
            places = left[rows % left.size]
            tried = attempts[places] + rows // left.size
            rows, places, tried = (part[tried < limit] for part in (rows, places, tried))
            cells, fine = draw(places, tried)
            found = np.flatnonzero(fine)
            # The first row of a unit that passes is its lowest attempt.
            met, where = np.unique(places[found], return_index=True)
            kept = found[where]
            np.maximum.at(attempts, places, tried + 1)
            attempts[met] = tried[kept] + 1
            pools.append({name: array.take(kept) for name, array in cells.items()})
            source[met] = total + np.arange(kept.size)
            total += kept.size
            left = left[~np.isin(left, met)]
        if reached < high:
            break
    if len(pools) == 1:
        return Settled(first, attempts, reached)
    joined = {name: Array.concat([pool[name] for pool in pools]).take(source) for name in first}
    return Settled(joined, attempts, reached)
