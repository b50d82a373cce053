"""What a layout writes as a graph is what it reads in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from exporters.graph import GraphBuilder
from kohort.graphcheck import check_graph
from kohort.sessions import open_session
from trainers.heads import Classes, Layout
from trainers.modes import Modes
from trainers.search import COLUMNWISE

N = 700


def classes(size: int, limit: int = 512) -> Classes:
    return Classes.of(np.random.default_rng(size).integers(1, 100, size).astype(np.float64), limit)


def modes(size: int) -> Modes:
    rng = np.random.default_rng(size)
    return Modes(np.full(size, 1 / size), 1e6 * rng.normal(size=size), 1 + rng.random(size))


LAYOUTS = {
    "one head": [classes(3)],
    "numbers alone": [modes(4), modes(1), modes(4)],
    "equal sizes that are no neighbours": [classes(3), modes(2), classes(2), modes(3), classes(3)],
    "one class": [classes(1), modes(1)],
    "around the widest that is drawn by rows": [classes(COLUMNWISE + i) for i in (-1, 0, 1)],
    "many classes alone": [classes(COLUMNWISE + 60), classes(COLUMNWISE + 1)],
    "a shared last class": [classes(40, 8), modes(5), classes(900, 300), classes(8), classes(9, 8)],
}


def in_graph(layout: Layout, first: int, outputs, uniform, spread=None):
    builder = GraphBuilder()
    x = builder.slice("outputs", 0, layout.width)
    features = layout.write(builder, x, "uniform", first, "" if spread is None else "spread")
    heads = {head.feature: head for head in layout.heads}
    feeds = {"outputs": outputs, "uniform": uniform} | ({} if spread is None else {"spread": spread})
    graph = builder.model(
        [(name, np.float32, x.shape[1]) for name, x in feeds.items()],
        [
            (builder.named(features[i], f"f{i}"), np.int64 if heads[i].alpha is None else np.float64)
            for i in sorted(features)
        ],
    )
    check_graph(graph)
    return dict(zip(sorted(features), open_session(graph).run(None, feeds), strict=True))


@pytest.mark.parametrize("contents", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize(("first", "moved", "scale"), [(0, False, 2.0), (3, True, 2.0), (1, True, 300.0)])
def test_written_and_read_are_the_same(contents, first, moved, scale):
    layout = Layout.of(contents)
    rng = np.random.default_rng(len(contents))
    # A row's logits may lie anywhere: far apart from one another, and all far from zero.
    outputs = scale * rng.normal(size=(N, layout.width)) + scale * rng.normal(size=(N, 1))
    outputs = outputs.astype(np.float32)
    outputs[:, : layout.tanhs] /= scale
    uniform = ((rng.integers(0, 2**23, (N, first + layout.uniforms)) + 0.5) / 2**23).astype(np.float32)
    spread = None
    if moved and layout.tanhs:
        spread = (0.3 * rng.normal(size=(N, layout.tanhs))).astype(np.float32)
    found = in_graph(layout, first, outputs, uniform, spread)
    wanted = layout.read(outputs, uniform, first, spread)
    assert found.keys() == wanted.keys() == set(range(len(contents)))
    for i, content in enumerate(contents):
        assert found[i].shape == (N,)
        near = 1e-5 if isinstance(content, Modes) else 0
        # Single precision may round a draw at an edge to the class beside it, in few rows.
        assert (~np.isclose(found[i], wanted[i], rtol=near, atol=near)).sum() <= 2


def test_equal_softmaxes_share_their_nodes():
    def nodes(columns: int) -> int:
        builder = GraphBuilder()
        layout = Layout.of([classes(3), modes(4)] * columns)
        layout.write(builder, builder.slice("outputs", 0, layout.width), "uniform")
        return builder.position

    # What is left for each column more: taking its row out.
    assert nodes(30) - nodes(20) <= 40
