"""A trainer that takes its time: steps of a tenth of a second, a checkpoint after each."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from trainers import copula
from trainers.base import FitRequest, Generator, Hooks, Parameter, ParameterType, Progress, TrainerInfo

RELEASED = "E2E_RELEASED"
"""The variable that may name a file: once that is there, no further step is taken."""


class SlowTrainer:
    info: ClassVar[TrainerInfo] = replace(
        copula.CopulaTrainer.info,
        name="slow",
        display_name="Slow copula",
        resumable=True,
        parameters=(
            Parameter("steps", ParameterType.INTEGER, 20, "Tenths of a second", minimum=1, maximum=10_000),
            Parameter("deaf", ParameterType.BOOLEAN, False, "Whether it ignores the wish to stop"),
        ),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        mark = hooks.checkpoints / "step" if hooks.checkpoints else None
        first = int(mark.read_text()) if mark and mark.exists() else 0
        steps = int(request.parameters["steps"])
        released = os.environ.get(RELEASED)
        for step in range(first, steps):
            if released and Path(released).exists():
                break
            if not request.parameters["deaf"]:
                hooks.check()
            time.sleep(0.1)
            if mark:
                draft = mark.with_suffix(".new")  # a kill may come at any moment
                draft.write_text(str(step + 1))
                draft.replace(mark)
            hooks.progress(Progress(step + 1, steps, {"loss": 1.0 / (step + 1)}, 1000.0))
        return copula.CopulaTrainer().fit(
            replace(request, parameters={}), replace(hooks, progress=lambda _: None)
        )
