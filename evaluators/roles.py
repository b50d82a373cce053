"""Which columns are predicted, known to an attacker, wanted by one, and looked at for fairness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluators.case import Options
from evaluators.frame import Frame, View, supported
from kohort.problem import Problem
from kohort.schema import Finding, Kind
from trainers.base import Indices

MOST_CLASSES = 20
"""A column of more levels is not predicted as classes."""
_MOST_NAMED = 5
_OUTCOMES = frozenset(
    {"target", "label", "outcome", "class", "binary", "response", "readmitted", "readmission"}
    | {"died", "death", "dead", "deceased", "mortality", "survived", "survival"}
)
"""Words in a column's name that make it the default target."""
_NUMBER_CLASSES = 10


@dataclass(frozen=True)
class Roles:
    """Column names."""

    targets: tuple[str, ...] = ()
    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()


def roles(options: Options, train: Frame, findings: Sequence[Finding] = ()) -> Roles:
    """What the options say; of what they leave open, the documented defaults.

    Raises:
        Problem: UNKNOWN_COLUMN; INVALID_REQUEST for more columns than allowed,
            or a target that cannot be predicted.
    """
    for part in ("targets", "quasi_identifiers", "sensitive", "protected"):
        for name in getattr(options, part):
            if name not in train.layout:
                raise Problem.at("UNKNOWN_COLUMN", f"options.{part}", f"there is no comparable column {name}")
    for part in ("targets", "protected"):
        if len(getattr(options, part)) > _MOST_NAMED:
            raise Problem.at("INVALID_REQUEST", f"options.{part}", f"at most {_MOST_NAMED} columns")
    for name in options.targets:
        if not predictable(train.layout[name], train):
            raise Problem.at(
                "INVALID_REQUEST", "options.targets", f"{name} holds nothing that can be predicted"
            )
    targets = options.targets or _last(train)
    known = options.quasi_identifiers or tuple(
        dict.fromkeys(
            f.column for f in findings if f.reason == "QUASI_IDENTIFIER" and f.column in train.layout
        )
    )
    wanted = options.sensitive or tuple(view.name for view in train.layout if view.name not in known)
    return Roles(targets, known, wanted, options.protected)


@dataclass(frozen=True, eq=False)
class Target:
    """A column as an outcome.

    Classes are numbered from 0, those that the training rows have: levels of a
    category in the layout's order, or the distinct values of a column of few
    whole numbers (or of two numbers of any kind), ascending. `classes` is 0
    where it is a number; one far beyond what k training patients reach counts
    as nearer, or a mean error would tell the one patient's who has it.
    """

    view: View
    classes: int
    values: npt.NDArray[Any]
    """Of classes: which number, or which code of the layout, each is, ascending."""
    bounds: tuple[float, float] = (-np.inf, np.inf)
    """Of numbers."""

    @classmethod
    def of(cls, view: View, frame: Frame, k: int = Options.min_patients) -> Target:
        """The outcome, with the classes or the bounds that `frame` (the training rows) has."""
        distinct = np.unique(frame[view.name][~frame.null(view.name)])
        whole = view.column.kind is Kind.INTEGER and len(distinct) <= _NUMBER_CLASSES
        if view.number and not whole and len(distinct) != 2:
            return cls(view, 0, np.zeros(0), supported(frame[view.name], frame.subjects, k))
        return cls(view, len(distinct), distinct)

    def outcome(self, frame: Frame) -> tuple[Indices, npt.NDArray[Any]]:
        """Positions of rows where it is known (and of a known class), and there class int64 or number."""
        cells = frame[self.view.name]
        if not self.classes:
            rows = np.flatnonzero(~frame.null(self.view.name))
            return rows, np.clip(cells[rows], *self.bounds)
        at = np.clip(np.searchsorted(self.values, cells), 0, self.classes - 1)
        rows = np.flatnonzero(self.values[at] == cells)
        return rows, at[rows].astype(np.int64)

    def name_of(self, number: int) -> str:
        """What a class is called."""
        value = self.values[number]
        return f"{value:g}" if self.view.number else self.view.levels[int(value)]


def predictable(view: View, frame: Frame) -> bool:
    """Whether it can be a target: two values or more in `frame`, and not too many classes."""
    distinct = len(np.unique(frame[view.name][~frame.null(view.name)]))
    return distinct >= 2 and (view.number or distinct <= MOST_CLASSES)


def _last(train: Frame) -> tuple[str, ...]:
    """The last column of classes that is named as an outcome, else the last of classes, else of numbers."""
    able = [view for view in reversed(train.layout.views) if predictable(view, train)]
    classes = [view for view in able if Target.of(view, train).classes]
    named = [view for view in classes if _OUTCOMES & set(re.split("[^a-z]+", view.name.lower()))]
    return tuple(view.name for view in (named or classes or able)[:1])
