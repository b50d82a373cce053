"""Streams of one single-pass program: beside one another, stopped on the way, of graphs that misbehave."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kohort.bundle import read_bundle
from kohort.columns import Batch, ContentDigest
from kohort.conditions import Condition
from kohort.problem import Problem
from kohort.programs import Draws, Program, SampleSpec, load_program
from kohort.sessions import open_session
from tests.runtime import parts


class _Watched:
    """A session that tells who asks, and whose outputs a test may change."""

    def __init__(self, told=lambda: None, **changes) -> None:
        self._told, self._changes = told, changes
        self._session = open_session(parts.graph_bytes())

    def __call__(self, graph: bytes):
        return self

    def run(self, outputs, feeds):
        self._told()
        results = self._session.run(outputs, feeds)
        return [self._changes.get(n, lambda x: x)(r) for n, r in zip(outputs, results, strict=True)]

    def get_providers(self):
        return ["CPUExecutionProvider"]


def loaded(session: _Watched, **changes) -> Program:
    return load_program(parts.manifest(**changes), {parts.GRAPH: parts.graph_bytes()}, session)


def digest(program: Program, batches: list[Batch]) -> bytes:
    total = ContentDigest(program.schema)
    for batch in batches:
        total.add(batch)
    return total.digest()


def test_streams_of_one_model_do_not_touch_one_another():
    """Batches are kept to the end: nothing that a later run or another stream fills may be among them."""
    program = read_bundle(parts.bundle_bytes()).program()
    asked = [(seed, start) for seed in range(6) for start in (0, 37)]
    wanted = {
        (seed, start): digest(
            program, [b for unit in range(start, 3000, 64) for b in alone(program, seed, unit, start)]
        )
        for seed, start in asked
    }
    streams = {key: program.units(SampleSpec(key[0]), key[1], 3000 - key[1]) for key in asked}
    left = program.units(SampleSpec(9), 0, 3000)
    next(left), next(left)
    kept: dict[tuple[int, int], list[Batch]] = {key: [] for key in asked}
    for key, stream in streams.items():
        kept[key].append(next(stream))
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda key: kept[key].extend(streams[key]), asked))
    left.close()
    assert {key: digest(program, batches) for key, batches in kept.items()} == wanted


def alone(program: Program, seed: int, unit: int, start: int) -> list[Batch]:
    """The block that holds a unit, or what is left of it up to the next."""
    low = unit if unit == start else unit - unit % 64
    return list(program.units(SampleSpec(seed), low, min(3000, low - low % 64 + 64) - low))


@pytest.mark.parametrize("conditions", [(), (Condition("age", minimum="0"),)])
@pytest.mark.parametrize("stop", [1, 3, 6, 20])
def test_who_stops_waits_for_no_further_run(conditions, stop):
    draws, runs = Draws(), []

    def told():
        runs.append(0)
        draws.stopped = len(runs) == stop

    batches = list(loaded(_Watched(told)).units(SampleSpec(0, conditions), 0, 10_000, draws))
    assert len(runs) == stop
    assert draws.drawn == sum(batch.row_count for batch in batches) <= stop * parts.BLOCK


@pytest.mark.parametrize("nulls", [1, 63, 64])
def test_of_an_empty_dictionary_every_cell_must_be_null(nulls):
    session = _Watched(c0=np.zeros_like, v0=lambda x: np.arange(x.size) >= nulls)
    units = loaded(session, dictionaries={"people": {"sex": []}}).units(SampleSpec(0), 0, 64)
    if nulls == 64:
        assert next(units).arrays["sex"].to_python() == [None] * 64
        return
    with pytest.raises(Problem) as caught:
        next(units)
    assert caught.value.reason == "BUNDLE_INVALID"
    assert [violation.field for violation in caught.value.violations] == ["people.sex"]
