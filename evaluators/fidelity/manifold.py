"""Whether synthetic rows lie where real ones do (precision), and everywhere they do (recall)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from evaluators.case import Case, Evaluator
from evaluators.intervals import wilson
from evaluators.results import Direction, Family, LeftOut, Metric, MetricInfo, Result
from evaluators.space import Space, nearest
from trainers.base import Doubles, Floats

NEIGHBOURS = 5
"""k of every ball around a row."""
ROWS = 4000
"""Rows of either side: time grows with the square."""
ASKED, AMONG = 1000, 40_000
"""Authenticity asks few rows whether they are copies, of many: a copy of a row left out would not be seen."""
_STEPS = 100
_CHUNK = 1 << 22
_FEWEST = 2 * NEIGHBOURS

_SHARES = ("precision", "recall", "coverage")
"""Shares of rows, which are taken as independent in their intervals."""

_PRDC = "Naeem, Oh, Uh, Choi and Yoo 2020, Reliable fidelity and diversity metrics for generative models"
_KYNKAANNIEMI = (
    "Kynkäänniemi, Karras, Laine, Lehtinen and Aila 2019, Improved precision and recall metric for assessing "
    "generative models"
)
_ALAA = (
    "Alaa, van Breugel, Saveliev and van der Schaar 2022, How faithful is your synthetic data? Sample-level "
    "metrics for evaluating and auditing generative models"
)
_BALLS = "Supports are Euclidean balls around the mean of the rows as they are, not of a learned embedding. "


def _info(name: str, title: str, description: str, reference: str) -> MetricInfo:
    return MetricInfo(name, Family.FIDELITY, title, description, Direction.HIGHER, None, reference)


_INFOS = (
    _info(
        "precision",
        "Precision",
        "Share of synthetic rows within the distance of some real row to its fifth neighbour.",
        _KYNKAANNIEMI,
    ),
    _info(
        "recall",
        "Recall",
        "Share of real rows within the distance of some synthetic row to its fifth neighbour.",
        _KYNKAANNIEMI,
    ),
    replace(
        _info(
            "density",
            "Density",
            "How many real rows' balls (out to the fifth neighbour) a synthetic row lies in, over five: "
            "about 1 where both are drawn alike, above where synthetic rows crowd in the middle.",
            _PRDC,
        ),
        direction=Direction.TARGET,
        target=1.0,
    ),
    _info(
        "coverage",
        "Coverage",
        "Share of real rows with a synthetic row no farther than their fifth neighbour.",
        _PRDC,
    ),
    _info(
        "alpha_precision",
        "Alpha-precision",
        "1 - 2 times the area between the share of synthetic rows in the ball of a share alpha of real rows, "
        "and alpha. " + _BALLS + "1: synthetic rows are as typical and as far out as real ones.",
        _ALAA,
    ),
    _info(
        "beta_recall",
        "Beta-recall",
        "1 - 2 times the area between beta and the share of real rows whose nearest synthetic row is within "
        "their fifth neighbour's distance, and in the ball of a share beta of synthetic rows. " + _BALLS,
        _ALAA,
    ),
    _info(
        "authenticity",
        "Authenticity",
        "Share of synthetic rows farther from the nearest training row than that row is from the nearest "
        "other training row: 0 where training rows are copied. Equal rows count as copies, however frequent "
        "they are; the baseline says how often held-out rows do.",
        _ALAA,
    ),
)


def radii(points: Floats, k: int = NEIGHBOURS) -> Doubles:
    """The distance of every point [n, d] to its k-th neighbour, [n]."""
    return nearest(points, points, k, same=True)[0][:, -1]


def prdc(real: Floats, fake: Floats, real_radii: Doubles, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density and coverage of points [n, d] and [m, d].

    Balls are closed: of rows that repeat, radii are 0 and still hold them.

    Args:
        real: points.
        fake: points.
        real_radii: `radii` of the real ones with the same k.
        k: of the neighbours.
    """
    fake_radii = _closed(radii(fake, k))
    real_radii, fakes = _closed(real_radii), fake.astype(np.float64)
    held, precise = 0, np.zeros(len(fake), np.bool_)
    recalled, covered = 0, 0
    squares = np.einsum("ij,ij->i", fakes, fakes)
    step = max(1, _CHUNK // len(fake))
    for first in range(0, len(real), step):
        part = real[first : first + step]
        gaps = _distances(part, fakes, squares)
        inside = gaps <= real_radii[first : first + step, None]
        held += int(inside.sum())
        precise |= inside.any(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((gaps <= fake_radii[None, :]).any(axis=1).sum())
    return {
        "precision": float(precise.mean()),
        "recall": recalled / len(real),
        "density": held / (k * len(fake)),
        "coverage": covered / len(real),
    }


def _distances(part: Floats, among: Doubles, squares: Doubles) -> Doubles:
    a = part.astype(np.float64)
    gaps = np.einsum("ij,ij->i", a, a)[:, None] + squares[None, :] - 2 * (a @ among.T)
    return np.asarray(np.sqrt(np.maximum(gaps, 0)), np.float64)


def _closed(widths: Doubles) -> Doubles:
    """A hair wider: the expansion of a square leaves the distance of equal points just above 0."""
    return widths * (1 + 1e-9) + 1e-6


def alpha_precision(real: Floats, fake: Floats) -> float:
    """Alaa et al.'s integrated alpha-precision of points, with balls around the mean of the real ones."""
    middle = real.mean(axis=0, dtype=np.float64)
    mine, theirs = (np.sort(np.linalg.norm(points - middle, axis=1)) for points in (real, fake))
    levels = np.linspace(0, 1, _STEPS + 1)
    share = np.searchsorted(theirs, np.quantile(mine, levels), side="right") / len(theirs)
    return _integrated(share, levels)


def beta_recall(real: Floats, fake: Floats, real_radii: Doubles) -> float:
    """Alaa et al.'s integrated beta-recall of points, with balls around the mean of the synthetic ones."""
    gap, at = (found[:, 0] for found in nearest(real, fake))
    out = np.linalg.norm(fake - fake.mean(axis=0, dtype=np.float64), axis=1)
    levels = np.linspace(0, 1, _STEPS + 1)
    reached = np.sort(np.where(gap <= real_radii, out[at], np.inf))
    share = np.searchsorted(reached, np.quantile(out, levels), side="right") / len(real)
    return _integrated(share, levels)


def _integrated(share: npt.NDArray[np.floating], levels: Doubles) -> float:
    return float(1 - 2 * np.trapezoid(np.abs(share - levels), levels))


def authenticity(train: Floats, fake: Floats) -> float:
    """Share of `fake` points that are no copy of a training point."""
    gap, at = (found[:, 0] for found in nearest(fake, train))
    which, back = np.unique(at, return_inverse=True)
    own = nearest(train[which], train, 2)[0][:, -1]  # the first is the point itself, or an equal one
    return float(np.mean(gap > own[back]))


def _run(case: Case) -> Iterator[Result]:
    rng = case.rng("manifold")
    frames = {"real": case.reference, "synthetic": case.synthetic, "training": case.train}
    size = min(ROWS, *(len(frame) for frame in frames.values()))
    if size < _FEWEST:
        yield LeftOut("manifold", f"fewer than {_FEWEST} rows on a side")
        return
    space = Space.fit(case.train)
    points = {name: space.points(frame.sample(size, rng)) for name, frame in frames.items()}
    case.check()
    widths = radii(points["real"])
    found = _scores(points["real"], points["synthetic"], widths)
    base: dict[str, float] = {}
    if case.baseline is not None:
        case.check()
        base = _scores(points["real"], points["training"], widths)
    for name, value in found.items():
        interval = wilson(value * size, size) if name in _SHARES else None
        yield Metric(name, value, interval=interval, baseline=base.get(name), size=size)
    yield _authenticity(case, space, rng)


def _authenticity(case: Case, space: Space, rng: np.random.Generator) -> Metric:
    train = space.points(case.train.sample(AMONG, rng))
    asked = space.points(case.synthetic.sample(ASKED, rng))
    case.check()
    value, base = authenticity(train, asked), None
    if case.holdout is not None:
        case.check()
        base = authenticity(train, space.points(case.holdout.sample(ASKED, rng)))
    interval = wilson(value * len(asked), len(asked))
    return Metric("authenticity", value, interval=interval, baseline=base, size=len(asked))


def _scores(real: Floats, fake: Floats, widths: Doubles) -> dict[str, float]:
    return prdc(real, fake, widths) | {
        "alpha_precision": alpha_precision(real, fake),
        "beta_recall": beta_recall(real, fake, widths),
    }


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("manifold", Family.FIDELITY, _INFOS, _run),)
