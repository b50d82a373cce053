from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from exporters.graph import GraphBuilder
from trainers.search import cumulative, locate, write_locate


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
