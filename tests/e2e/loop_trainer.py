"""Columns by themselves, their categories learned in the common training loop; with a pause at every step.

The file that `GATE` names holds a number, as long as it is there: of steps after which a training waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tests.dummy_trainer import DummyGenerator, DummyTrainer
from trainers import checkpoint
from trainers.base import (
    Doubles,
    FitRequest,
    Generator,
    Hooks,
    Indices,
    Parameter,
    ParameterType,
    TrainerInfo,
)
from trainers.compute import clipped, seeded
from trainers.loop import Plan, run
from trainers.rows import encode_rows
from trainers.search import cumulative

GATE = "E2E_GATE"


@dataclass(frozen=True, eq=False)
class LoopGenerator(DummyGenerator):
    shares: Mapping[int, Doubles]
    """Per discrete feature what was learned."""

    def _maps(self) -> list[tuple[Doubles, Any]]:
        maps = super()._maps()
        return [
            (cumulative(self.shares[j]), None) if j in self.shares else known for j, known in enumerate(maps)
        ]


class Learner:
    """Logits per class, with noise from both random streams."""

    def __init__(self, features: Mapping[int, np.ndarray], sizes: Mapping[int, int], settings: Any) -> None:
        self._features = {j: torch.from_numpy(cells) for j, cells in features.items()}
        self._settings = settings
        with seeded(1):
            self.net = nn.ParameterDict({str(j): nn.Parameter(torch.randn(n)) for j, n in sizes.items()})
        self._adam = torch.optim.Adam(self.net.parameters(), lr=0.05)
        self._gate = Path(os.environ[GATE])
        self._least = _number(self._gate)
        self._taken = 0

    def step(self, rows: Indices, rng: np.random.Generator) -> Mapping[str, float | Tensor]:
        while self._least and self._taken >= self._least and self._gate.exists():
            time.sleep(0.01)
        self._taken += 1
        time.sleep(self._settings["pause"])
        if rows.size > self._settings["fits"]:
            raise MemoryError
        losses = []
        for j, cells in self._features.items():
            logits = self.net[str(j)] + 0.1 * torch.randn(1) * float(rng.normal())
            losses.append(nn.functional.cross_entropy(logits.expand(rows.size, -1), cells[rows]))
        loss = torch.stack(losses).mean()
        self._adam.zero_grad()
        loss.backward()
        norm = clipped(self.net)
        self._adam.step()
        return {"loss": loss, "gradient_norm": norm}

    def validate(self) -> float:
        return float("nan")

    def modules(self) -> Mapping[str, nn.Module]:
        return {"net": self.net}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"adam": self._adam}


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


class LoopTrainer:
    info: ClassVar[TrainerInfo] = replace(
        DummyTrainer.info,
        name="loop",
        display_name="Loop",
        resumable=True,
        parameters=(
            Parameter(
                "epochs", ParameterType.INTEGER, 10, "How often it goes through the table", 1, 1_000_000
            ),
            Parameter("pause", ParameterType.NUMBER, 0.01, "Seconds that a step takes", 0, 10),
            Parameter("fits", ParameterType.INTEGER, 1_000, "Rows of a step that memory suffices for", 1),
        ),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        checkpoint.EVERY_SECONDS = 0.05  # for this child alone
        rows = encode_rows(request, hooks, np.random.default_rng(request.seed))
        discrete = {
            place: feature.size for place, feature in enumerate(rows.layout) if feature.size is not None
        }
        features = {j: rows.features[j] for j in discrete}
        hooks.phase("training")
        learner = Learner(features, discrete, request.parameters)
        plan = Plan(rows.features[0].size, int(request.parameters["epochs"]), 64, request.seed)
        run(learner, plan, hooks, checkpoint.Checkpoint.of(request, hooks, "loop", *features.values()))
        shares = {j: torch.softmax(learner.net[str(j)].detach().double(), 0).numpy() for j in discrete}
        return LoopGenerator(
            rows.encoding, [float(np.mean(feature != 0)) for feature in rows.features], shares
        )
