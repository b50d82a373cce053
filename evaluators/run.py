"""One evaluation: every part that the profile, the data and the time allow, then the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Options, Profile, Refit
from evaluators.frame import frames
from evaluators.gate import Evidence, Headline, Policy, Verdict, decide
from evaluators.registry import definitions, evaluators
from evaluators.results import FORMAT, Figure, LeftOut, Metric, MetricInfo
from evaluators.roles import Roles, roles
from kohort.problem import Problem
from kohort.schema import Finding
from tables.statistics import patient_count
from tables.tableset import TableSet
from trainers.base import Stopped

# Modules: one of xgboost's comes from several distributions.
_LIBRARIES = {"numpy": "numpy", "scipy": "scipy", "scikit-learn": "sklearn", "xgboost": "xgboost"}


@dataclass(frozen=True)
class Subject:
    """What is evaluated: tables of the same columns, one table each."""

    train: TableSet
    synthetic: TableSet
    holdout: TableSet | None = None
    refit: Refit | None = None
    findings: tuple[Finding, ...] = ()
    """Of the schema: they name the quasi-identifiers."""


@dataclass(frozen=True)
class Watch:
    """Who looks on: told the part that begins (none at the end) and how many are done."""

    part: Callable[[str, int, int], None] = lambda name, done, total: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation."""

    options: Options
    roles: Roles
    counts: Mapping[str, int]
    """The fields of `EvaluationCounts`."""
    metrics: tuple[Metric, ...]
    figures: tuple[Figure, ...]
    left_out: tuple[LeftOut, ...]
    verdict: Verdict
    seconds: float
    definitions: Mapping[str, MetricInfo] = field(default_factory=dict)

    @property
    def evidence(self) -> Evidence:
        """What the gate needs to decide again."""
        return evidence(self.counts["holdout_patients"], self.metrics)


def evaluate(
    subject: Subject,
    options: Options,
    policy: Policy,
    watch: Watch | None = None,
    parts: Sequence[Evaluator] | None = None,
) -> Evaluation:
    """Computes everything.

    A part that raises is left out and named with where it raised; that is a defect.

    Raises:
        Problem: the options name what is not there; EMPTY_TABLE; MULTI_TABLE_UNSUPPORTED.
        Stopped: when asked to.
    """
    began = time.monotonic()
    looking = watch or Watch()
    case = _case(subject, options, began, looking.should_stop)
    chosen = evaluators() if parts is None else tuple(parts)
    metrics: list[Metric] = []
    figures: list[Figure] = []
    left_out: list[LeftOut] = []
    if case.holdout is None and subject.holdout is not None:
        said = f"fewer than {options.min_patients} patients were held out, and are not compared with"
        left_out.append(LeftOut("held-out patients", said))
    for done, part in enumerate(chosen):
        case.check()
        why = _why_not(part, case)
        if why:
            left_out.append(LeftOut(part.name, why))
            continue
        looking.part(part.name, done, len(chosen))
        _compute(part, case, metrics, figures, left_out)
    looking.part("", len(chosen), len(chosen))
    counts = _counts(case)
    return Evaluation(
        options=options,
        roles=Roles(case.targets, case.quasi_identifiers, case.sensitive, case.protected),
        counts=counts,
        metrics=tuple(metrics),
        figures=tuple(figures),
        left_out=tuple(left_out),
        verdict=decide(policy, evidence(counts["holdout_patients"], metrics)),
        seconds=time.monotonic() - began,
        definitions=definitions(chosen),
    )


def evidence(holdout_patients: int, metrics: Sequence[Metric]) -> Evidence:
    """What of the metrics the gate looks at."""
    return Evidence(
        holdout_patients,
        tuple(
            Headline(
                metric.name,
                metric.where,
                _finite(metric.value),
                _finite(metric.interval.low if metric.interval else None),
                _finite(metric.interval.high if metric.interval else None),
                _finite(metric.baseline),
            )
            for metric in metrics
            if metric.headline
        ),
    )


def versions() -> dict[str, str]:
    """The libraries that values depend on."""
    modules = {name: import_module(module) for name, module in _LIBRARIES.items()}
    return {"format": str(FORMAT)} | {name: str(module.__version__) for name, module in modules.items()}


def _compute(
    part: Evaluator, case: Case, metrics: list[Metric], figures: list[Figure], left_out: list[LeftOut]
) -> None:
    try:
        for result in part.run(case):
            match result:
                case Metric():
                    metrics.append(replace(result, table=result.table or case.schema.name))
                case Figure():
                    figures.append(result)
                case LeftOut():
                    left_out.append(result)
    except Stopped:
        raise
    except Exception as error:
        # An exception's text may quote a cell: only where it was raised is told.
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        at = f" in {last.tb_frame.f_code.co_name}:{last.tb_lineno}" if last is not None else ""
        left_out.append(LeftOut(part.name, f"it raised {type(error).__name__}{at}, which is a defect"))


def _case(subject: Subject, options: Options, began: float, should_stop: Callable[[], bool]) -> Case:
    tables = {"train": subject.train, "synthetic": subject.synthetic} | (
        {"holdout": subject.holdout} if subject.holdout is not None else {}
    )
    single = {name: tableset.single() for name, tableset in tables.items()}
    if not single["train"].num_rows or not single["synthetic"].num_rows:
        raise Problem("EMPTY_TABLE", "there are no rows to compare")
    if "holdout" in single and patient_count(single["holdout"].subjects()) < max(1, options.min_patients):
        # Whatever is compared with so few describes them.
        del tables["holdout"], single["holdout"]
    train, synthetic, holdout = frames([single["train"], single["synthetic"], single.get("holdout")])
    assert train is not None
    assert synthetic is not None
    if not len(train.layout):
        raise Problem("NO_USABLE_COLUMNS", "there is no column that can be compared")
    chosen = roles(options, train, subject.findings)
    return Case(
        schema=single["train"].schema,
        train=train,
        synthetic=synthetic,
        holdout=holdout,
        options=options,
        targets=chosen.targets,
        quasi_identifiers=chosen.quasi_identifiers,
        sensitive=chosen.sensitive,
        protected=chosen.protected,
        tables=tables,
        refit=subject.refit,
        deadline=began + options.budget,
        should_stop=should_stop,
    )


def _why_not(part: Evaluator, case: Case) -> str:
    if part.profile is Profile.FULL and case.options.profile is not Profile.FULL:
        return "part of the full profile only"
    lacking = sorted(need.value for need in part.needs - case.needs)
    if lacking:
        return f"needs {', '.join(lacking)}"
    return "" if case.seconds_left > 0 else OUT_OF_TIME


def _counts(case: Case) -> dict[str, int]:
    held: Any = case.holdout
    return {
        "training_rows": len(case.train),
        "training_patients": case.train.patients,
        "holdout_rows": 0 if held is None else len(held),
        "holdout_patients": 0 if held is None else held.patients,
        "synthetic_rows": len(case.synthetic),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None
