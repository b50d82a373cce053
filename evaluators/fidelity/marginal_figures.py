"""Pictures of single columns.

What fewer than k real patients hold is folded, and edges of bins are round
numbers rather than patients' values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from evaluators.case import PAIR_ROWS, Case
from evaluators.fidelity.distances import FEW
from evaluators.fidelity.sides import patients_of, real_rows
from evaluators.frame import Frame, View
from evaluators.results import Family, Figure, FigureKind, Series
from kohort.schema import Kind
from trainers.base import Doubles, Indices

COLUMNS = 40
"""Columns that are drawn, at most."""
CATEGORIES = 20
"""Bars of one column, at most."""
POINTS = 500
"""Of a line, at most."""
OTHER = "other"


def figures(case: Case) -> Iterator[Figure]:
    """One of each column, and one of their nulls."""
    rng = case.rng("marginal_figures")
    real = real_rows(case, PAIR_ROWS, rng)
    synthetic = case.synthetic.sample(PAIR_ROWS, rng)
    views = case.layout.views[:COLUMNS]
    k = case.options.min_patients
    for view in views:
        case.check()
        yield from _marginal(view, real, synthetic, k)
    yield from _missingness(views, real, synthetic, k)


def _marginal(view: View, real: Frame, synthetic: Frame, k: int) -> Iterator[Figure]:
    cells = [real[view.name], synthetic[view.name]]
    found = _bins(view, cells, real.subjects, k) if view.number else None
    if found is not None:
        names, codes = found
    else:
        names, codes = _bars(view, cells, real.subjects, k)
    if not names:
        return
    series = []
    for name, part in zip(("real", "synthetic"), codes, strict=True):
        # Of real values the drawn ones are all: what is missing from 1 would be a count of hidden patients.
        known = part[(part >= 0) & (part < len(names))] if name == "real" else part[part >= 0]
        rows = len(known)
        counts = np.bincount(known, minlength=len(names))[: len(names)]
        series.append(Series(name, (counts / max(rows, 1)).tolist()))
    title = f"Distribution of {view.name}"
    yield Figure(
        f"marginal:{view.name}",
        Family.FIDELITY,
        title,
        FigureKind.BARS,
        tuple(series),
        tuple(names),
        view.name,
        "share of values",
        y_min=0.0,
    )


def _bars(view: View, cells: list[Doubles], subjects: Indices, k: int) -> tuple[list[str], list[Indices]]:
    """The names of bars, one per category or value, and per side the bar of every cell; -1 for null.

    A code beyond the last name is of cells that are not drawn: those of fewer than k patients in all.
    """
    if view.number:
        at = np.unique(cells[0][~np.isnan(cells[0])])
        texts = [label(view, value) for value in at]
        codes = []
        for part in cells:
            place = np.clip(np.searchsorted(at, part), 0, max(at.size - 1, 0))
            hit = at[place] == part if at.size else np.zeros(part.size, dtype=np.bool_)
            codes.append(np.where(np.isnan(part), -1, np.where(hit, place, at.size)))
    else:
        texts = list(view.levels)
        codes = [part.astype(np.int64) for part in cells]
    size = len(texts) + 1  # the last one: of no real row
    patients = patients_of(codes[0], subjects, size)
    rows = np.bincount(codes[0][codes[0] >= 0], minlength=size)
    shown = np.flatnonzero(patients >= k)
    if shown.size > CATEGORIES:
        shown = np.sort(shown[np.argsort(-rows[shown], kind="stable")[: CATEGORIES - 1]])
    place = np.full(size + 1, shown.size)  # the last one: of null
    place[shown] = np.arange(shown.size)
    place[-1] = -1
    folded = [place[part] for part in codes]
    names = [texts[i] for i in shown]
    left = patients_of(np.where(folded[0] == shown.size, 0, -1), subjects, 1)[0]
    if names and (left >= k or (not left and (folded[1] == shown.size).any())):
        names.append(OTHER)
    return names, folded


def _bins(
    view: View, cells: list[Doubles], subjects: Indices, k: int
) -> tuple[list[str], list[Indices]] | None:
    """As `_bars`, with bins of a round width; None where there are few values."""
    known = cells[0][~np.isnan(cells[0])]
    if np.unique(known).size <= FEW and view.whole:
        return None
    if not known.size:
        return [], []
    low, high = np.quantile(known, [0.01, 0.99])
    inner = round_edges(float(low), float(high), view.whole)
    codes = [np.where(np.isnan(p), -1, np.searchsorted(inner, p, side="right")) for p in cells]
    patients = patients_of(codes[0], subjects, inner.size + 1)
    merged = _merge(patients, k, codes[0], subjects)
    if merged is None:
        return [], []
    kept = inner[np.diff(merged) > 0]
    return _bin_names(view, kept), [np.where(part < 0, -1, merged[part]) for part in codes]


def _merge(patients: Indices, k: int, codes: Indices, subjects: Indices) -> Indices | None:
    """Per bin its new number, so that every new one has k patients; None where there are not as many."""
    new = np.zeros(patients.size, dtype=np.int64)
    # The patients of two bins may be the same: what counts is the fullest of those that are joined.
    number, fullest = 0, 0
    for i, count in enumerate(patients.tolist()):
        new[i] = number
        fullest = max(fullest, count)
        if fullest >= k:
            number, fullest = number + 1, 0
    if fullest < k:  # what is left joins the last
        new[new == number] = max(number - 1, 0)
    if number == 0:
        held = patients_of(np.where(codes >= 0, 0, -1), subjects, 1)[0]
        return new if held >= k else None
    return new


def round_edges(low: float, high: float, whole: bool, most: int = CATEGORIES - 2) -> Doubles:
    """Multiples of 1, 2 or 5 times a power of ten from low to high, at most `most` + 1."""
    if not low < high or math.isinf(high - low):
        # What lies below a point, and what does not.
        return np.array([round(low)]) if whole else np.array([float(f"{low:.3g}")])
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    if whole:
        step = max(step, 1.0)
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1).astype(np.float64) * step


def _bin_names(view: View, inner: Doubles) -> list[str]:
    if not inner.size:
        return ["all values"]
    texts = [label(view, value) for value in inner]
    between = [f"{a} to {b}" for a, b in pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} and above"]


def label(view: View, value: float) -> str:
    """A number of a column for people: dates as such, durations in seconds."""
    if view.column.kind in (Kind.DATE, Kind.DATETIME):
        try:
            return str(np.datetime64(math.floor(value), "D"))
        except (ValueError, OverflowError):
            return f"{value:.6g}"
    return f"{value:.10g}"


def _missingness(views: tuple[View, ...], real: Frame, synthetic: Frame, k: int) -> Iterator[Figure]:
    names: list[str] = []
    series: tuple[list[float], list[float]] = ([], [])
    for view in views:
        nulls = [frame.null(view.name) for frame in (real, synthetic)]
        patients = patients_of(np.where(nulls[0], 0, -1), real.subjects, 1)[0]
        if not any(part.any() for part in nulls) or 0 < patients < k:
            continue
        names.append(view.name)
        for found, part in zip(series, nulls, strict=True):
            found.append(float(part.mean()) if part.size else float("nan"))
    if names:
        yield Figure(
            "missingness",
            Family.FIDELITY,
            "Shares of null",
            FigureKind.BARS,
            (Series("real", series[0]), Series("synthetic", series[1])),
            tuple(names),
            "column",
            "share of rows",
            y_min=0.0,
            y_max=1.0,
        )


def dimension_wise_figure(levels: Doubles) -> Figure:
    """Shares of rows of categories, [levels, sides]: real, synthetic, and the baseline where there is one."""
    order = np.argsort(levels[:, 0], kind="stable")
    if len(order) > POINTS:
        order = order[np.linspace(0, len(order) - 1, POINTS).astype(np.int64)]
    x = levels[order, 0].tolist()
    names = ("synthetic", "training")[: levels.shape[1] - 1]
    lines = [Series(name, levels[order, 1 + i].tolist(), x) for i, name in enumerate(names)]
    return Figure(
        "dimension_wise_probability",
        Family.FIDELITY,
        "Dimension-wise probability",
        FigureKind.LINES,
        (*lines, Series("equal", [0.0, 1.0], [0.0, 1.0])),
        x_label="share of real rows",
        y_label="share of rows",
        y_min=0.0,
        y_max=1.0,
    )
