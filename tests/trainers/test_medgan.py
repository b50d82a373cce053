from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kohort.columns import Array
from kohort.schema import Kind, Storage
from tables.tableset import Table
from trainers.base import Hooks, Progress
from trainers.critics import MedganLearner
from trainers.gan import Settings
from trainers.heads import Classes, Layout
from trainers.outputs import Cells

SMALL = {
    "pretrain_epochs": 30,
    "epochs": 80,
    "generator_layers": [32, 32],
    "discriminator_layers": [64],
    "autoencoder_layers": [32],
    "embedding_dim": 32,
    "generator_lr": 1e-3,
    "discriminator_lr": 1e-3,
}


def codes(build: Any, n: int = 800) -> Table:
    """Six codes that a patient has or has not; the first three go together."""
    rng = np.random.default_rng(0)
    group = rng.random(n) < 0.3
    shares = [np.where(group, 0.9, 0.05)] * 3 + [np.full(n, share) for share in (0.1, 0.5, 0.2)]
    held = {f"c{i}": rng.random(n) < share for i, share in enumerate(shares)}
    return build({key: (Kind.BOOLEAN, Array.make(Storage.BOOL, cell)) for key, cell in held.items()})


def test_codes_that_go_together_come_back_together(fit: Any, build: Any, draw: Any) -> None:
    table = codes(build)
    drawn = draw(fit("medgan", table, **SMALL), 4_000)
    for key, array in drawn.items():
        assert array.values.mean() == pytest.approx(table.arrays[key].values.mean(), abs=0.06), key
    both = np.mean(drawn["c0"].values & drawn["c1"].values)
    assert both > 1.5 * drawn["c0"].values.mean() * drawn["c1"].values.mean()


def test_the_autoencoder_comes_before_the_game(fit: Any, heart: Table) -> None:
    steps: list[Progress] = []
    phases: list[str] = []
    fit("medgan", heart, Hooks(progress=steps.append, phase=phases.append), pretrain_epochs=4, epochs=2)
    assert phases == ["encoding", "normalising", "pretraining", "training"]
    game = {"critic", "generator"}
    assert [{*step.losses} for step in steps] == [{"reconstruction"}] * 4 + [game] * 2
    assert steps[3].losses["reconstruction"] < steps[0].losses["reconstruction"]


def test_the_discriminator_sees_the_mean_of_the_batch() -> None:
    """The same row is judged otherwise among other rows, so that a generator of one row is found out."""
    layout = Layout.of([Classes.of(np.array([5, 5]), 8)])
    ones = (np.arange(10) % 2)[:, None].astype(np.int32)
    cells = Cells(np.zeros((10, 0), np.float32), ones, np.ones(ones.shape, dtype=bool))
    settings = Settings(4, [4], [8], 1, 1e-3, 1e-3, 0.0, (0.5, 0.9))
    torch.manual_seed(0)
    players = (
        nn.Sequential(nn.Linear(2, 4)),
        nn.Sequential(nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(), nn.Linear(8, 1)),
    )
    learner = MedganLearner(players, layout, settings, cells, torch.device("cpu"), 1, lambda _: None)
    rows = learner.real(torch.arange(10))
    alike = rows[:1].expand(10, 2)
    assert not torch.allclose(learner._judged(rows)[0], learner._judged(alike)[0])
    assert torch.allclose(learner._judged(alike), learner._judged(alike)[:1].expand(10, 1))
