"""Cuts benchmarks/data/encounters_20k.parquet out of the UCI diabetes table.

Run once, with the path of the full table (UCI #296, 101,766 × 50). One
encounter per patient, 20 mixed columns, codes of at least 20 patients only, so
that every library compared here builds a network of the same width.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

COLUMNS = [
    *("race", "gender", "age", "admission_type_id", "discharge_disposition_id", "admission_source_id"),
    *("time_in_hospital", "medical_specialty", "num_lab_procedures", "num_procedures", "num_medications"),
    *("number_outpatient", "number_emergency", "number_inpatient", "diag_1", "number_diagnoses"),
    *("A1Cresult", "insulin", "change", "readmitted"),
]


def main(source: Path, target: Path) -> None:
    """Writes the excerpt."""
    table = pd.read_parquet(source).drop_duplicates("patient_nbr")[COLUMNS]
    for column in [
        "discharge_disposition_id",
        "admission_source_id",
        "medical_specialty",
        "diag_1",
        "gender",
    ]:
        counts = table[column].map(table[column].value_counts())
        table = table[counts.isna() | (counts >= 60)]
    table.sample(20_000, random_state=0).reset_index(drop=True).to_parquet(
        target, index=False, compression="zstd"
    )


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(__file__).resolve().parents[1] / "benchmarks" / "data" / "encounters_20k.parquet",
    )
