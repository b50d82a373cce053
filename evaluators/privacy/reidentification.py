"""Re-identification: real patients matched to synthetic rows, where the match would teach something new.

The estimator of El Emam et al. 2020 (JMIR 22:e23139) in the form of Yan et al.
2022 (Nature Communications 13:7609), over a lattice of generalisations, for
flat tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluators.case import Case, Evaluator, Need
from evaluators.frame import Frame, View
from evaluators.intervals import mean_of
from evaluators.privacy.control import victims
from evaluators.privacy.guesses import MOST_SECRETS, Secret, secret_of
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result
from kohort.schema import Kind
from trainers.base import Doubles, Indices

THRESHOLD = 0.09
"""What the European Medicines Agency and Health Canada accept for released trial data."""
_LAMBDA = 0.23
_LEARNED = 0.05
_COMMON = 0.5
_CONFIGURATIONS = 32
_BANDS, _FEW, _YEAR = 8, 10, 365.25

_METRICS = (
    MetricInfo(
        "reidentification_risk",
        Family.PRIVACY,
        "Risk of meaningful re-identification",
        "The chance that a real patient is matched to a synthetic row by quasi-identifiers and that the "
        "match teaches something. A = 1/N sum (1/f) (1+l)/2 R and B = 1/n sum (1/F) (1+l)/2 R over the n "
        "training patients whose class has a synthetic row: f and F count the training patients and all "
        "real patients of the class, N all real patients (training and hold-out: the only population "
        "known here), l = 0.23 allows for errors and verification; the greater of the two, and the "
        "greatest over up to 32 generalisations (numbers in bands, dates in years, columns dropped). R is "
        "1 where more than 5 % of the sensitive columns agree with one synthetic row of the class, drawn "
        "at random, in a value that fewer than half of the patients have (numbers: within 5 % of the "
        f"width between the 5th and 95th percentile). Regulators accept {THRESHOLD}. Values that agree by "
        "chance count, as in the papers.",
        Direction.LOWER,
        0.0,
        reference="El Emam et al. 2020, JMIR 22(11):e23139; Yan et al. 2022, Nat Commun 13:7609",
    ),
)


def _run(case: Case) -> Iterable[Result]:
    names = [name for name in case.sensitive if name not in case.quasi_identifiers]
    if not names:
        yield LeftOut("reidentification_risk", "there is no sensitive column beside the quasi-identifiers")
        return
    rng = case.rng("reidentification")
    real = victims(case.train, len(case.train), rng)
    other = None if case.holdout is None else victims(case.holdout, len(case.holdout), rng)
    columns = [
        _Learned.of(secret_of(case.layout[n], real), real, case.synthetic) for n in names[:MOST_SECRETS]
    ]
    found: list[_Risk] = []
    for levels in _configurations(case, [part for part in (real, case.synthetic, other) if part is not None]):
        case.check()
        found.append(_risk(levels, len(real), len(case.synthetic), columns, rng))
    yield from _reported(found)


@dataclass(frozen=True)
class _Learned:
    """A sensitive column: what a match would tell of it."""

    secret: Secret
    real: npt.NDArray[Any]
    synthetic: npt.NDArray[Any]
    rare: npt.NDArray[np.bool_]
    """Per real patient, whether fewer than half have that value."""

    @classmethod
    def of(cls, secret: Secret, real: Frame, synthetic: Frame) -> _Learned:
        cells = real[secret.view.name]
        if secret.view.number:
            ordered = np.sort(cells[~np.isnan(cells)])
            low = np.searchsorted(ordered, cells - secret.tolerance, "left")
            high = np.searchsorted(ordered, cells + secret.tolerance, "right")
            shares = (high - low) / max(1, len(ordered))
        else:
            counts = np.bincount(cells[cells >= 0], minlength=len(secret.view.levels) + 1)
            shares = counts[cells] / max(1, len(cells))  # null, -1, finds the last, which none has
        return cls(secret, cells, synthetic[secret.view.name], shares < _COMMON)

    def new(self, rows: Indices, matches: Indices) -> npt.NDArray[np.bool_]:
        """Whether real `rows` learn something of synthetic rows `matches`."""
        return self.secret.right(self.synthetic[matches], self.real[rows]) & self.rare[rows]


@dataclass(frozen=True)
class _Risk:
    """Of one generalisation: per training patient what it adds to A and B."""

    sample: Doubles
    population: Doubles
    everyone: int

    @property
    def a(self) -> float:
        return float(self.sample.sum()) / self.everyone

    @property
    def b(self) -> float:
        return float(self.population.mean())


def _risk(
    keys: Indices, patients: int, synthetic: int, columns: list[_Learned], rng: np.random.Generator
) -> _Risk:
    """Of classes [patients, then synthetic rows, then further patients]."""
    _, keys = np.unique(keys, return_inverse=True)
    count = int(keys.max()) + 1
    own, theirs, rest = np.split(keys, [patients, patients + synthetic])
    sizes = np.bincount(own, minlength=count)
    everyone = sizes + np.bincount(rest, minlength=count)
    order = np.argsort(theirs, kind="stable")
    held = np.bincount(theirs, minlength=count)
    starts = np.cumsum(held) - held
    rows = np.flatnonzero(held[own] > 0)
    at = own[rows]
    matches = order[starts[at] + (rng.random(len(rows)) * held[at]).astype(np.int64)]
    learned = np.zeros(len(rows))
    for column in columns:
        learned += column.new(rows, matches)
    taught = rows[learned / len(columns) > _LEARNED]
    sample, population = np.zeros(patients), np.zeros(patients)
    sample[taught] = (1 + _LAMBDA) / 2 / sizes[own[taught]]
    population[taught] = (1 + _LAMBDA) / 2 / everyone[own[taught]]
    return _Risk(sample, population, patients + len(rest))


def _configurations(case: Case, parts: list[Frame]) -> Iterator[Indices]:
    """The class of every row of all parts, per generalisation of the quasi-identifiers.

    The first columns are generalised, as many as the bound allows; the others stay as they are.
    """
    levels: list[list[Indices]] = []
    many = 1
    for name in case.quasi_identifiers:
        found = _levels(case.layout[name], np.concatenate([part[name] for part in parts]))
        found = found if many * len(found) <= _CONFIGURATIONS else found[:1]
        many *= len(found)
        levels.append(found)
    for chosen in product(*levels):
        keys = np.zeros(sum(len(part) for part in parts), np.int64)
        room = 1
        for codes in chosen:
            size = int(codes.max()) + 1
            if room > (1 << 62) // size:
                distinct, keys = np.unique(keys, return_inverse=True)
                room = len(distinct)
            keys, room = keys * size + codes, room * size
        yield keys


def _levels(view: View, cells: npt.NDArray[Any]) -> list[Indices]:
    """The column as it is, coarser where it is a number of many values, and dropped."""
    found = [_coded(cells)]
    if view.number and int(found[0].max()) >= _FEW:
        values = cells.astype(np.float64)
        width = _YEAR if view.column.kind in (Kind.DATE, Kind.DATETIME) else _width(values)
        found.append(_coded(np.floor(values / width)))
    return [*found, np.zeros(len(cells), np.int64)]


def _width(values: Doubles) -> float:
    """Of a band: eight over the middle nine tenths, a round number as for ages in tens."""
    low, high = np.nanquantile(values, [0.05, 0.95])
    width = float(high - low) / _BANDS
    return float(10 ** np.ceil(np.log10(width) - 0.5)) if width > 0 else 1.0


def _coded(cells: npt.NDArray[Any]) -> Indices:
    place: Indices = np.unique(cells, return_inverse=True)[1].astype(np.int64)
    return place


def _reported(found: list[_Risk]) -> Iterator[Metric]:
    directions = {
        "population to sample": max(found, key=lambda risk: risk.a),
        "sample to population": max(found, key=lambda risk: risk.b),
    }
    best: tuple[float, Interval] | None = None
    for direction, risk in directions.items():
        first = direction == "population to sample"
        value, scale = (risk.a, len(risk.sample) / risk.everyone) if first else (risk.b, 1.0)
        mean = mean_of(risk.sample if first else risk.population)
        interval = Interval(max(0.0, scale * mean.low), min(1.0, scale * mean.high), mean.method)
        yield Metric(
            "reidentification_risk",
            value,
            detail={"direction": direction},
            interval=interval,
            size=len(risk.sample),
        )
        if best is None or value > best[0]:
            best = value, interval
    assert best is not None
    yield Metric("reidentification_risk", best[0], interval=best[1], size=len(found[0].sample), headline=True)


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator("reidentification", Family.PRIVACY, _METRICS, _run, needs=frozenset({Need.QUASI_IDENTIFIERS})),
)
