"""Singling out, linkability and inference: the three risks of the European regulators, each with a control.

Own implementation of Giomi et al. 2023, A Unified Framework for Quantifying
Privacy Risk in Synthetic Data (PoPETs 2). A risk is what attacks on training
patients succeed more often than on hold-out patients, as a share of what the
control left: (r_attack - r_control) / (1 - r_control).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from evaluators.case import OUT_OF_TIME, Case, Evaluator, Need
from evaluators.intervals import wilson
from evaluators.privacy.control import corrected, residual_risk
from evaluators.privacy.guesses import attacked, nearest_guesses, searched
from evaluators.privacy.predicates import Outcome, multivariate, univariate
from evaluators.results import Direction, Family, Interval, LeftOut, Metric, MetricInfo, Result
from evaluators.space import Space, nearest

_NEIGHBOURS = 10
_FEWEST_ATTACKS = 10
_PAPER = "Giomi et al. 2023, PoPETs 2023(2)"
_HEADLINE = (
    " The headline is the attack whose interval has the highest lower end; intervals are widened for the "
    "number of attacks (Bonferroni)."
)


def _infos(name: str, title: str, attack: str, widened: bool = True) -> tuple[MetricInfo, MetricInfo]:
    return (
        MetricInfo(
            f"{name}_risk",
            Family.PRIVACY,
            f"{title} risk",
            f"{attack} The risk is what succeeds on training patients beyond hold-out patients, as a share "
            "of what does not succeed on those." + _HEADLINE * widened,
            Direction.LOWER,
            0.0,
            reference=_PAPER,
        ),
        MetricInfo(
            f"{name}_success_rate",
            Family.PRIVACY,
            f"{title}, rate of success",
            f"{attack} Share of attacks that succeed on training patients; baseline: on hold-out patients; "
            "null: without looking at synthetic rows of any patient. An attack below its null says "
            "nothing.",
            Direction.UNSPECIFIED,
            reference=_PAPER,
        ),
    )


_METRICS = (
    *_infos(
        "singling_out",
        "Singling out",
        "Predicates that hold for exactly one synthetic row (the extremes and rare categories of one "
        "column; or conditions on several columns) are tried on real patients: one succeeds where it holds "
        "for exactly one real patient. The control's rate is scaled to the number of training patients, so "
        "that the two are equal where training patients are not favoured.",
    ),
    *_infos(
        "linkability",
        "Linkability",
        "An attacker holds the same patients' quasi-identifiers and other columns (without "
        "quasi-identifiers: every second column and the rest) in two files; two rows are linked where "
        "their ten nearest synthetic rows have one in common.",
        widened=False,
    ),
    *_infos(
        "inference",
        "Inference",
        "An attacker who knows all other columns of a patient guesses a sensitive one from the nearest "
        "synthetic row (numbers: within 5 % of the width between the 5th and 95th percentile).",
    ),
)


@dataclass(frozen=True)
class _Attack:
    """Counts of one attack."""

    hits: int
    tries: int
    control_hits: int
    control_tries: int
    naive: float
    columns: tuple[str, ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)


def _measured(name: str, attacks: list[_Attack], ratio: float = 1.0) -> Iterator[Result]:
    enough = [a for a in attacks if min(a.tries, a.control_tries) >= _FEWEST_ATTACKS]
    if not enough:
        yield LeftOut(f"{name}_risk", f"fewer than {_FEWEST_ATTACKS} attacks can be tried")
        return
    level = corrected(len(enough))
    worst: tuple[Interval, float, _Attack] | None = None
    for attack in enough:
        risk, interval = residual_risk(
            attack.hits, attack.tries, attack.control_hits, attack.control_tries, level, ratio
        )
        if worst is None or interval.low > worst[0].low:
            worst = interval, risk, attack
        if len(enough) > 1:
            yield Metric(
                f"{name}_risk",
                _bounded(risk),
                columns=attack.columns,
                detail=attack.detail,
                interval=_within(interval),
                null_value=0.0,
                size=attack.tries,
            )
        control = min(1.0, ratio * attack.control_hits / attack.control_tries)
        yield Metric(
            f"{name}_success_rate",
            attack.hits / attack.tries,
            columns=attack.columns,
            detail=attack.detail,
            interval=wilson(attack.hits, attack.tries),
            baseline=control,
            baseline_interval=_within(wilson(attack.control_hits, attack.control_tries), ratio),
            null_value=attack.naive,
            size=attack.tries,
        )
    assert worst is not None
    yield Metric(
        f"{name}_risk",
        _bounded(worst[1]),
        interval=_within(worst[0]),
        null_value=0.0,
        size=worst[2].tries,
        headline=True,
    )


def _within(interval: Interval, ratio: float = 1.0) -> Interval:
    """It times the ratio, within 0 and 1."""
    low, high = _bounded(ratio * interval.low), _bounded(ratio * interval.high)
    return Interval(low, high, interval.method, interval.level)


def _bounded(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _singling_out(case: Case) -> Iterator[Result]:
    assert case.holdout is not None
    attacks = []
    for name, found in (("univariate", univariate(case)), ("multivariate", multivariate(case))):
        case.check()
        attacks.append(_isolations(name, found))
    yield from _measured("singling_out", attacks, case.train.patients / case.holdout.patients)


def _isolations(name: str, found: Outcome) -> _Attack:
    return _Attack(found.train, found.tries, found.holdout, found.tries, found.naive, detail={"attack": name})


def _linkability(case: Case) -> Iterator[Result]:
    names = [view.name for view in case.layout]
    known = tuple(case.quasi_identifiers) or tuple(names[::2])
    other = tuple(name for name in names if name not in known)
    if not other:
        yield LeftOut("linkability_risk", "needs two sets of columns")
        return
    train, holdout = attacked(case)
    # The same rows by either set of columns: what links are rows that are near by both.
    rows = searched(case, Space.fit(case.train))
    k = min(_NEIGHBOURS, len(rows))
    near = []
    for columns in (known, other):
        case.check()
        space = Space.fit(case.train, columns)
        synthetic = space.points(rows)
        near.append([nearest(space.points(part), synthetic, k)[1] for part in (train, holdout)])
    hits = [int((a[:, :, None] == b[:, None, :]).any(axis=(1, 2)).sum()) for a, b in zip(*near, strict=True)]
    # Two sets of k drawn at random from n have one in common in k^2 / n of cases, nearly.
    naive = 1 - (1 - k / len(rows)) ** k
    yield from _measured("linkability", [_Attack(hits[0], len(train), hits[1], len(holdout), naive)])


def _inference(case: Case) -> Iterator[Result]:
    found = nearest_guesses(case)
    if not found:
        yield LeftOut(
            "inference_risk", "there is no sensitive column of two values or more beside a known one"
        )
        return
    yield from _measured(
        "inference",
        [
            _Attack(
                int(guess.train.sum()),
                len(guess.train),
                int(guess.holdout.sum()),
                len(guess.holdout),
                guess.naive,
                columns=(guess.secret.view.name,),
            )
            for guess in found
        ],
    )


def _run(case: Case) -> Iterable[Result]:
    for name, attack in (
        ("singling_out_risk", _singling_out),
        ("linkability_risk", _linkability),
        ("inference_risk", _inference),
    ):
        case.check()
        if case.seconds_left <= 0:
            yield LeftOut(name, OUT_OF_TIME)
        else:
            yield from attack(case)


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator("disclosure", Family.PRIVACY, _METRICS, _run, needs=frozenset({Need.HOLDOUT})),
)
