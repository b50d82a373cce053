"""Training again as a model was trained, for attacks with shadow models; nothing of it is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.case import Refit, Sampler
from kohort.problem import Problem
from server.records import JobOptions
from tables.tableset import TableSet
from trainers.base import FitRequest, Hooks
from trainers.drawing import draw
from trainers.registry import trainer as trainer_of

if TYPE_CHECKING:
    from collections.abc import Callable


_NO_ROWS = np.zeros(0, np.intp)


def refit_of(
    trainer: str,
    parameters: Mapping[str, Any],
    options: JobOptions,
    device: str,
    should_stop: Callable[[], bool] = lambda: False,
) -> Refit | None:
    """How to train anew; None where this machine does not have the trainer."""
    try:
        found = trainer_of(trainer)
        known = found.info.resolve(parameters)
    except Problem:
        return None

    def refit(tables: TableSet, seed: int) -> Sampler:
        empty = TableSet({t.schema.name: t.take(_NO_ROWS) for t in tables})
        request = FitRequest(
            train=tables,
            validation=empty,
            parameters=known,
            seed=seed,
            min_patients=options.min_patients,
            device=device,
            equal_patients=options.equal_patients,
        )
        generator = found.fit(request, Hooks(should_stop=should_stop))
        schema = tables.single().schema
        return lambda rows, seed: TableSet({schema.name: draw(generator, schema, rows, seed)})

    return refit
