"""A first look at real against synthetic: per-column similarity, correlations, one picture.

Deliberately small. It says whether marginals and correlations arrived; it says
nothing about privacy. The evaluation service is the place for judgements.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # No display on a server.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

DISCRETE_LEVELS = 10


def is_discrete(column: pd.Series) -> bool:
    """Whether a column has so few values that bars show it better than a histogram."""
    return not pd.api.types.is_numeric_dtype(column) or column.nunique() <= DISCRETE_LEVELS


def similarity(real: pd.Series, synthetic: pd.Series) -> float:
    """1 - total variation (few values) or 1 - Kolmogorov-Smirnov (many); 1 is equal.

    Nulls count as a value of their own where there are few, and are left out
    where there are many.
    """
    if is_discrete(real):
        p = real.value_counts(normalize=True, dropna=False)
        q = synthetic.value_counts(normalize=True, dropna=False)
        return float(1 - 0.5 * p.subtract(q, fill_value=0).abs().sum())
    a, b = np.sort(real.dropna().to_numpy(float)), np.sort(synthetic.dropna().to_numpy(float))
    grid = np.concatenate([a, b])
    gap = np.searchsorted(a, grid, "right") / len(a) - np.searchsorted(b, grid, "right") / len(b)
    return float(1 - np.abs(gap).max())


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rank correlations of the numeric columns."""
    return frame.select_dtypes("number").corr(method="spearman")


def compare(real: pd.DataFrame, samples: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per column and one for the correlations, one column per generator."""
    table = pd.DataFrame(
        {
            name: {column: similarity(real[column], frame[column]) for column in real}
            for name, frame in samples.items()
        }
    )
    want = correlations(real).to_numpy()
    upper = np.triu_indices_from(want, k=1)
    table.loc["(mean of columns)"] = table.mean()
    table.loc["(mean |Δ correlation|)"] = [
        float(np.nanmean(np.abs(want - correlations(frame[list(real)]).to_numpy())[upper]))
        for frame in samples.values()
    ]
    return table


def picture(real: pd.DataFrame, samples: dict[str, pd.DataFrame], path: Path) -> None:
    """A PNG: marginals of every column above, correlation heat maps below."""
    frames = {"real": real, **samples}
    across = 5
    down = -(-len(real.columns) // across)
    figure = plt.figure(figsize=(3.1 * across, 2.3 * down + 4.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[2.3 * down, 4.6])
    axes = top.subplots(down, across).flatten()
    for axis, column in zip(axes, real.columns, strict=False):
        _marginal(axis, {name: frame[column] for name, frame in frames.items()}, column)
    for axis in axes[len(real.columns) :]:
        axis.axis("off")
    handles, labels = axes[0].get_legend_handles_labels()
    top.legend(handles, labels, loc="lower right", fontsize="large", title="synthetic beside real")
    for axis, (name, frame) in zip(bottom.subplots(1, len(frames)), frames.items(), strict=True):
        matrix = correlations(frame[list(real)])
        image = axis.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set_title(f"correlations: {name}")
        axis.set_xticks(range(len(matrix)), matrix.columns, rotation=90, fontsize=7)
        axis.set_yticks(range(len(matrix)), matrix.columns, fontsize=7)
    bottom.colorbar(image, ax=bottom.axes, shrink=0.8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _marginal(axis: plt.Axes, columns: dict[str, pd.Series], title: str) -> None:
    real = columns["real"]
    axis.set_title(title, fontsize=10)
    axis.tick_params(labelsize=7)
    if is_discrete(real):
        levels = sorted(real.dropna().unique())
        width = 0.8 / len(columns)
        for k, (name, column) in enumerate(columns.items()):
            shares = [*(float((column == level).mean()) for level in levels), float(column.isna().mean())]
            axis.bar(np.arange(len(shares)) + k * width, shares, width, label=name)
        axis.set_xticks(
            np.arange(len(levels) + 1) + 0.4, [*(f"{v:g}" if np.isreal(v) else v for v in levels), "null"]
        )
        return
    edges = np.histogram_bin_edges(real.dropna(), bins=20)
    for name, column in columns.items():
        axis.hist(column.dropna(), bins=edges, density=True, histtype="step", linewidth=1.6, label=name)
