"""Unit addressing: the same units give the same bytes, however they are asked for and cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.batching import rebatch
from kohort.bundle import read_bundle
from kohort.columns import Array, Batch, ContentDigest, encode_record_batch
from kohort.manifest import Manifest
from kohort.problem import Problem
from kohort.programs import PROGRAMS, Draws, Program, SampleSpec, load_program
from kohort.schema import Handling, Schema, Storage
from kohort.sessions import open_session
from tests.runtime import parts, step_program

LAST = 400


@cache
def program(name: str) -> Program:
    data = parts.bundle_bytes() if name == "single_pass" else step_program.step_bundle()
    return read_bundle(data).program()


def content(made: Program, batches: Iterable[Batch]) -> tuple[bytes, list[bytes]]:
    """The digest of all rows, and each table's rows as one record batch's bytes."""
    digest = ContentDigest(made.schema)
    tables: dict[str, list[Batch]] = {}
    for batch in batches:
        digest.add(batch)
        tables.setdefault(batch.table, []).append(batch)
    joined = []
    for table in made.schema:
        rows = tables.get(table.name, [])
        names = [c.name for c in table.columns]
        arrays = {n: Array.concat([b.arrays[n] for b in rows]) for n in names} if rows else {}
        joined.append(encode_record_batch(Batch(table.name, arrays)))
    return digest.digest(), joined


def check_addresses(batches: list[Batch], start: int, stop: int, unit_of_key: str) -> None:
    """`first_unit`, `first_row_in_unit` and `next_unit` say what the rows themselves say."""
    seen: dict[tuple[str, int], int] = {}
    done = start
    for batch in batches:
        keys = batch.arrays[unit_of_key].values - 1
        assert done <= batch.next_unit <= stop
        if batch.next_unit > done:
            assert not len(keys) or keys.max() < batch.next_unit
        if len(keys):
            assert keys[0] == batch.first_unit >= done
            assert batch.first_row_in_unit == seen.get((batch.table, int(keys[0])), 0)
        for key in keys.tolist():
            seen[batch.table, key] = seen.get((batch.table, key), 0) + 1
        done = batch.next_unit
    assert done == stop


SIZES = st.tuples(st.sampled_from([0, 1, 7, 50, 1000]), st.sampled_from([1, 500, 3000, 1 << 20]))


@pytest.mark.parametrize("name", ["single_pass", "step"])
@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, LAST),
    count=st.integers(0, 150),
    cuts=st.lists(st.integers(0, 150), max_size=3),
    size=SIZES,
    other=SIZES,
    seed=st.sampled_from([0, -5, 2**63 - 1]),
)
def test_any_split_and_any_batch_size_give_the_same_bytes(name, start, count, cuts, size, other, seed):
    made, spec, stop = program(name), SampleSpec(seed), start + count
    whole = list(rebatch(made.units(spec, start, count), *size))
    edges = sorted({start, stop, *(min(start + cut, stop) for cut in cuts)})
    pieces = [
        list(rebatch(made.units(spec, low, high - low), *other)) for low, high in itertools.pairwise(edges)
    ]
    key = "id" if name == "single_pass" else "patient"
    assert content(made, whole) == content(made, [b for piece in pieces for b in piece])
    if count:
        check_addresses(whole, start, stop, key)
    for piece, low, high in zip(pieces, edges, edges[1:], strict=False):
        check_addresses(piece, low, high, key)
    for batch in whole:
        assert not size[0] or batch.row_count <= size[0]
        assert batch.row_count <= 1 or batch.nbytes <= 2 * size[1]


@pytest.mark.parametrize("name", ["single_pass", "step"])
@settings(max_examples=40, deadline=None)
@given(broken=st.integers(0, 60), size=SIZES, other=SIZES)
def test_a_stream_that_breaks_anywhere_resumes_to_the_same_bytes(name, broken, size, other):
    made, spec, start, stop = program(name), SampleSpec(4), 30, 190
    whole = list(rebatch(made.units(spec, start, stop - start), *size))
    received = whole[: min(broken, len(whole))]
    resume, kept = start, 0
    for place, batch in enumerate(received):
        if batch.next_unit > resume:
            resume, kept = batch.next_unit, place + 1
    rest = rebatch(made.units(spec, resume, stop - resume), *other)
    assert content(made, [*received[:kept], *rest]) == content(made, whole)


@pytest.mark.parametrize("name", ["single_pass", "step"])
def test_seeds_and_units_differ(name):
    made = program(name)
    digests = {
        content(made, made.units(SampleSpec(seed), start, 64))[0]
        for seed in (0, 1, -1)
        for start in (0, 64, (1 << 53) - 64)
    }
    assert len(digests) == 9


@pytest.mark.parametrize("name", ["single_pass", "step"])
@pytest.mark.parametrize(("start", "count"), [(-1, 5), (0, -1), ((1 << 53) - 1, 2)])
def test_units_out_of_range_are_refused(name, start, count):
    with pytest.raises(Problem) as caught:
        list(program(name).units(SampleSpec(0), start, count))
    assert caught.value.reason == "UNIT_OUT_OF_RANGE"


@pytest.mark.parametrize("scheme", [1, 2])
def test_single_pass_emits_what_the_graph_says(scheme):
    """Against the graph written out in numpy, on the noise of the scheme that the manifest names."""
    from kohort.noise import block_noise

    made = read_bundle(parts.bundle_bytes(_program(noise={**NOISE, "scheme": scheme}))).program()
    (batch,) = made.units(SampleSpec(9), parts.BLOCK, parts.BLOCK)
    uniform, normal = block_noise(9, 0, 1, parts.BLOCK, 3, 2, scheme)
    present = uniform < np.float32(0.8)
    cells = {name: array.to_python() for name, array in batch.arrays.items()}
    floor = lambda x, by: np.floor(x * np.float32(by)).astype(np.int64)  # noqa: E731
    blank = lambda values, mask: [v if m else None for v, m in zip(values, mask, strict=True)]  # noqa: E731
    sex = [parts.SEX[i] for i in floor(uniform[:, 1], 3)]
    assert cells["sex"] == blank(sex, present[:, 0])
    assert cells["smoker"] == blank((normal[:, 0] > 0.5).tolist(), present[:, 1])
    assert cells["age"] == (floor(uniform[:, 0], 60) + 18).tolist()
    assert cells["weight"] == blank(floor(normal[:, 1], 150).tolist(), present[:, 2])
    np.testing.assert_allclose(cells["score"], np.tanh(normal[:, 0]), atol=1e-6)
    assert cells["born"] == floor(normal[:, 0], 9000).tolist()
    assert cells["seen"] == blank((floor(uniform[:, 2], 86400) + parts.FAR).tolist(), present[:, 0])
    assert cells["stay"] == (floor(uniform[:, 1], 1000) * 1000).tolist()
    assert cells["id"] == list(range(parts.BLOCK + 1, 2 * parts.BLOCK + 1))
    assert cells["ward"][0] == f"syn-{parts.BLOCK:012d}"
    assert list(cells) == [c.name for c in parts.PEOPLE.emitted]
    assert {s.value for s in Storage} - {a.storage.value for a in batch.arrays.values()} == {
        "unspecified",
        "string_list",
    }
    nulls = ~batch.arrays["sex"].is_valid()
    assert nulls.any()
    assert not batch.arrays["sex"].values[nulls].any()


def test_single_pass_runs_whole_blocks_only():
    shapes = []

    class Spy:
        def __init__(self, graph: bytes) -> None:
            self._session = open_session(graph)

        def run(self, outputs, feeds):
            shapes.append({name: noise.shape for name, noise in feeds.items()})
            return self._session.run(outputs, feeds)

        def get_providers(self):
            return self._session.get_providers()

    made = load_program(parts.manifest(), {parts.GRAPH: parts.graph_bytes()}, Spy)
    batches = list(made.units(SampleSpec(0), 60, 10))
    assert [batch.row_count for batch in batches] == [4, 6]
    assert shapes == [{"uniform": (64, 3), "normal": (64, 2)}] * 2


@pytest.mark.parametrize("target", [1, 20_000, 1 << 20])
@pytest.mark.parametrize(("start", "stop"), [(0, 640), (63, 65), (70, 600), (1, 64), (64, 1900), (5, 4321)])
def test_blocks_that_make_one_batch_hold_the_rows_of_each(monkeypatch, start, stop, target):
    monkeypatch.setattr("kohort.single_pass.TARGET_BYTES", target)
    made, size = program("single_pass"), parts.BLOCK
    batches = list(made.units(SampleSpec(3), start, stop - start))
    assert batches[0].row_count == min(stop, size * (start // size + 1)) - start  # early
    for batch, following in itertools.pairwise(batches):
        assert batch.next_unit == following.first_unit
        assert batch.next_unit % size == 0
        assert following.row_count <= 2 * size * -(-batch.row_count // size)
    largest = max(batch.nbytes for batch in batches)
    assert largest < target + max(batch.nbytes * size / batch.row_count for batch in batches) * 1.1
    check_addresses(batches, start, stop, "id")
    edges = [start, *range(size * (start // size + 1), stop, size), stop]
    alone = [b for low, high in itertools.pairwise(edges) for b in made.units(SampleSpec(3), low, high - low)]
    assert content(made, batches) == content(made, alone)
    if stop - start > 1000 and target > size:
        assert len(batches) < len(alone) / 2


def test_who_leaves_waits_for_no_further_batch():
    draws = Draws()
    stream = program("single_pass").units(SampleSpec(0), 0, 1000, draws)
    next(stream)
    draws.stopped = True
    assert list(stream) == []
    assert draws.drawn == parts.BLOCK


class _Broken:
    """A session whose results a test decides."""

    def __init__(self, sound: int = 0, **changes) -> None:
        self._changes, self._sound = changes, sound
        self._session = open_session(parts.graph_bytes())

    def __call__(self, graph: bytes):
        return self

    def run(self, outputs, feeds):
        if "error" in self._changes and self._sound <= 0:
            raise self._changes["error"]
        results = self._session.run(outputs, feeds)
        self._sound -= 1
        if self._sound >= 0:
            return results
        return [self._changes.get(n, lambda x: x)(r) for n, r in zip(outputs, results, strict=True)]

    def get_providers(self):
        return ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    "changes",
    [
        {"c0": lambda x: x + 3},
        {"c0": lambda x: x - 1},
        {"c0": lambda x: x - (1 << 62)},
        {"c2": lambda x: x[:-1]},
        {"c2": lambda x: x.astype(np.int32)},
        {"v0": lambda x: x[:, None]},
        {"c4": lambda x: [1.0]},
        {"c4": lambda x: x * np.nan},
        {"c4": lambda x: x + np.inf},
        {"error": RuntimeError("secret")},
    ],
)
@pytest.mark.parametrize("sound", [0, 1, 4])
def test_a_graph_that_misbehaves_is_refused(changes, sound):
    """In its first run or in a later one, whose rows join those of sound ones."""
    made = load_program(parts.manifest(), {parts.GRAPH: parts.graph_bytes()}, _Broken(sound, **changes))
    with pytest.raises(Problem) as caught:
        list(made.units(SampleSpec(0), 0, 640 if sound else 5))
    assert caught.value.reason == "BUNDLE_INVALID"
    assert "secret" not in str(caught.value)


def _program(**changes) -> Manifest:
    return parts.manifest(program={**parts.manifest().program, **changes})


def _column(name: str, **changes) -> Manifest:
    columns = tuple(replace(c, **changes) if c.name == name else c for c in parts.PEOPLE.columns)
    return parts.manifest(schema=Schema((parts.PEOPLE.with_columns(columns),)))


NOISE = {"scheme": 1, "stream": 0, "block": parts.BLOCK, "uniforms": 3, "normals": 2}


@pytest.mark.parametrize(
    "made",
    [
        _program(noise={**NOISE, "scheme": 0}),
        _program(noise={**NOISE, "scheme": 3}),
        _program(noise={**NOISE, "scheme": "1"}),
        _program(noise={name: value for name, value in NOISE.items() if name != "scheme"}),
        _program(noise={**NOISE, "block": 2048}),
        _program(noise={**NOISE, "block": 32}),
        _program(noise={**NOISE, "uniforms": 4}),
        _program(noise={**NOISE, "normals": 0}),
        _program(noise={**NOISE, "normals": True}),
        _program(noise=None),
        _program(table="others"),
        _program(graph="graphs/other.onnx"),
        _program(unit="patient"),
        _column("sex", handling=Handling.DROP),
        _column("notes", handling=Handling.MODEL),
        _column("age", storage=Storage.DOUBLE),
        _column("born", handling=Handling.REGENERATE),
        _column("sex", storage=Storage.STRING_LIST),
        parts.manifest(dictionaries={}),
        parts.manifest(schema=Schema((parts.PEOPLE, replace(parts.PEOPLE, name="more")))),
    ],
)
def test_a_manifest_that_does_not_fit_the_graph_is_refused(made):
    with pytest.raises(Problem) as caught:
        read_bundle(parts.bundle_bytes(made))
    assert caught.value.reason == "BUNDLE_INVALID"


def test_an_empty_group_still_counts():
    empty = {"n": Array.empty(Storage.INT64)}
    full = {"n": Array.make(Storage.INT64, [1, 2])}
    batches = [Batch("t", empty, 0, 0, 5), Batch("t", full, 5, 0, 7), Batch("t", empty, 7, 0, 9)]
    made = list(rebatch(batches))
    assert sum(batch.row_count for batch in made) == 2
    assert made[-1].next_unit == 9


def test_the_first_batch_leaves_at_once():
    taken = []

    def groups():
        for unit in range(100):
            taken.append(unit)
            yield Batch("t", {"n": Array.make(Storage.INT64, [unit])}, unit, 0, unit + 1)

    stream = rebatch(groups())
    assert next(stream).row_count == 1
    assert taken == [0]
    assert next(stream).row_count == 99


def test_programs_are_known_by_name_and_version():
    assert "single_pass/1" in PROGRAMS
    with pytest.raises(Problem) as caught:
        read_bundle(parts.bundle_bytes(_program(version=3)))
    assert caught.value.reason == "PROGRAM_UNKNOWN"


def test_fingerprints_tell_runtimes_and_contents_apart():
    import onnxruntime

    first = program("single_pass").fingerprint
    assert f"ort-{onnxruntime.__version__}" in first
    assert "CPUExecutionProvider" in first
    other = read_bundle(parts.bundle_bytes(parts.manifest(seed=12))).program().fingerprint
    assert other != first
    assert program("step").fingerprint.count("/") == 1
