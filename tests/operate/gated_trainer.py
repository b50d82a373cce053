"""A trainer that fits on and on until a file appears: a job that runs for just as long as a test wants."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from trainers import copula
from trainers.base import FitRequest, Generator, Hooks, Parameter, ParameterType, Progress, TrainerInfo

NAMED = "gated=tests.operate.gated_trainer:GatedTrainer"
"""As `KOHORT_TRAINERS` has it."""


class GatedTrainer:
    info: ClassVar[TrainerInfo] = replace(
        copula.CopulaTrainer.info,
        name="gated",
        display_name="Gated copula",
        resumable=True,
        parameters=(Parameter("gate", ParameterType.STRING, "", "The file that ends the training"),),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        gate, step = Path(str(request.parameters["gate"])), 0
        while not gate.exists():
            hooks.check()
            step += 1
            hooks.progress(Progress(step, step + 1000, {"loss": 1.0 / step}, 1000.0))
            time.sleep(0.1)
        return copula.CopulaTrainer().fit(
            replace(request, parameters={}), replace(hooks, progress=lambda _: None)
        )
