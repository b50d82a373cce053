"""Dates, intervals and declared orders: what is told relative to what, and what then holds in every row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kohort.columns import Array
from kohort.rules import Order, Range
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.statistics import StatisticsSource
from tables.tableset import Table
from trainers.encoding import Encoding, anchor_of

DAY = 86_400_000_000
ROWS = 3_000


def table(constraints=(), **arrays):
    columns = tuple(Column(n, _kind(a.storage), a.storage, Handling.MODEL) for n, a in arrays.items())
    return Table(TableSchema("t", columns, constraints=tuple(constraints)), arrays)


def _kind(storage):
    return {Storage.DATE: Kind.DATE, Storage.DATETIME: Kind.DATETIME}.get(storage, Kind.INTEGER)


def hospital(order=("death", "discharge", "birth", "admission", "visit"), seed=1):
    """Births, stays of some days, a tenth dead after them; a visit that has nothing to do with it."""
    rng = np.random.default_rng(seed)
    admission = rng.integers(15_000, 19_000, ROWS)
    age = (rng.beta(1, 1.2, ROWS) * 95 * 365).astype(int)
    stay = rng.geometric(0.15, ROWS) - 1
    dead = rng.random(ROWS) < 0.1
    arrays = {
        "birth": Array.make(Storage.DATE, admission - age),
        "admission": Array.make(Storage.DATETIME, admission * DAY + rng.integers(0, 1440, ROWS) * 60_000_000),
        "discharge": Array.make(Storage.DATE, admission + stay, rng.random(ROWS) < 0.97),
        "death": Array.make(Storage.DATE, admission + stay + rng.geometric(0.01, ROWS), dead),
        "visit": Array.make(Storage.DATE, rng.integers(15_000, 19_000, ROWS)),
    }
    return table(**{name: arrays[name] for name in order})


def fit(made, k=5):
    return Encoding.fit(made, StatisticsSource(), k)


def anchors(encoding):
    return {c.column: a.column for c in encoding.columns if (a := anchor_of(c))}


def scrambled(encoding, features, rng):
    """Features of rows that no model would make: every one drawn on its own, some far out."""
    out = []
    for feature, values in zip(encoding.features, features, strict=True):
        shuffled = rng.permutation(values)
        far = rng.random(values.size) < 0.1
        out.append(
            np.where(far, rng.normal(0, 1e7, values.size), shuffled) if feature.size is None else shuffled
        )
    return out


def test_a_hospital_stay_is_told_from_its_admission():
    assert anchors(fit(hospital())) == {"birth": "admission", "discharge": "admission", "death": "admission"}


@pytest.mark.parametrize("seed", range(3))
def test_the_schemas_order_plays_no_part(seed, rng):
    names = np.random.default_rng(seed).permutation(["birth", "admission", "discharge", "death", "visit"])
    made = hospital(tuple(names))
    encoding = fit(made)
    assert anchors(encoding) == {"birth": "admission", "discharge": "admission", "death": "admission"}
    back = encoding.inverse(encoding.encode(made, rng))
    assert list(back) == list(names)


def test_cells_come_back(rng):
    made = hospital()
    encoding = fit(made)
    back = encoding.inverse(encoding.encode(made, rng))
    for name, array in made.arrays.items():
        same = (back[name].values == array.values) & (back[name].is_valid() == array.is_valid())
        assert same.mean() > 0.98, name  # the rest is beyond what five patients support
        assert back[name].storage is array.storage


def test_no_row_whatever_breaks_what_the_data_keep(rng):
    made = hospital()
    encoding = fit(made)
    rows = encoding.inverse(scrambled(encoding, encoding.encode(made, rng), rng))
    day = rows["admission"].values // DAY
    assert (rows["birth"].values <= day).all()
    for name in ("discharge", "death"):
        shown = rows[name].is_valid()
        assert (rows[name].values[shown] >= day[shown]).all()


def test_a_null_anchor_leaves_the_other_its_distribution(rng):
    rng2 = np.random.default_rng(2)
    start = rng2.integers(10_000, 14_000, ROWS)
    gone = rng2.random(ROWS) < 0.008
    made = table(
        start=Array.make(Storage.DATE, start, ~gone),
        end=Array.make(Storage.DATE, start + rng2.geometric(0.2, ROWS)),
    )
    encoding = fit(made)
    assert anchors(encoding) == {"end": "start"}
    back = encoding.inverse(encoding.encode(made, rng))
    assert not back["start"].is_valid()[gone].any()
    near = np.abs(back["end"].values.astype(int) - made.arrays["end"].values)
    assert (near[gone] <= 30).all()


def test_chains_of_three(rng):
    rng2 = np.random.default_rng(3)
    a = rng2.integers(0, 20_000, ROWS)
    b = a + rng2.geometric(0.01, ROWS)
    c = b + rng2.geometric(0.5, ROWS) - 1
    made = table(
        c=Array.make(Storage.DATE, c), b=Array.make(Storage.DATE, b, rng2.random(ROWS) > 0.005),
        a=Array.make(Storage.DATE, a, rng2.random(ROWS) > 0.005),
    )  # fmt: skip
    encoding = fit(made)
    assert len(anchors(encoding)) == 2
    rows = encoding.inverse(scrambled(encoding, encoding.encode(made, rng), rng))
    for low, high in (("a", "b"), ("b", "c")):
        both = rows[low].is_valid() & rows[high].is_valid()
        assert (rows[low].values <= rows[high].values)[both].all()


def test_dates_that_know_nothing_of_each_other_stay_alone():
    rng = np.random.default_rng(4)
    made = table(**{n: Array.make(Storage.DATE, rng.integers(0, 9_000, ROWS)) for n in "ab"})
    assert anchors(fit(made)) == {}


@pytest.mark.parametrize("storage", [Storage.INT64, Storage.DOUBLE, Storage.DURATION, Storage.DATE])
@pytest.mark.parametrize("strict", [False, True])
def test_a_declared_order_holds_for_whatever_comes(storage, strict, rng):
    rng2 = np.random.default_rng(5)
    low = rng2.integers(-500, 500, ROWS)
    high = low + rng2.integers(int(strict), 300, ROWS)
    made = table(
        [Order("low", "high", strict)], high=Array.make(storage, high.astype(storage.dtype)),
        low=Array.make(storage, low.astype(storage.dtype)),
    )  # fmt: skip
    encoding = fit(made)
    if strict and storage is Storage.DOUBLE:
        assert anchors(encoding) == {}  # met by rejection
        return
    rows = encoding.inverse(scrambled(encoding, encoding.encode(made, rng), rng))
    below, above = rows["low"].values, rows["high"].values
    assert (below < above if strict else below <= above).all()


def test_a_range_holds_beside_an_order(rng):
    rng2 = np.random.default_rng(6)
    low = rng2.integers(0, 900, ROWS)
    made = table(
        [Order("low", "high"), Range("high", maximum="950"), Range("low", minimum="0")],
        low=Array.make(Storage.INT64, low),
        high=Array.make(Storage.INT64, np.minimum(low + rng2.integers(0, 300, ROWS), 950)),
    )
    encoding = fit(made)
    assert len(anchors(encoding)) == 1
    rows = encoding.inverse(scrambled(encoding, encoding.encode(made, rng), rng))
    assert rows["high"].values.max() <= 950
    assert rows["low"].values.min() >= 0


def test_relative_columns_are_json():
    encoding = fit(hospital())
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json(), allow_nan=False)))
    assert again.to_json() == encoding.to_json()
    assert anchors(again) == anchors(encoding)


def test_one_patients_interval_is_not_kept(rng):
    made = hospital()
    values = made.arrays["discharge"].values.copy()
    valid = made.arrays["discharge"].is_valid()
    planted = int(np.flatnonzero(valid)[0])
    values[planted] += 40_000
    arrays = {**made.arrays, "discharge": Array.make(Storage.DATE, values, valid)}
    encoding = fit(Table(made.schema, arrays))
    (column,) = (c for c in encoding.columns if c.column == "discharge")
    assert column.anchor.most < 25_000
    assert column.span[1] < 1_000


@pytest.mark.parametrize(("minimum", "maximum"), [(0.1, 0.7), (0, 5), (-1e300, 1e300)])
def test_public_bounds_are_decimal(minimum, maximum, rng):
    cells = np.random.default_rng(8).integers(1, 8, ROWS)
    column = Column(
        "x", Kind.DECIMAL, Storage.DECIMAL, Handling.MODEL, scale=1, minimum=minimum, maximum=maximum
    )
    arrays = {"x": Array.make(Storage.DECIMAL, cells)}
    (encoding,) = fit(Table(TableSchema("t", (column,)), arrays)).columns
    made = encoding.inverse([rng.normal(0, 1e6, 500)]).values
    assert (made.min(), made.max()) == (1, 7)
