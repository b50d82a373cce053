"""Rows to complete, and temperature, over a real server with a model that honours what it is given."""

from __future__ import annotations

import csv
import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest

from exporters.publish import export_bundle
from kohort import wire
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.conditions import PartialRows
from kohort.programs import SampleSpec
from kohort.schema import Schema, Storage
from kohort.v1 import sampling_pb2
from tests.conditional_generator import INFO, TABLE, Toy
from tests.server.conftest import Stubs, collect, fails
from tests.server.test_sampling_rpc import ARROW, CSV, cells, decode

ROWS = 600


@cache
def bundle() -> bytes:
    """The toy, which says how much it learned from."""
    privacy = {"differentially_private": False, "min_patients_per_value": 5, "statement": "None."}
    lineage = {"training": {"rows": 1000, "patients": 800}}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "toy.kohort"
        export_bundle(Toy(), Schema((TABLE,)), INFO, {}, 1, privacy, (), lineage, path)
        return path.read_bytes()


def known(start: int = 0, unit: int = 0, sexes: tuple[str, ...] = ("F", "M", "")) -> PartialRows:
    """Rows of which some cells are known: "" stands for an open one."""
    chosen = [sexes[i % len(sexes)] for i in range(start, ROWS)]
    ages = [18 + i % 70 for i in range(start, ROWS)]
    return PartialRows(
        {
            "age": Array.make(Storage.INT64, ages, [i % 4 != 0 for i in range(start, ROWS)]),
            "sex": Array.make(Storage.STRING, chosen, [bool(sex) for sex in chosen]),
        },
        unit,
        "cohort",
    )


def completing(model: str, partial: PartialRows, **more: Any) -> sampling_pb2.SampleRequest:
    return sampling_pb2.SampleRequest(
        model=model,
        start_unit=partial.first_unit,
        partial_rows=wire.partial_rows_to_proto(partial),
        **{"seed": 7, **more},
    )


@pytest.fixture
async def model(stubs: Stubs) -> str:
    return (await stubs.import_model(bundle())).name


async def test_known_cells_stay_and_open_ones_are_filled(stubs: Stubs, model: str) -> None:
    partial = known(unit=50)
    messages = await collect(stubs.sampling.Sample(completing(model, partial)))
    assert (messages[0].header.start_unit, messages[0].header.unit_count) == (50, ROWS)
    schema, batches = decode(messages)
    found = cells(schema, batches)
    for name, array in partial.arrays.items():
        for given, cell in zip(array.to_python(), found[f"cohort.{name}"], strict=True):
            assert given is None or cell == given
    assert {sex for sex, given in zip(found["cohort.sex"], partial.arrays["sex"].to_python(), strict=True)
            if given is None} == {"F", "M"}  # fmt: skip
    assert None not in found["cohort.age"]
    program = read_bundle(bundle()).program()
    offline = list(program.units(SampleSpec(7, partial=partial), 50, ROWS))
    assert cells(program.schema, offline) == found
    assert messages[-1].trailer.row_counts == {"cohort": ROWS}


async def test_completion_resumes_with_the_rows_that_are_left(stubs: Stubs, model: str) -> None:
    whole = cells(*decode(await collect(stubs.sampling.Sample(completing(model, known())))))
    rest = cells(*decode(await collect(stubs.sampling.Sample(completing(model, known(431, 431))))))
    assert rest == {name: column[431:] for name, column in whole.items()}


async def test_a_text_that_the_model_never_learned_stays_in_every_format(stubs: Stubs, model: str) -> None:
    partial = known(sexes=("F", "intersex", ""))
    found = cells(*decode(await collect(stubs.sampling.Sample(completing(model, partial)))))
    wanted = partial.arrays["sex"].to_python()
    assert all(given in (None, cell) for given, cell in zip(wanted, found["cohort.sex"], strict=True))
    assert "intersex" in found["cohort.sex"]
    files = {}
    for format_ in (ARROW, CSV):
        messages = await collect(stubs.sampling.Sample(completing(model, partial, format=format_)))
        files[format_] = b"".join(message.chunk.data for message in messages[1:-1])
    lines = list(csv.DictReader(io.StringIO(files[CSV].decode(), newline="")))
    assert [line["sex"] for line in lines] == found["cohort.sex"]
    assert pa.ipc.open_stream(files[ARROW]).read_all().column("sex").to_pylist() == found["cohort.sex"]


async def test_rows_that_do_not_fit_are_refused_by_name(stubs: Stubs, model: str) -> None:
    def wrong(**changes: Any) -> sampling_pb2.SampleRequest:
        request = completing(model, known())
        for name, value in changes.items():
            part: Any = request
            *path, last = name.split("__")
            for step in path:
                part = getattr(part, step)
            if isinstance(value, list):
                del getattr(part, last)[:]
                getattr(part, last).extend(value)
            else:
                setattr(part, last, value)
        return request

    for request, reason, field in (
        (wrong(unit_count=ROWS - 1), "INVALID_REQUEST", "unit_count"),
        (wrong(augmentation_factor=2.0), "INVALID_REQUEST", "augmentation_factor"),
        (wrong(partial_rows__columns=["age", "age"]), "INVALID_REQUEST", "partial_rows.columns"),
        (wrong(partial_rows__columns=["age", "height"]), "UNKNOWN_COLUMN", "cohort.height"),
        (wrong(partial_rows__batch__row_count=ROWS + 1), "BATCH_INVALID", "cohort.age"),
        (wrong(partial_rows__batch__table="others"), "UNKNOWN_TABLE", "others"),
    ):
        failed = await fails(stubs.sampling.Sample(request))
        assert (failed.reason, failed.fields[:1]) == (reason, (field,)), failed


async def test_a_model_that_cannot_complete_says_so(stubs: Stubs) -> None:
    from tests.runtime import parts

    plain = await stubs.import_model(parts.bundle_bytes())
    assert not plain.abilities.imputation
    rows = PartialRows({"age": Array.make(Storage.INT64, [40])}, 0, "people")
    failed = await fails(stubs.sampling.Sample(completing(plain.name, rows)))
    assert (failed.reason, failed.fields) == ("CONDITION_UNSUPPORTED", ("partial_rows",))


async def test_a_temperature_sharpens_what_is_drawn(stubs: Stubs) -> None:
    model = await stubs.import_model(bundle())
    abilities = model.abilities
    assert set(abilities.native_conditions) == {"equals", "one_of", "range", "is_null"}
    assert (abilities.imputation, abilities.rebalancing, abilities.temperature) == (True, True, True)
    shares = {}
    for temperature, top_p in ((1.0, 1.0), (0.2, 1.0), (5.0, 1.0), (1.0, 0.5)):
        request = sampling_pb2.SampleRequest(
            model=model.name, unit_count=3000, seed=1, temperature=temperature, top_p=top_p
        )
        outcomes = cells(*decode(await collect(stubs.sampling.Sample(request))))["cohort.outcome"]
        shares[temperature, top_p] = outcomes.count(1) / 3000
    assert shares[0.2, 1.0] < 0.25 < shares[1.0, 1.0] < 0.35 < shares[5.0, 1.0]
    assert shares[1.0, 0.5] == 0.0
