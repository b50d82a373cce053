"""The headline metrics: those that the summary, release policies and the metrics page know.

Apart from their definitions, so that a server knows them without the libraries
that compute them.
"""

from __future__ import annotations

from collections.abc import Mapping

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "PRIVACY": (
        "membership_inference_auc",
        "membership_inference_tpr",
        "membership_inference_tpr_excess",
        "attribute_inference_advantage",
        "singling_out_risk",
        "linkability_risk",
        "inference_risk",
        "reidentification_risk",
        "identical_match_share",
        "identical_match_excess",
        "nnaa_privacy_loss",
        "dcr_share",
        "k_anonymity",
    ),
    "FIDELITY": (
        "column_similarity",
        "pair_similarity",
        "association_similarity",
        "missingness_similarity",
        "category_coverage",
        "c2st_auc",
        "rule_violation_share",
    ),
    "UTILITY": ("utility_ratio",),
    "FAIRNESS": ("demographic_parity_difference", "equalized_odds_difference"),
}
"""By the name of their family, in the order in which a report shows them."""

HIGHER_IS_BETTER = frozenset(
    {"k_anonymity", *HEADLINES["FIDELITY"], *HEADLINES["UTILITY"]} - {"c2st_auc", "rule_violation_share"}
)
"""Of the others the largest value is the worst."""
