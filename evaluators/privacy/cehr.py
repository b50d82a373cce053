"""Values as CEHR-GPT's privacy analyses give them, so that results can be compared with published ones.

Written from the analyses' definitions (Pang et al. 2024, CEHR-GPT), for flat
tables: numbers divided by their greatest magnitude, categories one-hot, the
squared Euclidean distance. Two of their rules are poor and kept for
comparison alone; `membership` and `attributes` are what to go by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from evaluators.case import Case, Evaluator
from evaluators.frame import Frame, View
from evaluators.intervals import mean_of, wilson
from evaluators.privacy.control import victims
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result
from evaluators.space import nearest
from trainers.base import Doubles, Floats

MEMBER_WITHIN = 5.0
"""Their threshold of squared distance."""
_ROWS = 3_000
_BINS = 10
_MOST_LEVELS = 64

_PAPER = "Pang et al. 2024, CEHR-GPT, arXiv:2402.04400; Yan et al. 2022"


def _attribute(name: str, what: str) -> MetricInfo:
    return MetricInfo(
        f"cehr_attribute_{name}",
        Family.PRIVACY,
        f"Attribute inference as in CEHR-GPT, {name}",
        f"{what} where a training patient gets the sensitive values of the nearest synthetic row by "
        "quasi-identifiers; the baseline copies them from the nearest other training row. Values are "
        "those of categories and of numbers in ten classes, but for each column's most frequent one, "
        "which stands for nothing to find. The published code divides by the wrong row's count for "
        "precision; this does not.",
        Direction.UNSPECIFIED,
        reference=_PAPER,
    )


def _membership(name: str, what: str) -> MetricInfo:
    return MetricInfo(
        f"cehr_membership_{name}",
        Family.PRIVACY,
        f"Membership inference as in CEHR-GPT, {name}",
        f"{what} of the rule that a row within a squared distance of 5 of a synthetic row is a training row, "
        "asked of every synthetic row's nearest training and nearest hold-out row (as many of either). The "
        "threshold knows nothing of the table's scale: few columns lie within it always, many never.",
        Direction.UNSPECIFIED,
        reference=_PAPER,
    )


_METRICS = (
    _attribute("precision", "Mean share of the values copied that are right,"),
    _attribute("recall", "Mean share of the patient's values that are copied,"),
    _attribute("f1", "Mean F1 of the values copied,"),
    _membership("accuracy", "Accuracy"),
    _membership("precision", "Precision"),
    _membership("recall", "Recall"),
    _membership("f1", "F1"),
)


def _points(frame: Frame, train: Frame, views: list[View]) -> Floats:
    """Rows as their vectors, float32 [n, features]; null is 0 everywhere."""
    parts = [np.zeros((len(frame), 1))]
    for view in views:
        if view.number:
            most = float(np.nanmax(np.abs(train[view.name]), initial=0.0)) or 1.0
            parts.append(np.nan_to_num(frame[view.name])[:, None] / most)
        else:
            parts.append(_one_hot(view, frame, train))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _one_hot(view: View, frame: Frame, train: Frame) -> Doubles:
    """The frequent levels' indicators."""
    cells = train[view.name]
    frequent = np.argsort(-np.bincount(cells[cells >= 0], minlength=len(view.levels)), kind="stable")
    return np.asarray(frame[view.name][:, None] == frequent[:_MOST_LEVELS], np.float64)


def _items(frame: Frame, train: Frame, views: list[View]) -> Floats:
    """Sensitive values as a multi-hot vector, without each column's most frequent one."""
    parts = [np.zeros((len(frame), 1))]
    for view in views:
        if not view.number:
            parts.append(_one_hot(view, frame, train)[:, 1:])
            continue
        known = train[view.name][~np.isnan(train[view.name])]
        distinct, counts = np.unique(known, return_counts=True)
        if len(distinct) > _BINS:
            edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
            cells = np.searchsorted(edges, frame[view.name], "right")
            cells = np.where(frame.null(view.name), -1, cells)
            kinds = np.arange(len(edges) + 1)
            often = np.bincount(np.searchsorted(edges, known, "right")).argmax()
            parts.append((cells[:, None] == kinds[kinds != often]).astype(np.float64))
        elif len(distinct):
            kinds = np.delete(distinct, counts.argmax())
            parts.append((frame[view.name][:, None] == kinds).astype(np.float64))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _attributes(case: Case) -> Iterator[Result]:
    known = [case.layout[name] for name in case.quasi_identifiers]
    secret = [case.layout[name] for name in case.sensitive if name not in case.quasi_identifiers]
    if not known or not secret:
        yield LeftOut("cehr_attribute_f1", "needs quasi-identifiers and a sensitive column")
        return
    rng = case.rng("cehr attributes")
    real, synthetic = victims(case.train, _ROWS, rng), case.synthetic.sample(_ROWS, rng)
    if len(real) < 2:
        yield LeftOut("cehr_attribute_f1", "needs two training patients")
        return
    here = _points(real, case.train, known)
    truth = _items(real, case.train, secret)
    _, from_synthetic = nearest(here, _points(synthetic, case.train, known))
    _, from_real = nearest(here, here, same=True)
    copied = _agreement(truth, _items(synthetic, case.train, secret)[from_synthetic[:, 0]])
    others = _agreement(truth, truth[from_real[:, 0]])
    for name, own, base in zip(("precision", "recall", "f1"), copied, others, strict=True):
        yield Metric(
            f"cehr_attribute_{name}",
            float(own.mean()),
            interval=mean_of(own),
            baseline=float(base.mean()),
            baseline_interval=mean_of(base),
            size=len(real),
        )


def _agreement(truth: Floats, guess: Floats) -> tuple[Doubles, Doubles, Doubles]:
    """Precision, recall and F1 per row; all 1 where there was nothing to find and nothing was said."""
    both = (truth * guess).sum(axis=1, dtype=np.float64)
    said, there = guess.sum(axis=1, dtype=np.float64), truth.sum(axis=1, dtype=np.float64)
    nothing = (said == 0) & (there == 0)
    precision = np.where(nothing, 1.0, both / np.maximum(said, 1))
    recall = np.where(nothing, 1.0, both / np.maximum(there, 1))
    f1 = np.where(nothing, 1.0, 2 * both / np.maximum(said + there, 1))
    return precision, recall, f1


def _members(case: Case) -> Iterator[Result]:
    if case.holdout is None:
        yield LeftOut("cehr_membership_accuracy", "needs held-out patients")
        return
    rng = case.rng("cehr membership")
    views = list(case.layout)
    rows = min(_ROWS, len(case.train), len(case.holdout))
    synthetic = _points(case.synthetic.sample(_ROWS, rng), case.train, views)
    within = [
        nearest(synthetic, _points(part.sample(rows, rng), case.train, views))[0][:, 0] ** 2 < MEMBER_WITHIN
        for part in (case.train, case.holdout)
    ]
    right, wrong, each = int(within[0].sum()), int(within[1].sum()), len(synthetic)
    yield _share("accuracy", right + each - wrong, 2 * each, 0.5)
    yield _share("precision", right, right + wrong, 0.5)
    yield _share("recall", right, each, None)
    yield Metric("cehr_membership_f1", 2 * right / (right + wrong + each), size=2 * each)


def _share(name: str, hits: int, tries: int, null: float | None) -> Metric:
    interval: Interval = wilson(hits, tries)
    return Metric(
        f"cehr_membership_{name}",
        hits / tries if tries else 0.0,
        interval=interval,
        null_value=null,
        size=tries,
    )


def _run(case: Case) -> Iterable[Result]:
    yield from _attributes(case)
    case.check()
    yield from _members(case)


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("cehr", Family.PRIVACY, _METRICS, _run),)
