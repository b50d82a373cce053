"""What the child of an EVALUATE job does: real rows and synthetic rows in, report out.

Imports rooms below the server only; nothing here knows a worker, a lease or a store.
"""

from __future__ import annotations

from typing import Any

from kohort.problem import Problem
from server import evaluating
from server.child import Reporter
from server.protocol import ChildSpec
from trainers.base import Stopped


def run_evaluation(spec: ChildSpec, reporter: Reporter) -> dict[str, Any] | None:
    """Evaluates and writes the report; the fields of the result, None when it was stopped.

    Raises:
        Problem: of the data or the options; EVALUATION_UNAVAILABLE.
    """
    if not evaluating.available():
        raise Problem("EVALUATION_UNAVAILABLE", "what evaluates is not installed on this worker")
    reporter.phase("evaluating")
    try:
        if spec.model_bundle:
            return {"report": evaluating.report_on_model(spec, reporter, spec.losses)}
        return {"report": evaluating.report_on_tables(spec, reporter)}
    except Stopped:
        return None
