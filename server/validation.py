"""Requests against the limits that the contract documents: all violations at once, by field."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from kohort.problem import Problem, Violation

DEFAULT_PAGE = 50
MAX_PAGE = 500
MAX_LABELS = 32
MAX_LABEL = 63
MAX_DISPLAY_NAME = 200
MAX_UNIT = 1 << 53

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")


class Checks:
    """Collects violations; `done` raises them together."""

    def __init__(self, reason: str = "INVALID_REQUEST") -> None:
        self._reason = reason
        self._violations: list[Violation] = []

    def require(self, holds: bool, field: str, description: str) -> None:
        """Notes a violation unless `holds`."""
        if not holds:
            self._violations.append(Violation(field, description))

    def done(self) -> None:
        """Raises Problem with every violation noted, if any."""
        if self._violations:
            first = self._violations[0]
            raise Problem(self._reason, f"{first.field}: {first.description}", violations=self._violations)

    def describable(self, display_name: str, labels: Mapping[str, str]) -> None:
        """Checks what every resource can be called."""
        self.require(
            len(display_name) <= MAX_DISPLAY_NAME, "display_name", f"at most {MAX_DISPLAY_NAME} characters"
        )
        self.require(display_name.isprintable(), "display_name", "must not hold control characters")
        self.require(len(labels) <= MAX_LABELS, "labels", f"at most {MAX_LABELS}")
        fits = all(1 <= len(k) <= MAX_LABEL and len(v) <= MAX_LABEL for k, v in labels.items())
        self.require(fits, "labels", f"keys of 1 to {MAX_LABEL}, values of at most {MAX_LABEL} characters")

    def request_id(self, request_id: str) -> None:
        """Checks an optional request id."""
        self.require(
            not request_id or _UUID.fullmatch(request_id) is not None, "request_id", "must be a UUID"
        )


def resource_id(name: str, collection: str, field: str = "name") -> str:
    """The id in "datasets/{id}". Raises Problem INVALID_REQUEST for a name of another shape."""
    prefix, _, identifier = name.partition("/")
    if prefix != collection or not _ID.fullmatch(identifier):
        raise Problem.at("INVALID_REQUEST", field, f"must look like {collection}/{{id}}")
    return identifier


def page_size(value: int) -> int:
    """The size in force. Raises Problem INVALID_REQUEST when negative."""
    if value < 0:
        raise Problem.at("INVALID_REQUEST", "page_size", "must not be negative")
    return min(value or DEFAULT_PAGE, MAX_PAGE)


def page_token(scope: str, after: int | None) -> str:
    """An opaque token that continues a list; empty on the last page.

    Args:
        scope: the list and its filters; a token holds for no other.
        after: where the page ended.
    """
    if after is None:
        return ""
    body = json.dumps([after]).encode()
    return base64.urlsafe_b64encode(_seal(scope, body) + body).decode().rstrip("=")


def read_page_token(scope: str, token: str) -> int | None:
    """Where to go on. Raises Problem INVALID_PAGE_TOKEN for a token not issued for this list."""
    if not token:
        return None
    problem = Problem.at("INVALID_PAGE_TOKEN", "page_token", "was not issued for this list")
    try:
        data = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        seal, body = data[:12], data[12:]
        if seal != _seal(scope, body):
            raise problem
        after = int(json.loads(body)[0])
        if not 0 <= after < 1 << 63:
            raise problem
        return after
    except (binascii.Error, ValueError, TypeError, LookupError) as error:
        raise problem from error


def _seal(scope: str, body: bytes) -> bytes:
    # Tokens grant nothing: every query is bound to the caller's tenant. The seal only tells ours from others.
    return hashlib.sha256(b"kohort page\0" + scope.encode() + b"\0" + body).digest()[:12]


def request_hash(request: Message, *parts: bytes) -> bytes:
    """What tells two requests apart: all of the message but its request id, and `parts`."""
    copy: Any = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("request_id")
    digest = hashlib.sha256(copy.SerializeToString(deterministic=True))
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.digest()
