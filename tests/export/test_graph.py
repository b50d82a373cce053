"""The shapes every generator writes, run by ONNX Runtime against numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.graph import GraphBuilder
from kohort.graphcheck import check_graph
from kohort.sessions import open_session

N = 512
LOWEST, HIGHEST = np.float32(2.0**-24), np.float32(1 - 2.0**-24)


def run(write, **feeds):
    """What `write(builder)` gives for named feeds [n] or [n, w]."""
    builder = GraphBuilder()
    out = builder.named(write(builder), "out")
    dtype = np.float64 if write.__name__ == "interpolated" else np.int64
    inputs = [(name, a.dtype, None if a.ndim == 1 else a.shape[1]) for name, a in feeds.items()]
    graph = builder.model(inputs, [(out, dtype)])
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    check_graph(graph)
    (result,) = open_session(graph).run(None, feeds)
    return result


def uniforms(rng, n=N):
    u = ((rng.integers(0, 2**23, n) + 0.5) / 2**23).astype(np.float32)
    u[:2] = LOWEST, HIGHEST
    return u[:, None]


def drawn(logits, uniform, known):
    """`Ops.draw` with or without the builder knowing the number of classes, or `Ops.draw_columns`."""

    def write(builder):
        if known == "columns":
            turned = builder.node("Transpose", "logits", perm=[1, 0])
            row = builder.node("Transpose", "uniform", perm=[1, 0])
            found = builder.draw_columns(turned, row, logits.shape[1])
            return builder.node("Cast", builder.node("Squeeze", found, builder.constant([0], np.int64)), to=7)
        x = builder.slice("logits", 0, logits.shape[1]) if known else "logits"
        return builder.draw(x, "uniform")

    return run(write, logits=logits, uniform=uniform)


@pytest.mark.parametrize("known", [True, False, "columns"])
@pytest.mark.parametrize("size", [1, 2, 3, 40, 64, 65, 100, 200, 513, 1000])
def test_draw_inverts_the_cdf(size, known):
    rng = np.random.default_rng(size)
    logits = (2 * rng.normal(size=(N, size))).astype(np.float32)
    uniform = uniforms(rng)
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    sums = shares.cumsum(axis=1)
    wanted = (sums[:, :-1] <= uniform * sums[:, -1:]).sum(axis=1)
    found = drawn(logits, uniform, known)
    assert found.dtype == np.int64
    assert found.shape == (N,)
    # Single precision may round a draw at an edge to the class beside it, in few rows.
    assert (found != wanted).sum() <= 2
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("known", [True, False, "columns"])
@pytest.mark.parametrize("size", [2, 5, 63, 70, 130, 600])
def test_draw_never_gives_a_class_without_a_share(size, known):
    rng = np.random.default_rng(size)
    for at in {0, 1, size // 2, size - 1}:
        logits = np.full((N, size), -1e4, np.float32)
        logits[:, at] = rng.normal(size=N)
        assert (drawn(logits, uniforms(rng), known) == at).all()
    # Two classes share all, with a desert before, between and after.
    if size >= 5:
        logits = np.full((N, size), -1e4, np.float32)
        logits[:, [1, size - 2]] = rng.normal(size=(N, 2))
        assert set(drawn(logits, uniforms(rng), known)) == {1, size - 2}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    st.sampled_from([True, False, "columns"]),
)
def test_draw_stays_in_range(size, seed, scale, known):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.normal(size=(64, size))).astype(np.float32)
    found = drawn(logits, rng.choice(np.array([LOWEST, 0.5, HIGHEST], np.float32), (64, 1)), known)
    assert found.min() >= 0
    assert found.max() < size


def test_draw_after_arithmetic():
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(N, 1)).astype(np.float32)
    row = np.linspace(-2, 2, 70, dtype=np.float32)[None, :]

    def write(builder):
        narrow = builder.slice("logits", 0, 1)
        return builder.draw(builder.node("Add", narrow, builder.constant(row)), "uniform")

    def unknown(builder):
        return builder.draw(builder.node("Add", "logits", builder.constant(row)), "uniform")

    uniform = uniforms(rng)
    found = run(write, logits=logits, uniform=uniform)
    assert (found != run(unknown, logits=logits, uniform=uniform)).sum() <= 2
    assert found.max() > 60


def test_draw_meets_the_shares():
    rng = np.random.default_rng(5)
    n = 20_000
    logits = np.log(np.tile(np.array([[0.7, 0.05, 0.25]], np.float32), (n, 1)))
    counts = np.bincount(drawn(logits, uniforms(rng, n), known=True)) / n
    assert counts == pytest.approx([0.7, 0.05, 0.25], abs=0.015)


@pytest.mark.parametrize("count", [2, 3, 4, 17, 256, 352])
def test_interpolate_is_numpys(count):
    rng = np.random.default_rng(count)
    knots = np.sort(rng.normal(size=count))
    values = 1e15 + np.sort(rng.normal(size=count)) * 1e6
    u = np.concatenate([rng.normal(size=N), knots, [-1e9, 1e9]])

    def interpolated(builder):
        return builder.interpolate("u", knots, values)

    assert run(interpolated, u=u) == pytest.approx(np.interp(u, knots, values), abs=1.0, rel=0)


def test_interpolate_with_spikes_and_gaps():
    knots = np.array([0.0, 0.2, 0.5, 0.5, 0.5, 0.8, 0.8, 1.0])
    values = np.array([1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 9.0, 9.0])

    def interpolated(builder):
        return builder.interpolate("u", knots, values)

    u = np.array([0.0, 0.1, 0.35, np.nextafter(0.5, 0), 0.5, 0.7, np.nextafter(0.8, 0), 0.8, 1.0])
    assert run(interpolated, u=u) == pytest.approx([1, 1, 1.5, 2, 4, 4, 4, 9, 9], abs=1e-9)


def test_linear_is_torchs():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    x = rng.normal(size=(N, 4)).astype(np.float32)

    def write(builder):
        return builder.node("ArgMax", builder.linear("x", weight, bias), axis=1, keepdims=0)

    assert (run(write, x=x) == (x @ weight.T + bias).argmax(axis=1)).all()


def test_equal_constants_are_stored_once():
    builder = GraphBuilder()
    first = builder.constant([1.0, 2.0], np.float32)
    assert builder.constant(np.array([1, 2]), np.float32) == first
    others = {
        builder.constant([1.0, 2.0], np.float64),
        builder.constant([[1.0, 2.0]], np.float32),
        builder.constant([1.0, -0.0], np.float32),
        builder.constant([1.0, 0.0], np.float32),
    }
    assert len(others | {first}) == 5


def test_refuses_what_no_bundle_may_hold():
    with pytest.raises(ValueError, match="RandomNormal"):
        GraphBuilder().node("RandomNormal", shape=[1])
