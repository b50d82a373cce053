"""Each column by numbers that describe it, as reports of real tables give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from evaluators.case import PAIR_ROWS, Case, Evaluator
from evaluators.fidelity.sides import Sides, patients_of
from evaluators.frame import Frame, View, supported
from evaluators.results import Direction, Family, Metric, MetricInfo, Result
from tables.statistics import StatisticsSource, patient_count
from trainers.base import Doubles, Indices

_QUANTILES = np.arange(0.05, 0.96, 0.05)
_NAMED = {"median": 0.5, "q1": 0.25, "q3": 0.75, "fifth_percentile": 0.05, "ninety_fifth_percentile": 0.95}


def _info(name: str, title: str, description: str, direction: Direction, target: float | None) -> MetricInfo:
    return MetricInfo(name, Family.FIDELITY, title, description, direction, target)


METRICS = (
    _info(
        "statistic",
        "Descriptive statistic",
        "A statistic of the sample; beside it the real rows' (dates are days since 1970, durations seconds). "
        "Minimum and maximum are as far as k patients support them; percentiles are of k patients on either "
        "side; kurtosis is that in excess of a normal distribution's; moments count values that lie farther "
        "beyond minimum and maximum than these are apart as just so far; the mode of categories is the real "
        "rows', held by k patients, and its value the share of rows.",
        Direction.UNSPECIFIED,
        None,
    ),
    _info(
        "mean_difference",
        "Difference of means",
        "The sample's mean minus the real one, in real standard deviations.",
        Direction.TARGET,
        0.0,
    ),
    _info(
        "std_ratio",
        "Ratio of standard deviations",
        "The sample's standard deviation over the real one.",
        Direction.TARGET,
        1.0,
    ),
    _info(
        "quantile_difference",
        "Difference of quantiles",
        "The mean absolute difference of the 5 %, 10 %, … 95 % quantiles, in real standard deviations.",
        Direction.LOWER,
        None,
    ),
    _info(
        "skewness_difference",
        "Difference of skewness",
        "The sample's skewness minus the real one.",
        Direction.TARGET,
        0.0,
    ),
    _info(
        "kurtosis_difference",
        "Difference of kurtosis",
        "The sample's kurtosis minus the real one.",
        Direction.TARGET,
        0.0,
    ),
)


def _run(case: Case) -> Iterator[Result]:
    sides = Sides.of(case, "statistics", PAIR_ROWS)
    k = case.options.min_patients
    for view in case.layout:
        case.check()
        yield from (_number if view.number else _category)(view, [side.frame for side in sides], k)


def _number(view: View, frames: list[Frame], k: int) -> Iterator[Result]:
    cells = [np.sort(frame[view.name][~frame.null(view.name)]) for frame in frames]
    said = [describe(frame[view.name], frame.subjects, k) for frame in frames[:2]]
    for name, value in said[1].items():
        yield _statistic(view, name, value, said[0].get(name), len(frames[1]))
    if min(patient_count(frame.subjects[~frame.null(view.name)]) for frame in frames[:2]) < k:
        return
    moments = [_moments(_near(f[view.name], f.subjects, k)) for f in frames]
    real, others = moments[0], moments[1:]
    scale = real["standard_deviation"]
    if scale > 0:
        quantiles = [np.quantile(part, _QUANTILES) if part.size else None for part in cells]
        compared = {
            "mean_difference": [(other["mean"] - real["mean"]) / scale for other in others],
            "std_ratio": [other["standard_deviation"] / scale for other in others],
            "quantile_difference": [
                float("nan") if q is None else float(np.abs(q - quantiles[0]).mean()) / scale
                for q in quantiles[1:]
            ],
        }
    else:
        compared = {}
    for part in ("skewness", "kurtosis"):
        compared[f"{part}_difference"] = [other[part] - real[part] for other in others]
    for name, values in compared.items():
        if np.isfinite(values[0]):
            baseline = values[1] if len(values) > 1 and np.isfinite(values[1]) else None
            yield Metric(name, values[0], (view.name,), baseline=baseline, size=len(frames[1]))


def describe(values: Doubles, subjects: Indices, k: int) -> dict[str, float]:
    """What describes numbers [n] (nan: null) of patients [n]; only what k of them support.

    The moments are those of the rows, without correction for their number, with
    values far beyond the bounds moved nearer: from a spread and a number of rows
    anybody could compute the one value that is far from all others. A value that
    is not finite is left out.
    """
    held = ~np.isnan(values)
    known, patients = values[held], subjects[held]
    found: dict[str, float] = {"missing_values_count": float(values.size - known.size)}
    count = patient_count(patients)
    if count < k:
        return found
    found |= _moments(_near(known, patients, k))
    for name, level in _NAMED.items():
        # With several rows per patient this is near enough: no quantile is a single patient's.
        if min(level, 1 - level) * count >= k:
            found[name] = float(np.quantile(known, level))
    with np.errstate(over="ignore", invalid="ignore"):
        found["minimum"], found["maximum"] = StatisticsSource().bounds(known, patients, k)
    distinct, codes = np.unique(known, return_inverse=True)
    found["distinct_values"] = float(distinct.size)
    common = int(np.argmax(np.bincount(codes)))
    if patient_count(patients[codes == common]) >= k:
        found["mode"] = float(distinct[common])
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _near(values: Doubles, subjects: Indices, k: int) -> Doubles:
    """Those that are not null, within what `supported` allows."""
    return np.clip(values[~np.isnan(values)], *supported(values, subjects, k))


def _moments(values: Doubles) -> Mapping[str, float]:
    names = ("mean", "variance", "standard_deviation", "skewness", "kurtosis")
    if not values.size:
        return dict.fromkeys(names, float("nan"))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = float(values.mean())
        centred = values - mean
        variance = float((centred**2).mean())
        deviation = float(np.sqrt(variance))
        # A constant column's rounding is no spread.
        if deviation <= 1e-12 * abs(mean):
            return dict(zip(names, (mean, 0.0, 0.0, float("nan"), float("nan")), strict=True))
        z = centred / deviation
        return dict(
            zip(
                names,
                (mean, variance, deviation, float((z**3).mean()), float((z**4).mean()) - 3),
                strict=True,
            )
        )


def _category(view: View, frames: list[Frame], k: int) -> Iterator[Result]:
    real, synthetic = frames[:2]
    codes = [frame[view.name].astype(np.int64) for frame in (real, synthetic)]
    counts = [np.bincount(part[part >= 0], minlength=len(view.levels)) for part in codes]
    size = len(synthetic)
    nulls = [float((part < 0).sum()) for part in codes]
    yield _statistic(view, "missing_values_count", nulls[1], nulls[0], size)
    yield _statistic(
        view, "distinct_values", float((counts[1] > 0).sum()), float((counts[0] > 0).sum()), size
    )
    if not view.levels or not counts[0].any():
        return
    mode = int(np.argmax(counts[0]))
    if patients_of(np.where(codes[0] == mode, 0, -1), real.subjects, 1)[0] >= k:
        shares = [float(part[mode]) / len(frame) for part, frame in zip(counts, frames, strict=False)]
        yield _statistic(view, "mode", shares[1], shares[0], size, category=view.levels[mode])


def _statistic(view: View, name: str, value: float, real: float | None, size: int, **detail: str) -> Metric:
    return Metric("statistic", value, (view.name,), {"statistic": name, **detail}, baseline=real, size=size)


EVALUATORS: tuple[Evaluator, ...] = (Evaluator("statistics", Family.FIDELITY, METRICS, _run),)
