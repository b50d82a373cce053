"""A trainer whose device is simulated: it waits as long as it is told to, without using the CPU, then fits a copula."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

from trainers import copula
from trainers.base import FitRequest, Generator, Hooks, Parameter, ParameterType, Progress, TrainerInfo

NAMED = "sleeping=benchmarks.sleeping_trainer:SleepingTrainer"
"""As `KOHORT_TRAINERS` has it."""
STEPS = 10


class SleepingTrainer:
    """`seconds` of device time in ten steps, each of which is told as progress."""

    info: ClassVar[TrainerInfo] = replace(
        copula.CopulaTrainer.info,
        name="sleeping",
        display_name="Simulated device time",
        parameters=(Parameter("seconds", ParameterType.NUMBER, 1.0, "Device time, in seconds", minimum=0.0),),
    )

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Waits, then fits a copula to the few rows there are."""
        seconds = float(request.parameters["seconds"])
        for step in range(STEPS):
            hooks.check()
            time.sleep(seconds / STEPS)
            hooks.progress(Progress(step + 1, STEPS, {"loss": 1.0 / (step + 1)}, 1000.0))
        return copula.CopulaTrainer().fit(
            replace(request, parameters={}), replace(hooks, progress=lambda _: None)
        )
