from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporters.export import export
from exporters.graph import GraphBuilder
from exporters.parity import check_parity
from kohort.columns import Array
from kohort.schema import Kind, Storage
from kohort.sessions import open_session
from tables.statistics import StatisticsSource
from tables.tableset import Table
from trainers.decoder import Asked, DecoderGenerator
from trainers.encoding import Encoding
from trainers.heads import Classes, Layout
from trainers.modes import Modes

torch = pytest.importorskip("torch")

from trainers.calibration import calibrate  # noqa: E402
from trainers.networks import Skip, mlp, write_network  # noqa: E402
from trainers.softmaxes import shares  # noqa: E402

SHARES = np.array([0.6, 0.3, 0.1])


@pytest.fixture
def table(build: Any) -> Table:
    """A number around -1 and 1, and a column of three classes."""
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], 500) + rng.normal(0, 0.2, 500)
    codes = rng.choice(3, 500, p=SHARES)
    made: Table = build(
        {
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, x)),
            "c": (Kind.CATEGORY, Array.make(Storage.STRING, codes, None, ["a", "b", "c"])),
        }
    )
    return made


def modes() -> Modes:
    return Modes(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([0.2, 0.2]))


def generator_of(table: Table, *, asked: bool = False, sigma: float | None = None) -> DecoderGenerator:
    torch.manual_seed(0)
    encoding = Encoding.fit(table, StatisticsSource(), 5)
    content = Classes.of(np.array([6, 3, 1]), 512)
    layout = Layout.of([modes()] if asked else [modes(), content])
    network = mlp(4 + 3 * asked, [8], layout.width).eval().requires_grad_(False)
    deviations = None if sigma is None else np.full(1, sigma, np.float32)
    return DecoderGenerator(
        encoding, layout, network, 4, deviations, Asked.of(1, content, SHARES) if asked else None
    )


def run(network: Any, x: np.ndarray, index: np.ndarray | None = None, classes: int = 0) -> np.ndarray:
    """The graph of a network on x [n, i]."""
    ops = GraphBuilder()
    inputs = [("x", np.float32, x.shape[1])] + [("index", np.int64, None)] * (index is not None)
    ops.named(write_network(ops, network, "x", "index" if index is not None else "", classes), "y")
    graph = ops.model(inputs, [("y", np.float32)])
    feeds = {"x": x} if index is None else {"x": x, "index": index}
    return np.asarray(open_session(graph).run(["y"], feeds)[0])


# --- networks as graphs


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid", "silu"])
def test_a_graph_is_its_network(activation: Any) -> None:
    torch.manual_seed(1)
    network = mlp(5, [7, 6], 3, activation, batch_norm=True, dropout=0.5)
    for _ in range(5):
        network(3 * torch.randn(64, 5) + 1)  # batch statistics that are not 0 and 1
    network.eval()
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    assert np.allclose(run(network, x), network(torch.from_numpy(x)).detach(), atol=1e-5)


@pytest.mark.parametrize("join", ["add", "concat"])
def test_inputs_that_are_passed_on_are_in_the_graph(join: Any) -> None:
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        Skip(mlp(5, [5], None), join), torch.nn.Linear(5 if join == "add" else 10, 2)
    )
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    assert np.allclose(run(network, x), network(torch.from_numpy(x)).detach(), atol=1e-5)


def test_a_class_is_a_one_hot_vector_behind_the_inputs() -> None:
    torch.manual_seed(1)
    network = mlp(5 + 3, [6], 2)
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    index = np.arange(50) % 3
    whole = torch.cat([torch.from_numpy(x), torch.eye(3)[index]], dim=1)
    assert np.allclose(run(network, x, index, 3), network(whole).detach(), atol=1e-5)


@pytest.mark.parametrize(
    "modules",
    [[torch.nn.BatchNorm1d(5)], [torch.nn.Softmax(dim=1)], [torch.nn.ReLU(), torch.nn.BatchNorm1d(5)]],
)
def test_what_is_no_plain_network_is_refused(modules: Any) -> None:
    with pytest.raises(ValueError, match=r"batch norm|Softmax"):
        run(torch.nn.Sequential(*modules), np.zeros((1, 5), np.float32))


# --- generators


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_a_decoder_and_its_graph_agree(table: Table, asked: bool, sigma: float | None) -> None:
    generator = generator_of(table, asked=asked, sigma=sigma)
    check_parity(generator, export(generator, table.schema), rows=4096)


def test_the_class_asked_for_comes_back_at_its_frequency(table: Table, draw: Any) -> None:
    drawn = draw(generator_of(table, asked=True), 20_000)
    assert np.allclose(np.bincount(drawn["c"].values) / 20_000, SHARES, atol=0.02)


def test_the_network_is_told_the_class_asked_for(table: Table, draw: Any) -> None:
    generator = generator_of(table, asked=True)
    network: Any = generator.network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network[0].weight[0, 4 + 2] = 1.0  # class c
        network[2].weight[2, 0] = 30.0  # the mode at 1
        network[2].bias[1] = 15.0  # else the mode at -1
    drawn = draw(generator, 2_000)
    assert ((drawn["x"].values > 0) == (drawn["c"].strings() == np.array("c"))).all()


def test_deviations_spread_the_numbers(table: Table, noise: Any) -> None:
    sharp, wide = (generator_of(table, sigma=sigma) for sigma in (0.0, 0.5))
    assert wide.noise.normals == wide.latent + 1
    uniform, normal = noise(wide, 5_000)
    x, y = (generator.reference(uniform, normal)[0] for generator in (sharp, wide))
    alpha = np.tanh(sharp._run(normal[:, :4], None)[:, 0])
    moved = np.clip(alpha + 0.5 * normal[:, 4], -1, 1) - alpha
    assert np.allclose(y - x, 4 * 0.2 * moved, atol=1e-5)
    assert np.abs(moved).max() > 0.5


# --- calibration


@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_gives_classes_and_means_of_the_table(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    codes = rng.choice(3, 2_000, p=SHARES)
    layout = Layout.of([modes(), Classes.of(np.bincount(codes), 512)])
    alphas, ones = layout.encode([rng.choice([-1.0, 1.0], 2_000), codes], rng)
    weights = np.where(codes == 2, 5.0, 1.0) if weighted else np.ones(2_000)
    torch.manual_seed(0)
    network, noise = mlp(4, [8], layout.width), torch.randn(4_000, 4)
    calibrate(
        network,
        layout,
        network(noise),
        torch.from_numpy(alphas),
        torch.from_numpy(ones),
        torch.from_numpy(weights) if weighted else None,
    )
    outputs = network(noise).detach()
    given = shares(outputs[:, 1:], layout).mean(0)
    assert np.allclose(given[2:], np.bincount(codes, weights) / weights.sum(), atol=1e-3)
    assert torch.tanh(outputs[:, 0]).mean().item() == pytest.approx(
        np.average(alphas[:, 0], weights=weights), abs=1e-3
    )
