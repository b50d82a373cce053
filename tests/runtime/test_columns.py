from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.columns import Array, Batch, ContentDigest, batch_digest
from kohort.schema import Schema, Storage
from tests.runtime.parts import ALL, all_batch, all_storages

NAMES = list(all_storages(1))


def plain(cells: list[object]) -> list[object]:
    """NaN compares equal to itself as text."""
    return [repr(cell) for cell in cells]


@pytest.mark.parametrize("name", NAMES)
def test_slice_take_and_concat_agree_with_lists(name):
    array = all_storages(60)[name]
    cells = plain(array.to_python())
    assert len(array) == len(cells) == 60
    assert plain(array.slice(7, 31).to_python()) == cells[7:31]
    assert plain(array.slice(7, 31).slice(2, 5).to_python()) == cells[9:12]
    rows = np.array([59, 0, 7, 7, 30])
    assert plain(array.take(rows).to_python()) == [cells[i] for i in rows]
    mask = np.arange(60) % 7 == 2
    assert plain(array.take(mask).to_python()) == [c for c, m in zip(cells, mask, strict=True) if m]
    parts = [array.slice(0, 1), array.slice(1, 1), array.slice(1, 40), array.slice(40, 60)]
    assert plain(Array.concat(parts).to_python()) == cells


@pytest.mark.parametrize("name", NAMES)
def test_null_cells_are_zero_or_empty(name):
    array = all_storages(60)[name]
    nulls = ~array.is_valid()
    assert array.to_python()[int(np.flatnonzero(nulls)[0])] is None if nulls.any() else name == "duration"
    if array.offsets is not None:
        assert not np.diff(array.offsets.astype(int))[nulls].any()
    else:
        assert all(cell in (0, "") for cell in array.values[nulls].tolist())


def test_concat_unites_dictionaries_that_differ():
    parts = [
        Array.make(Storage.STRING, [0, 1], [True, False], ("a", "b")),
        Array.make(Storage.STRING, [0, 1, 1], None, ("b", "c")),
        Array.make(Storage.STRING, [0, 0], [False, False], ()),
    ]
    joined = Array.concat(parts)
    assert joined.dictionary == ("a", "b", "c")
    assert joined.to_python() == ["a", None, "b", "c", "c", None, None]
    assert joined.values[~joined.is_valid()].tolist() == [0, 0, 0]
    mixed = Array.concat([*parts, Array.make(Storage.STRING, ["z", ""])])
    assert mixed.dictionary is None
    assert mixed.to_python() == ["a", None, "b", "c", "c", None, None, "z", ""]


def test_concat_unites_dictionaries_of_lists():
    parts = [
        Array.make(Storage.STRING_LIST, [0, 1], None, ("a", "b"), [0, 2, 2]),
        Array.make(Storage.STRING_LIST, [1, 0, 1], [True, False], ("b", "c"), [0, 2, 3]),
    ]
    assert Array.concat(parts).to_python() == [["a", "b"], [], ["c", "b"], None]


@pytest.mark.parametrize("storage", [s for s in Storage if s is not Storage.UNSPECIFIED])
def test_empty_arrays_join_and_encode(storage):
    empty = Array.empty(storage)
    assert len(empty) == 0
    assert empty.to_python() == []
    assert Array.concat([empty, empty]).to_python() == []
    assert len(empty.factorize()) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("distinct", [False, True])
def test_factorize_numbers_equal_cells_equally(name, distinct):
    array = all_storages(60)[name]
    codes = array.factorize(nulls_distinct=distinct)
    cells = [
        ("null", i if distinct else 0) if c is None else ("cell", repr(c))
        for i, c in enumerate(array.to_python())
    ]
    if name == "double":
        cells = [("cell", "0.0") if c == ("cell", "-0.0") else c for c in cells]
    assert sorted(set(codes.tolist())) == list(range(len(set(cells))))
    pairs = set(zip(codes.tolist(), cells, strict=True))
    assert len(pairs) == len(set(cells))


@pytest.mark.parametrize(
    ("storage", "values", "parts"),
    [
        (Storage.INT64, [1.5], {}),
        (Storage.INT64, [2**63], {}),
        (Storage.DATE, [2**31], {}),
        (Storage.BOOL, [2], {}),
        (Storage.DOUBLE, ["secret-cell"], {}),
        (Storage.STRING, ["a", 5], {}),
        (Storage.STRING, ["secret-cell-\ud800"], {}),
        (Storage.STRING, [2], {"dictionary": ("a", "b")}),
        (Storage.STRING, [-1], {"dictionary": ("a", "b")}),
        (Storage.STRING, [0], {"dictionary": ("secret-cell", "secret-cell")}),
        (Storage.INT64, [1, 2], {"valid": [True]}),
        (Storage.INT64, [[1, 2]], {}),
        (Storage.STRING_LIST, [0], {"dictionary": ("a",), "offsets": [0, 2]}),
        (Storage.STRING_LIST, [0, 0], {"dictionary": ("a",), "offsets": [0, 2, 1, 2]}),
        (Storage.STRING_LIST, [0], {"dictionary": ("a",), "offsets": [1, 1]}),
        (Storage.STRING_LIST, [0], {"dictionary": ("a",)}),
    ],
)
def test_make_refuses_what_does_not_fit_and_shows_no_cell(storage, values, parts):
    with pytest.raises(ValueError) as caught:
        Array.make(storage, values, **parts)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_make_leaves_the_callers_array_alone():
    values = np.array([1, 2, 3])
    Array.make(Storage.INT64, values, [True, False, True])
    assert values.tolist() == [1, 2, 3]


def test_an_array_without_nulls_has_no_mask():
    assert Array.make(Storage.INT64, [1], [True]).valid is None
    assert all_storages(60)["bool"].take(np.array([], np.intp)).valid is None


@given(cuts=st.lists(st.integers(0, 80), max_size=6), seed=st.integers(0, 3))
def test_the_content_digest_does_not_depend_on_cuts(cuts, seed):
    arrays = all_storages(80, seed)
    whole = ContentDigest()
    whole.add(Batch("all", arrays))
    parts = ContentDigest()
    edges = sorted({0, 80, *cuts})
    for low, high in itertools.pairwise(edges):
        parts.add(Batch("all", {name: array.slice(low, high) for name, array in arrays.items()}))
    assert parts.digest() == whole.digest() == batch_digest(Batch("all", arrays))


def test_the_content_digest_is_that_of_the_contract():
    """Written out by hand from the words of table.proto."""
    import hashlib
    import struct

    arrays = {
        "n": Array.make(Storage.INT64, [-2, 9], [True, False]),
        "s": Array.make(Storage.STRING, ["é", ""]),
        "l": Array.make(Storage.STRING_LIST, [1, 0], None, ("a", "b"), [0, 0, 2]),
        "d": Array.make(Storage.DATE, [-1, 1]),
    }
    values = [
        struct.pack("<qq", -2, 0),
        struct.pack("<I", 2) + "é".encode() + struct.pack("<I", 0),
        struct.pack("<III", 0, 2, 1) + struct.pack("<I", 0),
        struct.pack("<ii", -1, 1),
    ]
    validity = [b"\1\0", b"\1\1", b"\1\1", b"\1\1"]

    def sha(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    expected = sha(
        b"".join(sha(sha(mask) + sha(value)) for mask, value in zip(validity, values, strict=True))
    )
    assert batch_digest(Batch("t", arrays)) == expected


@pytest.mark.parametrize("null", [0, 1, 65_535, 65_536, 140_000, 149_999, None])
def test_the_content_digest_of_many_cells_with_their_first_null_anywhere(null):
    import hashlib

    valid = np.ones(150_000, dtype=np.bool_)
    values = np.arange(150_000)
    if null is not None:
        valid[null] = False
        values[null] = 0
    array = Array.make(Storage.INT64, values, valid)
    expected = b"".join(hashlib.sha256(part.tobytes()).digest() for part in (valid, values.astype("<i8")))
    expected = hashlib.sha256(hashlib.sha256(expected).digest()).digest()
    assert batch_digest(Batch("t", {"n": array})) == expected
    cut = ContentDigest()
    for low, high in itertools.pairwise([0, 65_536, 65_537, 140_001, 150_000]):
        cut.add(Batch("t", {"n": array.slice(low, high)}))
        cut.digest()  # may be asked for on the way
    assert cut.digest() == expected


def test_the_content_digest_counts_tables_in_schema_order():
    batch = all_batch()
    batch = Batch("all", {name: array for name, array in batch.arrays.items() if name != "text"})
    empty = Batch("all", {c.name: Array.empty(c.storage) for c in ALL.columns})
    with_schema = ContentDigest(Schema((ALL,)))
    assert with_schema.digest() == batch_digest(empty)
    with_schema.add(batch)
    assert with_schema.digest() == batch_digest(batch)
    assert batch_digest(batch) != batch_digest(empty)
