"""A program as later ones will be: two tables, patients with as many visits as their state asks for.

It needs no graph. Importing this module makes `step/1` known; `step_bundle`
gives the bytes of a bundle that runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from exporters.bundle import pack
from exporters.card import card_text
from kohort.columns import Array, Batch
from kohort.manifest import Manifest
from kohort.noise import Substream, substream
from kohort.problem import Problem
from kohort.programs import Draws, SampleSpec, check_units, register_program
from kohort.schema import Column, ForeignKey, Handling, Kind, Schema, Storage, TableRole, TableSchema
from kohort.sessions import SessionFactory, runtime_fingerprint

GROUP = 32
"""Patients per group; groups are not aligned, for patients own their noise."""
VISITS_PER_BATCH = 40
MAX_VISITS = 9
SEX = ("f", "m")
CODES = ("I10", "E11.9", "J45", "N18.3", "Ω42")

PATIENTS = TableSchema(
    "patients",
    (
        Column("patient", Kind.ID, Storage.INT64, Handling.REGENERATE, nullable=False),
        Column("sex", Kind.CATEGORY, Storage.STRING, Handling.MODEL),
        Column("age", Kind.INTEGER, Storage.INT64, Handling.MODEL, nullable=False),
    ),
    primary_key=("patient",),
    subject_key="patient",
    role=TableRole.STATIC,
)
VISITS = TableSchema(
    "visits",
    (
        Column("patient", Kind.ID, Storage.INT64, Handling.REGENERATE, nullable=False),
        Column("day", Kind.DATE, Storage.DATE, Handling.MODEL, nullable=False),
        Column("code", Kind.CODE, Storage.STRING, Handling.MODEL, nullable=False, vocabulary="ICD-10"),
        Column("others", Kind.CODE_LIST, Storage.STRING_LIST, Handling.MODEL),
        Column("cost", Kind.DECIMAL, Storage.DECIMAL, Handling.MODEL, scale=2),
        Column("room", Kind.TEXT, Storage.STRING, Handling.REGENERATE, nullable=False),
    ),
    foreign_keys=(ForeignKey(("patient",), "patients", ("patient",)),),
    subject_key="patient",
    time_column="day",
    role=TableRole.EVENTS,
)
SCHEMA = Schema((PATIENTS, VISITS))


class StepProgram:
    """Each patient's visits come from a loop with state, on the patient's own substream."""

    unit = "patient"
    schema = SCHEMA

    def __init__(self, manifest: Manifest, graphs: Mapping[str, bytes], factory: SessionFactory) -> None:
        self.dictionaries = {
            ("patients", "sex"): manifest.strings("patients", "sex"),
            ("visits", "code"): manifest.strings("visits", "code"),
            ("visits", "others"): manifest.strings("visits", "others"),
        }
        self.fingerprint = runtime_fingerprint(manifest.content_digest)

    def check(self, spec: SampleSpec, start: int, count: int) -> None:
        check_units(start, count)
        if not spec.plain:
            raise Problem("CONDITION_UNSUPPORTED", "this program honours nothing")

    def units(self, spec: SampleSpec, start: int, count: int, draws: Draws | None = None) -> Iterator[Batch]:
        self.check(spec, start, count)
        if draws is not None:
            draws.drawn += count
        for low in range(start, start + count, GROUP):
            yield from self._group(spec, low, min(low + GROUP, start + count))

    def _group(self, spec: SampleSpec, low: int, high: int) -> Iterator[Batch]:
        people, visits = [], []
        for unit in range(low, high):
            noise = substream(spec.seed, unit)
            first = noise.uniforms(3)
            people.append((unit + 1, int(first[0] * 2), first[1] < 0.9, 18 + int(first[2] * 70)))
            visits += [(unit, row, *visit) for row, visit in enumerate(_loop(noise))]
        batches = [self._patients(people, low)]
        batches += [
            self._visits(visits[i : i + VISITS_PER_BATCH]) for i in range(0, len(visits), VISITS_PER_BATCH)
        ]
        for i, batch in enumerate(batches):
            end = high if i == len(batches) - 1 else low
            yield Batch(
                batch.table, batch.arrays, batch.first_unit, batch.first_row_in_unit, end, batch.units
            )

    def _patients(self, people: list[tuple[int, int, bool, int]], low: int) -> Batch:
        key, sex, valid, age = (list(column) for column in zip(*people, strict=True))
        arrays = {
            "patient": Array.make(Storage.INT64, key),
            "sex": Array.make(Storage.STRING, sex, valid, self.dictionaries["patients", "sex"]),
            "age": Array.make(Storage.INT64, age),
        }
        return Batch("patients", arrays, low)

    def _visits(self, visits: list[tuple[int, int, int, int, list[int], int | None]]) -> Batch:
        units = np.array([visit[0] for visit in visits], np.int64)
        lists = [visit[4] for visit in visits]
        costs = [visit[5] for visit in visits]
        offsets = np.concatenate([[0], np.cumsum([len(codes) for codes in lists])])
        flat = np.array([code for codes in lists for code in codes], np.int64)
        arrays = {
            "patient": Array.make(Storage.INT64, units + 1),
            "day": Array.make(Storage.DATE, [visit[2] for visit in visits]),
            "code": Array.make(
                Storage.STRING, [visit[3] for visit in visits], None, self.dictionaries["visits", "code"]
            ),
            "others": Array.make(
                Storage.STRING_LIST, flat, None, self.dictionaries["visits", "others"], offsets
            ),
            "cost": Array.make(Storage.DECIMAL, [c or 0 for c in costs], [c is not None for c in costs]),
            "room": Array.make(Storage.STRING, [f"room-{v[0]}-{'é' * v[1]}" for v in visits]),
        }
        return Batch("visits", arrays, int(units[0]), visits[0][1], 0, units)


def _loop(noise: Substream) -> Iterator[tuple[int, int, list[int], int | None]]:
    """Day, code, other codes and cost of each visit; some patients have none."""
    day, state = 300_000, 0
    for _ in range(MAX_VISITS):
        draw = noise.uniforms(5)
        if draw[0] < 0.25:
            return
        day += 1 + int(draw[1] * 100)
        state = (state + int(draw[2] * len(CODES))) % len(CODES)
        others = [code for code in range(int(draw[3] * len(CODES))) if code != state]
        yield day, state, others, None if draw[4] < 0.2 else int(draw[4] * 1e6)


def step_manifest() -> Manifest:
    """The manifest of a bundle that needs no graph."""
    return Manifest(
        schema=SCHEMA,
        trainer="step",
        parameters={},
        seed=0,
        program={"name": "step", "version": 1, "unit": "patient"},
        dictionaries={"patients": {"sex": list(SEX)}, "visits": {"code": list(CODES), "others": list(CODES)}},
        privacy={"differentially_private": False, "min_patients_per_value": 5},
    )


def step_bundle() -> bytes:
    """The bytes of a bundle that runs `step/1`."""
    manifest = step_manifest()
    return pack(manifest, {}, card_text(manifest))[1]


register_program("step", 1, StepProgram)
