"""A report to look at: pictures of the heart table beside columns drawn one by one, values made up to fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from evaluators.case import Options
from evaluators.gate import Effect, Policy, Reference, Rule, RuleKind, Statistic, decide
from evaluators.reporting import report_json
from evaluators.results import (
    Direction,
    Family,
    Figure,
    FigureKind,
    Interval,
    LeftOut,
    Metric,
    MetricInfo,
    Series,
)
from evaluators.roles import Roles
from evaluators.run import Evaluation, evidence
from tests.evaluation.cases import ROOT

ABOUT: dict[str, Any] = {
    "name": "reports/6f1c2a",
    "model": "models/heart",
    "dataset": "datasets/heart",
    "job": "jobs/91",
    "display_name": "Heart disease, columns drawn one by one",
    "labels": {"study": "example"},
    "create_time": "2026-03-01T10:20:30Z",
    "content_digest": bytes(range(32)),
    "losses": [{"step": n, "loss": 2 / n**0.5, "validation": 2.1 / n**0.45} for n in range(1, 60)],
}

POLICY = Policy(
    rules=(
        Rule("membership_inference_auc", RuleKind.PRIVACY, 0.6, Effect.LOCK, Statistic.LOWER),
        Rule("singling_out_risk", RuleKind.PRIVACY, 0.1, Effect.LOCK, Statistic.LOWER),
        Rule(
            "pair_similarity",
            RuleKind.QUALITY,
            0.9,
            Effect.WARN,
            Statistic.VALUE,
            Reference.RATIO,
            below=True,
        ),
        Rule("c2st_auc", RuleKind.QUALITY, 0.3, Effect.WARN, Statistic.VALUE, Reference.DIFFERENCE),
        Rule("utility_ratio", RuleKind.QUALITY, 0.9, Effect.WARN, below=True),
    )
)

DEFINITIONS = (
    MetricInfo(
        "membership_inference_auc",
        Family.PRIVACY,
        "Membership inference, AUC",
        "How often an attack ranks a patient who was learned from above one who was not.",
        Direction.LOWER,
        reference="Shokri et al. 2017",
    ),
    MetricInfo(
        "identical_match_excess",
        Family.PRIVACY,
        "Identical matches beyond the hold-out's",
        "The share of training rows found among the synthetic rows minus that of held-out rows.",
        Direction.LOWER,
    ),
    MetricInfo(
        "column_similarity",
        Family.FIDELITY,
        "Similarity of columns",
        "Mean over columns of the KS complement (numbers) and the TV complement (categories).",
        reference="SDMetrics",
    ),
    MetricInfo(
        "pair_similarity",
        Family.FIDELITY,
        "Similarity of pairs of columns",
        "Mean over pairs of the similarity of their associations.",
    ),
    MetricInfo(
        "c2st_auc",
        Family.FIDELITY,
        "Detection by a classifier, AUC",
        "How well a classifier tells synthetic rows from real ones.",
        Direction.TARGET,
        0.5,
        reference="Lopez-Paz and Oquab 2017",
    ),
    MetricInfo(
        "ks_complement",
        Family.FIDELITY,
        "KS complement",
        "One minus the greatest distance of the two distribution functions.",
    ),
    MetricInfo(
        "utility_ratio",
        Family.UTILITY,
        "Utility kept",
        "What boosted trees trained on synthetic rows reach, divided by those trained on real rows.",
        reference="Esteban et al. 2017",
    ),
)


def heart() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table, and each of its columns drawn by itself, with replacement."""
    real = pd.read_csv(ROOT / "tests" / "data" / "heart.csv")
    rng = np.random.default_rng(0)
    return real, pd.DataFrame({name: rng.choice(real[name].to_numpy(), len(real)) for name in real})


def metrics() -> tuple[Metric, ...]:
    """Headline values and a few others."""
    real, drawn = heart()
    by_column = [
        Metric(
            "ks_complement",
            float(1 - 0.05 * np.sin(at) ** 2),
            columns=(name,),
            baseline=0.97,
            size=len(real),
        )
        for at, name in enumerate(drawn)
    ]
    attacks = [("distance", 0.52, 0.44, 0.60), ("density ratio", 0.55, 0.47, 0.63)]
    return (
        *(
            Metric(
                "membership_inference_auc",
                auc,
                detail={"attack": name},
                interval=Interval(low, high, "delong"),
                null_value=0.5,
                size=303,
                headline=True,
            )
            for name, auc, low, high in attacks
        ),
        Metric(
            "identical_match_excess",
            0.0,
            interval=Interval(-0.012, 0.012, "newcombe"),
            null_value=0.0,
            size=303,
            headline=True,
        ),
        Metric(
            "column_similarity",
            0.968,
            baseline=0.962,
            interval=Interval(0.95, 0.98, "bootstrap"),
            headline=True,
        ),
        Metric(
            "pair_similarity", 0.83, baseline=0.95, interval=Interval(0.81, 0.85, "bootstrap"), headline=True
        ),
        Metric(
            "c2st_auc",
            0.87,
            detail={"model": "boosted trees"},
            baseline=0.51,
            null_value=0.5,
            interval=Interval(0.84, 0.90, "delong"),
            headline=True,
        ),
        Metric(
            "utility_ratio",
            0.58,
            detail={"target": "num"},
            interval=Interval(0.49, 0.68, "bootstrap"),
            headline=True,
        ),
        *by_column,
    )


def figures() -> tuple[Figure, ...]:
    """One of every kind, of the two tables."""
    real, drawn = heart()
    return (
        *(_marginal(name, real[name], drawn[name]) for name in real),
        _heat("real", real.corr()),
        _heat("synthetic", drawn.corr()),
        _heat("difference", drawn.corr() - real.corr()),
        _roc(),
        Figure(
            "tstr:num",
            Family.UTILITY,
            "Predicting num for held-out patients",
            FigureKind.BARS,
            (
                Series(
                    "Trained on real rows",
                    [0.89, 0.88, 0.87],
                    low=[0.82, 0.81, 0.80],
                    high=[0.95, 0.94, 0.93],
                ),
                Series(
                    "Trained on synthetic rows",
                    [0.52, np.nan, 0.55],
                    low=[0.4, np.nan, 0.43],
                    high=[0.64, np.nan, 0.67],
                ),
            ),
            ("Boosted trees", "Logistic regression", "Random forest"),
            y_label="AUROC",
            y_min=0,
            y_max=1,
        ),
    )


def _marginal(name: str, real: pd.Series[Any], drawn: pd.Series[Any]) -> Figure:
    if real.nunique() > 8:
        edges = np.quantile(real.dropna(), np.linspace(0.02, 0.98, 11))
        shares = [np.histogram(v.dropna(), edges)[0] / len(v) for v in (real, drawn)]
        categories = tuple(f"{a:.4g} – {b:.4g}" for a, b in pairwise(edges))
    else:
        levels = sorted(real.dropna().unique())
        shares = [np.array([(v == level).mean() for level in levels]) for v in (real, drawn)]
        categories = tuple(f"{level:g}" for level in levels)
    series = tuple(Series(n, list(s)) for n, s in zip(("Real", "Synthetic"), shares, strict=True))
    return Figure(
        f"marginal:{name}",
        Family.FIDELITY,
        name,
        FigureKind.BARS,
        series,
        categories,
        y_label="Share of rows",
    )


def _heat(what: str, matrix: pd.DataFrame) -> Figure:
    names = tuple(str(name) for name in matrix)
    rows = tuple(Series(name, list(matrix[name])) for name in names)
    title = f"Correlations, {what}"
    return Figure(
        f"correlation:{what}", Family.FIDELITY, title, FigureKind.HEATMAP, rows, names, y_min=-1, y_max=1
    )


def _roc() -> Figure:
    fpr = np.linspace(0, 1, 101)
    return Figure(
        "roc:membership",
        Family.PRIVACY,
        "Membership inference",
        FigureKind.LINES,
        (
            Series("Distance", list(fpr**0.95), list(fpr), list(fpr**1.2), list(fpr**0.8)),
            Series("Density ratio", list(fpr**0.85), list(fpr)),
            Series("Guessing", [0, 1], [0, 1]),
        ),
        x_label="False-positive rate",
        y_label="True-positive rate",
        y_min=0,
        y_max=1,
    )


def evaluation(
    values: Sequence[Metric] | None = None,
    pictures: Sequence[Figure] | None = None,
    holdout: int = 121,
    policy: Policy = POLICY,
) -> Evaluation:
    """Of those values, under the policy."""
    chosen = metrics() if values is None else tuple(values)
    return Evaluation(
        options=Options(),
        roles=Roles(("num",), ("age", "sex"), ("chol",), ()),
        counts={
            "training_rows": 182,
            "training_patients": 182,
            "holdout_rows": holdout,
            "holdout_patients": holdout,
            "synthetic_rows": 182,
        },
        metrics=chosen,
        figures=figures() if pictures is None else tuple(pictures),
        left_out=(LeftOut("shadow_models", "part of the full profile only"),),
        verdict=decide(policy, evidence(holdout, chosen)),
        seconds=3.25,
        definitions={info.name: info for info in DEFINITIONS},
    )


def report(**changes: Any) -> dict[str, Any]:
    """Its JSON."""
    return report_json(evaluation(**changes), ABOUT)
