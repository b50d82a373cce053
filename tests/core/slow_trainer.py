"""A copula that takes its time before it fits, and looks around in its process."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import ClassVar

from kohort.problem import Problem
from trainers.base import FitRequest, Generator, Hooks, Parameter, ParameterType, Progress, TrainerInfo
from trainers.copula import CopulaTrainer

FORBIDDEN = {"grpc", "google", "sqlalchemy", "alembic", "pydantic", "structlog", "prometheus_client"}


class SlowTrainer:
    info: ClassVar[TrainerInfo] = replace(
        CopulaTrainer.info,
        name="slow",
        parameters=(
            Parameter("steps", ParameterType.INTEGER, 5, "Steps of 50 ms"),
            Parameter("hold", ParameterType.INTEGER, 0, "Steps after which one that was never killed waits"),
        ),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        found = FORBIDDEN & {name.partition(".")[0] for name in sys.modules}
        if found:
            raise Problem("TRAINING_FAILED", f"the child imported {', '.join(sorted(found))}")
        assert hooks.checkpoints is not None
        mark = hooks.checkpoints / "step"
        first = int(mark.read_text()) if mark.exists() else 0
        steps = int(request.parameters["steps"])
        for step in range(first, steps):
            hooks.check()
            while first == 0 < step == int(request.parameters["hold"]):
                hooks.check()
                time.sleep(0.01)
            time.sleep(0.05)
            draft = mark.with_suffix(".new")  # a kill may come at any moment
            draft.write_text(str(step + 1))
            draft.replace(mark)
            hooks.progress(Progress(step + 1, steps, {"loss": 1.0}, 10.0))
        quiet = Hooks(should_stop=hooks.should_stop)
        return CopulaTrainer().fit(replace(request, parameters=CopulaTrainer.info.resolve({})), quiet)
