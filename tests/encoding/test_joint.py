"""Fixed combinations and one-hot groups: one category that decodes into several columns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exporters.export import export
from exporters.parity import check_parity
from kohort.columns import Array
from kohort.problem import Problem
from kohort.rules import Allowed, Combination, OneHot, Range
from kohort.schema import Column, Handling, Kind, Storage, TableSchema
from tables.statistics import StatisticsSource
from tables.tableset import Table, TableSet
from trainers.base import FitRequest, Hooks
from trainers.copula import CopulaTrainer
from trainers.encoding import Encoding, JointEncoding

N = 1_200


def wards(*rules, planted=False):
    """Wards and their sites, three one-hot flags, and a number between them in the schema."""
    rng = np.random.default_rng(1)
    ward = rng.integers(0, 6, N)
    site = ward // 2
    if planted:
        ward[7], site[7] = 5, 0
    hot = rng.integers(0, 3, N)
    arrays = {
        "ward": Array.make(Storage.STRING, ward, rng.random(N) > 0.1, tuple("fedcba")),
        "x": Array.make(Storage.INT64, rng.integers(0, 90, N)),
        "h0": Array.make(Storage.BOOL, hot == 0),
        "site": Array.make(Storage.INT64, site + 100),
        "h1": Array.make(Storage.INT64, (hot == 1).astype(int)),
        "h2": Array.make(Storage.BOOL, hot == 2),
    }
    kinds = {"ward": Kind.CATEGORY, "site": Kind.CATEGORY, "h0": Kind.BOOLEAN, "h2": Kind.BOOLEAN}
    columns = tuple(
        Column(n, kinds.get(n, Kind.INTEGER), a.storage, Handling.MODEL) for n, a in arrays.items()
    )
    return Table(TableSchema("t", columns, constraints=rules), arrays)


BOTH = (Combination(("ward", "site")), OneHot(("h0", "h1", "h2")))


def fit(table, k=5):
    return Encoding.fit(table, StatisticsSource(), k)


def rows(arrays, *names):
    return list(zip(*(arrays[name].to_python() for name in names), strict=True))


def test_columns_of_a_rule_are_one_feature(rng):
    table = wards(*BOTH)
    encoding = fit(table)
    assert [c.column for c in encoding.columns] == ["ward & site", "x", "h0 & h1 & h2"]
    assert [f.size for f in encoding.features] == [9, None, 3]  # six pairs, and three sites without a ward
    back = encoding.inverse(encoding.encode(table, rng))
    for name, array in table.arrays.items():
        if name != "x":
            assert back[name].to_python() == array.to_python()
            assert back[name].storage is array.storage


def test_every_class_is_a_combination_of_the_data(rng):
    table = wards(*BOTH)
    encoding = fit(table)
    features = [
        rng.integers(0, f.size, 5_000) if f.size else rng.normal(0, 99, 5_000) for f in encoding.features
    ]
    made = encoding.inverse(features)
    assert set(rows(made, "ward", "site")) == set(rows(table.arrays, "ward", "site"))
    assert all(sum(map(int, hot)) == 1 for hot in rows(made, "h0", "h1", "h2"))


def test_a_combination_of_one_patient_is_in_nothing(rng):
    table = wards(*BOTH, planted=True)
    encoding = fit(table)
    assert ("a", 100) not in set(rows(encoding.inverse(encoding.encode(table, rng)), "ward", "site"))
    assert '"a", 100' not in json.dumps(encoding.to_json())
    (finding,) = (f for f in encoding.findings if "combination" in f.message)
    assert (finding.reason, finding.column) == ("RARE_VALUES_PROTECTED", "ward")


def test_rules_that_share_a_column_share_a_feature():
    encoding = fit(wards(Combination(("ward", "site")), Combination(("site", "h0"))))
    (joint,) = (c for c in encoding.columns if isinstance(c, JointEncoding))
    assert joint.names == ("ward", "h0", "site")


def test_state_is_json(rng):
    table = wards(*BOTH)
    encoding = fit(table)
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json(), allow_nan=False)))
    assert again.to_json() == encoding.to_json()
    features = encoding.encode(table, rng)
    for name, array in again.inverse(features).items():
        assert array.to_python() == encoding.inverse(features)[name].to_python()


def test_graph_and_model_agree():
    table = wards(*BOTH)
    empty = table.take(np.zeros(0, np.intp))
    request = FitRequest(TableSet({"t": table}), TableSet({"t": empty}), {}, seed=1)
    generator = CopulaTrainer().fit(request, Hooks())
    exported = export(generator, table.schema)
    assert [output.column for output in exported.outputs] == list(table.arrays)
    report = check_parity(generator, exported)
    assert {column.column for column in report.columns} == set(table.arrays)


def test_nothing_supported_is_refused_by_name():
    rng = np.random.default_rng(2)
    arrays = {
        name: Array.make(Storage.STRING, rng.permutation(100), None, tuple(f"{name}{i}" for i in range(100)))
        for name in ("a", "b")
    }
    columns = tuple(Column(n, Kind.CATEGORY, Storage.STRING, Handling.MODEL) for n in arrays)
    with pytest.raises(Problem) as refused:
        fit(Table(TableSchema("t", columns, constraints=(Combination(("a", "b")),)), arrays))
    assert refused.value.reason == "COLUMN_UNSUPPORTED"
    assert refused.value.violations[0].field == "t.a"


def test_allowed_numbers_are_categories(rng):
    table = wards(Allowed("x", tuple(map(str, range(90)))))
    (column,) = (c for c in fit(table).columns if c.column == "x")
    assert set(column.values) <= set(range(90))


def test_a_range_bounds_numbers_whatever_comes(rng):
    table = wards(Range("x", "0", "89"))
    encoding = fit(table)
    (column,) = (c for c in encoding.columns if c.column == "x")
    cells = column.inverse([rng.normal(0, 1e6, 1_000)]).values
    assert cells.min() >= 0
    assert cells.max() <= 89
