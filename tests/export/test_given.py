"""Graphs that complete rows: proven before they are published, read with distrust."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from exporters.bundle import pack
from exporters.card import card_text
from exporters.export import export
from exporters.parity import check_parity
from kohort.bundle import read_bundle
from kohort.problem import Problem
from tests.conditional_generator import TABLE, Toy, toy_bundle


def test_the_toy_is_what_it_says():
    report = check_parity(Toy(), export(Toy(), TABLE))
    assert not any(c.edges or c.differing > 4 for c in report.columns)


@dataclass(frozen=True, eq=False)
class Forgetful(Toy):
    """Its graph does not look at the mask of one feature."""

    feature: int = 0

    def graph_given(self, ops, uniform, normal, given):
        names = list(super().graph_given(ops, uniform, normal, given))
        names[self.feature] = self.graph(ops, uniform, normal)[self.feature]
        return names


@dataclass(frozen=True, eq=False)
class Insensitive(Toy):
    """Its graph knows no temperature."""

    def graph_given(self, ops, uniform, normal, given):
        one = ops.node("Div", given.temperature, given.temperature)
        return super().graph_given(ops, uniform, normal, replace(given, temperature=one))


@dataclass(frozen=True, eq=False)
class Wilful(Toy):
    """The model itself does not give back what it is given."""

    def reference_given(self, uniform, normal, features, mask, temperature, top_p):
        mask = np.where(np.arange(mask.shape[1]) == 4, False, mask)
        return super().reference_given(uniform, normal, features, mask, temperature, top_p)


@dataclass(frozen=True, eq=False)
class Shifted(Toy):
    """With nothing given it gives other rows than without the question."""

    def graph(self, ops, uniform, normal):
        flipped = ops.node("Sub", ops.constant([1.0], np.float32), uniform)
        return super().graph(ops, flipped, normal)

    def reference(self, uniform, normal):
        return super().reference(1 - uniform, normal)


@pytest.mark.parametrize(
    ("made", "column"),
    [
        *(
            (Forgetful(feature=j), name)
            for j, name in ((0, "sex"), (4, "age"), (5, "bmi"), (6, "bmi"), (9, "born"))
        ),
        (Insensitive(), "smoker"),
        (Wilful(), "age"),
        (Shifted(), "sex"),
    ],
)
def test_a_graph_that_does_otherwise_is_refused_by_column(made, column):
    with pytest.raises(Problem) as caught:
        check_parity(made, export(made, TABLE))
    assert caught.value.reason == "PARITY_FAILED"
    assert f"cohort.{column}" in [v.field for v in caught.value.violations]


def test_the_manifest_says_what_can_be_given():
    program = toy_bundle().manifest.program
    assert (program["version"], program["given_graph"], program["temperature"]) == (
        2,
        "graphs/given.onnx",
        True,
    )
    assert [entry["columns"] for entry in program["features"]] == [
        [c.name] for c in TABLE.columns if c.name != "id"
    ]
    assert toy_bundle(conditional=False).manifest.program["version"] == 1
    # Strings are told once, in the dictionary.
    assert "former" not in json.dumps(program)


def test_a_column_told_relative_to_another_names_it():
    *_, last = toy_bundle(relative=True).manifest.program["features"]
    assert (last["columns"], last["encoding"], last["anchor"]) == (["died"], "number", "born")


def _feature(place, **changes):
    def change(program):
        program["features"][place] = {**program["features"][place], **changes}

    return change


def _set(**changes):
    return lambda program: program.update(changes)


@pytest.mark.parametrize(
    "damage",
    [
        _set(features=[]),
        _set(features=None),
        _set(features=[{"encoding": "opaque", "columns": ["sex"], "width": 1}]),
        _set(given_graph="graphs/main.onnx"),
        _set(given_graph="graphs/none.onnx"),
        _set(given_graph=None),
        _feature(0, columns=["sex", "sex"]),
        _feature(0, columns=["smoker"]),
        _feature(0, columns=["nobody"]),
        _feature(0, encoding="magic"),
        _feature(0, encoding="opaque", width=0),
        _feature(0, encoding="opaque", width=True),
        _feature(0, encoding="opaque", width=2),
        _feature(0, frequencies=[1.0]),
        _feature(0, frequencies=[1.5, -0.5]),
        _feature(0, frequencies=[0.5, 0.4]),
        _feature(0, frequencies="ab"),
        _feature(0, nulls=1),
        _feature(2, values=[0, 0]),
        _feature(2, values=[0, "1"]),
        _feature(2, values=[0, 2**70]),
        _feature(4, knots_x=[0, 1]),
        _feature(4, knots_u=[0, 0.3, 0.2, 0.8, 0.8, 1]),
        _feature(4, lo=-1.0),
        _feature(4, step=0),
        _feature(4, step=-1),
        _feature(4, base=2**63 - 10),
        _feature(4, base=0.5),
        _feature(6, step=1),
        _feature(7, base=2**31 - 10),
        _feature(7, anchor="nobody"),
        _feature(7, anchor="born"),
        _feature(7, anchor="sex"),
        _feature(7, anchor=["sex"]),
    ],
)
def test_a_bundle_that_tells_nonsense_about_its_inputs_is_refused(damage):
    with pytest.raises(Problem) as caught:
        _repacked(damage)
    assert caught.value.reason == "BUNDLE_INVALID"


def test_the_same_bundle_is_read_where_all_is_sound():
    assert _repacked(lambda program: None).manifest.program == toy_bundle().manifest.program
    assert _repacked(_set(temperature=False)).program()


def _repacked(damage):
    made = toy_bundle()
    program = json.loads(json.dumps(made.manifest.program))
    damage(program)
    manifest = replace(made.manifest, program=program)
    return read_bundle(pack(manifest, made.graphs, card_text(manifest), None)[1])
