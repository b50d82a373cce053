"""Anonymity of the real rows, and synthetic rows that point at one real patient, by quasi-identifiers.

k-anonymity and its relatives are statements about a table that is published
as it is: here, about the input. A synthetic table's own k-anonymity bounds
nothing. Quasi-identifiers are compared as they are; nothing is generalised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from evaluators.case import Case, Evaluator, Need
from evaluators.frame import Frame, View, joined
from evaluators.intervals import wilson
from evaluators.privacy.alike import chance_of_one, classes, patients_in
from evaluators.results import Direction, Family, LeftOut, Metric, MetricInfo, Result
from kohort.schema import Kind
from trainers.base import Doubles, Indices

_MOST_VALUES = 50
"""Values of a number that are told apart; beyond, classes of equal size take their place."""
_MOST_COLUMNS = 20
_CELLS = 1 << 22
"""Of the table of classes by values held at once."""

_AS_THEY_ARE = " Quasi-identifiers are compared as they are: an age in years is not put into bands."

_METRICS = (
    MetricInfo(
        "k_anonymity",
        Family.PRIVACY,
        "k-anonymity of the input",
        "The smallest number of real patients (training and hold-out) who share one combination of "
        "quasi-identifiers." + _AS_THEY_ARE,
        Direction.HIGHER,
        reference="Sweeney 2002",
    ),
    MetricInfo(
        "small_class_share",
        Family.PRIVACY,
        "Patients in small classes",
        "Share of real patients who share a combination of quasi-identifiers with fewer than k patients, "
        "themselves included; k = 2: they are unique." + _AS_THEY_ARE,
        Direction.UNSPECIFIED,
    ),
    MetricInfo(
        "l_diversity",
        Family.PRIVACY,
        "l-diversity of the input",
        "The smallest diversity of a sensitive column among rows of equal quasi-identifiers: distinct "
        "values, or the exponential of their entropy. Null counts as a value.",
        Direction.UNSPECIFIED,
        reference="Machanavajjhala et al. 2007",
    ),
    MetricInfo(
        "t_closeness",
        Family.PRIVACY,
        "t-closeness of the input",
        "The greatest distance of a sensitive column's distribution among rows of equal quasi-identifiers "
        "from that of all rows: earth mover's distance over the order of numbers (of more than 50 values: "
        "50 classes of equal size) and ordinals without nulls, total variation otherwise.",
        Direction.UNSPECIFIED,
        reference="Li et al. 2007",
    ),
    MetricInfo(
        "qi_unique_match_share",
        Family.PRIVACY,
        "Synthetic rows that point at one patient",
        "Share of synthetic rows whose quasi-identifiers match exactly one training patient; baseline: "
        "exactly one hold-out patient. Where there is a hold-out, both are expected values for random "
        "subsets of as many patients as the smaller of the two sets has.",
        Direction.UNSPECIFIED,
    ),
)


def _run(case: Case) -> Iterable[Result]:
    real = case.train if case.holdout is None else joined(case.train, case.holdout)
    keys, count = classes([real], case.quasi_identifiers)
    patients = patients_in(keys[0], real.subjects, count)
    yield Metric("k_anonymity", float(patients.min()), size=real.patients, headline=True)
    smallest = np.full(int(real.subjects.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, real.subjects, patients[keys[0]])
    smallest = smallest[np.unique(real.subjects)]
    for k in dict.fromkeys((2, max(2, case.options.min_patients))):
        few = int((smallest < k).sum())
        yield Metric(
            "small_class_share",
            few / len(smallest),
            detail={"k": str(k)},
            interval=wilson(few, len(smallest)),
            size=len(smallest),
        )
    yield from _matches(case)
    wanted = [name for name in case.sensitive if name not in case.quasi_identifiers]
    for name in wanted[:_MOST_COLUMNS]:
        case.check()
        yield from _sensitive(real, case.layout[name], keys[0], count)
    if len(wanted) > _MOST_COLUMNS:
        yield LeftOut(
            "l_diversity and t_closeness of some columns",
            f"{_MOST_COLUMNS} of {len(wanted)} sensitive columns are looked at",
        )


def _matches(case: Case) -> Iterator[Metric]:
    parts = [case.train] + ([case.holdout] if case.holdout is not None else [])
    keys, count = classes([case.synthetic, *parts], case.quasi_identifiers)
    fewest, size = min(part.patients for part in parts), len(case.synthetic)
    shares = []
    for part, own in zip(parts, keys[1:], strict=True):
        one = chance_of_one(patients_in(own, part.subjects, count), part.patients, fewest)
        shares.append(float(one[keys[0]].mean()))
    intervals = [wilson(share * size, size) for share in shares]
    yield Metric(
        "qi_unique_match_share",
        shares[0],
        interval=intervals[0],
        baseline=shares[1] if len(shares) > 1 else None,
        baseline_interval=intervals[1] if len(shares) > 1 else None,
        size=size,
    )


def _sensitive(real: Frame, view: View, keys: Indices, count: int) -> Iterator[Metric]:
    cells, ordered = _cells(real, view)
    values = int(cells.max()) + 1
    pairs, counts = np.unique(keys * values + cells, return_counts=True)
    of_class, rows = pairs // values, np.bincount(keys, minlength=count)
    shares = counts / rows[of_class]
    distinct = np.bincount(of_class, minlength=count)
    entropy = np.bincount(of_class, weights=-shares * np.log(shares), minlength=count)
    where = (view.name,)
    yield Metric(
        "l_diversity", float(distinct.min()), columns=where, detail={"kind": "distinct"}, size=len(real)
    )
    yield Metric(
        "l_diversity", float(np.exp(entropy.min())), columns=where, detail={"kind": "entropy"}, size=len(real)
    )
    every = np.bincount(cells, minlength=values) / len(cells)
    furthest = 0.0
    step = max(1, _CELLS // values)
    for first in range(0, count, step):
        held = slice(*np.searchsorted(of_class, [first, first + step]))
        table = np.zeros((min(step, count - first), values))
        table[of_class[held] - first, pairs[held] % values] = shares[held]
        furthest = max(furthest, float(_distance(table - every, ordered).max()))
    yield Metric("t_closeness", furthest, columns=where, size=len(real))


def _distance(difference: Doubles, ordered: bool) -> Doubles:
    """Per row the earth mover's distance of a difference of distributions [classes, values]."""
    if not ordered:
        return np.asarray(np.abs(difference).sum(axis=1) / 2, np.float64)
    steps = max(1, difference.shape[1] - 1)
    return np.asarray(np.abs(np.cumsum(difference, axis=1)).sum(axis=1) / steps, np.float64)


def _cells(real: Frame, view: View) -> tuple[npt.NDArray[np.int64], bool]:
    """Per row the number of its value, and whether their order means something; null is the last."""
    values, null = real[view.name], real.null(view.name)
    known = values[~null]
    if view.number and len(np.unique(known)) > _MOST_VALUES:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _MOST_VALUES + 1)[1:-1]))
        found = np.searchsorted(edges, np.where(null, np.inf, values), "right")
        return np.where(null, len(edges) + 1, found).astype(np.int64), not null.any()
    _, place = np.unique(
        np.where(null, np.inf if view.number else len(view.levels), values), return_inverse=True
    )
    return place.astype(np.int64), (view.number or view.column.kind is Kind.ORDINAL) and not null.any()


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator("anonymity", Family.PRIVACY, _METRICS, _run, needs=frozenset({Need.QUASI_IDENTIFIERS})),
)
