"""Pictures of how groups fare in models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluators.case import Case
from evaluators.fairness.disparity import BINS, bins_of, rates
from evaluators.fairness.grouping import Groups
from evaluators.fidelity.sides import patients_of
from evaluators.results import Family, Figure, FigureKind, Series, tidy
from evaluators.utility.arms import Arms
from trainers.base import Doubles, Indices

_DRAWN = 6
"""Groups with a line of their own in the calibration figure, at most."""


@dataclass(frozen=True, eq=False)
class Tested:
    """Both models' predictions of the held-out rows of one target."""

    arms: Arms
    weights: npt.NDArray[np.float32]
    real: Doubles
    synthetic: Doubles
    """Probabilities [n, classes]."""
    classes: tuple[int, ...]
    """Those that are asked for: the rarer of two, else all that enough patients have and lack."""

    @property
    def both(self) -> tuple[Doubles, Doubles]:
        """Synthetic-trained first."""
        return self.synthetic, self.real


def pictures(case: Case, found: Tested, where: Indices, made: Groups) -> Iterator[Figure]:
    """Of a binary outcome, for groups `where` [n] (-1: none): who is predicted positive; calibration."""
    name, column, c = found.arms.name, made.view.name, found.classes[0]
    truth, count = found.arms.test.outcome == c, len(made.names)
    shown = np.flatnonzero(np.bincount(where[where >= 0], minlength=count))
    share = found.arms.prevalence[c]
    drawn = [Series("outcome", [round(float(truth[where == i].mean()), 4) for i in shown])]
    for said, told in (("real-trained", found.real), ("synthetic-trained", found.synthetic)):
        selected = rates(found.weights, where, count, truth, told[:, c] >= share).selected[:, shown]
        low, high = (tidy(ends) for ends in np.nanquantile(selected[1:], [0.025, 0.975], axis=0))
        drawn.append(Series(f"predicted, {said}", tidy(selected[0]), low=low, high=high))
    first = name == case.targets[0]
    yield Figure(
        f"fairness:{column}:{name}",
        Family.FAIRNESS,
        f"{name} by {column}: held-out patients who have it, and who are predicted to",
        FigureKind.BARS,
        tuple(drawn),
        tuple(made.names[i] for i in shown),
        column,
        "share of rows",
        y_min=0.0,
    )
    sizes = np.bincount(where[where >= 0], minlength=count)
    lines = []
    for i in sorted(np.argsort(-sizes, kind="stable")[:_DRAWN].tolist()):
        line = _line(case, found, where == i, made.names[i])
        if line is not None:
            lines.append(line)
    yield Figure(
        f"calibration:{column}" if first else f"calibration:{column}:{name}",
        Family.FAIRNESS,
        f"Calibration of {name} by {column}, trained on synthetic rows",
        FigureKind.LINES,
        (*lines, Series("perfect", [0.0, 1.0], [0.0, 1.0])),
        x_label="mean predicted probability",
        y_label="share with the outcome",
        y_min=0.0,
        y_max=1.0,
    )


def _line(case: Case, found: Tested, rows: npt.NDArray[np.bool_], name: str) -> Series | None:
    """Mean probability and share of positives per bin of enough patients."""
    c = found.classes[0]
    told, truth = found.synthetic[rows, c], found.arms.test.outcome[rows] == c
    at = bins_of(told)
    held = patients_of(at, found.arms.test.frame.subjects[rows], BINS)
    kept = np.flatnonzero(held >= case.options.min_patients)
    if not len(kept):
        return None
    x = [round(float(told[at == b].mean()), 4) for b in kept]
    return Series(name, [round(float(truth[at == b].mean()), 4) for b in kept], x)
