"""Not yet written."""

from __future__ import annotations

from evaluators.case import Evaluator

EVALUATORS: tuple[Evaluator, ...] = ()
