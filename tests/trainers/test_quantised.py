"""Networks in whole numbers: exact to the last bit, blind to their neighbours, refused where they lose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.export import export
from exporters.graph import GraphBuilder
from exporters.parity import check_parity
from exporters.publish import export_bundle
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.schema import Finding, Kind, Schema
from kohort.sessions import open_session
from tables.tableset import Table
from trainers import registry
from trainers.base import Hooks
from trainers.lossless import UNITS, at_precision, departures
from trainers.quantised import LEVELS, Dense, IntegerNetwork

pytest.importorskip("torch")
pytest.importorskip("ctgan")


def layers(rng: np.random.Generator, widths: list[int], classes: int, *, passing: bool) -> list[Dense]:
    made, inputs = [], widths[0]
    for width in widths[1:]:
        weight = rng.normal(size=(width, inputs)).astype(np.float32) / np.float32(inputs**0.5)
        made.append(Dense(weight, rng.normal(size=(max(classes, 1), width)).astype(np.float32)))
        inputs = inputs + width if passing else width
    return made


def float32(network: list[Dense], x: np.ndarray, asked: np.ndarray | None, *, passing: bool) -> np.ndarray:
    for place, layer in enumerate(network):
        y = x @ layer.weight.T + (layer.rows[0] if asked is None else layer.rows[asked])
        hidden = np.maximum(y, 0)
        x = y if place + 1 == len(network) else np.hstack([hidden, x]) if passing else hidden
    return x


@pytest.mark.parametrize(
    ("widths", "classes", "passing"),
    [([7, 33, 40, 21], 5, True), ([7, 33, 21], 0, False), ([16, 1500, 12], 0, False), ([9, 12], 3, True)],
)
def test_the_graph_is_the_model_to_the_last_bit(widths: list[int], classes: int, passing: bool) -> None:
    rng = np.random.default_rng(4)
    network = layers(rng, widths, classes, passing=passing)
    normal = rng.standard_normal((3000, widths[0]), np.float32)
    asked = rng.integers(0, classes, 3000) if classes else None
    integers = IntegerNetwork.of(network, normal[:2000], None if asked is None else asked[:2000], passing)

    ops = GraphBuilder()
    outputs = integers.write(ops, "normal", "asked" if classes else "")
    first = [ops.named(ops.node("Squeeze", ops.slice(outputs, j, j + 1)), f"y{j}") for j in range(widths[-1])]
    inputs: list[Any] = [("normal", np.float32, widths[0])]
    inputs += [("asked", np.int64, None)] if classes else []
    session = open_session(ops.model(inputs, [(name, np.float32) for name in first]))
    fed = {"normal": normal} | ({"asked": asked} if asked is not None else {})
    made = np.stack(session.run(first, fed), axis=1)
    assert (made == integers.run(normal, asked)).all()

    exact = float32(network, normal, asked, passing=passing)
    assert np.abs(made - exact).std() < 0.05 * exact.std()
    # Instructions older than VNNI add two products in 16 bits: they must fit.
    assert all(np.abs(layer.weight).max() == LEVELS for layer in integers.layers)
    assert 2 * LEVELS * LEVELS < 2**15


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    rng = np.random.default_rng(1)
    network = layers(rng, [5, 20, 20, 8], 0, passing=True)
    normal = rng.standard_normal((1000, 5), np.float32)
    integers = IntegerNetwork.of(network, normal, None, passing=True)
    beside = np.concatenate([normal[:10], 100 * normal[10:20]])
    assert (integers.run(beside, None)[:10] == integers.run(normal, None)[:10]).all()


@pytest.fixture(scope="module")
def pair(fit: Any, heart: Table) -> tuple[Any, Any]:
    """CTGAN of the heart table in float32 and in whole numbers."""
    findings: list[Finding] = []
    near = fit("ctgan", heart, Hooks(warn=findings.append), precision="int8", epochs=20)
    assert "PRECISION_KEPT" not in {finding.reason for finding in findings}
    return replace(near, integers=None), near


@pytest.mark.parametrize("kinds", [{Kind.CATEGORY}, {Kind.INTEGER, Kind.DECIMAL}])
def test_tables_without_classes_or_numbers_compute_in_whole_numbers_too(
    fit: Any, heart: Table, noise: Any, kinds: set[Kind]
) -> None:
    columns = tuple(column for column in heart.schema.columns if column.kind in kinds)
    arrays = {column.name: heart.arrays[column.name] for column in columns}
    table = replace(heart, schema=heart.schema.with_columns(columns), arrays=arrays)
    generator = fit("ctgan", table, epochs=1)
    near = generator.in_integers(*noise(generator, 500))
    check_parity(near, export(near, table.schema))


def publish(generator: Any, table: Table, path: Path) -> Any:
    info = registry.trainer("ctgan").info
    export_bundle(
        generator, Schema((table.schema,)), info, {"precision": generator.variant}, 1, {}, [], {}, path
    )
    return read_bundle(path)


def test_whole_numbers_keep_the_distributions(pair: Any, heart: Table, noise: Any) -> None:
    exact, near = pair
    assert (exact.variant, near.variant) == ("fp32", "int8")
    fed = noise(exact, 16_384)
    one, two = exact.reference(*fed), near.reference(*fed)
    assert departures(one, two) == {}
    # Nearer than the gate asks: the same noise gives almost the same rows.
    assert np.mean([np.mean(a == b) for a, b in zip(one, two, strict=True) if a.dtype == np.int64]) > 0.98
    assert check_parity(near, export(near, heart.schema)).columns


def test_a_bundle_says_what_it_computes_in_and_addresses_its_units(
    pair: Any, heart: Table, tmp_path: Path
) -> None:
    exact, near = (publish(g, heart, tmp_path / g.variant) for g in pair)
    assert "variant" not in exact.manifest.program
    assert near.manifest.program["variant"] == "int8"
    programs = [bundle.program() for bundle in (exact, near)]
    assert [program.fingerprint.split("/")[1] for program in programs] == ["fp32", "int8"]
    assert (tmp_path / "int8").stat().st_size < (tmp_path / "fp32").stat().st_size

    program, spec = programs[1], SampleSpec(seed=3)
    whole = list(program.units(spec, 0, 2500))
    for start, count in ((0, 1), (1000, 100), (1023, 2), (2400, 100)):
        part = list(program.units(spec, start, count))
        for name in part[0].arrays:
            cells = Array.concat([batch.arrays[name] for batch in part])
            same = Array.concat([batch.arrays[name] for batch in whole]).slice(start, start + count)
            assert cells.to_python() == same.to_python()

    manifest = replace(near.manifest, program={**near.manifest.program, "variant": "int3"})
    with pytest.raises(Problem) as refused:
        replace(near, manifest=manifest).program()
    assert refused.value.reason == "BUNDLE_INVALID"


def test_threads_inside_operators_change_no_bit(pair: Any, heart: Table, noise: Any) -> None:
    for generator in pair:
        graph = export(generator, heart.schema).graph
        uniform, normal = noise(generator, 1024)
        made = [
            open_session(graph, threads=threads).run(None, {"uniform": uniform, "normal": normal})
            for threads in (1, 2, 3)
        ]
        for cells in zip(*made, strict=True):
            assert len({own.tobytes() for own in cells}) == 1


def test_a_network_that_whole_numbers_ruin_is_published_as_it_is(fit: Any, heart: Table) -> None:
    """Two hidden outputs that are the same, weighed so heavily that only their difference matters."""
    import torch

    generator = fit("ctgan", heart)
    block, last = generator.network.seq
    with torch.no_grad():
        for own in (block.fc.weight, block.fc.bias, block.bn.weight, block.bn.bias):
            own[1] = own[0]
        block.bn.running_mean[1], block.bn.running_var[1] = block.bn.running_mean[0], block.bn.running_var[0]
        last.weight[:, 0] += 3000.0
        last.weight[:, 1] -= 3000.0
    findings: list[Finding] = []
    kept = at_precision(generator, "int8", 1, Hooks(warn=findings.append))
    assert kept is generator
    assert [finding.reason for finding in findings] == ["PRECISION_KEPT"]
    assert "thal" in findings[0].message


def test_departures_are_those_that_two_samples_do_not_show() -> None:
    rng = np.random.default_rng(0)
    n = UNITS

    def sample() -> list[np.ndarray]:
        x = rng.normal(size=n)
        classes, rare = rng.choice(3, n, p=[0.7, 0.29, 0.01]), (rng.random(n) < 2e-5).astype(np.int64)
        return [classes, x, x + rng.normal(size=n), rare, np.zeros(n)]

    one = sample()
    assert departures(one, one) == {}
    assert departures(one, sample()) == {}
    classes, x, y, rare, same = sample()
    more = np.where((classes == 0) & (rng.random(n) < 0.005), 2, classes)
    assert departures(one, [more, x, y, rare, same]).keys() == {0}
    assert departures(one, [classes, x, 1.05 * y, rare, same]).keys() == {2}
    assert departures(one, [classes, x, rng.permutation(y), rare, same]).keys() == {1, 2}
    assert departures(one, [classes, x, y, rare, same + 1]).keys() == {4}
