"""The release gate: no row and no bundle of a locked model leaves."""

from __future__ import annotations

from evaluators.gate import Broken, Effect, State, Verdict, decide
from kohort.problem import Problem
from server.metrics import Metrics
from server.policies import state_of
from server.records import ModelRecord
from server.store import Store
from server.store.releases import Standing


class Gate:
    """Asked once at the start of a stream; what is under way goes on."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    def open(self, tenant: str, model: str) -> tuple[ModelRecord, State]:
        """A model whose rows may leave, and its state; blocking.

        Raises Problem MODEL_NOT_FOUND, MODEL_LOCKED.
        """
        record = self._store.models.get(tenant, model)
        standing = self._store.releases.standing(tenant, model)
        verdict = decide(standing.policy, standing.evidence)
        state = state_of(standing, verdict)
        if state is State.LOCKED:
            self._metrics.samples_refused_locked.inc()
            raise _locked(standing, verdict)
        return record, state


def _locked(standing: Standing, verdict: Verdict) -> Problem:
    """Names of rules and no values: who samples may not read reports."""
    if standing.override is not None:
        return Problem("MODEL_LOCKED", "a custodian locked this model; a custodian can open it again")
    broken: tuple[Broken, ...] = (*verdict.privacy, *verdict.quality)
    rules = sorted({one.rule.metric for one in broken if one.rule.effect is Effect.LOCK})
    why = f"broken rules: {', '.join(rules)}" if rules else verdict.inconclusive
    return Problem(
        "MODEL_LOCKED",
        f"the release policy locks this model ({why}); a custodian can override it",
        metadata={"rules": ",".join(rules)},
    )
