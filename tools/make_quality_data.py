"""Cuts the tables of the quality benchmark out of their sources.

Run once, with the folder of the full tables: `cdc_diabetes_brfss2015.parquet`
(253,680 × 22), `diabetes_130us_hospitals.parquet` (UCI #296, 101,766 × 50) and
`synthea_encounters_flat.parquet` (32,153 × 18).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[1] / "benchmarks" / "data"
PATIENT = "patient"
"""The column that holds a patient's number, made anew."""


def whole_patients(table: pd.DataFrame, key: str, rows: int) -> pd.DataFrame:
    """The rows of patients drawn at random until there are `rows`; keys become 0, 1, …"""
    patients = np.random.default_rng(0).permutation(table[key].unique())
    counts = table[key].value_counts().reindex(patients).cumsum()
    kept = table[table[key].isin(counts.index[: np.searchsorted(counts, rows) + 1])]
    return kept.assign(**{key: pd.factorize(kept[key])[0]}).rename(columns={key: PATIENT})


def write(table: pd.DataFrame, name: str) -> None:
    """One file, small and without an index."""
    table.reset_index(drop=True).to_parquet(
        DATA / name, index=False, compression="zstd", compression_level=19
    )


def main(source: Path) -> None:
    """Writes the three excerpts."""
    cdc = pd.read_parquet(source / "cdc_diabetes_brfss2015.parquet")
    write(cdc.sample(62_500, random_state=0), "cdc_diabetes_62k.parquet")
    stays = pd.read_parquet(source / "diabetes_130us_hospitals.parquet").drop(columns="encounter_id")
    write(whole_patients(stays, "patient_nbr", 20_000), "diabetes_130us_20k.parquet")
    visits = pd.read_parquet(source / "synthea_encounters_flat.parquet").drop(columns="encounter_id")
    shuffled = visits.sample(frac=1, random_state=0)
    few = shuffled[shuffled.groupby("patient_id").cumcount() < 12].sort_index()
    write(few.rename(columns={"patient_id": PATIENT}), "synthea_encounters_12.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
