"""What attacks with a control have in common: who is attacked, and what success proves.

An attack is tried on patients whose rows were learned from, and on hold-out
patients as the control. What succeeds on both comes from what is true of the
population; only the difference comes from the training rows.
"""

from __future__ import annotations

import numpy as np

from evaluators.frame import Frame
from evaluators.intervals import LEVEL, wilson, wilson_middle
from evaluators.results import Interval
from trainers.base import Indices

_METHOD = "wilson, ratio of failures"


def corrected(tests: int) -> float:
    """The level of each of so many intervals that hold together with 95 % (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(1, tests)


def victims(frame: Frame, count: int, rng: np.random.Generator) -> Frame:
    """One random row of each of at most so many patients, so that successes are independent."""
    order = rng.permutation(len(frame))
    _, first = np.unique(frame.subjects[order], return_index=True)
    rows: Indices = order[first]
    return frame.take(np.sort(rng.permutation(rows)[:count]))


def advantage(hits: int, tries: int, control_hits: int, control_tries: int, level: float = LEVEL) -> Interval:
    """The interval of the difference of two shares, hybrid of Wilson's (Newcombe 1998, method 10)."""
    share, control = _share(hits, tries), _share(control_hits, control_tries)
    own, other = wilson(hits, tries, level), wilson(control_hits, control_tries, level)
    difference = share - control
    return Interval(
        difference - float(np.hypot(share - own.low, other.high - control)),
        difference + float(np.hypot(own.high - share, control - other.low)),
        "newcombe",
        level,
    )


def residual_risk(
    hits: int, tries: int, control_hits: int, control_tries: int, level: float = LEVEL, ratio: float = 1.0
) -> tuple[float, Interval]:
    """(r_attack - r_control) / (1 - r_control) of Giomi et al. 2023, and its interval.

    As in the paper, rates are the middles of Wilson's intervals. The interval is
    that of the ratio of the two rates of failure by Donner and Zou 2012: the
    paper's propagation of errors is far too sure of itself near rates of 1.
    What lies below 0 stays as it is.

    Args:
        hits: attacks that succeeded on training patients.
        tries: attacks on them.
        control_hits: attacks that succeeded on hold-out patients.
        control_tries: attacks on them.
        level: of the interval.
        ratio: training patients per hold-out patient, where one guess succeeds
            on any of them: the control's rate is scaled by it.
    """
    rate, error = wilson_middle(hits, tries, level)
    control, control_error = (ratio * x for x in wilson_middle(control_hits, control_tries, level))
    failed, left = 1 - rate, 1 - control
    if left <= 0:
        return 0.0, Interval(-1.0, 1.0, _METHOD, level)
    ends = (failed * failed - error * error, left * left - control_error * control_error)
    if left <= control_error:
        return 1 - failed / left, Interval(-1.0, 1.0, _METHOD, level)
    root = float(np.sqrt((failed * left) ** 2 - ends[0] * ends[1]))
    low, high = (1 - (failed * left + sign * root) / ends[1] for sign in (1, -1))
    return 1 - failed / left, Interval(max(low, -1.0), min(high, 1.0), _METHOD, level)


def _share(hits: int, tries: int) -> float:
    return hits / tries if tries else 0.5
