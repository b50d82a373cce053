"""How alike two tables are, how useful one is for the other, and how close it lies to its training rows.

Frames are canonical (`quality_tables.canonical`). Everything is deterministic
for a given seed. Lower is better for errors, 0.5 is the best C2ST AUC, and each
value is to be read beside that of real rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RARE = 0.01
"""A category of a smaller share than this is rare."""


class Grid:
    """Cells as small integers: quantile bins of the training rows or levels, then unseen, then null."""

    def __init__(self, train: pd.DataFrame, bins: int) -> None:
        self.edges: dict[str, Floats] = {}
        self.levels: dict[str, pd.Index] = {}
        for name in train:
            cells = train[name].dropna()
            if train[name].dtype.kind == "f":
                cuts = np.quantile(cells, np.arange(1, bins) / bins) if len(cells) else np.zeros(0)
                self.edges[name] = np.unique(cuts)
            else:
                self.levels[name] = pd.Index(cells.value_counts().index)

    def size(self, name: str) -> int:
        """How many codes a column has."""
        if name in self.edges:
            return len(self.edges[name]) + 2
        return len(self.levels[name]) + 2

    def codes(self, frame: pd.DataFrame) -> dict[str, Codes]:
        """Per column [n], below `size`; the last code is null."""
        found = {}
        for name in frame:
            cells, size = frame[name], self.size(name)
            if name in self.edges:
                values = cells.to_numpy(np.float64)
                code = np.searchsorted(self.edges[name], values, side="right").astype(np.int64)
            else:
                code = self.levels[name].get_indexer(cells).astype(np.int64)
                code[code < 0] = size - 2
            code[cells.isna().to_numpy()] = size - 1
            found[name] = code
        return found


def total_variation(a: Codes, b: Codes) -> float:
    """Half the L1 distance of two samples of codes, each of any size."""
    _, both = np.unique(np.concatenate([a, b]), return_inverse=True)
    size = int(both.max()) + 1
    p = np.bincount(both[: a.size], minlength=size) / a.size
    q = np.bincount(both[a.size :], minlength=size) / b.size
    return float(0.5 * np.abs(p - q).sum())


def marginal_error(train: pd.DataFrame, holdout: pd.DataFrame, other: pd.DataFrame) -> float:
    """Mean over columns of the total variation, numbers in 20 bins."""
    grid = Grid(train, 20)
    a, b = grid.codes(holdout), grid.codes(other)
    return float(np.mean([total_variation(a[name], b[name]) for name in a]))


def pairwise_error(train: pd.DataFrame, holdout: pd.DataFrame, other: pd.DataFrame) -> float:
    """Mean over all pairs of columns of the total variation of their two-way tables, numbers in 10 bins."""
    grid = Grid(train, 10)
    a, b = grid.codes(holdout), grid.codes(other)
    found = []
    for x, y in combinations(a, 2):
        width = grid.size(y)
        left, right = a[x] * width + a[y], b[x] * width + b[y]
        size = grid.size(x) * width
        if size <= 4 * (left.size + right.size):
            p = np.bincount(left, minlength=size) / left.size
            q = np.bincount(right, minlength=size) / right.size
            found.append(0.5 * float(np.abs(p - q).sum()))
        else:
            found.append(total_variation(left, right))
    return float(np.mean(found))


def missingness_error(holdout: pd.DataFrame, other: pd.DataFrame, columns: list[str]) -> float:
    """Mean absolute difference of null shares over these columns; nan where there are none."""
    if not columns:
        return float("nan")
    gap = holdout[columns].isna().mean() - other[columns].isna().mean()
    return float(gap.abs().mean())


def rare_recall(train: pd.DataFrame, other: pd.DataFrame, subjects: npt.NDArray[np.int64], k: int) -> float:
    """Of the rare categories that at least k patients of the training rows have, the share that appears.

    Args:
        train: the training rows.
        other: a sample of as many rows.
        subjects: the patient of each training row, [n].
        k: support that a category needs in order to count.
    """
    seen = total = 0
    for name in train:
        if train[name].dtype.kind == "f":
            continue
        cells = train[name]
        patients = pd.Series(subjects).groupby(cells.to_numpy()).nunique()
        shares = cells.value_counts(normalize=True)
        rare = [v for v in shares.index[shares < RARE] if patients[v] >= k]
        present = set(other[name].dropna().unique())
        total += len(rare)
        seen += sum(value in present for value in rare)
    return seen / total if total else float("nan")


def identical_share(train: pd.DataFrame, other: pd.DataFrame) -> float:
    """The share of rows that equal a training row in every column."""
    known = pd.util.hash_pandas_object(_comparable(train), index=False)
    return float(np.isin(pd.util.hash_pandas_object(_comparable(other), index=False), known).mean())


def dcr_share(
    train: pd.DataFrame, holdout: pd.DataFrame, other: pd.DataFrame, seed: int, cap: int = 2000
) -> float:
    """The share of rows nearer to the training rows than to equally many held out; 0.5 says nothing was copied.

    Distance is Gower's: ranks of numbers among the training rows, 0 or 1 for
    categories, 1 between null and not null. At most `cap` rows of each.
    """
    rng = np.random.default_rng(seed)
    count = min(len(train), len(holdout), cap)
    train, holdout = (f.iloc[rng.permutation(len(f))[:count]] for f in (train, holdout))
    other = other.iloc[:cap]
    reference = pd.concat([train, holdout], ignore_index=True)
    grid = Grid(reference, 1)
    to_train, to_holdout = (_nearest(reference, grid, other, part) for part in (train, holdout))
    return float((to_train < to_holdout).mean() + 0.5 * (to_train == to_holdout).mean())


def _nearest(reference: pd.DataFrame, grid: Grid, rows: pd.DataFrame, to: pd.DataFrame) -> Floats:
    """The distance of each row to the nearest of `to`, [n]."""
    a, b = grid.codes(rows), grid.codes(to)
    gaps = np.zeros((len(rows), len(to)), dtype=np.float32)
    for name in rows:
        if name not in grid.edges:
            gaps += a[name][:, None] != b[name][None, :]
            continue
        order = np.sort(reference[name].dropna().to_numpy())
        x, y = (_ranks(order, frame[name].to_numpy()) for frame in (rows, to))
        gap = np.abs(x[:, None] - y[None, :])
        gap[np.isnan(gap)] = 1.0
        gap[np.ix_(np.isnan(x), np.isnan(y))] = 0.0
        gaps += gap
    nearest: Floats = gaps.min(axis=1).astype(np.float64)
    return nearest


def _ranks(order: Floats, values: Floats) -> npt.NDArray[np.float32]:
    """Mid-ranks as shares, NaN for NaN."""
    low = np.searchsorted(order, values, side="left")
    high = np.searchsorted(order, values, side="right")
    return np.where(np.isnan(values), np.nan, (low + high) / (2 * max(len(order), 1))).astype(np.float32)


def c2st_auc(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    other: pd.DataFrame,
    holdout_subjects: npt.NDArray[np.int64],
    other_subjects: npt.NDArray[np.int64] | None,
    seed: int,
) -> float:
    """AUC of boosted trees that tell `other` from the hold-out, 5-fold, rows of a patient in one fold.

    Args:
        train: says how categories are coded.
        holdout: real rows.
        other: as many rows.
        holdout_subjects: the patient of each of them, [n].
        other_subjects: likewise where `other` is real, else None.
        seed: of the folds and the trees.
    """
    features, categorical = _features(train, [holdout, other])
    x = np.concatenate(features)
    y = np.repeat([0, 1], [len(holdout), len(other)])
    start = int(holdout_subjects.max()) + 1
    own = np.arange(len(other)) if other_subjects is None else other_subjects
    groups = np.concatenate([holdout_subjects, start + own])
    scores = np.zeros(len(y))
    folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=seed)
    for fit, test in folds.split(x, y, groups):
        scores[test] = _boosted(x[fit], y[fit], x[test], categorical, seed)
    return float(roc_auc_score(y, scores))


def predictive_auc(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    rows: pd.DataFrame,
    outcomes: tuple[pd.Series, pd.Series],
    excluded: tuple[str, ...],
    seed: int,
) -> float:
    """AUC on the hold-out of boosted trees fitted on `rows`: TSTR, or TRTR where they are real.

    Args:
        train: says how categories are coded.
        holdout: real rows to be predicted.
        rows: rows to fit on.
        outcomes: the target of `rows` and of the hold-out.
        excluded: columns that would tell the target.
        seed: of the trees.

    Returns:
        0.5 where `rows` has one class only.
    """
    names = [name for name in train if name not in excluded]
    (x, test), categorical = _features(train[names], [rows[names], holdout[names]])
    y, truth = (outcome.to_numpy(np.int64) for outcome in outcomes)
    if len(np.unique(y)) < 2:
        return 0.5
    return float(roc_auc_score(truth, _boosted(x, y, test, categorical, seed)))


def _boosted(x: Floats, y: Codes, test: Floats, categorical: npt.NDArray[np.bool_], seed: int) -> Floats:
    model = HistGradientBoostingClassifier(
        max_iter=100, early_stopping=False, categorical_features=categorical, random_state=seed
    )
    # Threads that spin beside other work cost far more than they bring.
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore")
        scores: Floats = model.fit(x, y).predict_proba(test)[:, 1]
    return scores


def _features(train: pd.DataFrame, frames: list[pd.DataFrame]) -> tuple[list[Floats], npt.NDArray[np.bool_]]:
    """Numbers as they are; categories by rank of frequency, as categories where there are at most 200."""
    grid = Grid(train, 1)
    coded = [grid.codes(frame) for frame in frames]
    matrices = []
    for frame, codes in zip(frames, coded, strict=True):
        columns = [
            frame[name].to_numpy(np.float64) if name in grid.edges else codes[name].astype(np.float64)
            for name in train
        ]
        matrices.append(np.stack(columns, axis=1))
    return matrices, np.array([name in grid.levels and grid.size(name) <= 200 for name in train])


def _comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Null as a text of its own, floats rounded as far as any file writes them."""
    return pd.DataFrame(
        {
            name: frame[name].round(6).fillna(np.inf)
            if frame[name].dtype.kind == "f"
            else frame[name].fillna("\0")
            for name in sorted(frame)
        }
    )


def blocks(rows: int, size: int, most: int = 4) -> Iterator[slice]:
    """Disjoint slices of `size` rows, at most `most`; one of all rows where there are fewer."""
    for i in range(max(1, min(most, rows // size))):
        yield slice(i * size, (i + 1) * size)
