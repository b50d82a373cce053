"""What the metrics of single columns mean."""

from __future__ import annotations

from evaluators.results import Direction, Family, MetricInfo

_LOWER, _HIGHER = Direction.LOWER, Direction.HIGHER


def _info(
    name: str, title: str, description: str, direction: Direction = _HIGHER, reference: str = ""
) -> MetricInfo:
    target = 0.0 if direction is Direction.TARGET else None
    return MetricInfo(name, Family.FIDELITY, title, description, direction, target, reference)


METRICS = (
    _info(
        "column_similarity",
        "Similarity of columns",
        "The mean over columns of the KS complement (numbers) and the TV complement (everything else).",
    ),
    _info(
        "missingness_similarity",
        "Similarity of missingness",
        "1 minus the mean over columns of the absolute difference of their shares of null.",
    ),
    _info(
        "category_coverage",
        "Coverage of categories",
        "The share of the categories of at least k real patients that the sample has; the mean over columns.",
    ),
    _info(
        "ks_complement",
        "KS complement",
        "1 minus the largest difference of the two distribution functions; null does not count.",
        reference="Kolmogorov 1933, Smirnov 1948",
    ),
    _info(
        "tv_complement",
        "TV complement",
        "1 minus half the sum of the differences of the categories' shares; null is a category.",
    ),
    _info(
        "wasserstein",
        "Wasserstein distance",
        "How far values must move on average to turn one distribution into the other, in parts of the range "
        "that the middle 98 % of the real values span.",
        _LOWER,
    ),
    _info(
        "jensen_shannon",
        "Jensen-Shannon distance",
        "The root of the Jensen-Shannon divergence in bits, over categories or bins of real quantiles.",
        _LOWER,
        "Endres and Schindelin 2003",
    ),
    _info(
        "hellinger",
        "Hellinger distance",
        "The Hellinger distance over categories or bins of real quantiles, in [0, 1].",
        _LOWER,
    ),
    _info(
        "missingness_difference",
        "Difference of missingness",
        "The share of null in the sample minus that in the real rows.",
        Direction.TARGET,
    ),
    _info(
        "boundary_adherence",
        "Adherence to bounds",
        "The share of the sample's values that lie in the range of the training rows, as far as k patients "
        "support it; beside it the share of held-out values.",
    ),
    _info(
        "category_adherence",
        "Adherence to categories",
        "The share of the sample's cells whose category the training rows have; beside it that of held-out "
        "cells.",
    ),
    _info(
        "dimension_wise_probability",
        "Dimension-wise probability",
        "The R² of the sample's share of rows of every category, as a prediction of the real share; of "
        "categories that at least k real patients hold.",
        reference="Choi et al. 2017 (medGAN)",
    ),
    _info(
        "dimension_wise_error",
        "Dimension-wise error",
        "The mean absolute difference of the same shares.",
        _LOWER,
        "Choi et al. 2017 (medGAN)",
    ),
)
