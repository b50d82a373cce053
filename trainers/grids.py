"""The steps that whole cells come in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kohort.schema import Storage

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_TIMES = (_DAY, 3_600 * _SECOND, 60 * _SECOND, _SECOND, 1_000, 1)
_POWERS = tuple(10**n for n in range(12, -1, -1))
GRIDS: Mapping[Storage, tuple[int, ...]] = {
    Storage.INT64: _POWERS,
    Storage.DECIMAL: _POWERS,
    Storage.DATE: (1,),
    Storage.DATETIME: _TIMES,
    Storage.DURATION: _TIMES,
}
"""Steps that cells may come in, coarsest first."""


def steps_from(cells: npt.NDArray[np.int64], base: int, step: int) -> npt.NDArray[np.float64]:
    """(cells - base) / step rounded to whole steps, computed in int64, as float64 [n]."""
    whole, rest = np.divmod(cells - base, step)
    steps: npt.NDArray[np.float64] = (whole + (2 * rest >= step)).astype(np.float64)
    return steps
