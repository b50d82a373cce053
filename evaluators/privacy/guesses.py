"""Guesses of one cell of a patient whose other cells are known, from the nearest synthetic row.

Attribute inference and the inference attack of the anonymeter triad share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from evaluators.case import Case
from evaluators.frame import Frame, View
from evaluators.privacy.control import victims
from evaluators.space import Space
from trainers.base import Floats, Indices

MOST_SECRETS = 20
"""Columns that are attacked, at most."""
VICTIMS = 1_000
"""Training patients, and hold-out patients, that are attacked, at most."""
_TOLERANCE = 0.05
"""Of the width between a number's 5th and 95th percentile: a guess that near is right."""
_CHUNK = 1 << 20
"""Distances held at once: few, so that they stay in the processor's cache."""

_POINTS = 1 << 24
"""Coordinates of all synthetic points together, at most."""

Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Secret:
    """A column that an attacker wants to know."""

    view: View
    tolerance: float
    """Of numbers."""

    def right(self, guesses: npt.NDArray[Any], truth: npt.NDArray[Any]) -> Hits:
        """Which guesses are right: equal, or of numbers near; guesses of null are wrong."""
        if not self.view.number:
            return np.asarray((guesses == truth) & (truth >= 0))
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(np.abs(guesses - truth) <= self.tolerance)


@dataclass(frozen=True)
class Guesses:
    """How the attack on one column went."""

    secret: Secret
    train: Hits
    """Per attacked training patient whose cell is not null, whether the guess was right."""
    holdout: Hits
    naive: float
    """How often the cell of a random synthetic row would have been right for a training patient."""


def secrets(case: Case) -> tuple[Secret, ...]:
    """The sensitive columns that hold two values or more, at most `MOST_SECRETS`, those to predict first."""
    names = [name for name in dict.fromkeys([*case.targets, *case.sensitive]) if name in case.sensitive]
    found = [secret_of(case.layout[name], case.train) for name in names if _told_apart(case.train, name)]
    return tuple(found[:MOST_SECRETS])


def secret_of(view: View, frame: Frame) -> Secret:
    """The column with its tolerance."""
    if not view.number:
        return Secret(view, 0.0)
    values = frame[view.name]
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.05, 0.95]) if len(known) else (0.0, 0.0)
    return Secret(view, float(_TOLERANCE * high - _TOLERANCE * low) + 1e-9)


def _told_apart(frame: Frame, name: str) -> bool:
    known = frame[name][~frame.null(name)]
    return bool(len(known)) and bool(np.any(known != known[0]))


def attacked(case: Case) -> tuple[Frame, Frame]:
    """The training and the hold-out patients that are attacked, one row each; the same in all parts."""
    assert case.holdout is not None
    rng = case.rng("victims")
    return victims(case.train, VICTIMS, rng), victims(case.holdout, VICTIMS, rng)


def searched(case: Case, space: Space) -> Frame:
    """The synthetic rows that attackers search: all, but in very wide tables."""
    rows = max(1, _POINTS // max(1, space.dimensions))
    return case.synthetic.sample(rows, case.rng("searched"))


_known: WeakKeyDictionary[Case, tuple[Guesses, ...]] = WeakKeyDictionary()


def nearest_guesses(case: Case) -> tuple[Guesses, ...]:
    """The attack on every secret column: all other columns are known, one nearest row is asked.

    Computed once per case; it needs a hold-out.
    """
    if case not in _known:
        _known[case] = _guesses(case)
    return _known[case]


def _guesses(case: Case) -> tuple[Guesses, ...]:
    wanted = secrets(case)
    train, holdout = attacked(case)
    if not wanted or len(case.layout) < 2:
        return ()
    space = Space.fit(case.train)
    rows = searched(case, space)
    synthetic = space.points(rows)
    places = [_nearest_without(case, space, part, synthetic, wanted) for part in (train, holdout)]
    rng = case.rng("guesses")
    found = []
    for i, secret in enumerate(wanted):
        name, cells = secret.view.name, rows[secret.view.name]
        hits = []
        for part, place in zip((train, holdout), places, strict=True):
            known = ~part.null(name)
            hits.append(secret.right(cells[place[i]], part[name])[known])
        known = ~train.null(name)
        drawn = rng.integers(0, len(cells), (10, len(train)))
        naive = secret.right(cells[drawn], train[name])[:, known]
        found.append(Guesses(secret, hits[0], hits[1], float(naive.mean()) if naive.size else 0.0))
    return tuple(found)


def _nearest_without(
    case: Case, space: Space, frame: Frame, synthetic: Floats, wanted: tuple[Secret, ...]
) -> Indices:
    """Per secret column the nearest synthetic row by all others, int64 [secrets, rows].

    All squared distances are computed once, and each column's part is taken off them.
    """
    points = space.points(frame)
    ends = np.cumsum([scale.size for scale in space.scales])
    spans = {
        scale.view.name: slice(int(end) - scale.size, int(end))
        for scale, end in zip(space.scales, ends, strict=True)
    }
    # A squared distance, less what is the same for all synthetic rows, is the product of these two.
    left, right = _factors(points, synthetic)
    own = [_factors(points[:, span], synthetic[:, span]) for span in (spans[s.view.name] for s in wanted)]
    out = np.empty((len(wanted), len(points)), np.int64)
    step = max(1, _CHUNK // max(1, len(synthetic)))
    for first in range(0, len(points), step):
        case.check()
        some = slice(first, first + step)
        rough = left[some] @ right
        for i, (mine, theirs) in enumerate(own):
            part = mine[some] @ theirs
            out[i, some] = np.argmin(np.subtract(rough, part, out=part), axis=1)
    return out


def _factors(points: Floats, among: Floats) -> tuple[Floats, Floats]:
    left = np.concatenate([-2 * points, np.ones((len(points), 1), np.float32)], axis=1)
    squares = np.einsum("ij,ij->i", among, among)[:, None]
    return left, np.ascontiguousarray(np.concatenate([among, squares], axis=1).T)
