"""Nearest neighbours: copies of training rows, and synthetic rows nearer to training rows than to others.

Synthetic rows are held against the training rows and, as a control, against
as many hold-out rows. Distances are those of `evaluators.space`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from evaluators.case import OUT_OF_TIME, Case, Evaluator
from evaluators.frame import Frame
from evaluators.intervals import bootstrap, normal, variance_of_mean, wilson
from evaluators.privacy import copies
from evaluators.results import (
    Direction,
    Family,
    Figure,
    FigureKind,
    LeftOut,
    Metric,
    MetricInfo,
    Result,
    Series,
)
from evaluators.space import Space, nearest
from trainers.base import Doubles, Floats, Indices

ROWS = 8_000
"""On every side of the searches, of which there are eight."""
_COORDINATES = 128
"""Of points; where there are more, fewer rows are searched."""
_GRID = 60

_NO_PRIVACY = "Not a measure of privacy: generators that pass it were attacked with success."
_DCR_PAPER = "Yao et al. 2025, The DCR Delusion, arXiv:2505.01524"

_METRICS = (
    MetricInfo(
        "dcr_median",
        Family.PRIVACY,
        "Distance to the closest record, median",
        "Median distance from a synthetic row to the nearest training row; baseline: from a hold-out row. "
        + _NO_PRIVACY,
        Direction.UNSPECIFIED,
        reference=_DCR_PAPER,
    ),
    MetricInfo(
        "dcr_p5",
        Family.PRIVACY,
        "Distance to the closest record, 5th percentile",
        "The distance to the nearest training row that 5 % of synthetic rows fall below; baseline: of "
        "hold-out rows. " + _NO_PRIVACY,
        Direction.UNSPECIFIED,
        reference=_DCR_PAPER,
    ),
    MetricInfo(
        "dcr_share",
        Family.PRIVACY,
        "Nearer to training than to hold-out rows",
        "Share of synthetic rows whose nearest row is a training row rather than one of as many hold-out "
        "rows; ties count half; 0.5 where training rows are not favoured. " + _NO_PRIVACY,
        Direction.TARGET,
        0.5,
        reference="Platzer and Reutterer 2021; " + _DCR_PAPER,
    ),
    MetricInfo(
        "nndr_median",
        Family.PRIVACY,
        "Nearest neighbour distance ratio, median",
        "Median over synthetic rows of the distance to the nearest over that to the second nearest training "
        "row (1 where both are 0); baseline: of hold-out rows. Near 0: single training rows are approached.",
        Direction.UNSPECIFIED,
        reference="Lowe 2004; Zhao et al. 2021",
    ),
    MetricInfo(
        "nnaa",
        Family.PRIVACY,
        "Nearest neighbour adversarial accuracy",
        "How well a nearest-neighbour rule tells synthetic from real rows; 0.5 is ideal, below it "
        "synthetic rows lie closer to real rows than real rows to each other. Ties count half (the paper "
        "counts them as 0, which makes tables of few values look like copies).",
        Direction.TARGET,
        0.5,
        reference="Yale et al. 2020, Neurocomputing 416",
    ),
    MetricInfo(
        "nnaa_privacy_loss",
        Family.PRIVACY,
        "Privacy loss by nearest neighbours",
        "nnaa against the hold-out minus nnaa against the training rows; 0 where the synthetic rows are no "
        "closer to the rows that were learned from.",
        Direction.TARGET,
        0.0,
        reference="Yale et al. 2020, Neurocomputing 416",
    ),
)


@dataclass(frozen=True)
class _Real:
    """A set of real rows, as many as synthetic ones, and how far they and the synthetic rows are apart."""

    frame: Frame
    points: Floats
    from_synthetic: Doubles
    """The two nearest, [synthetic rows, 2 or fewer]."""
    to_synthetic: Doubles
    within: Doubles


def _real(space: Space, frame: Frame, synthetic: Floats) -> _Real:
    points = space.points(frame)
    return _Real(
        frame,
        points,
        nearest(synthetic, points, 2)[0],
        nearest(points, synthetic)[0][:, 0],
        _first(nearest(points, points, same=True)[0]),
    )


def _first(distances: Doubles) -> Doubles:
    return distances[:, 0] if distances.shape[1] else np.full(len(distances), np.inf)


def _distances(case: Case) -> Iterator[Result]:
    rng = case.rng("neighbours")
    parts = [part for part in (case.train, case.holdout, case.synthetic) if part is not None]
    space = Space.fit(case.train)
    most = int(ROWS * min(1.0, (_COORDINATES / max(1, space.dimensions)) ** 0.5))
    rows = min(most, *(len(part) for part in parts))
    if rows < 2:
        yield LeftOut("neighbours", "needs two rows of each kind")
        return
    drawn = case.synthetic.sample(rows, rng)
    synthetic = space.points(drawn)
    train = _real(space, case.train.sample(rows, rng), synthetic)
    case.check()
    held, control = None, None
    if case.holdout is not None:
        held = _real(space, case.holdout.sample(rows, rng), synthetic)
        case.check()
        control = nearest(held.points, train.points, 2)[0]
    yield from _closest(case, drawn, train.from_synthetic, control)
    within = _first(nearest(synthetic, synthetic, same=True)[0])
    yield from _adversarial(drawn, within, train, held)
    if held is None or control is None:
        yield LeftOut("dcr_share and nnaa_privacy_loss", "needs held-out patients")
        return
    nearer = _above(held.from_synthetic[:, 0], train.from_synthetic[:, 0])
    yield Metric(
        "dcr_share",
        float(nearer.mean()),
        interval=wilson(float(nearer.sum()), rows),
        null_value=0.5,
        size=rows,
        headline=True,
    )
    yield _figure(train, held, control)


def _closest(case: Case, drawn: Frame, distances: Doubles, control: Doubles | None) -> Iterator[Metric]:
    """Of synthetic rows to training rows; `control`: of hold-out rows to training rows."""
    rng = case.rng("dcr")
    measures = [("dcr_median", 0.5, _closest_of), ("dcr_p5", 0.05, _closest_of), ("nndr_median", 0.5, _ratio)]
    for name, share, measure in measures:
        values = measure(distances)

        def statistic(rows: Indices, values: Doubles = values, share: float = share) -> float:
            return float(np.quantile(values[rows], share))

        yield Metric(
            name,
            float(np.quantile(values, share)),
            interval=bootstrap(statistic, np.arange(len(drawn)), rng),
            baseline=None if control is None else float(np.quantile(measure(control), share)),
            size=len(drawn),
        )


def _closest_of(distances: Doubles) -> Doubles:
    return distances[:, 0]


def _ratio(distances: Doubles) -> Doubles:
    second = distances[:, -1]
    return np.where(second > 0, distances[:, 0] / np.where(second > 0, second, 1.0), 1.0)


def _above(a: Doubles, b: Doubles) -> Doubles:
    """1 where a is above b, half where they are equal."""
    return np.asarray((a > b) + 0.5 * (a == b), np.float64)


def _adversarial(drawn: Frame, within: Doubles, train: _Real, held: _Real | None) -> Iterator[Metric]:
    accuracies = []
    for name, real in (("training", train), ("hold-out", held)):
        if real is None:
            continue
        of_real = _above(real.to_synthetic, real.within)
        of_synthetic = _above(real.from_synthetic[:, 0], within)
        value = float((of_real.mean() + of_synthetic.mean()) / 2)
        spread = variance_of_mean(of_real, real.frame.subjects)
        spread += variance_of_mean(of_synthetic, drawn.subjects)
        accuracies.append((value, of_real, of_synthetic))
        yield Metric(
            "nnaa",
            value,
            detail={"against": name},
            interval=normal(value, spread / 4),
            null_value=0.5,
            size=len(drawn),
        )
    if held is None:
        return
    (near, a, b), (far, c, d) = accuracies
    spread = variance_of_mean(a, train.frame.subjects) + variance_of_mean(c, held.frame.subjects)
    spread += variance_of_mean(d - b, drawn.subjects)
    yield Metric(
        "nnaa_privacy_loss",
        far - near,
        interval=normal(far - near, spread / 4),
        null_value=0.0,
        size=len(drawn),
        headline=True,
    )


def _figure(train: _Real, held: _Real, control: Doubles) -> Figure:
    lines = {
        "synthetic to training rows": train.from_synthetic[:, 0],
        "synthetic to hold-out rows": held.from_synthetic[:, 0],
        "hold-out to training rows": control[:, 0],
    }
    furthest = max(float(np.quantile(values, 0.99)) for values in lines.values())
    grid = np.linspace(0.0, furthest or 1.0, _GRID)
    return Figure(
        "dcr",
        Family.PRIVACY,
        "Distance to the closest record",
        FigureKind.LINES,
        tuple(
            Series(
                name,
                [float(x) for x in np.searchsorted(np.sort(values), grid, "right") / len(values)],
                list(grid),
            )
            for name, values in lines.items()
        ),
        x_label="distance",
        y_label="share of rows within it",
        y_min=0.0,
        y_max=1.0,
    )


def _run(case: Case) -> Iterable[Result]:
    yield from copies.matches(case)
    case.check()
    if case.seconds_left <= 0:
        yield LeftOut("neighbours: distances", OUT_OF_TIME)
        return
    yield from _distances(case)


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator("neighbours", Family.PRIVACY, (*copies.METRICS, *_METRICS), _run),
)
