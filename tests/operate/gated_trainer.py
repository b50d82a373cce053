"""A trainer that fits on and on until a file appears: a job that runs for just as long as a test wants.

It leaves a checkpoint after each step, and every attempt makes one step at least.
"""

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
        gate = Path(str(request.parameters["gate"]))
        mark = hooks.checkpoints / "step" if hooks.checkpoints else None
        step = int(mark.read_text()) if mark and mark.exists() else 0
        while True:
            hooks.check()
            step += 1
            if mark:
                draft = mark.with_suffix(".new")  # a kill may come at any moment
                draft.write_text(str(step))
                draft.replace(mark)
            hooks.progress(Progress(step, step + 1000, {"loss": 1.0 / step}, 1000.0))
            time.sleep(0.1)
            if gate.exists():
                break
        return copula.CopulaTrainer().fit(
            replace(request, parameters={}), replace(hooks, progress=lambda _: None)
        )
