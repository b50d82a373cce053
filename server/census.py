"""How many models the release gate lets pass, and the worst that their reports say: for the metrics page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from evaluators.gate import Evidence, decide
from evaluators.headlines import HEADLINES, HIGHER_IS_BETTER
from server.metrics import RELEASE_STATES, Metrics
from server.store import Store
from server.store.releases import StoredPolicy

_AT_ONCE = 500


class Census:
    """Looks at every model of every tenant; evidence is read once and kept while its report is the newest."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._evidence: dict[int, Evidence] = {}
        self._states: dict[tuple[int, str], str] = {}
        """Of the report of that number under the policy of that etag."""

    def take(self) -> None:
        """Counts; blocking. Raises Problem of the store."""
        found = self._store.releases.models()
        newest = {number for _, number, _ in found if number is not None}
        if newest != set(self._evidence):
            self._read(newest)
            for name, value in worst(self._evidence.values()).items():
                self._metrics.evaluation_headline.labels(name).set(value)
        policies = {tenant: self._store.releases.policy(tenant) for tenant in {t for t, _, _ in found}}
        before, self._states = self._states, {}
        states = Counter(
            override or self._state(policies[tenant], number, before) for tenant, number, override in found
        )
        for state in RELEASE_STATES:
            self._metrics.release_state.labels(state).set(states[state])

    def _state(self, stored: StoredPolicy, number: int | None, before: Mapping[tuple[int, str], str]) -> str:
        if number is None:
            return decide(stored.policy, None).state
        key = (number, stored.etag)
        known = before.get(key) or decide(stored.policy, self._evidence.get(number)).state
        self._states[key] = known
        return known

    def _read(self, newest: set[int]) -> None:
        missing = sorted(newest - set(self._evidence))
        self._evidence = {number: one for number, one in self._evidence.items() if number in newest}
        for start in range(0, len(missing), _AT_ONCE):
            self._evidence |= self._store.reports.evidence(missing[start : start + _AT_ONCE])


def worst(evidence: Iterable[Evidence]) -> dict[str, float]:
    """The worst value of every headline metric; NaN where there is none."""
    values: dict[str, list[float]] = {name: [] for names in HEADLINES.values() for name in names}
    for one in evidence:
        for headline in one.headlines:
            if headline.name in values and headline.value is not None:
                values[headline.name].append(headline.value)
    nothing = float("nan")
    return {
        name: min(found, default=nothing) if name in HIGHER_IS_BETTER else max(found, default=nothing)
        for name, found in values.items()
    }
