"""What releases are decided by: the policy of each tenant, and what custodians decided otherwise.

No verdict is stored: it is made of the policy in force and the evidence of a
model's newest report whenever it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from evaluators.gate import Evidence, Policy, State
from kohort.problem import Problem
from server.records import Principal
from server.store.engine import Database, clock
from server.store.requests import take_turn
from server.store.schema import models, overrides, policies, reports


@dataclass(frozen=True)
class StoredPolicy:
    """A policy in force."""

    policy: Policy
    etag: str
    update_time: float | None = None
    """None: the defaults."""
    updated_by: str = ""


@dataclass(frozen=True)
class Override:
    """A custodian's decision about one model; `state` None takes back what was decided before."""

    state: State | None
    reason: str
    principal: str
    time: float


@dataclass(frozen=True)
class Standing:
    """What the release of one model is decided by."""

    policy: Policy
    evidence: Evidence | None = None
    """Of the newest report; None where there is none."""
    report: str = ""
    """The id of that report; empty without, and where its files are gone."""
    override: Override | None = None


def _defaults() -> StoredPolicy:
    said = json.dumps(Policy().to_json(), sort_keys=True).encode()
    return StoredPolicy(Policy(), hashlib.sha256(said).hexdigest()[:32])


DEFAULTS = _defaults()
"""The policy of a tenant that never changed it; its etag changes with the server's defaults."""


class ReleaseStore:
    """Policies and overrides."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def policy(self, tenant: str) -> StoredPolicy:
        """The policy in force."""
        with self._database.read() as connection:
            return _policy(connection, tenant)

    def set_policy(self, who: Principal, policy: Policy | None, etag: str = "") -> StoredPolicy:
        """Replaces the policy; None takes the defaults. Raises Problem ETAG_MISMATCH.

        Args:
            who: for whose tenant, and by whom.
            policy: the new one.
            etag: that of the policy it replaces; empty: whatever is in force.
        """
        with self._database.write() as connection:
            take_turn(connection, "policies")
            if etag and etag != _policy(connection, who.tenant).etag:
                raise Problem("ETAG_MISMATCH", "the policy was changed since it was read; read it again")
            connection.execute(sa.delete(policies).where(policies.c.tenant == who.tenant))
            if policy is not None:
                connection.execute(
                    sa.insert(policies).values(
                        tenant=who.tenant,
                        policy=policy.to_json(),
                        etag=uuid.uuid4().hex,
                        update_time=clock(),
                        updated_by=who.name,
                    )
                )
            return _policy(connection, who.tenant)

    def override(self, who: Principal, model: str, state: State | None, reason: str) -> Standing:
        """Writes a decision down; earlier ones stay in `history`. Raises Problem MODEL_NOT_FOUND."""
        with self._database.write() as connection:
            owned = sa.and_(models.c.id == model, models.c.tenant == who.tenant)
            if connection.execute(sa.select(models.c.id).where(owned)).first() is None:
                raise Problem("MODEL_NOT_FOUND", "there is no such model")
            connection.execute(
                sa.insert(overrides).values(
                    tenant=who.tenant,
                    model=model,
                    state="" if state is None else state.value,
                    reason=reason,
                    principal=who.name,
                    time=clock(),
                )
            )
            return _standings(connection, who.tenant, [model])[model]

    def history(self, tenant: str, model: str) -> list[Override]:
        """Every decision about a model, oldest first; they outlive it."""
        statement = (
            sa.select(overrides)
            .where(overrides.c.tenant == tenant, overrides.c.model == model)
            .order_by(overrides.c.number)
        )
        with self._database.read() as connection:
            return [_override(row) for row in connection.execute(statement).mappings()]

    def standing(self, tenant: str, model: str) -> Standing:
        """What the release of a model is decided by."""
        return self.standings(tenant, [model])[model]

    def standings(self, tenant: str, models: Collection[str]) -> dict[str, Standing]:
        """The same of several models, by id."""
        with self._database.read() as connection:
            return _standings(connection, tenant, models)

    def models(self) -> list[tuple[str, int | None, State | None]]:
        """Every model of every tenant: its tenant, the `number` of its newest report, its override."""
        newest = sa.select(sa.func.max(reports.c.number)).where(reports.c.model == models.c.id)
        last = (
            sa.select(overrides.c.state)
            .where(overrides.c.model == models.c.id, overrides.c.tenant == models.c.tenant)
            .order_by(overrides.c.number.desc())
            .limit(1)
        )
        statement = sa.select(
            models.c.tenant,
            newest.correlate(models).scalar_subquery(),
            last.correlate(models).scalar_subquery(),
        )
        with self._database.read() as connection:
            return [
                (tenant, number, State(state) if state else None)
                for tenant, number, state in connection.execute(statement)
            ]


def _newest(table: sa.Table) -> sa.ColumnElement[bool]:
    """Of each model asked for, the row of the highest number."""
    asked = sa.and_(
        table.c.tenant == sa.bindparam("tenant"), table.c.model.in_(sa.bindparam("models", expanding=True))
    )
    return table.c.number.in_(sa.select(sa.func.max(table.c.number)).where(asked).group_by(table.c.model))


# Read at the start of every sample, and so built only once: that costs more than to run them.
_IN_FORCE = sa.select(policies).where(policies.c.tenant == sa.bindparam("tenant"))
_NEWEST_REPORTS = sa.select(reports.c.model, reports.c.id, reports.c.json_key, reports.c.evidence).where(
    _newest(reports)
)
_LAST_OVERRIDES = sa.select(overrides).where(_newest(overrides))


def _policy(connection: sa.Connection, tenant: str) -> StoredPolicy:
    row = connection.execute(_IN_FORCE, {"tenant": tenant}).mappings().first()
    if row is None:
        return DEFAULTS
    return StoredPolicy(Policy.from_json(row["policy"]), row["etag"], row["update_time"], row["updated_by"])


def _standings(connection: sa.Connection, tenant: str, models: Collection[str]) -> dict[str, Standing]:
    policy = _policy(connection, tenant).policy
    asked = {"tenant": tenant, "models": list(models)}
    evidence = {
        row.model: (Evidence.from_json(row.evidence), row.id if row.json_key else "")
        for row in connection.execute(_NEWEST_REPORTS, asked)
    }
    decided = {row["model"]: _override(row) for row in connection.execute(_LAST_OVERRIDES, asked).mappings()}
    found = {}
    for model in models:
        known, report = evidence.get(model, (None, ""))
        override = decided.get(model)
        held = override if override is not None and override.state is not None else None
        found[model] = Standing(policy, known, report, held)
    return found


def _override(row: sa.RowMapping) -> Override:
    return Override(
        State(row["state"]) if row["state"] else None, row["reason"], row["principal"], row["time"]
    )
