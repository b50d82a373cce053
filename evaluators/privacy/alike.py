"""Rows that are alike: classes of rows with equal cells, and how many patients are in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from evaluators.frame import Frame
from trainers.base import Doubles, Indices

_ROOM = 1 << 62


def classes(frames: Sequence[Frame], names: Sequence[str]) -> tuple[list[Indices], int]:
    """Per frame the class of every row, int64 [rows], and how many classes there are.

    Two rows, of whichever frame, are in one class where all cells of the named
    columns are equal; nulls are equal to each other.
    """
    sizes = np.cumsum([len(frame) for frame in frames])[:-1]
    keys, count = np.zeros(sum(len(frame) for frame in frames), np.int64), 1
    for name in names:
        values = np.concatenate([frame[name] for frame in frames])
        distinct, place = np.unique(values, return_inverse=True)
        if count > _ROOM // max(1, len(distinct)):
            keys, count = _numbered(keys)
        keys, count = keys * len(distinct) + place, count * len(distinct)
    keys, count = _numbered(keys)
    return np.split(keys, sizes), count


def _numbered(keys: Indices) -> tuple[Indices, int]:
    held, place = np.unique(keys, return_inverse=True)
    return place.astype(np.int64), len(held)


def patients_in(keys: Indices, subjects: Indices, count: int) -> Indices:
    """Per class 0..count-1 how many patients have a row in it, int64 [count].

    Args:
        keys: per row its class, [n].
        subjects: per row the number of its patient, [n].
        count: of classes.
    """
    if not len(keys):
        return np.zeros(count, np.int64)
    most = int(subjects.max()) + 1
    pairs = np.unique(keys * most + subjects)
    return np.bincount(pairs // most, minlength=count).astype(np.int64)


def chance_of_any(held: npt.NDArray[np.number], among: int, drawn: int) -> Doubles:
    """The chance that of `drawn` of `among` things at least one is of the `held` ones (hypergeometric).

    It is the mean over all equally large subsets, so that sets of unequal sizes
    can be compared without drawing one.
    """
    return 1 - np.exp(_log_without(np.asarray(held, np.float64), among, drawn))


def chance_of_one(held: npt.NDArray[np.number], among: int, drawn: int) -> Doubles:
    """The chance that exactly one is."""
    held = np.asarray(held, np.float64)
    if drawn < 1 or among < 1:
        return np.zeros(held.shape)
    # One of the held ones is in, the others are not: among the rest one fewer is drawn.
    others = np.exp(_log_without(np.maximum(held - 1, 0), among - 1, drawn - 1))
    return np.asarray(held * drawn / among * others, np.float64)


def _log_without(held: Doubles, among: int, drawn: int) -> Doubles:
    """The logarithm of the chance that none of `held` is among `drawn` of `among`."""
    rest = among - held - drawn
    possible = np.maximum(rest, 0)
    found = (
        gammaln(among - held + 1) - gammaln(possible + 1) - gammaln(among + 1) + gammaln(among - drawn + 1)
    )
    return np.where(rest < 0, -np.inf, np.where(held == 0, 0.0, np.minimum(found, 0.0)))
