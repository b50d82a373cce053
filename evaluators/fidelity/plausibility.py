"""Whether single rows can be true: rules that they break, and rows that come twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.case import PAIR_ROWS, Case, Evaluator
from evaluators.fidelity.rules import MOST_BROKEN, Mask, Rows, rules
from evaluators.fidelity.sides import Side, jackknife, without
from evaluators.frame import Frame
from evaluators.intervals import clopper_pearson
from evaluators.privacy.alike import classes
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result

METRICS = (
    MetricInfo(
        "rule_violation_share",
        Family.FIDELITY,
        "Share of rows that break a rule",
        "Rules are the schema's constraints, bounds and levels, and what names and units of columns imply: "
        "plausible ranges, the order of dates, what the sexes cannot have. Of these, those that more than "
        f"{MOST_BROKEN:.0%} of the training rows break are left out. Without columns: rows that break any.",
        Direction.LOWER,
    ),
    MetricInfo(
        "duplicate_share",
        Family.FIDELITY,
        "Share of duplicates",
        "Rows that equal another row of the sample; beside it the same of as many training rows.",
        Direction.UNSPECIFIED,
    ),
)


def _run(case: Case) -> Iterator[Result]:
    yield _duplicates(case)
    if not {"train", "synthetic"} <= set(case.tables):
        yield LeftOut("rule_violation_share", "the rows are not there as tables")
        return
    train = Rows(case.train, case.tables["train"].single())
    synthetic = Rows(case.synthetic, case.tables["synthetic"].single())
    real = train if case.holdout is None else Rows(case.holdout, case.tables["holdout"].single())
    whole = [np.zeros(len(rows.frame), dtype=np.bool_) for rows in (synthetic, real)]
    emitted = set(synthetic.table.arrays)
    checked = 0
    for rule in rules(case.schema, train, case.options.min_patients):
        case.check()
        if not emitted.issuperset(rule.columns):
            yield LeftOut("rule_violation_share", f"the sample lacks a column of a rule ({rule.name})")
            continue
        if not rule.declared and rule.broken(train).mean() > MOST_BROKEN:
            continue
        found = [rule.broken(rows) for rows in (synthetic, real)]
        whole = [mask | more for mask, more in zip(whole, found, strict=True)]
        checked += 1
        yield _share(case, found, rule.columns, {"rule": rule.name})
    if checked:
        yield _share(case, whole, (), {}, headline=True)
    else:
        yield LeftOut("rule_violation_share", "the schema says no rule, and names of columns imply none")


def _share(
    case: Case, broken: list[Mask], columns: tuple[str, ...], detail: dict[str, str], headline: bool = False
) -> Metric:
    """Of synthetic rows, beside real ones."""
    frames = (case.synthetic, case.reference)
    values = [float(mask.mean()) if mask.size else float("nan") for mask in broken]
    around = [_interval(mask, frame, case) for mask, frame in zip(broken, frames, strict=True)]
    return Metric(
        "rule_violation_share",
        values[0],
        columns,
        detail,
        around[0],
        values[1],
        around[1],
        size=len(case.synthetic),
        headline=headline,
    )


def _interval(broken: Mask, frame: Frame, case: Case) -> Interval | None:
    """Exact where every row is another patient's, or none or all break it; else by groups of patients."""
    hits = int(broken.sum())
    if frame.patients == len(frame) or hits in (0, len(frame)):
        return clopper_pearson(hits * frame.patients // max(len(frame), 1), frame.patients)
    side = Side.of(frame, case.rng("rule_violation_share"))
    counts = side.counts(np.where(broken, 0, -1), 1)[:, 0]
    return jackknife(hits / len(frame), [without(counts) / np.maximum(without(side.rows), 1.0)])


def _duplicates(case: Case) -> Metric:
    rng = case.rng("duplicate_share")
    size = min(len(case.synthetic), len(case.train), PAIR_ROWS)
    value, baseline = (duplicates(frame.sample(size, rng)) for frame in (case.synthetic, case.train))
    return Metric("duplicate_share", value, baseline=baseline, size=size)


def duplicates(frame: Frame) -> float:
    """The share of rows that equal another one in every column; null equals null."""
    if not len(frame):
        return float("nan")
    (rows,), count = classes([frame], [view.name for view in frame.layout])
    return float((np.bincount(rows, minlength=count)[rows] > 1).mean())


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("plausibility", Family.FIDELITY, METRICS, _run),)
