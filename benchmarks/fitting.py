"""One of Kohort's trainers in this process: from a file to a generator, and on to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.publish import export_bundle
from kohort.schema import Schema, SchemaOverrides, TableOverride
from tables.infer import infer, physicalise_all
from tables.readers import read_file
from tables.split import split_by_patient
from tables.tableset import TableSet
from trainers.base import FitRequest, Generator, Hooks, TrainerInfo
from trainers.registry import trainer as trainer_of

PRIVACY = {
    "differentially_private": False,
    "epsilon": None,
    "delta": None,
    "min_patients_per_value": 5,
    "statement": "",
}


@dataclass(frozen=True)
class Learned:
    """A generator and what a bundle says of it."""

    generator: Generator
    schema: Schema
    info: TrainerInfo
    parameters: Mapping[str, Any]
    seed: int

    def export(self, path: Path) -> None:
        """Writes the bundle, unsigned."""
        export_bundle(
            self.generator, self.schema, self.info, self.parameters, self.seed, PRIVACY, [], {}, path
        )


def request(
    source: Path, name: str, seed: int, *, subject: str = "", parameters: Mapping[str, Any] | None = None
) -> tuple[FitRequest, Schema]:
    """What a trainer is asked, of a Parquet file: nine tenths to learn from, one tenth to validate.

    Args:
        source: the file.
        name: the trainer.
        seed: of the split and of training.
        subject: the column of the patient, where the table has it.
        parameters: those that are not the trainer's defaults.
    """
    table = read_file(source, "parquet", "patients")
    keyed = subject in table.arrays
    overrides = SchemaOverrides(tables=(TableOverride("patients", subject_key=subject),) if keyed else ())
    tables = TableSet({"patients": table})
    schema = infer(tables, overrides=overrides).schema
    parts = split_by_patient(
        physicalise_all(tables, schema), salt=f"quality {seed}", holdout=0.0, validation=0.1
    )
    resolved = trainer_of(name).info.resolve(parameters or {})
    return FitRequest(parts.train, parts.validation, resolved, seed), schema


def learn(asked: FitRequest, schema: Schema, name: str, hooks: Hooks) -> Learned:
    """Fits."""
    trainer = trainer_of(name)
    generator = trainer.fit(asked, hooks)
    return Learned(generator, schema, trainer.info, asked.parameters, asked.seed)
