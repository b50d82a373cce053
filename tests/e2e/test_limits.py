"""What hard tables cost the default trainer in a training child as the service starts it, and what they leak.

The figures are printed: ``python -m pytest tests/e2e/test_limits.py -s -m slow``.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.programs import SampleSpec
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from server.attempt import Attempt, Grace
from server.protocol import ChildSpec
from server.records import JobOptions
from tables.store import write_tableset
from tables.tableset import Table, TableSet
from tests.e2e.measured import ENTRY
from trainers import registry

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a child's memory from /proc"),
]

MEMORY, EXPORT_CPU_S, BUNDLE = 4 << 30, 120.0, 200 << 20
HOLDERS = 4
"""Patients who hold planted values, each their own: fewer than k, and the split keeps not all away."""
DAY = 86_400_000_000

Cells = dict[str, tuple[Kind, Array]]


def ten_thousand_codes(rng: np.random.Generator) -> Cells:
    n = 120_000
    codes = rng.integers(0, 10_000, n)
    codes[:HOLDERS] = 10_000 + np.arange(HOLDERS)
    words = [f"C{i:05}" for i in range(10_000)] + [f"PLANTED-{i:02}" for i in range(HOLDERS)]
    return {
        "code": (Kind.CODE, Array.make(Storage.STRING, codes, None, words)),
        "chapter": (Kind.CATEGORY, Array.make(Storage.INT64, codes % 20)),
        "cost": (Kind.DECIMAL, Array.make(Storage.DOUBLE, planted(rng.gamma(2.0, 50.0, n), 31_337.123_456))),
    }


def a_third_null(rng: np.random.Generator) -> Cells:
    n = 20_000
    base = rng.normal(size=n)
    cells: Cells = {}
    for i in range(10):
        x = planted(base + rng.normal(size=n), 271.828_182_8)
        cells[f"number{i}"] = (Kind.DECIMAL, Array.make(Storage.DOUBLE, x, holes(rng, n)))
        whole = planted(np.rint(20 * base + rng.normal(size=n)).astype(np.int64), 987_654_321)
        cells[f"whole{i}"] = (Kind.INTEGER, Array.make(Storage.INT64, whole, holes(rng, n)))
        words = ["a", "b", "c", *(f"PLANTED-{j:02}" for j in range(HOLDERS))]
        codes = planted(rng.integers(0, 3, n), 3)
        cells[f"class{i}"] = (Kind.CATEGORY, Array.make(Storage.STRING, codes, holes(rng, n), words))
    return cells


def births(rng: np.random.Generator) -> Cells:
    n = 10_000
    admission = rng.integers(18_000, 20_000, n)
    age = rng.integers(0, 36_000, n)
    birth = admission - age
    birth[:HOLDERS] = -55_555 - np.arange(HOLDERS)
    stay = rng.geometric(0.2, n)
    stay[:HOLDERS] = 7_777 + np.arange(HOLDERS)
    moment = admission * DAY + rng.integers(0, DAY, n)
    return {
        "birth": (Kind.DATE, Array.make(Storage.DATE, birth)),
        "admission": (Kind.DATE, Array.make(Storage.DATE, admission)),
        "discharge": (Kind.DATE, Array.make(Storage.DATE, admission + stay)),
        "death": (Kind.DATE, Array.make(Storage.DATE, admission + 2 * stay, rng.random(n) < 0.1)),
        "triage": (Kind.DATETIME, Array.make(Storage.DATETIME, moment)),
        "sex": (Kind.CATEGORY, Array.make(Storage.STRING, rng.integers(0, 2, n), None, ["f", "m"])),
    }


def five_hundred_columns(rng: np.random.Generator) -> Cells:
    n = 2_000
    base = rng.normal(size=(n, 5))
    cells: Cells = {}
    for i in range(250):
        x = base[:, i % 5] + rng.normal(size=n)
        numbers = planted(np.round(x, 3), 271.828)
        cells[f"number{i}"] = (Kind.DECIMAL, Array.make(Storage.DOUBLE, numbers, holes(rng, n)))
        words = ["a", "b", "c", "d", *(f"PLANTED-{j:02}" for j in range(HOLDERS))]
        codes = planted(np.digitize(x, [-1.0, 0.0, 1.0]), 4)
        cells[f"class{i}"] = (Kind.CATEGORY, Array.make(Storage.STRING, codes, None, words))
    return cells


def planted(values: Any, first: float) -> Any:
    """The values, of which the first HOLDERS are one by one larger than `first`."""
    values[:HOLDERS] = first + np.arange(HOLDERS)
    return values


def holes(rng: np.random.Generator, n: int) -> Any:
    valid = rng.random(n) >= 0.3
    valid[:HOLDERS] = True
    return valid


TABLES: list[Callable[[np.random.Generator], Cells]] = [
    ten_thousand_codes,
    a_third_null,
    births,
    five_hundred_columns,
]


@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_a_hard_table_costs_little_and_keeps_what_one_patient_holds(
    make: Callable[[np.random.Generator], Cells], tmp_path: Path
) -> None:
    table = table_of(make(np.random.default_rng(11)))
    result = trained(table, tmp_path)
    cost = json.loads((tmp_path / "cost.json").read_text())
    print(
        f"\n{make.__name__}: {table.num_rows} rows, {len(table.arrays) - 1} columns: "
        f"peak {cost['peak_bytes'] / 2**20:.0f} MiB, fit {cost['fit_cpu_s']:.1f} CPU s, "
        f"export {cost['export_cpu_s']:.1f} CPU s, bundle {result['size_bytes'] / 2**20:.1f} MiB"
    )
    assert cost["peak_bytes"] <= MEMORY
    assert cost["export_cpu_s"] <= EXPORT_CPU_S
    assert result["size_bytes"] <= BUNDLE

    with zipfile.ZipFile(tmp_path / "model.kohort") as archive:
        written = b"".join(archive.read(name) for name in archive.namelist())
    program = read_bundle(tmp_path / "model.kohort").program()
    units = 2_000 if len(table.arrays) > 100 else 20_000
    batches = list(program.units(SampleSpec(seed=3), 0, units))
    for name, real in table.arrays.items():
        if name == "patient":
            continue
        drawn = Array.concat([batch.arrays[name] for batch in batches])
        mine, theirs = cells_of(real, slice(HOLDERS)), cells_of(real, slice(HOLDERS, None))
        only = mine - theirs
        assert not only & cells_of(drawn, slice(None)), name
        assert not [1 for value in only if any(form in written for form in forms(value))], name
        if only and not isinstance(next(iter(only)), str):
            # Nor do they pull a range along.
            assert min(theirs) <= min(cells_of(drawn, slice(None)))
            assert max(cells_of(drawn, slice(None))) <= max(theirs)


def trained(table: Table, folder: Path) -> Any:
    """What a child says that trained on a table with the defaults of the service and few epochs."""
    write_tableset(folder / "dataset", TableSet({"t": table}))
    (folder / "slots").mkdir()
    (folder / "checkpoints").mkdir()
    info = registry.trainer("argn").info
    spec = ChildSpec(
        parent=os.getpid(),
        entry=ENTRY,
        slot="cpu:0",
        device="cpu",
        lock_folder=str(folder / "slots"),
        job="job",
        attempt=1,
        model="model",
        tenant="tenant",
        dataset="dataset",
        dataset_digest="00" * 32,
        split_salt="11" * 16,
        dataset_folder=str(folder / "dataset"),
        bundle=str(folder / "model.kohort"),
        checkpoints=str(folder / "checkpoints"),
        trainer="argn",
        parameters=info.resolve({"epochs": 1}),
        schema=TableSet({"t": table}).schema.to_json(),
        seed=7,
        options=asdict(JobOptions()),
    )
    ended = Attempt(spec, lambda _: None, lambda: None, Grace(), silence_s=300.0).run()
    assert ended.result is not None, ended
    assert ended.result["type"] == "done", ended.result
    return ended.result


def table_of(cells: Cells) -> Table:
    """A table of patients of one row each."""
    n = len(next(iter(cells.values()))[1])
    columns = [
        Column(name, kind, array.storage, Handling.MODEL, nullable=array.valid is not None)
        for name, (kind, array) in cells.items()
    ]
    columns.append(Column("patient", Kind.ID, Storage.INT64, Handling.REGENERATE))
    arrays = {name: array for name, (_, array) in cells.items()}
    arrays["patient"] = Array.make(Storage.INT64, np.arange(n))
    return Table(TableSchema("t", tuple(columns), subject_key="patient"), arrays)


def cells_of(array: Array, rows: slice) -> set[Any]:
    """The distinct cells of rows, numbers as they are stored."""
    here = np.arange(len(array))[rows]
    part = array.take(here)
    values = part.strings() if part.storage is Storage.STRING else part.values.tolist()
    return {value for value, valid in zip(values, part.is_valid(), strict=True) if valid}


def forms(value: Any) -> list[bytes]:
    """The ways in which a cell could be written down, but for integers too short to be told from others."""
    if isinstance(value, str):
        return [value.encode(), value.encode("utf-16-le")]
    found = [np.array(value, "<f8").tobytes()]
    if isinstance(value, int):
        found.append(np.array(value, "<i8").tobytes())
    if isinstance(value, float) or abs(value) >= 100_000:
        found += [str(value).encode(), np.array(value, "<f4").tobytes()]
    return found
