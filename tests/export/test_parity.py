"""Graph, model and inverse agree on every kind of column; where they do not, the column is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from exporters import export
from exporters.export import export as export_graph
from exporters.graph import GraphBuilder
from exporters.parity import check_parity, edge_features
from kohort.graphcheck import check_graph
from kohort.problem import Problem
from kohort.schema import Storage
from tables.statistics import StatisticsSource
from tables.tableset import TableSet
from trainers.base import FitRequest, Hooks
from trainers.copula import CopulaTrainer
from trainers.encoding import CategoryEncoding, Encoding, anchor_of


def test_every_kind_of_column(table, generator):
    exported = export_graph(generator, table.schema)
    report = check_parity(generator, exported)
    assert report.rows == 4096
    assert [column.column for column in report.columns] == [column.name for column in table.schema.columns]
    assert {column.edges for column in report.columns} == {0}
    assert max(column.differing for column in report.columns) <= 1
    onnx.checker.check_model(onnx.load_from_string(exported.graph), full_check=True)
    assert check_graph(exported.graph).opset == 20


@pytest.mark.parametrize("order", [1, 2, 3])
def test_columns_in_any_order(make_table, toy, order):
    table = make_table(seed=order, order=order)
    generator = toy(Encoding.fit(table, StatisticsSource(), 5))
    report = check_parity(generator, export_graph(generator, table.schema))
    assert [column.column for column in report.columns] == [column.name for column in table.schema.columns]


def test_a_trained_generator_and_its_graph_agree(table):
    tables = TableSet({"all": table})
    generator = CopulaTrainer().fit(FitRequest(tables, TableSet({}), {}, seed=1), Hooks())
    check_parity(generator, export_graph(generator, table.schema))


def test_edges_meet_every_class_knot_and_bound(generator):
    edges = edge_features(generator.encoding)
    assert len({edge.size for edge in edges}) == 1
    start = 0
    for column in generator.encoding.columns:
        features = edges[start : start + len(column.features)]
        start += len(column.features)
        if isinstance(column, CategoryEncoding):
            assert set(features[0]) == set(range(column.size))
            continue
        for present in (0, 1) if column.nulls else (1,):
            x = features[-1][features[0] == present] if column.nulls else features[-1]
            assert set(column.knots_x) <= set(x)
            assert x.min() < column.lo
            assert x.max() > column.hi


def test_equal_generators_give_equal_bytes(table, generator):
    first, second = (export_graph(generator, table.schema) for _ in range(2))
    assert first == second


BREAKS = {
    "no rounding": ("Round", lambda node, x: x),
    "truncation": ("Round", lambda node, x: node("Floor", x)),
    "half up": ("Round", lambda node, x: node("Floor", node("Add", x, HALF))),
    "no bounds": ("Clip", lambda node, x, lo, hi: x),
    "nulls swapped": ("Where", lambda node, v, a, b: node("Where", node("Not", v), a, b)),
}
HALF = ""


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_decoding_is_refused(table, generator, monkeypatch, name):
    operator, instead = BREAKS[name]

    class Broken(GraphBuilder):
        def node(self, op, *inputs, **attributes):
            if op == operator and self.decoding:
                globals()["HALF"] = self.constant(0.5, np.float64)
                return instead(super().node, *inputs)
            return super().node(op, *inputs, **attributes)

        decoding = False

        def named(self, x, called):
            # The last feature is named just before the first column is decoded.
            self.decoding = self.decoding or called == f"f{len(generator.encoding.features) - 1}"
            return super().named(x, called)

    monkeypatch.setattr(export, "GraphBuilder", Broken)
    with pytest.raises(Problem) as refused:
        check_parity(generator, export.export(generator, table.schema))
    assert refused.value.reason == "PARITY_FAILED"
    named = {violation.field for violation in refused.value.violations}
    assert named
    numbers = {f"all.{c.column}" for c in generator.encoding.columns if not isinstance(c, CategoryEncoding)}
    assert named <= numbers | ({f"all.{c.name}" for c in table.schema.columns if c.nullable})


@pytest.mark.parametrize("victim", ["bool", "icd?", "coded", "string?", "moment", "double?", "date"])
def test_the_broken_column_is_named(table, generator, monkeypatch, victim):
    whole = export.write_decoding

    def broken(builder, encoding, features):
        columns = (replace(c, **damage(c)) if c.column == victim else c for c in encoding.columns)
        return whole(builder, Encoding(tuple(columns)), features)

    def damage(encoding):
        if not isinstance(encoding, CategoryEncoding):
            return (
                {"base": encoding.base + encoding.step}
                if encoding.step
                else {"hi": encoding.hi * (1 - 1e-12)}
            )
        if encoding.storage is Storage.STRING:
            # A null class in the wrong place, or one that is forgotten.
            values = encoding.values[:-1] if encoding.nulls else encoding.values
            return {"values": values, "nulls": True}
        return {"values": encoding.values[::-1]}

    monkeypatch.setattr(export, "write_decoding", broken)
    with pytest.raises(Problem) as refused:
        check_parity(generator, export.export(generator, table.schema))
    assert refused.value.reason == "PARITY_FAILED"
    # What is told relative to a broken column is broken with it.
    told = [c.column for c in generator.encoding.columns if (a := anchor_of(c)) and a.column == victim]
    wanted = [f"all.{column}" for column in (victim, *told)]
    assert [violation.field for violation in refused.value.violations] == wanted
    assert victim in refused.value.message


def test_swapped_features_are_refused(table, generator, toy):
    layout = generator.encoding.features
    a, b = (i for i, feature in enumerate(layout) if feature.column in ("flag", "bool"))

    class Swapped(toy):
        def graph(self, ops, uniform, normal):
            names = list(super().graph(ops, uniform, normal))
            names[a], names[b] = names[b], names[a]
            return names

    with pytest.raises(Problem) as refused:
        check_parity(generator, export_graph(Swapped(generator.encoding), table.schema))
    assert {violation.field for violation in refused.value.violations} == {"all.flag", "all.bool"}


def test_a_model_that_gives_no_numbers_is_refused(table, generator, toy):
    continuous = next(i for i, feature in enumerate(generator.encoding.features) if feature.size is None)

    class Diverged(toy):
        def reference(self, uniform, normal):
            features = list(super().reference(uniform, normal))
            features[continuous] = features[continuous] * np.nan
            return features

    diverged = Diverged(generator.encoding)
    with pytest.raises(Problem) as refused:
        check_parity(diverged, export_graph(diverged, table.schema))
    assert refused.value.violations[0].field == f"all.{generator.encoding.features[continuous].column}"


def test_a_generator_that_breaks_its_contract_is_refused(table, generator, toy):
    class Short(toy):
        def graph(self, ops, uniform, normal):
            return super().graph(ops, uniform, normal)[:-1]

    with pytest.raises(ValueError, match="number of features"):
        export_graph(Short(generator.encoding), table.schema)
    fewer = table.schema.with_columns(table.schema.columns[1:])
    with pytest.raises(ValueError, match="exactly the modelled columns"):
        export_graph(generator, fewer)
