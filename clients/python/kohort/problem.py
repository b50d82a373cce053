"""The one exception that crosses rooms: a stable reason, a text for people, and the fields at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a request or a table.

    `field` names a request field (``parameters.epochs``) or a column
    (``heart.age``); `description` says what is wrong and never holds a cell.
    """

    field: str
    description: str


class Problem(Exception):
    """Something a caller did or met, told without leaking data.

    Args:
        reason: an `ErrorReason` of the contract without its prefix, such as
            ``RAGGED_ROW``.
        message: for people; never a cell value, a path or an exception's text.
        violations: the fields or columns at fault.
        metadata: short facts for programs, such as ``{"oldest": "12"}``.
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    @classmethod
    def at(cls, reason: str, field: str, description: str) -> Problem:
        """A problem with exactly one field or column."""
        return cls(reason, f"{field}: {description}", violations=[Violation(field, description)])

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
