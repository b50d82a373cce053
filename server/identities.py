"""The files that say who is who: bearer tokens (hashed) and certificate identities.

Both are read again when they change, so revoking needs no restart. A file that
cannot be read any more keeps its last good content and says so in the log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from kohort.problem import Problem
from server.records import Principal

_log = structlog.get_logger(log="identities")
VIEWER, GENERATOR, TRAINER, CUSTODIAN, ADMIN = "viewer", "generator", "trainer", "custodian", "admin"
ROLES = (VIEWER, GENERATOR, TRAINER, CUSTODIAN, ADMIN)
"""See what there is; sample; bring data and train; answer for the data; everything."""

_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_TOKEN = re.compile(r"kohort_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")

T = TypeVar("T")


@dataclass(frozen=True)
class Token:
    """What is kept of a bearer token: 256 random bits need no slow hash."""

    sha256: bytes
    principal: Principal
    expires: float | None


class _Watched(Generic[T]):
    """A parsed file that follows changes; it is looked at no more than once a second."""

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        self._path = path
        self._parse = parse
        self._looked = time.monotonic()
        self._seen = self._stamp()
        self._value = parse(path.read_bytes())

    def get(self) -> T:
        now = time.monotonic()
        if now - self._looked >= 1:
            self._looked = now
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._value, self._seen = self._parse(self._path.read_bytes()), stamp
            except (OSError, ValueError):
                _log.error("identities unreadable, keeping the old ones")
        return self._value

    def _stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


class Tokens:
    """Bearer tokens of a file: `{"tokens": [{"id", "sha256", "tenant", "name", "roles", "expires"}]}`.

    Raises ValueError for a file of another shape or open to other users.
    """

    def __init__(self, path: Path) -> None:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
            raise ValueError("tokens_file must not be open to other users (chmod 600)")
        self._file = _Watched(path, _parse_tokens)

    def find(self, token: str) -> Principal | None:
        """Whose token this is; None for one that is unknown or has expired."""
        match = _TOKEN.fullmatch(token)
        entry = self._file.get().get(match[1]) if match else None
        if entry is None or not hmac.compare_digest(entry.sha256, _hash(token)):
            return None
        if entry.expires is not None and entry.expires <= time.time():
            return None
        return entry.principal


class Certificates:
    """Identities of a file: `{"certificates": {"spiffe://…": {"tenant", "name", "roles"}}}`.

    Raises ValueError for a file of another shape.
    """

    def __init__(self, path: Path) -> None:
        self._file = _Watched(path, _parse_certificates)

    def find(self, uri: str) -> Principal | None:
        """Who the holder of a verified certificate with this URI is."""
        return self._file.get().get(uri)


def create_token(
    path: Path, tenant: str, name: str, roles: Sequence[str], expires: float | None = None
) -> str:
    """Makes a token, stores its hash in the file (made if missing, mode 600) and returns it, once.

    Args:
        expires: Unix seconds, or None for a token without end.

    Raises:
        Problem: INVALID_REQUEST for a name or role that cannot be.
    """
    principal = _principal({"tenant": tenant, "name": name, "roles": list(roles)})
    token = f"kohort_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    content = json.loads(path.read_text()) if path.exists() else {"tokens": []}
    content["tokens"].append(
        {
            "id": token.split("_")[1],
            "sha256": _hash(token).hex(),
            "tenant": principal.tenant,
            "name": principal.name,
            "roles": sorted(principal.roles),
            "expires": None if expires is None else datetime.fromtimestamp(expires, UTC).isoformat(),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(path)
    os.chmod(path, 0o600)  # noqa: PTH101 - a draft left by a crash keeps its mode
    return token


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _parse_tokens(data: bytes) -> Mapping[str, Token]:
    try:
        return {
            entry["id"]: Token(
                bytes.fromhex(entry["sha256"]),
                _principal(entry),
                datetime.fromisoformat(entry["expires"]).timestamp() if entry.get("expires") else None,
            )
            for entry in json.loads(data)["tokens"]
        }
    except (KeyError, TypeError, AttributeError, Problem) as error:
        raise ValueError("tokens_file is not of the documented shape") from error


def _parse_certificates(data: bytes) -> Mapping[str, Principal]:
    try:
        return {uri: _principal(entry) for uri, entry in json.loads(data)["certificates"].items()}
    except (KeyError, TypeError, AttributeError, Problem) as error:
        raise ValueError("identities_file is not of the documented shape") from error


def _principal(entry: Mapping[str, Any]) -> Principal:
    for field in ("tenant", "name"):
        if not _NAME.fullmatch(entry[field]):
            raise Problem.at("INVALID_REQUEST", field, "1 to 64 characters of [A-Za-z0-9_.@-]")
    roles = frozenset(entry["roles"])
    if not roles or not roles <= set(ROLES):
        raise Problem.at("INVALID_REQUEST", "roles", f"one or more of {', '.join(ROLES)}")
    return Principal(entry["tenant"], entry["name"], roles)
