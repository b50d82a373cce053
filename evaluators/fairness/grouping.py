"""The groups of patients that a protected column makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from evaluators.case import Case
from evaluators.fidelity.marginal_figures import label
from evaluators.fidelity.sides import patients_of
from evaluators.frame import Frame, View
from trainers.base import Doubles, Indices

MOST_GROUPS = 10
"""Groups of one column beside `OTHER`; the largest are kept."""
OTHER, NULL = "other", "null"


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a column: levels, values, or the ranges between rounded quartiles.

    Groups of fewer than k patients in the training rows or the hold-out are one
    group, `OTHER`; if that has fewer as well, its rows are in none.
    """

    view: View
    names: tuple[str, ...]
    _edges: Doubles | None
    """Numbers in ranges: the inner edges, [m]. None: one cell per level or value."""
    _values: Doubles
    """Numbers that are taken one by one, ascending."""
    _place: Indices
    """Per cell, and last for null or an unknown one, its group or -1."""

    def of(self, frame: Frame) -> Indices:
        """Per row its group, -1 for none, int64 [n]."""
        return self._place[_cells(self.view, frame, self._edges, self._values)]


def groups(case: Case, name: str) -> Groups:
    """The groups of a column, by the training rows; fewer than two say nothing of fairness."""
    view = case.layout[name]
    edges, values = None, np.zeros(0)
    if view.number:
        known = case.train[name][~case.train.null(name)]
        values = np.unique(known)
        if len(values) > MOST_GROUPS:
            edges, values = _quartiles(known, view.whole), np.zeros(0)
    labels = [*_labels(view, edges, values), NULL]
    size = len(labels)
    parts = [frame for frame in (case.train, case.holdout) if frame is not None]
    held = np.array(
        [patients_of(_cells(view, part, edges, values) % size, part.subjects, size) for part in parts]
    ).min(axis=0)
    enough = np.flatnonzero(held >= case.options.min_patients)
    kept = np.sort(enough[np.argsort(-held[enough], kind="stable")[:MOST_GROUPS]])
    place = np.full(size, len(kept), np.int64)
    place[kept] = np.arange(len(kept))
    names = [labels[i] for i in kept]
    rest = min(
        int(patients_of(np.where(codes == len(kept), 0, -1), part.subjects, 1)[0])
        for part in parts
        for codes in [place[_cells(view, part, edges, values)]]
    )
    if rest >= case.options.min_patients:
        names.append(OTHER)
    else:
        place[place == len(kept)] = -1
    return Groups(view, tuple(names), edges, values, place)


def _cells(view: View, frame: Frame, edges: Doubles | None, values: Doubles) -> Indices:
    """Per row its cell, int64 [n]; -1, the last, for null and for values that training rows do not have."""
    cells, null = frame[view.name], frame.null(view.name)
    if not view.number:
        return cells.astype(np.int64)
    if edges is not None:
        return np.where(null, -1, np.searchsorted(edges, cells, side="right")).astype(np.int64)
    if not len(values):
        return np.full(len(cells), -1, np.int64)
    at = np.clip(np.searchsorted(values, cells), 0, len(values) - 1)
    return np.where(values[at] == cells, at, -1).astype(np.int64)


def _quartiles(known: Doubles, whole: bool) -> Doubles:
    """The quartiles, rounded to a fraction of the width of the middle half: no patient's own value."""
    quartiles = np.quantile(known, [0.25, 0.5, 0.75])
    width = float(quartiles[2] - quartiles[0]) or float(known.max() - known.min())
    power = 10.0 ** math.floor(math.log10(width / 4))
    step = max(m * power for m in (1, 2, 5) if m * power <= width / 4 * (1 + 1e-9))
    step = max(step, 1.0) if whole else step
    found: Doubles = np.unique(np.round(quartiles / step) * step)
    return found


def _labels(view: View, edges: Doubles | None, values: Doubles) -> list[str]:
    if not view.number:
        return list(view.levels)
    if edges is None:
        return [label(view, float(value)) for value in values]
    texts = [label(view, float(edge)) for edge in edges]
    between = [f"{a} to below {b}" for a, b in pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} and above"]
