"""Gives the numbers of a finished network the distribution that they have in the table, rank by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.base import Doubles, Ops
from trainers.encoding import Encoding, NumberEncoding
from trainers.numbers import slopes
from trainers.search import locate, split, write_interpolate_all, write_within

_FEWEST = 100
"""Of a number that the network gave less often no rank is known."""

_TOGETHER = 64
"""Numbers that a graph maps together."""

_GRID = np.linspace(0.0, 1.0, 257)


@dataclass(frozen=True, eq=False)
class RankMap:
    """A non-decreasing map of a coordinate, linear between knots [m]; equal knots are a step."""

    knots: Doubles
    values: Doubles

    @classmethod
    def fit(cls, drawn: Doubles, column: NumberEncoding) -> RankMap | None:
        """Rank among the drawn coordinates [n] → the column's quantile at that rank.

        The values are the quantile function's: k patients support each, and
        what is a spike in the table becomes one again. None for too few.
        """
        if drawn.size < _FEWEST:
            return None
        ranks = np.sort(np.concatenate([_GRID, column.knots_u]))
        # Where the column has a gap, two knots of one rank keep it.
        values = np.concatenate([column.quantile(_GRID), column.knots_x])
        order = np.lexsort((values, np.concatenate([_GRID, column.knots_u])))
        return cls(np.quantile(drawn, ranks), np.maximum.accumulate(values[order]))

    def apply(self, x: npt.NDArray[Any]) -> Doubles:
        """The map of coordinates [n]."""
        clamped = np.clip(x.astype(np.float64), self.knots[0], self.knots[-1])
        piece = locate(clamped, self.knots[1:-1])
        rise = slopes(self.knots, self.values)[piece] * (clamped - self.knots[piece])
        result: Doubles = self.values[piece] + rise
        return result


def write_ranks(ops: Ops, maps: Sequence[RankMap], x: str) -> list[str]:
    """`RankMap.apply` as a graph: row j of x float64 [g, n] through maps[j] → g tensors float64 [n].

    Many columns at once: a search of its own for each would make graphs that take minutes to open.
    """
    written: list[str] = []
    for start in range(0, len(maps), _TOGETHER):
        some = maps[start : start + _TOGETHER]
        own = ops.constant(np.arange(start, start + len(some)), np.int64)
        part = ops.node("Gather", x, own, axis=0) if len(some) < len(maps) else x
        part = write_within(ops, part, [m.knots[0] for m in some], [m.knots[-1] for m in some], axis=0)
        moved = write_interpolate_all(ops, part, [(m.knots, m.values) for m in some], axis=0)
        written += split(ops, moved, len(some), axis=0)
    return written


def fit_ranks(encoding: Encoding, drawn: Sequence[npt.NDArray[Any]]) -> dict[int, RankMap]:
    """A map for every number, by feature; `drawn` are features as sampling gives them, each [n].

    A number is compared where it was given with a cell: what a null hides does not count.
    """
    maps, place = {}, 0
    for column in encoding.columns:
        place += len(column.features)
        if isinstance(column, NumberEncoding):
            x = drawn[place - 1]
            shown = x[drawn[place - 2] == 1] if column.nulls else x
            fitted = RankMap.fit(shown, column)
            if fitted is not None:
                maps[place - 1] = fitted
    return maps
