from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table
from trainers.base import Hooks, Progress
from trainers.critics import WassersteinLearner, wasserstein
from trainers.heads import Classes, Layout
from trainers.modes import Modes
from trainers.outputs import Cells
from trainers.softmaxes import activated

SMALL = {
    "epochs": 160,
    "generator_layers": [64],
    "discriminator_layers": [64],
    "embedding_dim": 16,
    "generator_lr": 1e-3,
    "discriminator_lr": 1e-3,
}


def two_columns(build: Any, n: int = 800) -> Table:
    rng = np.random.default_rng(0)
    sick = rng.random(n) < 0.4
    value = np.where(sick, rng.normal(6, 1, n), rng.normal(0, 1, n))
    return build(
        {
            "sick": (Kind.BOOLEAN, Array.make(Storage.BOOL, sick)),
            "value": (Kind.DECIMAL, Array.make(Storage.DOUBLE, value)),
        }
    )


def layout_and_learner(**given: Any) -> tuple[Layout, WassersteinLearner]:
    counts = np.array([30, 20, 10])
    modes = Modes(np.array([0.5, 0.5]), np.array([0.0, 5.0]), np.ones(2))
    layout = Layout.of([Classes.of(counts, 8), modes])
    rng = np.random.default_rng(1)
    features = [rng.integers(0, 3, 60), rng.normal(size=60)]
    alphas, ones = layout.encode(features, rng)
    parameters = {
        "embedding_dim": 4,
        "generator_layers": [8],
        "discriminator_layers": [8],
        "discriminator_steps": 3,
        "generator_lr": 1e-3,
        "discriminator_lr": 1e-3,
        "l2scale": 0.0,
        "gradient_penalty": 10.0,
        **given,
    }
    cells = Cells(alphas, ones, np.ones(ones.shape, dtype=bool))
    learner = wasserstein(lambda _: None)(parameters, layout, cells, torch.device("cpu"))
    assert isinstance(learner, WassersteinLearner)
    return layout, learner


def test_learns_what_columns_say_of_each_other(fit: Any, build: Any, draw: Any) -> None:
    drawn = draw(fit("wgan-gp", two_columns(build), **SMALL), 2_000)
    sick = drawn["sick"].values
    assert sick.mean() == pytest.approx(0.4, abs=0.05)
    assert np.mean((drawn["value"].values > 3) == sick) > 0.8  # by chance 0.52


def test_rows_are_tanhs_and_softmaxes() -> None:
    layout, learner = layout_and_learner()
    rows = learner.made(50)
    assert rows.shape == (50, layout.width)
    assert (rows[:, : layout.tanhs].abs() <= 1).all()
    for head in layout.heads:
        assert torch.allclose(
            rows[:, head.start : head.start + head.size].sum(dim=1), torch.ones(50), atol=1e-5
        )
    real = learner.real(torch.arange(60))
    assert (real[:, layout.tanhs :].sum(dim=1) == len(layout.heads)).all()
    hard = activated(torch.eye(layout.width) * 1e4, layout)
    assert torch.isfinite(hard).all()


def test_the_critic_steps_more_often_than_the_generator() -> None:
    _, learner = layout_and_learner()
    weights = [next(learner.generator.parameters()).detach().clone()]
    for step in range(6):
        before = next(learner.critic.parameters()).detach().clone()
        learner.step(np.arange(20), np.random.default_rng(step))
        assert not torch.equal(before, next(learner.critic.parameters()))
        weights.append(next(learner.generator.parameters()).detach().clone())
    moved = [not torch.equal(a, b) for a, b in pairwise(weights)]
    assert moved == [False, False, True, False, False, True]


def test_the_penalty_holds_the_slope_of_the_critic_near_one() -> None:
    slopes = []
    for penalty in (0.0, 10.0):
        _, learner = layout_and_learner(gradient_penalty=penalty, discriminator_lr=1e-2)
        torch.manual_seed(0)
        for step in range(150):
            learner.step(np.arange(60), np.random.default_rng(step))
        rows = learner.real(torch.arange(60)).requires_grad_(True)
        (slope,) = torch.autograd.grad(learner.critic(rows).sum(), rows)
        slopes.append(float(slope.norm(dim=1).mean()))
    assert slopes[1] == pytest.approx(1.0, abs=0.5)
    assert slopes[0] > 2 * slopes[1]


def test_says_both_losses_of_every_epoch(fit: Any, heart: Table) -> None:
    steps: list[Progress] = []
    phases: list[str] = []
    fit("wgan-gp", heart, Hooks(progress=steps.append, phase=phases.append))
    assert phases == ["encoding", "normalising", "training"]
    assert all({"critic", "generator"} <= {*step.losses} for step in steps)
    assert all(step.gradient_norm > 0 for step in steps)
