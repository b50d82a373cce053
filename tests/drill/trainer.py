"""A trainer that goes on, a step and a checkpoint every tenth of a second, until a file lets it end."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from trainers import copula
from trainers.base import FitRequest, Generator, Hooks, Parameter, ParameterType, Progress, TrainerInfo

RELEASED = "KOHORT_DRILL_RELEASED"
"""The variable that names the folder in which a file of the job's key lets it end."""
_STEPS = 3000


class HeldTrainer:
    """A copula that takes as long as a drill needs it to."""

    info: ClassVar[TrainerInfo] = replace(
        copula.CopulaTrainer.info,
        name="held",
        display_name="Held copula",
        resumable=True,
        parameters=(Parameter("key", ParameterType.INTEGER, 0, "Which file lets it end", minimum=0),),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        released = Path(os.environ[RELEASED], str(request.parameters["key"]))
        mark = hooks.checkpoints / "step" if hooks.checkpoints else None
        step = int(mark.read_text()) if mark and mark.exists() else 0
        while step < _STEPS and not released.exists():
            hooks.check()
            time.sleep(0.1)
            step += 1
            if mark:
                draft = mark.with_suffix(".new")  # a kill may come at any moment
                draft.write_text(str(step))
                draft.replace(mark)
            hooks.progress(Progress(step, _STEPS, {"loss": 1.0 / step}, 1000.0))
        return copula.CopulaTrainer().fit(
            replace(request, parameters={}), replace(hooks, progress=lambda _: None)
        )
