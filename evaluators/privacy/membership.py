"""Membership inference: whether synthetic rows tell whose records were learned from.

Members are training patients, non-members those of the hold-out; a patient's
score is that of its best row. Bounds are corrected (Bonferroni) for the number
of attacks and, where several rates of false positives are looked at, of those,
so that an honest generator raises a false alarm in one report out of twenty at
most. That no attack succeeds proves nothing without differential privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from evaluators.case import Case, Evaluator, Need
from evaluators.intervals import LEVEL, auc, clopper_pearson, delong
from evaluators.privacy import attacks
from evaluators.privacy.attacks import Parts
from evaluators.privacy.scores import Scores
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

RATES = (0.001, 0.01, 0.1)
"""Rates of false positives."""
OUTLIERS = 0.1
"""The share of scored patients who count as outliers."""
FEWEST = 10
"""Members, and others, of an attack, at least."""
_SECONDS = 3.0
"""What is left must be more for the models of error prediction."""

AUC = MetricInfo(
    "membership_inference_auc",
    Family.PRIVACY,
    "Membership inference: AUC",
    "How well an attacker with the synthetic rows tells patients whose records were learned from from"
    " others: the chance that the former score higher. 0.5 is a coin. Averages hide the few whose"
    " records leak; see the true-positive rates.",
    Direction.LOWER,
    0.5,
    "van Breugel et al. 2023, https://arxiv.org/abs/2302.12580; intervals DeLong et al. 1988",
)
TPR = MetricInfo(
    "membership_inference_tpr",
    Family.PRIVACY,
    "Membership inference: true-positive rate",
    "Which share of the patients learned from an attacker names when wrong about so small a share of"
    " the others; an attacker who knows nothing attains that share itself.",
    Direction.LOWER,
    reference="Carlini et al. 2022, https://arxiv.org/abs/2112.03570",
)
EXCESS = MetricInfo(
    "membership_inference_tpr_excess",
    Family.PRIVACY,
    "Membership inference: true positives beyond chance",
    "The true-positive rate less the false-positive rate. The interval accounts for the threshold's being"
    " taken from few others, and for the number of attacks and rates: above 0 is significant.",
    Direction.LOWER,
    0.0,
    "exceedance test, Gumbel and von Schelling 1950; Carlini et al. 2022, https://arxiv.org/abs/2112.03570",
)
ADVANTAGE = MetricInfo(
    "membership_inference_advantage",
    Family.PRIVACY,
    "Membership inference: advantage",
    "The greatest difference of true- and false-positive rate over all thresholds; of few patients it is"
    " above 0 by chance.",
    Direction.LOWER,
    0.0,
    "Yeom et al. 2018, https://arxiv.org/abs/1709.01604",
)


@dataclass(frozen=True, eq=False)
class _Attack:
    """One attack under way."""

    detail: dict[str, str]
    sizes: tuple[int, int]
    """Members and others."""
    score: Callable[[], Scores]
    seconds: float = 0.0
    """Left out where fewer are left."""

    @property
    def name(self) -> str:
        return " on ".join(self.detail.values())

    @property
    def rates(self) -> tuple[float, ...]:
        """Those that the others are enough for."""
        return tuple(rate for rate in RATES if self.sizes[1] * rate >= 1 - 1e-9)


def run(case: Case) -> Iterator[Result]:
    """All attacks."""
    parts = Parts.of(case)
    sizes = parts.members.patients, parts.others.patients
    if min(sizes) < FEWEST or parts.reference.patients < FEWEST:
        yield LeftOut("membership", f"needs {2 * FEWEST} training and {FEWEST} held-out patients")
        return
    planned = [
        _Attack({"attack": "distance"}, sizes, lambda: attacks.distance(parts)),
        _Attack({"attack": "domias"}, sizes, lambda: attacks.domias(parts)),
    ]
    case.check()
    remote = outliers(attacks.exposure(parts))
    few = int(remote.members.sum()), int(remote.others.sum())
    if min(few) < FEWEST:
        yield LeftOut("membership:outliers", f"fewer than {FEWEST} outliers on a side")
    else:
        chosen = {"attack": "distance", "records": "outliers"}
        planned.append(_Attack(chosen, few, lambda: remote.of(attacks.distance(parts))))
    options = case.options
    if len(case.layout) < 2:
        yield LeftOut("membership:error_prediction", "needs two columns")
    else:
        planned.append(
            _Attack(
                {"attack": "error_prediction"},
                sizes,
                lambda: attacks.error_prediction(parts, options.seed, options.threads, case.check),
                _SECONDS,
            )
        )
    level = 1 - (1 - LEVEL) / len(planned)
    every = 1 - (1 - LEVEL) / max(1, sum(len(attack.rates) for attack in planned))
    series = []
    for attack in planned:
        case.check()
        if case.seconds_left < attack.seconds:
            yield LeftOut(f"membership:{attack.name}", "too little of the time budget was left")
            continue
        scores = attack.score()
        yield from _metrics(attack, scores, level, every)
        shown = case.options.min_patients / attack.sizes[1]
        if shown < 1:
            x, y = scores.curve(shown)
            series.append(Series(attack.name, y.tolist(), x.tolist()))
    if series:
        yield _figure(series)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Which of the scored patients, bool [m] and [n]."""

    members: np.ndarray[tuple[int], np.dtype[np.bool_]]
    others: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def of(self, scores: Scores) -> Scores:
        """Theirs."""
        return Scores(scores.members[self.members], scores.others[self.others])


def outliers(exposure: Scores, share: float = OUTLIERS) -> Chosen:
    """The share of all scored patients, members or not, who are farthest from the reference."""
    least = float(np.quantile(np.concatenate([exposure.members, exposure.others]), 1 - share))
    return Chosen(exposure.members > least, exposure.others > least)


def _metrics(attack: _Attack, scores: Scores, level: float, every: float) -> Iterator[Result]:
    detail, (members, others) = attack.detail, attack.sizes
    size = members + others
    interval = delong(scores.members, scores.others, level)
    area = auc(scores.members, scores.others)
    yield Metric(AUC.name, area, (), detail, interval, null_value=0.5, size=size, headline=True)
    bounds = scores.advantage_interval(level)
    yield Metric(ADVANTAGE.name, scores.advantage, (), detail, bounds, null_value=0.0, size=size)
    for rate in RATES:
        at = {**detail, "fpr": f"{rate:g}"}
        if rate not in attack.rates:
            reason = f"{others} others are too few for a false-positive rate of {rate:g}"
            yield LeftOut(f"membership:{attack.name}:fpr {rate:g}", reason)
            continue
        hits = scores.hits(scores.rank(rate))
        exact = clopper_pearson(hits, members, level)
        found = hits / members
        yield Metric(TPR.name, found, (), at, exact, null_value=rate, size=size, headline=True)
        beyond = scores.excess_interval(rate, every)
        yield Metric(EXCESS.name, found - rate, (), at, beyond, null_value=0.0, size=size, headline=True)


def _figure(series: list[Series]) -> Figure:
    lowest = min(min(part.x) for part in series)
    line = np.geomspace(lowest, 1, 40).tolist()
    return Figure(
        "membership:roc",
        Family.PRIVACY,
        "Membership inference",
        FigureKind.LINES,
        (*series, Series("knows nothing", line, line)),
        x_label="false-positive rate",
        y_label="true-positive rate",
        y_min=0.0,
        y_max=1.0,
    )


EVALUATORS: tuple[Evaluator, ...] = (
    Evaluator(
        "membership",
        Family.PRIVACY,
        (AUC, TPR, EXCESS, ADVANTAGE),
        run,
        frozenset({Need.HOLDOUT}),
    ),
)
