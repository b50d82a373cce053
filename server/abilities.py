"""What may be asked of a model, noted when it is published."""

from __future__ import annotations

from typing import Any

from kohort.bundle import Bundle
from kohort.manifest import Manifest
from trainers.base import OPERATORS


def abilities(bundle: Bundle) -> dict[str, Any]:
    """A JSON value: `conditions` (how by operator), and by its name each other field of `ModelAbilities`."""
    program = bundle.manifest.program
    single = program["name"] == "single_pass"
    native = single and program["version"] >= 2
    rows, patients = learned_from(bundle.manifest)
    return {
        "conditions": dict.fromkeys(OPERATORS, "native" if native else "rejection") if single else {},
        "imputation": native,
        "rebalancing": single,
        "temperature": native and program.get("temperature") is True,
        "training_rows": rows,
        "training_patients": patients,
    }


def learned_from(manifest: Manifest) -> tuple[int, int]:
    """The rows and the patients that a model learned from; 0 where its bundle does not say."""
    said = manifest.lineage.get("training")
    rows, patients = (said.get("rows"), said.get("patients")) if isinstance(said, dict) else (0, 0)
    return _count(rows), _count(patients)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0
