"""The noise schemes against their golden vectors and against a second implementation in plain Python."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kohort.noise import block_noise, check_units, substream, substreams, words_per_unit
from kohort.problem import Problem
from kohort.quantiles import normal_table

GOLDEN = {
    scheme: json.loads((Path(__file__).parent / "golden" / f"noise_scheme_{scheme}.json").read_text())
    for scheme in (1, 2)
}
BLOCKS = [(scheme, case) for scheme, golden in GOLDEN.items() for case in golden["blocks"]]
SUBSTREAMS = [(scheme, case) for scheme, golden in GOLDEN.items() for case in golden["substreams"]]
SCHEMES = st.sampled_from([1, 2])
MASK = (1 << 64) - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10, from the paper."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = right >> 64 ^ b ^ k0, right & MASK, left >> 64 ^ d ^ k1, left & MASK
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & MASK, k1 + 0xBB67AE8584CAA73B & MASK
    return [a, b, c, d]


def words(seed: int, stream: int, counter: tuple[int, int, int], first: int, count: int) -> list[int]:
    """Words [first, first + count) of a counter range; numpy counts up before it draws."""
    blocks = range(first // 4, (first + count + 3) // 4)
    drawn = [w for i in blocks for w in philox([i + 1, *counter], [seed & MASK, stream])]
    return drawn[first % 4 :][:count]


def unit_noise(drawn: list[int], uniforms: int, normals: int, scheme: int) -> tuple[list[float], list[float]]:
    """One unit's noise in double precision, as the module's words describe it."""
    k = [half for word in drawn for half in (word >> 41, word >> 9 & 0x7FFFFF)]
    flat = [(x + 0.5) * 2.0**-23 for x in k[:uniforms]]
    out: list[float] = []
    if scheme == 2:
        for word in drawn[(uniforms + 1) // 2 :]:
            out += [cell_mean(word >> shift & 0xFFFF) for shift in (0, 16, 32, 48)]
        return flat, out[:normals]
    for a, b in zip(k[uniforms::2], k[uniforms + 1 :: 2], strict=False):
        radius = math.sqrt(-2 * math.log((a + 0.5) * 2.0**-23)) * (-1 if b >> 22 else 1)
        x = ((b & 0x3FFFFF) + 0.5) * 2.0**-22 - 0.5
        out += [radius * math.cos(math.pi * x), radius * math.sin(math.pi * x)]
    return flat, out[:normals]


@cache
def cell_mean(place: int) -> float:
    """The mean of a cell of the standard normal, before all are scaled by less than 1 + 1e-6."""
    bell = NormalDist()
    edges = [bell.pdf(bell.inv_cdf(i / 65_536)) if 0 < i < 65_536 else 0.0 for i in (place, place + 1)]
    return 65_536 * (edges[0] - edges[1])


def bits(values: np.ndarray) -> list:
    return np.vectorize(lambda x: f"{x:08x}", otypes=[object])(values.view(np.uint32)).tolist()


@pytest.mark.parametrize(("scheme", "case"), BLOCKS, ids=lambda c: c and str(c)[:40])
def test_blocks_equal_the_golden_vectors_bit_for_bit(scheme, case):
    shape = case["block_size"], case["uniforms"], case["normals"]
    uniform, normal = block_noise(int(case["seed"]), case["stream"], int(case["block"]), *shape, scheme)
    assert (uniform.shape, normal.shape) == ((shape[0], shape[1]), (shape[0], shape[2]))
    assert uniform.dtype == normal.dtype == np.float32
    rows = slice(case["first_row"], None)
    assert [list(row) for row in bits(uniform[rows])] == case["uniform_bits"]
    assert [list(row) for row in bits(normal[rows])] == case["normal_bits"]
    np.testing.assert_allclose(normal[rows], np.reshape(case["normal_values"], normal[rows].shape), atol=4e-6)


@pytest.mark.parametrize(("scheme", "case"), SUBSTREAMS)
def test_substreams_equal_the_golden_vectors(scheme, case):
    stream = substream(int(case["seed"]), int(case["unit"]), case["attempt"], case["stream"], scheme)
    assert bits(stream.uniforms(3)) == case["uniform_bits"]
    assert bits(stream.normals(3)) == case["normal_bits"]


def test_the_table_of_scheme_2_is_this_one():
    table = normal_table()
    assert hashlib.sha256(table.astype("<f4").tobytes()).hexdigest() == GOLDEN[2]["table_sha256"]
    assert table.shape == (65_536,)
    assert (table[::-1] == -table).all()
    assert (np.diff(table) > 0).all()
    places = [0, 1, 2, 300, 4_900, 4_920, 20_000, 32_767, 32_768, 65_535]
    np.testing.assert_allclose(table[places], [cell_mean(i) for i in places], rtol=1e-6)


def test_the_table_of_scheme_2_is_nearly_normal():
    values = normal_table().astype(np.float64)
    assert abs((values**2).mean() - 1) < 1e-8
    assert abs((values**4).mean() - 3) < 2e-4
    assert abs((values**6).mean() - 15) < 1e-2
    assert values.max() < 4.39
    exact = np.array([NormalDist().cdf(value) for value in values])
    assert np.abs(exact - np.arange(65_536) / 65_536).max() < 1 / 65_536
    assert np.abs(exact - np.arange(1, 65_537) / 65_536).max() < 1 / 65_536


@settings(max_examples=40)
@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    stream=st.integers(0, 9),
    block=st.integers(0, 2**53 // 5),
    uniforms=st.integers(0, 6),
    normals=st.integers(0, 7),
    unit=st.integers(0, 4),
    scheme=SCHEMES,
)
def test_any_unit_equals_the_second_implementation(seed, stream, block, uniforms, normals, unit, scheme):
    uniform, normal = block_noise(seed, stream, block, 5, uniforms, normals, scheme)
    width = words_per_unit(uniforms, normals, scheme)
    drawn = words(seed, stream, (block, 0, 0), unit * width, width)
    flat, bell = unit_noise(drawn, uniforms, normals, scheme)
    assert uniform[unit].tolist() == flat
    np.testing.assert_allclose(normal[unit], bell, rtol=0, atol=4e-6 if scheme == 2 else 1e-6)


def test_substreams_are_the_second_implementation_apart_from_blocks():
    drawn = words(8, 0, (3, 2, 1), 0, 2)
    assert substream(8, 3, 2).uniforms(4).tolist() == unit_noise(drawn, 4, 0, 1)[0]
    seen = {tuple(substream(8, unit, attempt).uniforms(4)) for unit in range(5) for attempt in range(5)}
    seen |= {tuple(row) for block in range(5) for row in block_noise(8, 0, block, 5, 4, 0)[0]}
    assert len(seen) == 50


@pytest.mark.parametrize("scheme", [1, 2])
def test_noise_is_inside_its_range_and_has_its_moments(scheme):
    uniform, normal = (
        np.concatenate(parts)
        for parts in zip(*(block_noise(3, 0, block, 1024, 16, 64, scheme) for block in range(8)), strict=True)
    )
    assert uniform.min() > 0
    assert uniform.max() < 1
    flat = normal.astype(np.float64)
    count = flat.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((flat**power).mean() - moment) < 5 * math.sqrt(variance / count)
    assert abs(uniform.mean() - 0.5) < 5 * math.sqrt(1 / 12 / uniform.size)
    pairs = np.corrcoef(flat, rowvar=False) - np.eye(64)
    assert np.abs(pairs).max() < 6 / math.sqrt(len(flat))
    # Kolmogorov and Smirnov, at a probability of 1e-6.
    ordered = np.sort(flat, axis=None)[::64]
    below = np.array([NormalDist().cdf(value) for value in ordered])
    assert np.abs(below - np.arange(0, count, 64) / count).max() < 2.7 / math.sqrt(count)


@pytest.mark.parametrize("scheme", [1, 2])
def test_the_noise_of_a_unit_does_not_depend_on_the_chunks(monkeypatch, scheme):
    wanted = block_noise(3, 0, 2, 100, 3, 7, scheme)
    monkeypatch.setattr("kohort.noise._CHUNK", 5)
    for left, right in zip(wanted, block_noise(3, 0, 2, 100, 3, 7, scheme), strict=True):
        assert left.tobytes() == right.tobytes()


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, -1), (1 << 53, 1), ((1 << 53) - 1, 2)])
def test_units_outside_the_range_are_refused(start, count):
    with pytest.raises(Problem) as caught:
        check_units(start, count)
    assert caught.value.reason == "UNIT_OUT_OF_RANGE"


def test_the_last_unit_is_inside():
    check_units((1 << 53) - 1, 1)


@settings(max_examples=40)
@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    stream=st.sampled_from([0, 3, 1 << 33]),
    units=st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=4),
    attempt=st.integers(0, 99_999),
    uniforms=st.integers(0, 9),
    normals=st.integers(0, 9),
    scheme=SCHEMES,
)
def test_many_substreams_at_once_equal_the_second_implementation(
    seed, stream, units, attempt, uniforms, normals, scheme
):
    attempts = attempt + np.arange(len(units))
    uniform, normal = substreams(seed, np.array(units), attempts, stream, uniforms, normals, scheme)
    width = words_per_unit(uniforms, normals, scheme)
    for row, unit in enumerate(units):
        drawn = words(seed, stream, (unit, attempt + row, 1), 0, width)
        flat, bell = unit_noise(drawn, uniforms, normals, scheme)
        assert uniform[row].tolist() == flat
        np.testing.assert_allclose(normal[row], bell, rtol=0, atol=4e-6 if scheme == 2 else 1e-6)


@pytest.mark.parametrize("scheme", [1, 2])
def test_noise_goes_where_it_is_wanted(scheme):
    room = np.full((2, 50, 3), np.nan, np.float32), np.full((2, 50, 6), np.nan, np.float32)
    for block in (0, 1):
        out = room[0][block], room[1][block]
        assert block_noise(4, 0, block, 50, 3, 6, scheme, out) == out
    for block in (0, 1):
        for made, wanted in zip(room, block_noise(4, 0, block, 50, 3, 6, scheme), strict=True):
            assert made[block].tobytes() == wanted.tobytes()


def test_where_there_are_no_normals_the_schemes_are_one():
    assert block_noise(3, 1, 2, 50, 7, 0, 2)[0].tobytes() == block_noise(3, 1, 2, 50, 7, 0, 1)[0].tobytes()


def test_many_substreams_are_those_one_by_one():
    uniform, _ = substreams(-5, np.array([7, 0]), np.array([2, 1]), 0, 50, 31)
    assert uniform[0].tobytes() == substream(-5, 7, 2).uniforms(50).tobytes()
    assert uniform[1].tobytes() == substream(-5, 0, 1).uniforms(50).tobytes()
