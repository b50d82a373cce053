"""Fakes belong to their unit, repeat only when they must, and none can be a real identifier."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kohort.bundle import read_bundle
from kohort.fakes import FAKES, _keys, _permutation, fake_column, supported
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.schema import Column, Handling, Schema, Storage
from tests.runtime import parts

GOLDEN = json.loads((Path(__file__).parent / "golden/fakes.json").read_text(encoding="utf-8"))
TEXTS = sorted(FAKES)
NUMBERS = sorted(kind for kind, fake in FAKES.items() if fake.number)


def column(fake, storage=Storage.STRING, name="contact"):
    return Column(name, storage=storage, handling=Handling.REGENERATE, fake=fake)


def cells(fake, start=0, stop=2000, seed=7, storage=Storage.STRING, name="contact"):
    return fake_column(column(fake, storage, name), seed, start, stop).to_python()


def luhn_holds(digits):
    total = 0
    for i, digit in enumerate(map(int, reversed(digits))):
        total += digit if i % 2 == 0 else 2 * digit - 9 * (digit > 4)
    return total % 10 == 0


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['fake']}-{case['storage']}")
def test_any_implementation_gives_these_cells(case):
    storage = Storage(case["storage"])
    found = cells(case["fake"], case["start"], case["start"] + 3, case["seed"], storage, case["column"])
    assert [str(cell) for cell in found] == case["cells"]


@pytest.mark.parametrize("kind", TEXTS)
def test_a_fake_is_the_same_in_any_range_and_another_for_other_seeds_and_columns(kind):
    whole = cells(kind, 0, 1500)
    assert whole[700:900] == cells(kind, 700, 900)
    assert cells(kind, 5, 5) == []
    if kind != "key":
        assert cells(kind, seed=8) != cells(kind) != cells(kind, name="other")
    far = (1 << 53) - 10
    assert len(cells(kind, far, far + 10, seed=-1)) == 10


@pytest.mark.parametrize("kind", TEXTS)
def test_no_fake_occurs_twice_while_there_are_fresh_ones(kind):
    count = min(FAKES[kind].size, 20_000)
    assert len(set(cells(kind, 0, count))) == count
    if FAKES[kind].size < 20_000:
        assert cells(kind, count, 2 * count) != cells(kind, 0, count)
        assert set(cells(kind, count, 2 * count)) == set(cells(kind, 0, count))


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 762, 5000])
def test_the_network_permutes_its_domain(size):
    numbers = np.arange(size, dtype=np.int64)
    assert sorted(_permutation(numbers, size, _keys(3, 5, 0)).tolist()) == list(range(size))


@pytest.mark.parametrize("kind", NUMBERS)
def test_columns_of_numbers_get_numbers_that_a_double_holds(kind):
    found = cells(kind, storage=Storage.INT64)
    assert len(set(found)) == len(found)
    assert max(found) < 1 << 53
    array = fake_column(column(kind, Storage.INT64), 7, 0, 10)
    assert array.values.dtype == np.int64


def test_keys_count_as_they_always_have():
    assert cells("", 4, 6) == cells("key", 4, 6) == ["syn-000000000004", "syn-000000000005"]
    assert cells("", 4, 6, storage=Storage.INT64) == [5, 6]


NEVER_REAL = {
    "number": lambda cell: not luhn_holds(cell) and len(cell) == 16,
    "card": lambda cell: not luhn_holds(cell.replace(" ", "")) and cell[0] == "0",
    "ssn": lambda cell: cell[0] == "9" and int(cell[4:6]) < 50 and re.fullmatch(r"\d{3}-\d\d-\d{4}", cell),
    "phone": lambda cell: re.match(r"\+1-202-555-01\d\d x\d{7}$", cell),
    "email": lambda cell: cell.endswith("@example.org"),
    "url": lambda cell: cell.startswith("https://example.org/"),
    "ipv4": lambda cell: any(
        ipaddress.ip_address(cell) in ipaddress.ip_network(network)
        for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    ),
    "ipv6": lambda cell: (
        ipaddress.ip_address(cell) in ipaddress.ip_network("2001:db8::/32")
        and str(ipaddress.ip_address(cell)) == cell
    ),
    "mac": lambda cell: int(cell[:2], 16) & 3 == 2 and re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", cell),
    "iban": lambda cell: cell[:4] == "XX00" and len(cell) == 24,
    "vin": lambda cell: "Q" in cell and len(cell) == 17,
    "uuid": lambda cell: cell[14] == "8" and len(cell) == 36,
    "postcode": lambda cell: "00000" <= cell <= "00499",
    "key": lambda cell: cell.startswith("syn-"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_no_fake_can_be_real(kind):
    never_real = NEVER_REAL.get(kind, lambda cell: re.search(r"(?i)(^|[ ])syn-", cell))
    assert all(never_real(cell) for cell in cells(kind, 0, 300))
    assert FAKES[kind].why


def test_what_cannot_be_faked_is_known():
    assert supported("", Storage.INT64)
    assert supported("email", Storage.STRING)
    assert not supported("email", Storage.INT64)
    assert not supported("ssn", Storage.DOUBLE)
    assert not supported("blood", Storage.STRING)


def faked(kind):
    """A bundle whose column `ward` is regenerated as a kind of fakes."""
    columns = tuple(replace(c, fake=kind) if c.name == "ward" else c for c in parts.PEOPLE.columns)
    return parts.bundle_bytes(parts.manifest(schema=Schema((parts.PEOPLE.with_columns(columns),))))


def test_a_bundle_emits_the_fakes_that_its_schema_names():
    batches = read_bundle(faked("email")).program().units(SampleSpec(5), 0, 200)
    found = [cell for batch in batches for cell in batch.arrays["ward"].to_python()]
    assert found == cells("email", 0, 200, seed=5, name="ward")


def test_a_bundle_with_unknown_fakes_is_refused():
    with pytest.raises(Problem) as refused:
        read_bundle(faked("blood")).program()
    assert refused.value.reason == "BUNDLE_INVALID"
