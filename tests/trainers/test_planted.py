"""What one patient alone holds is in no bundle byte and no sample, of any trainer.

Dates and what is told relative to them, combinations, levels, identifiers and codes of many
values; plain numbers and categories are in test_conformance.py.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.publish import export_bundle
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.programs import SampleSpec
from kohort.rules import Combination, Order
from kohort.schema import Column, Handling, Kind, Schema, Storage, TableSchema
from tables.tableset import Table
from trainers import registry
from trainers.base import Generator, Hooks
from trainers.encoding import JointEncoding, NumberEncoding

K, ROWS, DAY = 5, 300, 86_400_000_000
BIRTH, STAY, MOMENT = -55_555, 7_777, 4_102_444_812_345_678
BRIEF = {
    "epochs": 1,
    "batch_size": 500,
    "pretrain_epochs": 1,
    "generator_dim": [32],
    "discriminator_dim": [32],
}


@pytest.fixture(params=registry.trainers())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stays() -> Table:
    """Stays; the first patient alone has a birth, a stay, a moment, a ward at a site, a level and a name."""
    rng = np.random.default_rng(4)
    admission = rng.integers(18_000, 20_000, ROWS)
    birth = admission - rng.integers(6_000, 30_000, ROWS)
    stay = rng.geometric(0.2, ROWS)
    moment = admission * DAY + rng.integers(0, 86_400, ROWS) * 1_000_000
    ward = rng.integers(0, 4, ROWS)
    site = ward // 2
    level = rng.integers(0, 3, ROWS)
    birth[0], stay[0], moment[0], ward[0], site[0], level[0] = BIRTH, STAY, MOMENT, 0, 1, 3
    levels = ("none", "mild", "severe", "PLANTED-LEVEL")
    cells = {
        "birth": (Kind.DATE, Array.make(Storage.DATE, birth)),
        "admission": (Kind.DATE, Array.make(Storage.DATE, admission)),
        "discharge": (Kind.DATE, Array.make(Storage.DATE, admission + stay)),
        "triage": (Kind.DATETIME, Array.make(Storage.DATETIME, moment)),
        "ward": (Kind.CATEGORY, Array.make(Storage.STRING, ward, None, ["a", "b", "c", "d"])),
        "site": (Kind.CATEGORY, Array.make(Storage.STRING, site, None, ["north", "south"])),
        "pain": (Kind.ORDINAL, Array.make(Storage.STRING, level, None, levels)),
    }
    columns = [
        Column(key, kind, a.storage, Handling.MODEL, nullable=False, levels=levels if key == "pain" else ())
        for key, (kind, a) in cells.items()
    ]
    columns.append(Column("patient", Kind.ID, Storage.STRING, Handling.REGENERATE))
    arrays = {key: array for key, (_, array) in cells.items()}
    keys = [f"PLANTED-ID-{i:04}" for i in range(ROWS)]
    arrays["patient"] = Array.make(Storage.STRING, np.arange(ROWS), None, keys)
    rules = (Order("admission", "discharge"), Combination(("ward", "site")))
    return Table(TableSchema("t", tuple(columns), subject_key="patient", constraints=rules), arrays)


def published(name: str, generator: Generator, table: Table, findings: list[Any], folder: Path) -> bytes:
    """All that a bundle holds."""
    info = registry.trainer(name).info
    privacy = {
        "differentially_private": False,
        "epsilon": None,
        "delta": None,
        "min_patients_per_value": K,
        "statement": "Trained without differential privacy.",
    }
    path = folder / "m.kohort"
    schema = Schema((table.schema,))
    export_bundle(generator, schema, info, info.resolve({}), 1, privacy, findings, {}, path)
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(member) for member in archive.namelist())


def sampled(folder: Path, units: int) -> dict[str, Array]:
    batches = [*read_bundle(folder / "m.kohort").program().units(SampleSpec(seed=5), 0, units)]
    return {key: Array.concat([batch.arrays[key] for batch in batches]) for key in batches[0].arrays}


def test_dates_combinations_levels_and_identifiers_of_one_patient_stay_out(
    fit: Any, name: str, tmp_path: Path
) -> None:
    table = stays()
    findings: list[Any] = []
    generator = fit(name, table, Hooks(warn=findings.append), min_patients=K)
    columns = generator.encoding.columns
    # What is looked for is there: a column relative to another, and two that are one.
    assert any(isinstance(c, NumberEncoding) and c.anchor is not None for c in columns)
    joint = next(c for c in columns if isinstance(c, JointEncoding))
    assert ("a", "south") not in joint.values

    written = published(name, generator, table, findings, tmp_path)
    assert b"PLANTED" not in written
    first = {key: int(table.arrays[key].values[0]) for key in ("birth", "admission", "discharge", "triage")}
    for number in (first["birth"], STAY, first["discharge"], MOMENT, first["admission"] - BIRTH):
        for kind in ("<f8", "<i8"):
            assert np.array(number, kind).tobytes() not in written
    assert str(BIRTH).encode() not in written
    assert str(MOMENT).encode() not in written

    drawn = sampled(tmp_path, 4_000)
    assert ("a", "south") not in zip(drawn["ward"].strings(), drawn["site"].strings(), strict=True)
    assert "PLANTED-LEVEL" not in drawn["pain"].strings()
    assert not {*table.arrays["patient"].strings()} & {*map(str, drawn["patient"].to_python())}
    # Nor does the one patient pull a range along.
    others = {key: array.values[1:] for key, array in table.arrays.items()}
    assert drawn["birth"].values.min() >= others["birth"].min()
    assert drawn["triage"].values.max() <= others["triage"].max()
    stay = drawn["discharge"].values.astype(np.int64) - drawn["admission"].values
    assert stay.min() >= 0
    assert stay.max() <= (others["discharge"] - others["admission"]).max()


def test_a_code_of_one_patient_among_many_codes_stays_out(
    fit: Any, build: Any, name: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(6)
    codes = np.append(np.repeat(np.arange(1_100), K), 1_100)
    words = [f"C{i:05}" for i in range(1_100)] + ["PLANTED-CODE"]
    table = build(
        {
            "code": (Kind.CODE, Array.make(Storage.STRING, codes, None, words)),
            "flag": (Kind.BOOLEAN, Array.make(Storage.BOOL, rng.random(codes.size) < 0.5)),
        }
    )
    generator = fit(name, table, min_patients=K, quick=BRIEF)
    assert b"PLANTED" not in published(name, generator, table, [], tmp_path)
    drawn = {*sampled(tmp_path, 20_000)["code"].strings()}
    assert "PLANTED-CODE" not in drawn
    assert len(drawn) > 500
