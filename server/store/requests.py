"""Request ids: what makes a call safe to repeat for a day."""

from __future__ import annotations

import sqlalchemy as sa

from kohort.problem import Problem
from server.store.engine import Database, clock
from server.store.schema import requests, turns

WINDOW_SECONDS = 24 * 3600.0
"""What the contract promises."""


def take_turn(connection: sa.Connection, name: str) -> None:
    """Waits until no other transaction holds the turn `name`; this one holds it until it ends."""
    connection.execute(sa.select(turns.c.name).where(turns.c.name == name).with_for_update())


def made_before(
    connection: sa.Connection, tenant: str, kind: str, request_id: str, request_hash: bytes
) -> str | None:
    """The id of what the same request made within the window; None for a new or unnamed one.

    Raises:
        Problem: REQUEST_ID_REUSED when the id came with other content.
    """
    if not request_id:
        return None
    row = connection.execute(
        sa.select(requests.c.request_hash, requests.c.resource).where(
            *_is(tenant, kind, request_id), requests.c.expire_time > clock()
        )
    ).first()
    if row is None:
        return None
    if bytes(row.request_hash) != request_hash:
        raise Problem.at("REQUEST_ID_REUSED", "request_id", "was used with other content")
    return str(row.resource)


def remember(
    connection: sa.Connection,
    tenant: str,
    kind: str,
    request_id: str,
    request_hash: bytes,
    resource: str,
    window_s: float,
) -> None:
    """Notes for `window_s` seconds what a request made. Nothing for an unnamed one."""
    if not request_id:
        return
    connection.execute(sa.delete(requests).where(*_is(tenant, kind, request_id)))
    connection.execute(
        sa.insert(requests).values(
            tenant=tenant,
            kind=kind,
            request_id=request_id,
            request_hash=request_hash,
            resource=resource,
            expire_time=clock() + window_s,
        )
    )


def _is(tenant: str, kind: str, request_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return requests.c.tenant == tenant, requests.c.kind == kind, requests.c.request_id == request_id


class RequestStore:
    """Request ids from outside a transaction; `kind`: ``train``, ``evaluate``, ``upload`` or ``import``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str, kind: str, request_id: str, request_hash: bytes) -> str | None:
        """What the same request made, asked before the work. Raises Problem REQUEST_ID_REUSED."""
        with self._database.read() as connection:
            return made_before(connection, tenant, kind, request_id, request_hash)

    def forget_expired(self) -> int:
        """Drops request ids past their window; how many."""
        with self._database.write() as connection:
            return connection.execute(sa.delete(requests).where(requests.c.expire_time <= clock())).rowcount
