"""The flow from noise to rows: its steps, its loss, what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporters.export import export
from exporters.parity import check_parity
from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Kind, Storage
from tables.tableset import Table
from trainers import registry

torch = pytest.importorskip("torch")

from trainers.diffusion import (  # noqa: E402
    FlowLearner,
    FlowNetwork,
    FlowRows,
    Points,
    follow,
    times,
)
from trainers.heads import Classes, Layout  # noqa: E402

SWIFT = {"epochs": 60, "batch_size": 64, "layers": [64, 64], "learning_rate": 3e-3, "ema_decay": 0.99}
"""Enough to learn a table of three columns in a second or two."""


@pytest.fixture
def mixed(build: Any) -> Table:
    """Numbers around -3 and 3, which a class tells; where they are 3, half of another number is null."""
    rng = np.random.default_rng(0)
    a = rng.random(800) < 0.4
    known = ~(a & (rng.random(800) < 0.5))
    table: Table = build(
        {
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, np.where(a, 3.0, -3.0) + rng.normal(size=800))),
            "a": (Kind.BOOLEAN, Array.make(Storage.BOOL, a)),
            "y": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=800) + 5 * a, known)),
        }
    )
    return table


@pytest.fixture(scope="module")
def swift() -> dict[str, Any]:
    return dict(SWIFT)


def points_of(numbers: int, sizes: list[int]) -> Points:
    layout = Layout.of([Classes.of(np.full(size, 10), 64) for size in sizes])
    centre = np.concatenate([np.full(head.size, 1.0 / head.size) for head in layout.heads])
    return Points(numbers, layout, centre.astype(np.float32), 2.0)


class Known(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Numbers with velocity 3, and logits that prefer the first class."""

    def __init__(self, numbers: int, classes: int) -> None:
        super().__init__()
        self.asked: list[float] = []
        self.outputs = torch.zeros(numbers + classes)
        self.outputs[:numbers] = 3.0
        if classes:
            self.outputs[numbers] = 50.0

    def forward(self, x: Any, t: Any) -> Any:
        self.asked.append(float(t[0, 0]))
        return self.outputs.expand(x.shape[0], -1)


# --- steps


def test_numbers_move_by_the_velocity_for_a_time_of_one() -> None:
    network, noise = Known(2, 3), torch.randn(50, 5)
    end = follow(network, points_of(2, [3]), noise, 8)
    assert torch.allclose(end[:, :2], noise[:, :2] + 3.0, atol=1e-5)
    assert network.asked == times(8) == [i / 8 for i in range(8)]
    assert torch.equal(end[:, 2:], network.outputs[2:].expand(50, -1))


def test_classes_go_to_the_corner_of_what_is_certain() -> None:
    """Before its last answer the network sees x at t = 3/4 of the way to the corner."""
    points, seen = points_of(0, [3]), []

    class Watching(Known):
        def forward(self, x: Any, t: Any) -> Any:
            seen.append(x)
            return super().forward(x, t)

    noise = torch.randn(50, 3)
    follow(Watching(0, 3), points, noise, 4)
    corner = points.corners(torch.tensor([[1.0, 0.0, 0.0]]), torch.from_numpy(points.centre))
    for step, x in enumerate(seen):
        assert torch.allclose(x, torch.lerp(noise, corner.expand(50, -1), step / 4), atol=1e-5)


@pytest.mark.parametrize("steps", [2, 7, 20])
def test_all_steps_are_in_the_graph(fit: Any, mixed: Table, steps: int) -> None:
    generator = fit("tabddpm", mixed, steps=steps, layers=[24, 24, 16])
    exported = export(generator, mixed.schema)
    check_parity(generator, exported, rows=4096)
    small = export(fit("tabddpm", mixed, steps=2, layers=[24, 24, 16]), mixed.schema)
    # Weights are there once; a step adds nodes and biases.
    assert len(exported.graph) < len(small.graph) + 5_000 * (steps - 2) + 1


def test_at_most_twenty_steps() -> None:
    with pytest.raises(Problem):
        registry.trainer("tabddpm").info.resolve({"steps": 21})


def test_more_steps_end_nearer(fit: Any, mixed: Table, noise: Any, swift: Any) -> None:
    """The way is the solution of an equation: finer steps come closer to it."""
    from dataclasses import replace

    generator = fit("tabddpm", mixed, quick=swift)
    normal = noise(generator, 500)[1]
    ends = [replace(generator, steps=steps).run(normal)[:, :2] for steps in (4, 20, 80)]
    assert np.abs(ends[1] - ends[2]).mean() < 0.5 * np.abs(ends[0] - ends[2]).mean()


# --- the loss


def learner_of(points: Points, parts: tuple[FlowRows, FlowRows]) -> FlowLearner:
    torch.manual_seed(0)
    network = FlowNetwork(points.width, [16, 16], 0.0)
    return FlowLearner(network, points, parts, 1e-3, 0.0, 0.9, torch.device("cpu"))


def rows_of(points: Points, n: int) -> FlowRows:
    rng = np.random.default_rng(0)
    ones = [h.start + rng.integers(0, h.size, n) for h in points.layout.heads]
    known = (rng.random((n, points.numbers)) < 0.7).astype(np.float32)
    stacked = np.stack(ones, axis=1) if ones else np.zeros((n, 0), np.int64)
    return FlowRows(rng.normal(size=(2, n, points.numbers)).astype(np.float32), known, stacked)


def test_loss_is_squared_velocity_and_cross_entropy() -> None:
    points = points_of(2, [3, 4])
    rows = rows_of(points, 64)
    learner = learner_of(points, (rows, rows))
    network = Known(2, 7)
    torch.manual_seed(4)
    t = torch.full((64, 1), 0.5)
    losses = learner._losses(network, 0, 1, torch.arange(64), t)
    torch.manual_seed(4)
    noise = torch.randn(64, 9)[:, :2]
    away = (3.0 - (torch.from_numpy(rows.numbers[1]) - noise)) ** 2 * torch.from_numpy(rows.known)
    assert torch.allclose(losses["numbers"], away.sum(1).mean(), rtol=1e-5)
    first = torch.nn.functional.cross_entropy(
        network.outputs[2:5].expand(64, -1), torch.from_numpy(rows.ones)[:, 0]
    )
    second = torch.nn.functional.cross_entropy(torch.zeros(64, 4), torch.from_numpy(rows.ones)[:, 1] - 3)
    assert torch.allclose(losses["classes"], first + second, rtol=1e-5)


def test_the_average_follows_the_weights() -> None:
    points = points_of(1, [2])
    learner = learner_of(points, (rows_of(points, 64), rows_of(points, 0)))
    start = learner.network.last.bias.detach().clone()
    for step in range(60):
        torch.manual_seed(step)
        learner.step(np.arange(64), np.random.default_rng(step))
    moved, kept = learner.network.last.bias.detach() - start, learner.average.last.bias - start
    assert 0.3 < float(kept.norm() / moved.norm()) < 1.1
    assert not torch.equal(moved, kept)
    assert np.isnan(learner.validate())


def test_the_learning_rate_falls_along_a_cosine() -> None:
    points = points_of(1, [2])
    learner = learner_of(points, (rows_of(points, 8), rows_of(points, 0)))
    rates = []
    for epoch in range(1, 5):
        learner.epoch_done(epoch, epoch / 4)
        rates.append(learner.optimisers()["adamw"].param_groups[0]["lr"])
    assert rates == sorted(rates, reverse=True)
    assert rates[1] == pytest.approx(0.51e-3)
    assert rates[-1] == pytest.approx(0.02e-3)


# --- what it learns


def test_two_modes_a_class_and_what_is_missing_come_back_together(
    fit: Any, mixed: Table, draw: Any, swift: Any
) -> None:
    drawn = draw(fit("tabddpm", mixed, quick=swift), 8_000)
    x, a, y = (drawn[key].values for key in "xay")
    assert np.mean((x > 0) == a) > 0.85  # alone 0.53
    assert a.mean() == pytest.approx(mixed.arrays["a"].values.mean(), abs=0.03)
    assert np.mean(np.abs(x) < 1.0) < 0.08  # between the modes: 0.02 in the table
    for side, centre in ((a, 3.0), (~a, -3.0)):
        assert np.median(x[side]) == pytest.approx(centre, abs=0.4)
    known = drawn["y"].is_valid()
    assert np.mean(~known[a]) == pytest.approx(0.5, abs=0.1)
    assert np.mean(~known[~a]) < 0.05
    assert np.median(y[known & a]) - np.median(y[known & ~a]) == pytest.approx(5.0, abs=0.8)


def test_classes_are_drawn_not_taken(fit: Any, build: Any, draw: Any, swift: Any) -> None:
    """Of three classes that nothing tells apart each comes at its share, the rarest too."""
    rng = np.random.default_rng(2)
    codes = rng.choice(3, 800, p=[0.75, 0.2, 0.05])
    table = build(
        {
            "c": (Kind.CATEGORY, Array.make(Storage.STRING, codes, None, ["a", "b", "c"])),
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=800))),
        }
    )
    drawn = draw(fit("tabddpm", table, quick={**swift, "epochs": 15}), 10_000)["c"].strings()
    shares = [np.mean([cell == name for cell in drawn]) for name in "abc"]
    assert np.allclose(shares, np.bincount(codes) / 800, atol=0.02)


def test_spikes_and_rounding_come_back(fit: Any, build: Any, draw: Any, swift: Any) -> None:
    rng = np.random.default_rng(3)
    x = np.where(rng.random(1_000) < 0.3, 0, 10 * rng.integers(8, 20, 1_000))
    table = build({"x": (Kind.INTEGER, Array.make(Storage.INT64, x))})
    drawn = draw(fit("tabddpm", table, quick={**swift, "epochs": 10}), 10_000)["x"].values
    assert np.mean(drawn == 0) == pytest.approx(0.3, abs=0.03)
    assert np.mean(drawn % 10 == 0) > 0.95


def test_a_unit_does_not_depend_on_its_batch(fit: Any, mixed: Table, noise: Any) -> None:
    generator = fit("tabddpm", mixed)
    uniform, normal = noise(generator, 300)
    whole = generator.reference(uniform, normal)
    alone = generator.reference(uniform[123:124], normal[123:124])
    for feature, cells in zip(alone, whole, strict=True):
        assert feature[0] == pytest.approx(cells[123], rel=1e-3, abs=1e-3)
