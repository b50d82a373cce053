from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from exporters.graph import GraphBuilder
from trainers.search import cumulative, locate, split, write_interpolate_all, write_locate, write_locate_all


def in_graph(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    builder = GraphBuilder()
    builder.named(write_locate(builder, "x", edges), "y")
    model = builder.model([("x", np.float64, None)], [("y", np.int64)])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 8, 1000, 10_000])
def test_graph_and_numpy_agree_on_every_edge(size: int) -> None:
    edges = np.sort(np.random.default_rng(size).normal(size=size))
    points = [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), np.array([-9.0, 0.0, 9.0])]
    x = np.concatenate(points)
    assert in_graph(x, edges).tolist() == locate(x, edges).tolist()


def test_repeated_and_infinite_edges() -> None:
    edges = np.array([-np.inf, 0.0, 0.0, 0.0, 1.0, np.inf])
    x = np.array([-1.0, -1e-300, 0.0, 0.5, 1.0, 1e300])
    assert locate(x, edges).tolist() == [1, 1, 4, 4, 5, 5]
    assert in_graph(x, edges).tolist() == locate(x, edges).tolist()


def test_no_draw_falls_on_a_weight_of_zero() -> None:
    edges = cumulative([0.0, 0.1, 0.0, 0.2, 0.7, 0.0, 0.0])
    found = locate(np.append(np.linspace(0, 1, 1001)[:-1], np.nextafter(1.0, 0)), edges)
    assert set(found.tolist()) == {1, 3, 4}
    assert np.isclose(np.mean(found == 3), 0.2, atol=2e-3)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sizes", [[0], [1], [5], [0, 1, 2], [7, 8, 100, 3]])
def test_searches_of_many_columns_are_those_of_each(sizes: list[int], axis: int) -> None:
    rng = np.random.default_rng(len(sizes))
    edges = [np.sort(rng.normal(size=size)) for size in sizes]
    x = rng.normal(size=(300, len(sizes)))
    for j, own in enumerate(edges):
        x[: own.size, j] = own
    found = columns_in_graph(lambda ops: write_locate_all(ops, "x", edges, axis), x, axis, np.int64)
    for j, own in enumerate(edges):
        assert found[j].tolist() == locate(x[:, j], own).tolist()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sizes", [[2], [9], [2, 3, 40]])
def test_maps_of_many_columns_are_those_of_each(sizes: list[int], axis: int) -> None:
    rng = np.random.default_rng(len(sizes))
    maps = [(np.sort(rng.random(size)), rng.normal(size=size)) for size in sizes]
    x = np.stack([rng.uniform(knots[0], knots[-1], 300) for knots, _ in maps], axis=1)
    found = columns_in_graph(lambda ops: write_interpolate_all(ops, "x", maps, axis), x, axis, np.float64)
    for j, (knots, values) in enumerate(maps):
        assert np.allclose(found[j], np.interp(x[:, j], knots, values), rtol=0, atol=1e-9)


def columns_in_graph(write: Any, x: np.ndarray, axis: int, dtype: type) -> list[np.ndarray]:
    builder = GraphBuilder()
    if axis == 0:
        builder.named(builder.node("Transpose", "given", perm=[1, 0]), "x")
    else:
        builder.named("given", "x")
    names = [
        (builder.named(part, f"y{j}"), dtype)
        for j, part in enumerate(split(builder, write(builder), x.shape[1], axis))
    ]
    model = builder.model([("given", np.float64, x.shape[1])], names)
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"given": x})
