"""Predicates that hold for one synthetic row, and how many real patients they single out.

A predicate is a conjunction of conditions on columns: a number at most or at
least some value, a category's level, or null.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluators.case import Case
from evaluators.frame import Frame
from trainers.base import Indices

_ATTACKS = 500
"""Predicates of either kind."""
_CANDIDATES = 10_000
"""Conjunctions looked at in search of those that hold for one synthetic row."""
_SIZE = 3
"""Columns of a conjunction, at first; one more where too few hold for one row."""
_PATIENCE, _YIELD = 200, 0.1
"""After so many conjunctions of one size at least this share must have been of use."""
_SCREEN = 2_000
"""Synthetic rows that most conjunctions already fail on."""


class _Test(Enum):
    AT_MOST = 0
    AT_LEAST = 1
    EQUAL = 2
    NULL = 3


@dataclass(frozen=True)
class _Condition:
    column: str
    test: _Test
    value: float = 0.0

    def holds(self, cells: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        match self.test:
            case _Test.AT_MOST:
                found = cells <= self.value
            case _Test.AT_LEAST:
                found = cells >= self.value
            case _Test.EQUAL:
                found = cells == self.value
            case _Test.NULL:
                found = np.isnan(cells) if cells.dtype.kind == "f" else cells < 0
        return np.asarray(found)


_Predicate = tuple[_Condition, ...]


@dataclass(frozen=True)
class Outcome:
    """How many of so many predicates hold for exactly one real patient, by whose rows that is."""

    train: int
    holdout: int
    tries: int
    naive: float
    """The share of random predicates that single out a training patient."""


def univariate(case: Case) -> Outcome:
    """The extremes of numbers, categories and nulls that one synthetic row alone has."""
    rng = case.rng("univariate")
    found: list[_Predicate] = []
    for view in case.layout:
        cells, null = case.synthetic[view.name], case.synthetic.null(view.name)
        if int(null.sum()) == 1:
            found.append((_Condition(view.name, _Test.NULL),))
        known = cells[~null]
        if not len(known):
            continue
        if view.number:
            for test, edge in ((_Test.AT_MOST, known.min()), (_Test.AT_LEAST, known.max())):
                if int((known == edge).sum()) == 1:
                    found.append((_Condition(view.name, test, float(edge)),))
        else:
            counts = np.bincount(known, minlength=len(view.levels))
            found += [(_Condition(view.name, _Test.EQUAL, float(c)),) for c in np.flatnonzero(counts == 1)]
    chosen = [found[i] for i in rng.permutation(len(found))[:_ATTACKS]]
    blind = [_blind(case, rng, 1) for _ in range(min(len(chosen), 100))]
    return _outcome(case, chosen, blind)


def multivariate(case: Case) -> Outcome:
    """Conjunctions of three conditions or more, each as a random synthetic row meets it."""
    rng = case.rng("multivariate")
    rows = case.synthetic
    screen = rows.sample(_SCREEN, rng)
    middles = {v.name: _middle(rows[v.name]) for v in case.layout.numbers}
    names = [view.name for view in case.layout]
    size, of_use = min(_SIZE, len(names)), 0
    found: dict[frozenset[_Condition], _Predicate] = {}
    for tried in range(1, _CANDIDATES + 1):
        if len(found) == _ATTACKS:
            break
        row = int(rng.integers(len(rows)))
        chosen = rng.choice(len(names), size, replace=False)
        predicate = tuple(_met(rows, row, names[i], middles) for i in chosen)
        if len(_holding(predicate, screen)) < 2 and len(_holding(predicate, rows)) == 1:
            found[frozenset(predicate)] = predicate
            of_use += 1
        if tried % _PATIENCE == 0:
            case.check()
            size, of_use = min(size + (of_use < _YIELD * _PATIENCE), len(names)), 0
    blind = [_blind(case, rng, size) for _ in range(min(len(found), 100))]
    return _outcome(case, list(found.values()), blind)


def _middle(cells: npt.NDArray[Any]) -> float:
    known = cells[~np.isnan(cells)]
    return float(np.partition(known, len(known) // 2)[len(known) // 2]) if len(known) else 0.0


def _met(frame: Frame, row: int, name: str, middles: dict[str, float]) -> _Condition:
    """The condition that the cell meets: at least it above the middle, at most it below, or equal."""
    cell = frame[name][row]
    if name in middles:
        if np.isnan(cell):
            return _Condition(name, _Test.NULL)
        return _Condition(name, _Test.AT_LEAST if cell >= middles[name] else _Test.AT_MOST, float(cell))
    return _Condition(name, _Test.NULL) if cell < 0 else _Condition(name, _Test.EQUAL, float(cell))


def _blind(case: Case, rng: np.random.Generator, size: int) -> _Predicate:
    """A predicate that knows the columns' ranges and levels alone."""
    names = [view.name for view in case.layout]
    return tuple(_guess(case, rng, names[i]) for i in rng.choice(len(names), size, replace=False))


def _guess(case: Case, rng: np.random.Generator, name: str) -> _Condition:
    view, cells = case.layout[name], case.synthetic[name]
    if not view.number:
        return _Condition(name, _Test.EQUAL, float(rng.integers(max(1, len(view.levels)))))
    known = cells[~np.isnan(cells)]
    share = rng.random()
    value = float(share * known.min() + (1 - share) * known.max()) if len(known) else 0.0
    return _Condition(name, _Test.AT_LEAST if rng.random() < 0.5 else _Test.AT_MOST, value)


def _holding(predicate: _Predicate, frame: Frame) -> Indices:
    """The rows that it holds for."""
    first, *rest = predicate
    rows = np.flatnonzero(first.holds(frame[first.column]))
    for condition in rest:
        if len(rows) < 1:
            break
        rows = rows[condition.holds(frame[condition.column][rows])]
    return rows


def _outcome(case: Case, predicates: list[_Predicate], blind: list[_Predicate]) -> Outcome:
    sides = list(_isolated(case, predicates))
    guessed = list(_isolated(case, blind))
    naive = sum(side == 0 for side in guessed) / len(guessed) if guessed else 0.0
    return Outcome(sum(s == 0 for s in sides), sum(s == 1 for s in sides), len(predicates), naive)


def _isolated(case: Case, predicates: list[_Predicate]) -> Iterator[int | None]:
    """Per predicate where the one patient is that it holds for: 0 training, 1 hold-out; None: not one.

    Training and hold-out patients are looked at together: if training patients
    are not favoured, either side is hit in proportion to its patients.
    """
    assert case.holdout is not None
    for predicate in predicates:
        hit = [np.unique(part.subjects[_holding(predicate, part)]) for part in (case.train, case.holdout)]
        yield (0 if len(hit[0]) else 1) if len(hit[0]) + len(hit[1]) == 1 else None
