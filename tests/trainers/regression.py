"""A small regression as the model of the training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainers.base import Hooks
from trainers.checkpoint import Checkpoint, State
from trainers.compute import clipped, seeded
from trainers.loop import Outcome, Plan, run

ROWS = 96


class Regression:
    """Learns a line with noise from both random streams; `validation` are its losses, in turn."""

    def __init__(self, validation: list[float] | None = None) -> None:
        data = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
        self.x, self.y = torch.from_numpy(data), torch.from_numpy(data.sum(axis=1, keepdims=True))
        with seeded(5):
            self.net = nn.Sequential(
                nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1)
            )
            self.average = nn.Linear(1, 1, bias=False)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-2)
        self.seen: list[np.ndarray] = []
        self.sizes: list[int] = []
        self.fails: Callable[[int], BaseException | None] = lambda rows: None
        self.validation = validation
        self.shares: list[tuple[int, float]] = []

    def step(self, rows: np.ndarray, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        self.net.train()
        x, y = self.x[rows], self.y[rows] + float(rng.normal())
        loss = (self.net(x) - y).square().mean()
        self.adam.zero_grad()
        loss.backward()
        norm = clipped(self.net, 5.0)
        self.adam.step()
        if error := self.fails(rows.size):  # the networks have changed by now
            raise error
        self.seen.append(rows)
        self.sizes.append(rows.size)
        return {"loss": loss, "gradient_norm": norm}

    def validate(self) -> float:
        self.net.eval()
        if self.validation is not None:
            return self.validation.pop(0) if self.validation else math.nan
        with torch.no_grad():
            noise = torch.randn_like(self.y)
            return float((self.net(self.x) - self.y - noise).square().mean())

    def modules(self) -> Mapping[str, nn.Module]:
        return {"net": self.net, "average": self.average}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"adam": self.adam}

    def epoch_done(self, epoch: int, share: float) -> None:
        self.shares.append((epoch, share))
        for group in self.adam.param_groups:
            group["lr"] = 1e-2 * (1 - 0.9 * share)

    def weights(self) -> bytes:
        return b"".join(value.numpy().tobytes() for value in self.net.state_dict().values())


def plan_of(**changes: Any) -> Plan:
    return Plan(**{"rows": ROWS, "epochs": 4, "batch_size": 20, "seed": 3, **changes})


def train(learner: Regression, plan: Plan, hooks: Hooks | None = None) -> Outcome:
    hooks = hooks or Hooks()
    return run(learner, plan, hooks, Checkpoint(hooks, "test", [plan.seed]))


def kept(folder: Path) -> State:
    hooks = Hooks(checkpoints=folder)
    state = Checkpoint(hooks, "test", [3]).load()
    assert state is not None
    return state
