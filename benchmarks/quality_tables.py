"""The tables of the quality benchmark: where they are, what they predict, how they are split.

Needs pandas alone, since the peers' environment imports it, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
PATIENT = "patient"
"""The column of the patient's number, where a patient has several rows; never scored."""

DISCRETE_LEVELS = 20
"""Numbers of at most so many distinct values count as categories."""


@dataclass(frozen=True)
class Spec:
    """One table of the benchmark."""

    title: str
    read: Callable[[], pd.DataFrame]
    target: str
    """What is predicted, in words."""
    outcome: Callable[[pd.DataFrame], pd.Series]
    """The target of each row of a canonical frame, boolean."""
    excluded: tuple[str, ...]
    """Columns that would tell the target."""
    train_rows: int | None = None
    """Training rows where that is not four fifths; the hold-out is a quarter of them."""


def _parquet(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: pd.read_parquet(ROOT / "benchmarks" / "data" / name)


def _breast() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    frame: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    return frame.rename(columns=lambda name: name.replace(" ", "_"))


_CDC = _parquet("cdc_diabetes_62k.parquet")
SPECS: dict[str, Spec] = {
    "heart": Spec(
        "heart disease, Cleveland",
        lambda: pd.read_csv(ROOT / "tests" / "data" / "heart.csv"),
        "num > 0",
        lambda f: f["num"].fillna("0") != "0",
        ("num",),
    ),
    "breast": Spec(
        "breast cancer, Wisconsin", _breast, "target", lambda f: f["target"].fillna("0") == "1", ("target",)
    ),
    "cdc10k": Spec(
        "CDC diabetes indicators, 10k",
        _CDC,
        "Diabetes_binary",
        lambda f: f["Diabetes_binary"].fillna("0") == "1",
        ("Diabetes_binary",),
        train_rows=10_000,
    ),
    "encounters": Spec(
        "encounters (simulated), nulls and dates",
        _parquet("synthea_encounters_12.parquet"),
        "a condition was recorded",
        lambda f: f["primary_condition"].notna(),
        ("primary_condition", "n_conditions"),
    ),
    "diabetes130": Spec(
        "diabetes 130-US hospitals, 20k",
        _parquet("diabetes_130us_20k.parquet"),
        "readmitted within 30 days",
        lambda f: f["readmitted"].fillna("NO") == "<30",
        ("readmitted",),
    ),
    "cdc50k": Spec(
        "CDC diabetes indicators, 50k",
        _CDC,
        "Diabetes_binary",
        lambda f: f["Diabetes_binary"].fillna("0") == "1",
        ("Diabetes_binary",),
        train_rows=50_000,
    ),
}


@dataclass(frozen=True)
class Columns:
    """What the scored columns of a table are."""

    numbers: tuple[str, ...]
    dates: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All, in no particular order."""
        return self.numbers + self.dates + self.categories

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Columns:
        """Read off a table: dates, numbers of more than `DISCRETE_LEVELS` values, categories else."""
        kinds: dict[str, list[str]] = {"number": [], "date": [], "category": []}
        for name in frame.columns.drop(PATIENT, errors="ignore"):
            cells = frame[name].dropna()
            if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
                kinds["number" if cells.nunique() > DISCRETE_LEVELS else "category"].append(name)
            elif len(cells) and (hasattr(cells.iloc[0], "toordinal") or cells.dtype.kind == "M"):
                kinds["date"].append(name)
            else:
                kinds["category"].append(name)
        return cls(*(tuple(kinds[kind]) for kind in ("number", "date", "category")))


def canonical(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The scored columns in one form, whoever wrote them.

    Numbers float64; dates days since 1970 as float64; categories strings, whole
    numbers among them without a decimal point. Null is NaN or None.
    """
    done = {}
    for name in columns.names:
        cells = frame[name]
        if name in columns.numbers:
            done[name] = pd.to_numeric(cells, errors="coerce").astype("float64")
        elif name in columns.dates:
            days = pd.to_datetime(cells, errors="coerce").dt.floor("D")
            done[name] = ((days - pd.Timestamp(0)) / pd.Timedelta(days=1)).astype("float64")
        else:
            done[name] = _strings(cells)
    return pd.DataFrame(done)


def _strings(cells: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(cells):
        cells = cells.astype("Int64")
    texts = cells.astype("object").where(cells.notna(), None)
    levels = {}
    for value in texts.dropna().unique():
        try:
            number = float(value)
            levels[value] = str(int(number)) if number == int(number) else repr(number)
        except (ValueError, OverflowError):
            levels[value] = str(value)
    return texts.map(levels).astype("object").where(texts.notna(), None)


def split(table: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and hold-out rows of a seed, disjoint in patients, in shuffled order.

    Four fifths of the patients train, or `train_rows` rows where a table is
    larger than that.
    """
    spec = SPECS[table]
    frame = spec.read()
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(table.encode()).digest()[:4], "big")])
    subjects = frame[PATIENT].to_numpy() if PATIENT in frame else np.arange(len(frame))
    patients = rng.permutation(np.unique(subjects))
    if spec.train_rows:
        held = spec.train_rows // 4
        train, holdout = patients[: spec.train_rows], patients[spec.train_rows : spec.train_rows + held]
    else:
        cut = round(0.8 * len(patients))
        train, holdout = patients[:cut], patients[cut:]
    order = rng.permutation(len(frame))
    frame, subjects = frame.iloc[order], subjects[order]
    return (
        frame[np.isin(subjects, train)].reset_index(drop=True),
        frame[np.isin(subjects, holdout)].reset_index(drop=True),
    )


def prepared(table: str, seed: int, folder: Path) -> tuple[Path, Path]:
    """The files of a split, written where they are not yet: `{table}_{seed}_train.parquet` and `…_holdout…`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{table}_{seed}_{part}.parquet" for part in ("train", "holdout"))
    if not all(path.exists() for path in paths):
        for path, frame in zip(paths, split(table, seed), strict=True):
            partial = path.with_suffix(".partial")
            frame.to_parquet(partial, index=False)
            partial.replace(path)
    return paths[0], paths[1]
